"""Load: tokens are asked of strangers, every count has a bound, and what is refused costs no state."""

from aioquic.quic.connection import QuicConnection

from p2pd import limits
from p2pd.net.connection import Credentials, client_configuration
from p2pd.net.inputs import LinkOpened
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint
from tests.net.pair import Node, SeededRandom, Wire, signing_key


def first_packet(victim: Node) -> bytes:
    """The Initial of a dialler of whom nothing more is heard."""
    credentials = Credentials.of(signing_key(77), SeededRandom(77))
    quic = QuicConnection(configuration=client_configuration(credentials, QuicTuning()))
    quic.connect(victim.endpoint, 0.0)
    return quic.datagrams_to_send(0.0)[0][0]


def flood(wire: Wire, victim: Node, count: int) -> None:
    for number in range(count):
        source = Endpoint(f"198.51.{number // 250}.{number % 250}", 9)
        wire.receivers[victim.endpoint](first_packet(victim), source, wire.now)


def test_half_open_connections_switch_retry_on_and_honest_diallers_pass() -> None:
    wire = Wire()
    victim = Node(wire, 1, QuicTuning(retry_half_open=4, retry_initials_per_s=1_000))
    flood(wire, victim, 5)
    assert len(victim.quic) == 5
    flood(wire, victim, 20)
    assert len(victim.quic) == 5, "no more state for addresses without proof"
    assert victim.quic.counts["retry sent"] == 20
    honest = Node(wire, 2)
    honest.open(1, victim)
    wire.run(1.0, lambda: bool(honest.of(LinkOpened)))
    assert honest.of(LinkOpened)
    assert victim.quic.counts["retry sent"] == 21


def test_a_flood_of_first_packets_switches_retry_on_until_it_ends() -> None:
    wire = Wire()
    victim = Node(wire, 1)
    flood(wire, victim, 2 * limits.RETRY_INITIALS_PER_S)
    assert victim.quic.admission.under_load(wire.now)
    assert len(victim.quic) <= limits.RETRY_INITIALS_PER_S
    wire.run(limits.AUTHENTICATE_S + 1)
    assert not victim.quic.admission.under_load(wire.now)
    assert len(victim.quic) == 0


def test_a_retry_is_smaller_than_what_asked_for_it() -> None:
    wire = Wire()
    victim = Node(wire, 1, QuicTuning(retry_half_open=-1))
    flood(wire, victim, 1)
    (_, _, answer), *rest = wire.packets
    assert not rest
    assert len(answer) < limits.QUIC_INITIAL_BYTES / 3


def test_a_token_is_of_no_use_at_another_address() -> None:
    wire = Wire()
    victim, honest = Node(wire, 1, QuicTuning(retry_half_open=-1)), Node(wire, 2)
    honest.open(1, victim)
    second_packets = []
    wire.loses = lambda packet: second_packets.append(packet) or len(second_packets) > 2
    wire.carry()
    stolen = second_packets[2][2]
    wire.receivers[victim.endpoint](stolen, Endpoint("198.51.100.9", 9), wire.now)
    assert len(victim.quic) == 0
    assert victim.quic.counts["bad retry token"] == 1


def test_the_unauthenticated_are_capped() -> None:
    wire = Wire()
    victim = Node(wire, 1, QuicTuning(retry_half_open=1_000, retry_initials_per_s=1_000))
    flood(wire, victim, limits.CONNECTIONS_UNAUTHENTICATED + 3)
    assert len(victim.quic) == limits.CONNECTIONS_UNAUTHENTICATED
    assert victim.quic.counts["too many unauthenticated"] == 3


def test_one_address_has_few_connections_and_a_private_network_counts_keys() -> None:
    for private, expected in ((False, 2), (True, 6)):
        wire = Wire()
        victim = Node(wire, 1, QuicTuning(per_source=2, private=private))
        for number in range(10, 16):
            node = Node(wire, number)
            node.endpoint = Endpoint("192.0.2.10", 4_000 + number)
            wire.receivers[node.endpoint] = node._receive
            node.open(1, victim)
        wire.run(1.0)
        assert len(victim.of(LinkOpened)) == expected


def test_one_node_key_has_few_connections_in_a_private_network() -> None:
    wire = Wire()
    victim, node = Node(wire, 1, QuicTuning(per_source=2, private=True)), Node(wire, 2)
    for number in range(1, 5):
        node.open(number, victim)
    wire.run(1.0)
    assert len(victim.of(LinkOpened)) == 2
    assert victim.quic.counts["too many of one node"] == 2


def test_room_comes_back_with_every_end() -> None:
    wire = Wire()
    victim, node = Node(wire, 1, QuicTuning(authenticated=1)), Node(wire, 2)
    for number in range(1, 4):
        node.open(number, victim)
        wire.run(0.5)
        assert victim.quic.admission.authenticated == 1
        node.links.close(number, "done")
        node.flush()
        wire.run(0.5)
        assert victim.quic.admission.authenticated == victim.quic.admission.half_open == 0
    assert len(victim.of(LinkOpened)) == 3
    assert victim.quic.admission._per_source == victim.quic.admission._per_node == {}


def test_only_a_whole_first_packet_makes_state() -> None:
    wire = Wire()
    victim = Node(wire, 1)
    whole = first_packet(victim)
    source = Endpoint("198.51.100.9", 9)
    for data in (whole[:1_199], b"\x40" + bytes(40), b"\xff" * 1_200, b"\xc0", whole[:1] + b"\0\0\0\2" + whole[5:]):
        victim.quic.on_datagram(data, source, wire.now)
    victim.flush()
    assert len(victim.quic) == 0
    assert not wire.packets
    assert sum(victim.quic.counts.values()) == 5
