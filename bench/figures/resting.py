"""Doing nothing: what a daemon costs while nobody writes, and what the simulator makes of idle nodes."""

import time
from collections.abc import Mapping
from typing import Any

from bench.processes import cpu_s, resident_bytes
from bench.result import Result
from bench.setting import CROWD, CROWD_REPLICAS, Bench
from p2pd.sim.scenarios import SCENARIOS
from p2pd.sim.stage import Options, perform
from p2pd.sim.town import Town as SimulatedTown
from tests.integration.fleet import Daemon, befriend

IDLE_S, IDLE_QUICK_S = 600, 60
SETTLE_S = 120
"""After a start, before one counts as idle: what meeting a friend causes is over by then."""
SIMULATED_S, SIMULATED_QUICK_S = 3_600, 600
JUDGED, JUDGED_QUICK_HOURS = "calm", 0.1
FRIENDS, SERVERS = 10, 30
FRIENDLY_S, FRIENDLY_QUICK_S = 24 * 3_600, 12 * 3_600
FRIENDLY_SETTLE_S = 8 * 3_600
"""By then attempts to reach who is away have come to their longest gap."""


def idle(bench: Bench) -> None:
    """A daemon idle in a swarm of 100 nodes for ten minutes: alone, and with a friend who is there."""
    seconds = bench.count(IDLE_S, IDLE_QUICK_S)
    with bench.town(spoil=True) as place:
        alice, bob, carol = place.people("alice", "bob", "carol", role="auto")
        befriend(alice, "alice", bob, "bob")
        time.sleep(SETTLE_S)
        watched = {"nobody known": carol, "one friend online": alice}
        before = {name: _state(daemon) for name, daemon in watched.items()}
        time.sleep(seconds)
        for name, daemon in watched.items():
            _idle(bench, name, before[name], _state(daemon), seconds)


def _state(daemon: Daemon) -> dict[str, Any]:
    assert daemon.process is not None
    pid = daemon.process.pid
    stats = daemon.call("net.stats")
    return {
        "cpu_s": cpu_s(pid),
        "rss": resident_bytes(pid),
        "bytes": stats["socket"]["bytes in"] + stats["socket"]["bytes out"],
        "causes": _causes(stats["node"]),
    }


def _causes(node: Mapping[str, Any]) -> dict[str, int]:
    """Bytes both ways by cause."""
    found: dict[str, int] = {}
    for direction in ("sent", "received"):
        for cause, size in node.get(direction, {}).items():
            found[cause] = found.get(cause, 0) + size
    return found


def _idle(bench: Bench, who: str, before: Mapping[str, Any], after: Mapping[str, Any], seconds: int) -> None:
    note = f"{seconds} s after {SETTLE_S} s of settling, in a swarm of 100 idle nodes; {who}"
    rates = {
        cause: round((size - before["causes"].get(cause, 0)) / seconds, 1) for cause, size in after["causes"].items()
    }
    facts = {f"{cause} B/s": rate for cause, rate in rates.items() if rate}
    for figure, unit, value, goal, more in (
        ("memory", "MiB", after["rss"] / 2**20, 70.0, {}),
        ("processor", "%", 100 * (after["cpu_s"] - before["cpu_s"]) / seconds, 0.3, {}),
        ("traffic in and out", "B/s", (after["bytes"] - before["bytes"]) / seconds, 60.0, facts),
    ):
        bench.show(Result(f"idle, {who}: {figure}", unit, {"value": value}, {"value": goal}, note=note, facts=more))


def simulated(bench: Bench) -> None:
    """Node-hours that the simulator runs in a second of one core: 100 idle nodes, and a scenario that is judged."""
    seconds = bench.count(SIMULATED_S, SIMULATED_QUICK_S)
    place = SimulatedTown(servers=CROWD, replicas=CROWD_REPLICAS)
    place.world.run(SETTLE_S)
    begun = time.process_time()
    place.world.run(seconds)
    taken_s = time.process_time() - begun
    bench.show(
        Result(
            "simulator, 100 idle nodes",
            "node-hours/core-s",
            {"value": CROWD * seconds / 3_600 / taken_s},
            {"value": 10},
            more_is_better=True,
            note=f"{seconds} virtual seconds, whole engines with their stores in memory",
        )
    )
    report = perform(SCENARIOS[JUDGED], Options(hours=JUDGED_QUICK_HOURS if bench.quick else 1))
    bench.show(
        Result(
            f"simulator, `{JUDGED}` with all its invariants",
            "node-hours/core-s",
            {"value": report.node_hours / report.cpu_s},
            more_is_better=True,
            note=f"{report.nodes} nodes, {report.virtual_hours:.1f} virtual hours, every turn judged",
        )
    )


def friends(bench: Bench) -> None:
    """What each friend costs an idle node in bytes, there and away: virtual days of the simulator's."""
    seconds = bench.count(FRIENDLY_S, FRIENDLY_QUICK_S)
    place = SimulatedTown(servers=SERVERS, replicas=CROWD_REPLICAS)
    alice, alone, *others = (place.person() for _ in range(2 + FRIENDS))
    for number, other in enumerate(others):
        alice.add(other, f"friend-{number}")
        other.add(alice, "alice")
    for state in ("there", "away"):
        place.world.run(FRIENDLY_SETTLE_S)
        before = [sum(place.world.traffic(one.host)) for one in (alice, alone)]
        place.world.run(seconds)
        after = [sum(place.world.traffic(one.host)) for one in (alice, alone)]
        with_them, without = ((later - sooner) / seconds for later, sooner in zip(after, before, strict=True))
        bench.show(
            Result(
                f"idle, each friend who is {state}: traffic in and out",
                "B/s",
                {"value": (with_them - without) / FRIENDS},
                note=f"{FRIENDS} friends among {SERVERS} nodes, {seconds / 3_600:.0f} virtual hours, beside a node that"
                " knows nobody; datagrams and requests, without what QUIC itself sends",
                facts={"nobody known B/s": round(without, 1)},
            )
        )
        for other in others:
            other.stop()
