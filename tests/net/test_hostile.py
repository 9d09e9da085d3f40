"""Frames that no peer of ours sends, from one who has proved a node key: each costs its sender, and nobody else."""

import pytest
from aioquic.buffer import encode_uint_var
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicFrameType, QuicPacketType
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.tls import Epoch

from p2pd import limits
from p2pd.effects import LinkKind
from p2pd.net.connection import Connection, Credentials, client_configuration
from p2pd.net.inputs import LinkOpened, RequestArrived
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint
from tests.net.pair import Node, SeededRandom, Wire, linked, signing_key

HOSTILE = Endpoint("192.0.2.66", 666)
LINK = LinkKind.PERSON.value


class Hostile:
    """A dialler of plain aioquic that has proved its key, and then sends whatever frames a test gives it."""

    def __init__(self, wire: Wire, victim: Node) -> None:
        self._wire = wire
        self._victim = victim
        configuration = client_configuration(Credentials.of(signing_key(6), SeededRandom(6)), QuicTuning())
        self.quic = QuicConnection(configuration=configuration)
        wire.receivers[HOSTILE] = self._receive
        self.quic.connect(victim.endpoint, wire.now)
        self._flush()
        wire.run(1.0)

    def send(self, *frames: bytes) -> None:
        """All of them in one packet; from then on nothing is answered, since aioquic knows nothing of it."""
        self._wire.receivers.pop(HOSTILE, None)
        quic = self.quic
        builder = QuicPacketBuilder(
            host_cid=quic.host_cid,
            is_client=True,
            max_datagram_size=limits.QUIC_DATAGRAM_BYTES,
            packet_number=quic._packet_number,
            peer_cid=quic._peer_cid.cid,
            version=quic._version,
        )
        builder.start_packet(QuicPacketType.ONE_RTT, quic._cryptos[Epoch.ONE_RTT])
        builder._buffer.push_bytes(b"".join(frames))
        datagrams, _ = builder.flush()
        quic._packet_number = builder.packet_number
        for data in datagrams:
            self._wire.packets.append((HOSTILE, self._victim.endpoint, data))
        self._wire.carry()

    def _receive(self, data: bytes, source: Endpoint, now: float) -> None:
        self.quic.receive_datagram(data, source, now)
        self._flush()

    def _flush(self) -> None:
        for data, _ in self.quic.datagrams_to_send(self._wire.now):
            self._wire.packets.append((HOSTILE, self._victim.endpoint, data))


def stop_sending(stream: int) -> bytes:
    return bytes([QuicFrameType.STOP_SENDING]) + encode_uint_var(stream) + encode_uint_var(0)


def stream_frame(stream: int, data: bytes, end: bool = False) -> bytes:
    with_length = QuicFrameType.STREAM_BASE | 2 | end
    return bytes([with_length]) + encode_uint_var(stream) + encode_uint_var(len(data)) + data


def crypto_frame(offset: int, data: bytes) -> bytes:
    return bytes([QuicFrameType.CRYPTO]) + encode_uint_var(offset) + encode_uint_var(len(data)) + data


class Scene:
    """A victim with a link to a friend, and somebody hostile."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.victim, self.friend = Node(self.wire, 1), Node(self.wire, 2)
        linked(self.wire, self.friend, self.victim)
        self.hostile = Hostile(self.wire, self.victim)

    @property
    def connections(self) -> list[Connection]:
        """Of the hostile one's with the victim."""
        return [each for each in self.victim.quic._connections if each.node != self.friend.node]

    def friend_is_heard(self) -> bool:
        self.friend.send(1, b"still here")
        self.friend.flush()
        self.wire.carry()
        return self.victim.frames()[-1:] == [b"still here"]


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize("stops_first", [True, False])
def test_a_link_whose_answer_is_not_wanted_is_none(scene: Scene, stops_first: bool) -> None:
    frames = [stop_sending(0), stream_frame(0, LINK)]
    scene.hostile.send(*(frames if stops_first else reversed(frames)))
    assert [value.node for value in scene.victim.of(LinkOpened)] == [scene.friend.node]
    assert scene.connections == []
    assert len(scene.victim.links._links) == 1
    assert scene.friend_is_heard()


@pytest.mark.parametrize("stops_first", [True, False])
def test_a_response_that_is_not_wanted_is_counted_and_no_more(scene: Scene, stops_first: bool) -> None:
    frames = [stop_sending(0), stream_frame(0, b"Rwhat?", end=True)]
    scene.hostile.send(*(frames if stops_first else reversed(frames)))
    for request in scene.victim.of(RequestArrived):
        scene.victim.acceptor.respond(request.exchange, b"this")
    assert scene.victim.quic.counts["response not wanted"] + scene.victim.quic.counts["request reset"] == 1
    assert len(scene.victim.acceptor) == scene.victim.acceptor._held == 0
    assert scene.friend_is_heard()
    scene.hostile.send(stream_frame(4, b"Ragain", end=True))
    assert scene.victim.of(RequestArrived)[-1].payload == b"again"


def test_a_handshake_that_goes_on_for_ever_is_not_kept(scene: Scene) -> None:
    size, offset, piece = 2**24 - 1, 0, 1_000
    message = b"\x04" + size.to_bytes(3, "big") + bytes(piece)
    while offset <= limits.HANDSHAKE_BYTES and scene.connections:
        assert len(scene.connections[0].quic.tls._receive_buffer) <= limits.HANDSHAKE_BYTES
        scene.hostile.send(crypto_frame(offset, message))
        offset, message = offset + len(message), bytes(piece)
    scene.wire.run(1.0)
    assert scene.connections == []
    assert scene.friend_is_heard()


def test_a_gap_in_a_handshake_is_not_backed(scene: Scene) -> None:
    scene.hostile.send(crypto_frame(limits.HANDSHAKE_BYTES - 1, b"x"))
    assert len(scene.connections) == 1
    scene.hostile.send(crypto_frame(limits.HANDSHAKE_BYTES, b"x"))
    scene.wire.run(1.0)
    assert scene.connections == []
    assert scene.friend_is_heard()
