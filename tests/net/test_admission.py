"""Load: tokens are asked of strangers, every count has a bound, and what is refused costs no state."""

import pytest
from aioquic.quic.connection import QuicConnection

from p2pd import limits
from p2pd.net.connection import Connection, Credentials, client_configuration
from p2pd.net.inputs import LinkFailed, LinkOpened
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint
from tests.net.pair import Node, SeededRandom, Wire, linked, signing_key
from tests.net.test_quic_private import lie_about_the_window


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
    assert len(answer) < limits.QUIC_DATAGRAM_BYTES / 3


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


def test_the_unauthenticated_are_capped_and_the_newest_are_heard() -> None:
    wire = Wire()
    victim = Node(wire, 1, QuicTuning(retry_half_open=1_000, retry_initials_per_s=1_000))
    flood(wire, victim, limits.CONNECTIONS_UNAUTHENTICATED + 3)
    assert len(victim.quic) == limits.CONNECTIONS_UNAUTHENTICATED
    assert victim.quic.counts["ended for another"] == 3
    honest = Node(wire, 2)
    honest.open(1, victim)
    wire.run(0.1, lambda: bool(honest.of(LinkOpened)))
    assert honest.of(LinkOpened)


def test_what_still_answers_a_dial_that_was_given_up_is_no_caller() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    late: list[tuple[Endpoint, Endpoint, bytes]] = []

    def held_up(packet: tuple[Endpoint, Endpoint, bytes]) -> bool:
        if packet[0] == b.endpoint:
            late.append(packet)
        return packet[0] == b.endpoint

    wire.loses = held_up
    a.open(1, b)
    wire.run(limits.DIAL_S + 1)
    assert a.of(LinkFailed)
    assert len(a.quic) == 0
    assert late
    wire.loses = lambda packet: False
    wire.packets.extend(late)
    wire.carry()
    assert (len(a.quic), a.quic.admission.half_open) == (0, 0)
    assert a.quic.counts["no such connection"] >= 1
    linked(wire, b, a)


def test_a_half_open_connection_goes_for_another_of_the_address_that_has_most() -> None:
    wire = Wire()
    victim, honest = (Node(wire, number, QuicTuning(retry_half_open=1_000, unauthenticated=4)) for number in (1, 2))
    honest.open(1, victim)
    wire.loses = lambda packet: packet[0] == victim.endpoint
    wire.carry()
    for port in range(8):
        wire.receivers[victim.endpoint](first_packet(victim), Endpoint("198.51.100.9", port), wire.now)
    wire.loses = lambda packet: False
    wire.run(1.0, lambda: bool(honest.of(LinkOpened)))
    assert victim.quic.counts["ended for another"] == 5
    assert len(victim.quic) == 4, "the oldest is still among them"
    assert honest.of(LinkOpened)


class Idler:
    """Owner of a connection on which nothing is said but signs of life."""

    def on_ready(self, connection: Connection, now: float) -> None:
        connection.keep_alive = True

    def on_stream(self, *_: object) -> None: ...

    on_reset = on_progress = on_ended = on_stream


def idle(wire: Wire, victim: Node, count: int, first: int = 100) -> list[Connection]:
    """Connections that are proven and left, each of an address and a key of its own."""
    dialled = []
    for number in range(first, first + count):
        node = Node(wire, number)
        node.endpoint = Endpoint(f"198.51.100.{number}", 4_000)
        wire.receivers[node.endpoint] = node._receive
        dialled.append(node.quic.dial(victim.endpoint, victim.node, Idler(), wire.now))
        node.flush()
        wire.run(0.2)
    return dialled


@pytest.mark.parametrize("private", [False, True])
def test_who_holds_idle_connections_keeps_no_newcomer_out_and_ends_no_link(private: bool) -> None:
    wire = Wire()
    victim, friend, late = Node(wire, 1, QuicTuning(private=private, authenticated=6)), Node(wire, 2), Node(wire, 3)
    link, _ = linked(wire, friend, victim)
    idle(wire, victim, 8)
    assert victim.quic.admission.authenticated == 6
    late.open(1, victim)
    wire.run(1.0, lambda: bool(late.of(LinkOpened)))
    assert late.of(LinkOpened)
    assert victim.quic.counts["ended for another"] == 4
    friend.send(link, b"are you there?")
    friend.flush()
    wire.run(0.1)
    assert victim.frames() == [b"are you there?"]


def test_of_idle_connections_one_goes_of_the_address_that_holds_most() -> None:
    wire = Wire()
    victim = Node(wire, 1, QuicTuning(authenticated=4))
    idle(wire, victim, 1)
    (single,) = victim.quic.admission._authenticated
    crowd = Node(wire, 2)
    for _ in range(5):
        crowd.quic.dial(victim.endpoint, victim.node, Idler(), wire.now)
    crowd.flush()
    wire.run(1.0)
    assert victim.quic.admission.authenticated == 4
    assert victim.quic.counts["ended for another"] == 2
    assert single in victim.quic.admission._authenticated


def test_a_newcomer_is_refused_where_all_carry_links() -> None:
    wire = Wire()
    victim, late = Node(wire, 1, QuicTuning(authenticated=2)), Node(wire, 9)
    for number in (2, 3):
        linked_to(wire, Node(wire, number), victim)
    late.open(1, victim)
    wire.run(1.0)
    assert not late.of(LinkOpened)
    assert victim.quic.counts["too many authenticated"] == 1


def linked_to(wire: Wire, node: Node, victim: Node) -> None:
    node.open(1, victim)
    wire.run(1.0, lambda: bool(node.of(LinkOpened)))
    assert node.of(LinkOpened)


def test_gaps_in_many_connections_hold_no_more_than_all_may_and_cost_no_link() -> None:
    wire = Wire()
    victim, friend = Node(wire, 1, QuicTuning(unread_bytes=limits.MIB)), Node(wire, 2)
    link, _ = linked(wire, friend, victim)
    most = 0
    for number in range(100, 108):
        (dialled,) = idle(wire, victim, 1, number)
        lie_about_the_window(dialled.quic, limits.STREAM_WINDOW_BYTES - 1)
        wire.nodes[-1].quic.touch(dialled)
        wire.nodes[-1].flush()
        wire.run(0.2)
        most = max(most, sum(connection.quic.unread() for connection in victim.quic._connections))
    assert victim.quic.counts["ended for another"] == 4
    assert most == limits.MIB
    friend.send(link, bytes(limits.LINK_FRAME_BYTES))
    friend.flush()
    wire.run(0.1)
    assert len(victim.frames()) == 1


def test_what_was_read_does_not_count_as_unread() -> None:
    wire = Wire()
    victim, friend = Node(wire, 1, QuicTuning(unread_bytes=limits.MIB)), Node(wire, 2)
    link, _ = linked(wire, friend, victim)
    for _ in range(100):
        friend.send(link, bytes(limits.LINK_FRAME_BYTES))
        friend.flush()
        wire.run(0.05)
    assert len(victim.frames()) == 100
    assert victim.quic.counts["ended for another"] == 0


def test_a_whole_prefix_of_ipv6_counts_as_one_address() -> None:
    wire = Wire()
    victim = Node(wire, 1, QuicTuning(per_source=2))
    for number in range(4):
        wire.receivers[victim.endpoint](first_packet(victim), Endpoint(f"2001:db8::{number + 1}", 9), wire.now)
    assert len(victim.quic) == 2
    assert victim.quic.counts["too many from one address"] == 2


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
