"""Who is let in: the proof of node keys on every connection, before any byte of a stream is used."""

from collections.abc import Callable
from datetime import datetime

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from p2pd import limits
from p2pd.effects import Request
from p2pd.net.connection import Credentials, client_configuration
from p2pd.net.inputs import LinkFailed, LinkOpened, RequestArrived
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint
from tests.net.pair import Node, SeededRandom, Wire, linked, signing_key

ATTACKER = Endpoint("192.0.2.66", 666)


class Attacker:
    """A dialler of plain aioquic that sends stream bytes as soon as it can."""

    def __init__(self, wire: Wire, victim: Node, configuration: QuicConfiguration) -> None:
        self._wire = wire
        self._victim = victim
        self.quic = QuicConnection(configuration=configuration)
        wire.receivers[ATTACKER] = self._receive
        self.quic.connect(victim.endpoint, wire.now)
        self.quic.send_stream_data(0, b"L" + b"\0\0\0\1x")
        self.quic.send_stream_data(4, b"R request", end_stream=True)
        self._flush()

    def _receive(self, data: bytes, source: Endpoint, now: float) -> None:
        self.quic.receive_datagram(data, source, now)
        self._flush()

    def _flush(self) -> None:
        for data, _ in self.quic.datagrams_to_send(self._wire.now):
            self._wire.packets.append((ATTACKER, self._victim.endpoint, data))


def _honest() -> QuicConfiguration:
    return client_configuration(Credentials.of(signing_key(6), SeededRandom(6)), QuicTuning())


def _without_certificate() -> QuicConfiguration:
    configuration = _honest()
    configuration.certificate = configuration.private_key = None
    return configuration


def _with_two_certificates() -> QuicConfiguration:
    configuration = _honest()
    configuration.certificate_chain = [Credentials.of(signing_key(7), SeededRandom(7)).certificate]
    return configuration


def _with_another_kind_of_key() -> QuicConfiguration:
    key = ec.generate_private_key(ec.SECP256R1())
    nameless = x509.Name([])
    builder = x509.CertificateBuilder().subject_name(nameless).issuer_name(nameless).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2099, 1, 1))
    configuration = _honest()
    configuration.certificate, configuration.private_key = builder.sign(key, SHA256()), key
    return configuration


def _with_an_odd_extension() -> QuicConfiguration:
    configuration = _honest()
    key = configuration.private_key
    nameless = x509.Name([])
    builder = x509.CertificateBuilder().subject_name(nameless).issuer_name(nameless).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(datetime(2020, 1, 1)).not_valid_after(datetime(2099, 1, 1))
    x400_name = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), bytes.fromhex("3002a300"))
    configuration.certificate = builder.add_extension(x400_name, critical=False).sign(key, None)
    return configuration


def _with_another_protocol() -> QuicConfiguration:
    configuration = _honest()
    configuration.alpn_protocols = ["h3"]
    return configuration


def test_the_attackers_means_work_where_its_certificate_is_right() -> None:
    wire = Wire()
    victim = Node(wire, 1)
    Attacker(wire, victim, _honest())
    wire.run(1.0)
    assert [type(value).__name__ for value in victim.inputs] == ["LinkOpened", "Frame", "RequestArrived"]


@pytest.mark.parametrize(
    ("configuration", "reason"),
    [
        (_without_certificate, "no certificate"),
        (_with_two_certificates, "more than one certificate"),
        (_with_another_kind_of_key, "bad certificate"),
        (_with_an_odd_extension, "bad certificate"),
        (_with_another_protocol, None),
    ],
)
def test_a_dialler_without_one_good_certificate_reaches_nothing(
    configuration: Callable[[], QuicConfiguration], reason: str | None
) -> None:
    wire = Wire()
    victim = Node(wire, 1)
    Attacker(wire, victim, configuration())
    wire.run(30.0)
    assert victim.inputs == []
    assert len(victim.quic) == 0
    if reason is not None:
        assert victim.quic.counts[reason] == 1


@pytest.mark.parametrize("configuration", [_with_two_certificates, _with_another_kind_of_key, _with_an_odd_extension])
def test_an_acceptor_without_one_good_certificate_is_left(configuration: Callable[[], QuicConfiguration]) -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    bad = configuration()
    accepting = b.quic._server_configuration
    accepting.certificate, accepting.private_key = bad.certificate, bad.private_key
    accepting.certificate_chain = bad.certificate_chain
    a.open(1, b)
    wire.run(10.0)
    assert [type(value) for value in a.inputs] == [LinkFailed]
    assert b.inputs == []


def test_a_dialler_who_never_finishes_is_dropped_in_time() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    wire.loses = lambda packet: packet[0] == b.endpoint
    a.open(1, b)
    wire.run(0.1)
    assert len(b.quic) == 1
    begun = wire.now
    wire.run(2 * limits.AUTHENTICATE_S, lambda: len(b.quic) == 0)
    assert len(b.quic) == 0
    assert wire.now - begun <= limits.AUTHENTICATE_S
    assert b.inputs == []


def test_a_packets_connection_is_known_by_the_id_in_its_header() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    a.open(1, b)
    first = wire.packets[0][2]
    assert b.quic.connection_of(first) is None
    wire.run(1.0, lambda: bool(a.of(LinkOpened)))
    a.send(1, b"a word")
    a.flush()
    (packet,) = [data for _, _, data in wire.packets]
    (connection,) = b.quic._connections
    assert b.quic.connection_of(packet) is connection
    assert b.quic.connection_of(first) is connection, "or the packets of a handshake would be overtaken"
    for other in (packet[:8], b"", bytes([packet[0], *bytes(30)]), bytes([0x21]) + packet[1:]):
        assert b.quic.connection_of(other) is None


def test_a_dialler_may_move_to_another_port() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    ours, _ = linked(wire, a, b)
    a.endpoint = Endpoint(a.endpoint.host, 5_000)
    wire.receivers[a.endpoint] = a._receive
    a.send(ours, b"from elsewhere")
    a.flush()
    wire.run(1.0)
    assert b.frames() == [b"from elsewhere"]
    (connection,) = b.quic._connections
    assert connection.remote == a.endpoint


def _forge_sources(wire: Wire, by: Node, victim: Endpoint, when: Callable[[bytes], bool]) -> None:
    """From here on such packets of a node's claim to come from a victim, who does not answer what it gets."""
    send = by.quic._send

    def forging(to: Endpoint, data: bytes, cause: str) -> None:
        if when(data):
            wire.packets.append((victim, to, data))
        else:
            send(to, data, cause)

    by.quic._send = forging


def _is_short(data: bytes) -> bool:
    return not data[0] & 0x80


def test_who_forges_the_source_of_a_packet_is_where_it_was() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    forged = Endpoint("198.51.100.9", 9)
    a.exchanges.ask(Request(1, b.node, b.endpoint, a.key.seed, b"one"), wire.now)
    a.flush()
    wire.run(0.5)
    _forge_sources(wire, a, forged, _is_short)
    a.exchanges.ask(Request(2, b.node, b.endpoint, a.key.seed, b"two"), wire.now)
    a.flush()
    wire.run(0.5)
    assert [(value.payload, value.endpoint) for value in b.of(RequestArrived)] == [
        (b"one", a.endpoint),
        (b"two", a.endpoint),
    ]


def test_nobody_proves_an_address_by_the_end_of_a_handshake_that_began_at_another() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    forged = Endpoint("198.51.100.9", 9)
    to_victim: list[bytes] = []
    wire.receivers[forged] = lambda data, source, now: to_victim.append(data)
    a.open(1, b)
    _forge_sources(wire, a, forged, lambda data: True)  # what follows the first packet
    wire.run(2 * limits.AUTHENTICATE_S)
    assert to_victim == []
    assert b.inputs == []
    assert b.quic.counts["moved in the handshake"] > 0
    assert len(b.quic) == 0


def test_what_aioquic_stumbles_over_ends_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    a, b, c = Node(wire, 1), Node(wire, 2), Node(wire, 3)
    linked(wire, a, b)
    c.open(1, b)
    wire.run(1.0)

    def stumble(data: bytes, addr: Endpoint, now: float) -> None:
        raise IndexError("a bug of aioquic's")

    broken = next(connection for connection in b.quic._connections if connection.node == a.node)
    monkeypatch.setitem(vars(broken.quic), "receive_datagram", stumble)
    a.send(1, b"any packet")
    a.flush()
    wire.run(1.0)
    assert b.quic.counts["quic exception"] == 1
    assert len(b.of(LinkOpened)) == 2
    assert [connection.node for connection in b.quic._connections] == [c.node]
