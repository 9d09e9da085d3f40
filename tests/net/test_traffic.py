"""Every datagram of QUIC's counts once, under what it was for."""

from collections import Counter

from p2pd.effects import LinkKind, OpenLink, Request
from p2pd.net.inputs import LinkOpened, RequestArrived
from p2pd.net.traffic import Cause
from p2pd.net.tuning import QuicTuning
from tests.net.pair import Node, Packet, Wire, linked

QUIET = QuicTuning(keepalive_s=5.0)


class CountedWire(Wire):
    """It counts what each node sends."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes_from: Counter[str] = Counter()
        self.loses = self._count

    def _count(self, packet: Packet) -> bool:
        source, _, data = packet
        self.bytes_from[source.host] += len(data)
        return False


def balanced(wire: CountedWire, a: Node, b: Node) -> None:
    """What left and what came is what was on the wire, in both directions."""
    for ours, theirs in ((a, b), (b, a)):
        on_wire = wire.bytes_from[ours.endpoint.host]
        assert sum(ours.quic.traffic.sent.values()) == on_wire
        assert sum(theirs.quic.traffic.received.values()) == on_wire


def test_a_link_shakes_hands_speaks_and_is_kept_alive() -> None:
    wire = CountedWire()
    a, b = Node(wire, 1, QUIET), Node(wire, 2, QUIET)
    ours, theirs = linked(wire, a, b)
    wire.run(1.0)
    hands = dict(a.quic.traffic.sent)
    assert hands[Cause.HANDSHAKE] > 1_200
    a.send(ours, bytes(10_000))
    a.flush()
    wire.run(2.0)
    assert b.frames() == [bytes(10_000)]
    spoken = dict(a.quic.traffic.sent)
    assert spoken[Cause.USER] - hands.get(Cause.USER, 0) > 10_000
    assert spoken[Cause.HANDSHAKE] == hands[Cause.HANDSHAKE]
    assert Cause.KEEP_ALIVE not in spoken
    wire.run(60.0)
    after = a.quic.traffic.sent
    assert 0 < after[Cause.KEEP_ALIVE] < 4_000
    assert after[Cause.USER] == spoken[Cause.USER]
    assert a.quic.traffic.received[Cause.KEEP_ALIVE] > 0
    b.send(theirs, b"again")
    b.flush()
    wire.run(1.0)
    assert b.quic.traffic.sent[Cause.USER] > 0
    assert a.quic.traffic.connections == b.quic.traffic.connections == 1
    balanced(wire, a, b)


def test_a_request_is_the_dhts() -> None:
    wire = CountedWire()
    a, b = Node(wire, 1), Node(wire, 2)

    def answer(node: Node, value: object) -> None:
        if isinstance(value, RequestArrived):
            node.acceptor.respond(value.exchange, bytes(3_000))

    b.answers = answer
    a.exchanges.ask(Request(1, b.node, b.endpoint, bytes(32), bytes(9_000), "put"), wire.now)
    a.flush()
    wire.run(3.0)
    assert a.quic.traffic.sent["put"] > 9_000
    assert a.quic.traffic.received["put"] > 3_000
    assert a.quic.traffic.sent[Cause.HANDSHAKE] > 0
    assert Cause.USER not in a.quic.traffic.sent
    assert b.quic.traffic.sent[Cause.ANSWER] > 3_000
    assert b.quic.traffic.received[Cause.ANSWER] > 6_000
    balanced(wire, a, b)


def test_what_goes_by_a_relay_is_not_the_users() -> None:
    wire = CountedWire()
    a, b = Node(wire, 1, QUIET), Node(wire, 2, QUIET)
    a.links.open(OpenLink(1, b.node, (b.endpoint,), LinkKind.RELAY), wire.now)
    a.flush()
    wire.run(1.0, lambda: bool(a.of(LinkOpened)))
    a.send(1, bytes(10_000))
    a.flush()
    wire.run(2.0)
    assert a.quic.traffic.sent[Cause.RELAY] > 10_000
    assert b.quic.traffic.received[Cause.RELAY] > 10_000
    assert not (a.quic.traffic.sent + b.quic.traffic.sent)[Cause.USER]
    wire.run(60.0)
    assert a.quic.traffic.sent[Cause.KEEP_ALIVE] > 0
    balanced(wire, a, b)


def test_what_fits_no_connection_is_rejected() -> None:
    wire = CountedWire()
    a = Node(wire, 1)
    a.quic.on_datagram(b"\x40" + bytes(60), a.endpoint, wire.now)
    a.quic.on_datagram(b"\xc0", a.endpoint, wire.now)
    assert a.quic.traffic.received == {Cause.REJECTED: 62}
    assert a.quic.traffic.connections == 0
