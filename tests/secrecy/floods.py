"""Floods: half-open handshakes, idle connections, gaps in streams, garbage; memory, answers, and own messages.

On a virtual wire each source is forged, and every byte that goes back is counted against what its source sent.
From `REAL_FROM` on real daemons are flooded too: two people go on writing to each other meanwhile.
"""

import os
import socket
import time
import tracemalloc
from multiprocessing import get_context
from random import Random
from statistics import quantiles
from typing import Any

from p2pd import limits
from p2pd.client import Connection
from p2pd.net.inputs import Frame, LinkOpened
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint
from p2pd.wire.datagram import Hello, network_id
from tests.integration.fleet import Daemon, Fleet, befriend
from tests.net.pair import Node, Wire, linked
from tests.net.test_admission import first_packet
from tests.net.test_quic_private import BEYOND, Pair, lie_about_the_window
from tests.secrecy.line import Line, Measure

REAL_FROM = 1_000
MEMORY_BYTES = 256 * limits.MIB
HANDSHAKE_TIMES = 3.0
"""What an unproven address may be sent, in what it sent (RFC 9000, section 8.1)."""
GARBAGE_PER_S = 50_000
TEXTS = 300
SECONDS = 15


def run(count: int, seed: int) -> Line:
    """`count` half-open handshakes and as many connections; gaps in as many streams as are allowed at once."""
    measures = [*_half_open(count), *_idle(count), *_gaps()]
    notes: list[str] = []
    if count >= REAL_FROM:
        real, notes = _garbage(seed)
        measures += real
    return Line("floods", count, measures, notes)


def _half_open(count: int) -> list[Measure]:
    """First packets of diallers of whom nothing more is heard, each from an address of its own."""
    wire = Wire()
    victim = Node(wire, 1)
    sent: dict[Endpoint, int] = {}
    back: dict[Endpoint, int] = {}
    most = 0
    for number in range(count):
        source = Endpoint(f"198.{18 + number // 62_500}.{number // 250 % 250}.{number % 250}", 9)
        data = first_packet(victim)
        sent[source] = len(data)
        wire.receivers[victim.endpoint](data, source, wire.now)
        wire.now += 1 / 2_000
        victim.on_timer(wire.now)
        most = max(most, len(victim.quic))
        _counted(wire, back)
    for _ in range(int(20 * limits.AUTHENTICATE_S)):  # what is repeated to who never answers counts too
        wire.now += 0.1
        victim.on_timer(wire.now)
        _counted(wire, back)
    worst = max(back.get(source, 0) / size for source, size in sent.items())
    return [
        Measure("half-open connections at once", most, most=limits.CONNECTIONS_UNAUTHENTICATED),
        Measure("bytes back for a byte of a first packet", worst, most=HANDSHAKE_TIMES),
        Measure("half-open connections after it", len(victim.quic), most=0),
    ]


def _counted(wire: Wire, back: dict[Endpoint, int]) -> None:
    while wire.packets:
        _, to, data = wire.packets.popleft()
        back[to] = back.get(to, 0) + len(data)


def _idle(count: int) -> list[Measure]:
    """Connections that are opened and left; a friend's link stands through all of it."""
    wire = Wire()
    victim, friend = Node(wire, 1, QuicTuning(private=True)), Node(wire, 2)
    link, _ = linked(wire, friend, victim)
    most = 0
    for number in range(count):
        node = Node(wire, 1_000 + number)
        node.endpoint = Endpoint(f"198.{18 + number // 62_500}.{number // 250 % 250}.{number % 250}", 4_000)
        wire.receivers[node.endpoint] = node._receive
        node.open(1, victim)
        wire.run(0.1, lambda node=node: bool(node.of(LinkOpened)))  # type: ignore[misc]
        wire.nodes.remove(node)
        most = max(most, len(victim.quic))
    friend.send(link, b"are you there?")
    friend.flush()
    wire.run(0.1)
    heard = [value for value in victim.inputs if isinstance(value, Frame)]
    return [
        Measure(
            "connections at once of those left idle",
            most,
            most=limits.CONNECTIONS_AUTHENTICATED + limits.CONNECTIONS_UNAUTHENTICATED,
        ),
        Measure("words of a friend heard beside them", len(heard), least=1),
    ]


def _gaps() -> list[Measure]:
    """Bytes far out in a stream, and just within the windows of a connection, of which all before is missing."""
    far, _ = _gap(BEYOND, streams=1)
    near, kept = _gap(limits.STREAM_WINDOW_BYTES - 1, limits.CONNECTION_WINDOW_BYTES // limits.STREAM_WINDOW_BYTES)
    everyone = kept * (limits.CONNECTIONS_AUTHENTICATED + limits.CONNECTIONS_UNAUTHENTICATED)
    return [
        Measure("for a gap in a stream", max(far, near), most=2 * limits.MIB, unit=" B"),
        Measure("for gaps in every connection at once", everyone, most=MEMORY_BYTES, unit=" B"),
    ]


def _gap(offset: int, streams: int) -> tuple[int, int]:
    """Bytes at the peak, and bytes that stay, of one connection with gaps in so many streams."""
    pair = Pair()
    tracemalloc.start()
    for number in range(streams):
        lie_about_the_window(pair, offset, 4 * number)
    pair.step(20)
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most, kept


# --- with real daemons


def _garbage(seed: int) -> tuple[list[Measure], list[str]]:
    """Texts between two daemons while one is given garbage, and while as much goes to a port that is nobody's.

    What makes the garbage takes as much of the processor as the daemons do, so what it costs is a ratio of these two.
    """
    fleet = Fleet()
    try:
        fleet.servers(3)
        alice, bob = fleet.people("alice", "bob")
        befriend(alice, "alice", bob, "bob")
        _waits_ms(alice, 50)
        idle = _p99(_waits_ms(alice, TEXTS))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
            nobody.bind(("127.0.0.1", 0))
            beside, _ = _during(alice, f"127.0.0.1:{nobody.getsockname()[1]}", seed)
        under, (sent, sent_bytes, back_bytes) = _during(alice, bob.endpoint, seed)
        memory = max(_rss(bob), _rss(alice))
        bob.is_well()
    finally:
        fleet.end()
    rate = sent / SECONDS
    return [
        Measure("p99 under garbage, in p99s beside garbage for another port", under / beside, most=3),
        Measure("bytes back for a byte of garbage", back_bytes / sent_bytes, most=1.0),
        Measure("memory of the flooded daemon", memory, most=MEMORY_BYTES, unit=" B"),
    ], [
        f"{rate:,.0f} datagrams a second of {GARBAGE_PER_S:,} meant; "
        f"p99 {under:.0f} ms under it, {beside:.0f} ms beside it, {idle:.0f} ms without",
    ]


def _during(person: Daemon, endpoint: str, seed: int) -> tuple[float, tuple[int, int, int]]:
    """The p99 of texts while garbage goes somewhere, and what the sender of garbage counted."""
    context = get_context("spawn")
    told = context.SimpleQueue()
    flood = context.Process(target=_flood, args=(endpoint, seed, told))
    flood.start()
    waits: list[float] = []
    while flood.is_alive():
        waits += _waits_ms(person, 20)
    flood.join()
    return _p99(waits), told.get()


def _flood(endpoint: str, seed: int, told: Any) -> None:
    """Garbage of every kind for so many seconds, no faster than meant; what was sent and what came back."""
    host, _, port = endpoint.rpartition(":")
    chance = Random(seed)
    pool = [bytes([chance.choice((0x20, 0x21, 0x40, 0xC0, 0))]) + chance.randbytes(99) for _ in range(512)]
    pool += [Hello(network_id("main"), chance.randbytes(8)).encode() for _ in range(4)]
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.connect((host, int(port)))
    line.setblocking(False)
    began = time.monotonic()
    sent = sent_bytes = back_bytes = 0
    while (elapsed := time.monotonic() - began) < SECONDS:
        for data in pool[: max(0, min(len(pool), int(elapsed * GARBAGE_PER_S) - sent))]:
            try:
                sent_bytes += line.send(data)
                sent += 1
            except OSError:
                continue
        try:
            while True:
                back_bytes += len(line.recv(65_536))
        except OSError:
            os.sched_yield()
    line.close()
    told.put((sent, sent_bytes, back_bytes))


def _waits_ms(person: Daemon, count: int) -> list[float]:
    waits = []
    with Connection(person.home, answer_within_s=60) as connection:
        for _ in range(count):
            began = time.perf_counter()
            connection.call("send", to="bob", text="how long does this take?", wait="delivered")
            waits.append((time.perf_counter() - began) * 1000)
    return waits


def _p99(waits: list[float]) -> float:
    return quantiles(waits, n=100)[98]


def _rss(person: Daemon) -> int:
    return int(person.call("status")["rss_bytes"])
