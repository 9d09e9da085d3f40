"""Two people who write to each other while one of them is flooded: what it costs their messages and their memory.

What floods takes as much of the processor as the daemons do.  So the same flood is sent elsewhere as well, to another
daemon or to nobody, and what a message waits while its reader is flooded is compared with what it waits beside that.
Private networks count connections by node key instead of by address, and a crowd here has enough of either.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

from p2pd import limits
from p2pd.client import Connection
from p2pd.wire.datagram import Hello, Welcome, decode, network_id
from tests.integration.fleet import Daemon, Fleet, befriend
from tests.secrecy.flooding import Flood, gaps, garbage, half_open, idle, split
from tests.secrecy.line import Measure

MEMORY_BYTES = 256 * limits.MIB
HANDSHAKE_TIMES = 3.0
"""What an unproven address may be sent, in what it sent (RFC 9000, section 8.1)."""
GARBAGE_PER_S = 50_000
GARBAGE_S = 15
INITIALS_PER_S = 2_000
CONNECTIONS_PER_S = 100
FULL_FROM = 1_000
TEXTS = 300
TIMES_IDLE = 3
BESIDE = 500
"""Connections to another daemon, for comparison: 5 seconds of them."""
GAPS = 1_000
"""Connections with gaps: four for each that may be there at once."""
HELD_S = 10
"""How long connections are held beside which texts are timed."""
CONNECTIONS_OF_OURS = 16
"""More than a daemon in a network of six has for itself."""
KEPT_MIB = 30.0
"""What may stay of memory after a flood: what the system's allocator and Python's keep for the next time."""
MIB = limits.MIB


@dataclass(slots=True)
class Seen:
    """What texts waited, in milliseconds, and the most memory of who was flooded, while something went on."""

    waits_ms: list[float] = field(default_factory=list)
    memory: int = 0

    @property
    def p99_ms(self) -> float:
        return quantiles(self.waits_ms, n=100)[98]


class Flooded:
    """A network with two friends, and floods; measures and notes of them once it has `run`."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self.is_full = count >= FULL_FROM
        self.measures: list[Measure] = []
        self.notes: list[str] = []
        self._fleet = Fleet()

    def run(self) -> None:
        """All floods after each other."""
        try:
            self._decoy, *_ = self._fleet.servers(3)
            self._alice, self._bob = self._fleet.people("alice", "bob")
            befriend(self._alice, "alice", self._bob, "bob")
            self._watched(lambda: True, least=50)
            self._idle = self._watched(lambda: True, least=TEXTS if self.is_full else 100)
            self._calm = self._bob.call("status")["rss_bytes"]
            self._all()
            self._bob.is_well()
        finally:
            self._fleet.end()

    def _all(self) -> None:
        if self.is_full:
            self._garbage()
        self._half_open()
        self._crowd("idle connections", idle, self.count)
        self._crowd("stream gaps", gaps, min(self.count, GAPS))
        self._comes_back()

    # --- one flood after the other

    def _garbage(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
            nobody.bind(("127.0.0.1", 0))
            endpoint = f"127.0.0.1:{nobody.getsockname()[1]}"
            beside, _ = self._during(Flood(garbage, endpoint, self.seed, GARBAGE_PER_S, GARBAGE_S))
        under, (rate, back) = self._during(Flood(garbage, self._bob.endpoint, self.seed, GARBAGE_PER_S, GARBAGE_S))
        self._measure("garbage", under, beside, back, most=1.0)
        self.notes.append(f"garbage: {rate:,.0f} datagrams a second of {GARBAGE_PER_S:,} meant")

    def _half_open(self) -> None:
        beside, _ = self._during(Flood(half_open, self._decoy.endpoint, self.count, INITIALS_PER_S))
        under, back = self._during(Flood(half_open, self._bob.endpoint, self.count, INITIALS_PER_S))
        self._measure("half-open handshakes", under, beside, back, most=HANDSHAKE_TIMES)

    def _crowd(self, what: str, work: Callable[..., None], most: int) -> None:
        def flood(at: Daemon, count: int) -> Flood:
            return Flood(work, at.endpoint, _node_key(at), count, CONNECTIONS_PER_S, not self.is_full)

        beside, _ = self._during(flood(self._decoy, min(most, BESIDE)))
        crowd = flood(self._bob, most)
        began = time.monotonic()
        crowd.begin()
        under = self._watched(crowd.is_done)
        per_s = most / (time.monotonic() - began)
        held_until = time.monotonic() + (HELD_S if self.is_full else 0)
        held = self._watched(lambda: time.monotonic() > held_until)
        opened, stood, back = crowd.end()
        under.memory = max(under.memory, held.memory)
        self._measure(what, under, beside, back, most=HANDSHAKE_TIMES)
        self.measures.append(Measure(f"{what} that stood at some time", opened, least=most // 2))
        self.notes.append(
            f"{what}: {per_s:.0f} a second of {CONNECTIONS_PER_S} meant; {stood} of {opened} stood to the end; "
            f"p99 {held.p99_ms:.1f} ms while they stood"
        )

    def _comes_back(self) -> None:
        """Who was flooded has the memory that it had, once the others' time-outs have passed."""
        until = time.monotonic() + 2 * limits.IDLE_S
        while self._bob.call("net.stats")["connections"] > CONNECTIONS_OF_OURS and time.monotonic() < until:
            time.sleep(0.5)
        time.sleep(limits.GIVE_BACK_S + 1 if self.is_full else 0)
        after = self._bob.call("status")["rss_bytes"]
        self.measures += [
            Measure("connections after it all", self._bob.call("net.stats")["connections"], most=CONNECTIONS_OF_OURS),
            Measure("memory that did not come back", round((after - self._calm) / MIB, 1), most=KEPT_MIB, unit=" MiB"),
        ]
        self.notes.append(f"memory: {self._calm / MIB:.1f} MiB before it all, {after / MIB:.1f} after it")

    # --- measuring

    def _during(self, flood: Flood) -> tuple[Seen, Any]:
        flood.begin()
        seen = self._watched(flood.is_done)
        return seen, flood.end()

    def _measure(self, what: str, under: Seen, beside: Seen, back: float, most: float) -> None:
        self.measures += [
            self._slower(what, under, beside),
            Measure(f"bytes back for a byte of {what}", back, most=most),
            Measure(f"memory under {what}", round(under.memory / MIB, 1), most=MEMORY_BYTES / MIB, unit=" MiB"),
        ]
        p99s = ", ".join(
            f"{seen.p99_ms:.1f} ms {where} (p50 {median(seen.waits_ms):.1f})"
            for where, seen in (("under", under), ("beside", beside), ("idle", self._idle))
        )
        self.notes.append(f"{what}: p99 {p99s}")

    def _slower(self, what: str, under: Seen, beside: Seen) -> Measure:
        """At a small size there are too few texts for a p99 that means anything."""
        if self.is_full:
            return Measure(f"p99 under {what}, in p99s beside it", under.p99_ms / beside.p99_ms, most=TIMES_IDLE)
        times = median(under.waits_ms) / median(beside.waits_ms)
        return Measure(f"p50 under {what}, in p50s beside it", times, most=TIMES_IDLE)

    def _watched(self, is_over: Callable[[], bool], least: int = 100) -> Seen:
        """Alice's texts to Bob, one after the other, until it is over; at least so many."""
        seen = Seen()
        with Connection(self._alice.home, answer_within_s=60) as alice, Connection(self._bob.home) as bob:
            while not is_over() or len(seen.waits_ms) < least:
                for _ in range(20):
                    began = time.perf_counter()
                    alice.call("send", to="bob", text="how long does this take?", wait="delivered")
                    seen.waits_ms.append((time.perf_counter() - began) * 1000)
                seen.memory = max(seen.memory, bob.call("status")["rss_bytes"])
        return seen


def _node_key(daemon: Daemon) -> bytes:
    """The key of a daemon's node, as it tells anyone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.settimeout(1)
        at = split(daemon.endpoint)
        line.connect((at.host, at.port))
        for _ in range(20):
            line.send(Hello(network_id("main"), bytes(8)).encode())
            try:
                found = decode(line.recv(2_048))
            except TimeoutError:
                continue
            if isinstance(found, Welcome):
                return bytes(found.key)
    raise AssertionError("no welcome")
