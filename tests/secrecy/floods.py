"""Floods: half-open handshakes, idle connections, gaps in streams, garbage; memory, answers, and own messages.

On a virtual wire each source is forged, and every byte that goes back is counted against what its source sent.
Then a real daemon is flooded, while two people go on writing to each other.
"""

import tracemalloc

from p2pd import limits
from p2pd.net.inputs import Frame, LinkOpened
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint
from tests.net.pair import Node, Wire, linked
from tests.net.test_admission import first_packet
from tests.net.test_quic_private import BEYOND, Pair, lie_about_the_window
from tests.secrecy.flooded import HANDSHAKE_TIMES, Flooded
from tests.secrecy.line import Line, Measure


def run(count: int, seed: int) -> Line:
    """`count` half-open handshakes and as many connections; gaps in as many streams as are allowed at once."""
    measures = [*_half_open(count), *_idle(count), *_gaps()]
    real = Flooded(count, seed)
    real.run()
    return Line("floods", count, [*measures, *real.measures], real.notes)


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
    far = _gap(BEYOND, streams=1)
    near = _gap(limits.STREAM_WINDOW_BYTES - 1, limits.CONNECTION_WINDOW_BYTES // limits.STREAM_WINDOW_BYTES)
    return [Measure("for gaps in streams of one connection", max(far, near), most=2 * limits.MIB, unit=" B")]


def _gap(offset: int, streams: int) -> int:
    """Bytes at the peak of one connection with gaps in so many streams."""
    pair = Pair()
    tracemalloc.start()
    for number in range(streams):
        lie_about_the_window(pair.dialler, offset, 4 * number)
    pair.step(20)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most
