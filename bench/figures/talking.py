"""Talking: two or more who are there."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from statistics import mean, median
from time import perf_counter

from bench import bare
from bench.control import UNDER_WAY, carry_out
from bench.floors import udp_echo_ms
from bench.line import LONG, LOOPBACK, LOSSY, Line
from bench.processes import cpu_s
from bench.result import Result, spread, trips
from bench.setting import SMALL_CROWD, Bench, timed_ms
from p2pd.client import Connection
from tests.integration.fleet import Daemon, befriend

TEXT = "how long does this take? " * 8
assert len(TEXT) == 200
WARM_UP = 50
SENDERS = 20
STARVED = 0.5
"""A sender with a smaller share of the mean rate is."""


def text(bench: Bench) -> None:
    """One text at a time: from `send` on the control socket until acknowledged after the recipient's commit."""
    near = _text(bench, LOOPBACK, bench.count(1_000, 150))
    bench.show(trips("text, send to acknowledged", near, _text(bench, LONG, 40), 1))
    _text(bench, LOSSY, bench.count(200, 40))


def _text(bench: Bench, line: Line, count: int) -> float:
    """The median in milliseconds."""
    with bench.town(SMALL_CROWD, line) as place:
        alice, bob = place.people("alice", "bob")
        befriend(alice, "alice", bob, "bob")
        with Connection(alice.home, answer_within_s=60) as connection:

            def send() -> None:
                connection.call("send", to="bob", text=TEXT, wait="delivered")

            for _ in range(WARM_UP if line is LOOPBACK else 5):
                send()
            before = udp_echo_ms(bench)
            with _processors({"sender": alice, "recipient": bob}, count) as cost:
                times = [timed_ms(send) for _ in range(count)]
            floor = min(before, udp_echo_ms(bench))
    name = "text, send to acknowledged"
    if line is LOOPBACK:
        note = "two real daemons, each committing FULL; floor: bare asyncio UDP echo, p50"
        bench.show(Result(name, "ms", spread(times), {"p50": 15, "p99": 80}, floor, facts=cost, note=note))
        least = bare.durable_echo_ms(count)
        note = "two programs that do nothing else: no daemon, no API, no ratchet"
        name = "floor: bare aioquic stream, echo with a text's three commits"
        bench.show(Result(name, "ms", least, {}, floor, note=note))
    else:
        bench.show(Result(name, "ms", spread(times), line=line.name))
    return median(times)


def throughput(bench: Bench) -> None:
    """Acknowledged 200-byte texts a second from one daemon to another, through one control connection."""
    for line, count in ((LOOPBACK, bench.count(10_000, 2_000)), (LOSSY, bench.count(2_000, 500))):
        with bench.town(SMALL_CROWD, line) as place:
            alice, bob = place.people("alice", "bob")
            befriend(alice, "alice", bob, "bob")
            asyncio.run(_send(alice, 200))
            with _processors({"sender": alice, "recipient": bob}, count) as cost:
                per_s = count / asyncio.run(_send(alice, count))
        bench.show(
            Result(
                "texts a second, one pair",
                "1/s",
                {"value": per_s},
                {"value": 2_000} if line is LOOPBACK else {},
                more_is_better=True,
                line=line.name,
                facts=cost,
                note=f"{count} texts of 200 bytes, {UNDER_WAY} calls `send wait=delivered` under way on one connection",
            )
        )


def crowded(bench: Bench) -> None:
    """The same from 20 senders, each a daemon, to one recipient: in total, and the slowest beside the fastest."""
    for line, count in ((LOOPBACK, bench.count(500, 100)), (LOSSY, bench.count(100, 20))):
        _crowded(bench, line, count)


def _crowded(bench: Bench, line: Line, count: int) -> None:
    with bench.town(SMALL_CROWD, line) as place:
        (bob,) = place.people("bob", flags=("--accept-requests",))
        senders = place.people(*[f"sender{number}" for number in range(SENDERS)])
        for sender in senders:
            sender.call("contact.add", address=bob.address, **{"as": "bob"})
        for sender in senders:
            sender.sees("contact", lambda data: data["state"] == "accepted")
            sender.call("send", to="bob", text=TEXT, wait="delivered")
        with _processors({"sender": senders[0], "recipient": bob}, count) as cost:
            per_s, rates = asyncio.run(_all_send(senders, count))
        cost["recipient ms"] = round(cost["recipient ms"] / SENDERS, 2)
    bench.show(
        Result(
            f"texts a second, {SENDERS} senders to one",
            "1/s",
            {"value": per_s, "slowest sender's of the mean": min(rates) / mean(rates)},
            {"value": 2_000, "slowest sender's of the mean": STARVED} if line is LOOPBACK else {},
            more_is_better=True,
            line=line.name,
            facts={"slowest sender": round(min(rates), 1), "fastest sender": round(max(rates), 1)} | cost,
            note=f"{SENDERS} real daemons with {count} texts each; a sender's rate is until its last is acknowledged",
        )
    )


@contextmanager
def _processors(daemons: Mapping[str, Daemon], texts: int) -> Iterator[dict[str, float]]:
    """Afterwards, the milliseconds of processor that a text cost each: what a busy machine does not change much."""
    before = {name: _cpu_s(daemon) for name, daemon in daemons.items()}
    cost: dict[str, float] = {}
    yield cost
    for name, daemon in daemons.items():
        cost[f"{name} ms"] = round((_cpu_s(daemon) - before[name]) * 1000 / texts, 2)


def _cpu_s(daemon: Daemon) -> float:
    assert daemon.process is not None
    return cpu_s(daemon.process.pid)


async def _send(sender: Daemon, count: int) -> float:
    """So many texts to bob; seconds until the last was acknowledged."""
    begun = perf_counter()
    await carry_out(sender.home, "send", [{"to": "bob", "text": TEXT, "wait": "delivered", "timeout_s": 120}] * count)
    return perf_counter() - begun


async def _all_send(senders: list[Daemon], count: int) -> tuple[float, list[float]]:
    begun = perf_counter()
    times = await asyncio.gather(*(_send(sender, count) for sender in senders))
    return count * len(senders) / (perf_counter() - begun), [count / time for time in times]
