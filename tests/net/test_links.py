"""Links: when they are up, what they carry, and when they end."""

import pytest

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.effects import LinkKind, OpenLink
from p2pd.net.connection import Connection
from p2pd.net.inputs import Frame, LinkClosed, LinkFailed, LinkOpened, LinkTaken
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint, NodeKey
from tests.net.pair import Node, Wire, linked

NOWHERE = Endpoint("192.0.2.200", 4_000)


def test_both_sides_see_the_same_binding_and_each_others_node_key() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    a.open(7, b)
    wire.run(1.0)
    (ours,), (theirs,) = a.inputs, b.inputs
    assert isinstance(ours, LinkOpened)
    assert isinstance(theirs, LinkOpened)
    assert (ours.link, ours.node, ours.endpoint, ours.outgoing) == (7, b.node, b.endpoint, True)
    assert (theirs.node, theirs.endpoint, theirs.outgoing) == (a.node, a.endpoint, False)
    assert theirs.link < 0
    assert ours.binding == theirs.binding
    assert len(ours.binding) == 32


def test_frames_arrive_whole_in_order_both_ways() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    ours, theirs = linked(wire, a, b)
    sent = [bytes([size % 256]) * size for size in (1, 2, 1_200, limits.LINK_FRAME_BYTES, 5)]
    for frame in sent:
        a.send(ours, frame)
        b.send(theirs, frame[::-1])
    a.flush()
    b.flush()
    wire.run(1.0)
    assert b.frames() == sent
    assert a.frames() == sent


def test_two_nodes_may_dial_each_other_at_once() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    a.open(1, b)
    b.open(1, a)
    wire.run(1.0)
    assert len(a.of(LinkOpened)) == len(b.of(LinkOpened)) == 2


def test_a_dead_endpoint_costs_one_stagger_only() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    begun = wire.now
    a.open(1, b, NOWHERE, b.endpoint)
    wire.run(2.0, lambda: bool(a.of(LinkOpened)))
    assert a.of(LinkOpened)
    assert wire.now - begun <= limits.DIAL_STAGGER_S + 0.01
    wire.run(1.0)
    assert len(a.quic) == 1, "the attempt that lost is closed"


def test_a_dial_to_nowhere_fails_in_time() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    begun = wire.now
    a.open(1, b, NOWHERE)
    wire.run(60.0, lambda: bool(a.inputs))
    assert a.inputs == [LinkFailed(1, "no answer")]
    assert wire.now - begun <= limits.DIAL_S + 0.01
    assert len(a.quic) == 0


def test_a_dial_without_endpoints_or_beyond_the_limit_fails_at_once() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    a.links.open(OpenLink(1, b.node, ()), wire.now)
    assert a.inputs == [LinkFailed(1, "no endpoint")]
    for number in range(2, 3 + limits.DIALS):
        a.open(number, b, NOWHERE)
    assert a.inputs[1:] == [LinkFailed(2 + limits.DIALS, "too many dials")]


def test_a_node_with_another_key_is_not_linked() -> None:
    wire = Wire()
    a, b, other = Node(wire, 1), Node(wire, 2), Node(wire, 3)
    a.open(1, b, other.endpoint)
    wire.run(10.0)
    assert a.inputs == [LinkFailed(1, "other node key")]
    assert other.inputs == []


def test_giving_a_dial_up_is_silent() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    a.open(1, b, NOWHERE)
    a.links.close(1, "changed our mind")
    a.flush()
    wire.run(10.0)
    assert a.inputs == []
    assert len(a.quic) == 0


def test_closing_tells_the_other_side_only() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    ours, theirs = linked(wire, a, b)
    a.links.close(ours, "done")
    a.flush()
    wire.run(1.0)
    assert a.of(LinkClosed) == []
    assert [value.link for value in b.inputs if isinstance(value, LinkClosed)] == [theirs]
    assert len(a.quic) == len(b.quic) == 0


def test_frames_that_the_core_has_not_taken_stay_in_the_window() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2, takes=False)
    ours, _ = linked(wire, a, b)
    frame = bytes(16 * limits.KIB)
    for _ in range(100):
        a.send(ours, frame)
    a.flush()
    wire.run(5.0)
    (connection,) = b.quic._connections
    assert connection.quic.unread() <= limits.STREAM_WINDOW_BYTES
    assert len(b.frames()) <= limits.LINK_FRAMES_IN_HAND
    taken = 0
    while taken < len(b.frames()):
        b.links.taken(-1, len(frame))
        taken += 1
        b.flush()
        wire.run(0.1)
    assert len(b.frames()) == 100


def test_no_more_than_the_limit_of_small_frames_is_in_hand() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2, takes=False)
    ours, theirs = linked(wire, a, b)
    for number in range(1_000):
        a.send(ours, number.to_bytes(4, "big"))
    a.flush()
    wire.run(1.0)
    assert len(b.frames()) == limits.LINK_FRAMES_IN_HAND
    for frame in iter(b.frames()):
        b.links.taken(theirs, len(frame))
    assert len(b.frames()) == 2 * limits.LINK_FRAMES_IN_HAND
    assert b.frames() == [number.to_bytes(4, "big") for number in range(2 * limits.LINK_FRAMES_IN_HAND)]


@pytest.mark.slow
def test_twenty_megabytes_pass_in_bounded_memory() -> None:
    """Who sends as its peer takes, by what `on_link_taken` says, has little unsent at any time."""
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    ours, _ = linked(wire, a, b)
    frame, left, sent, most, high = bytes(20_000), 1_000, 0, 0, 256 * limits.KIB

    def taken() -> int:
        return sum(each.size_bytes for each in a.of(LinkTaken))

    while left:
        while left and sent - taken() <= high:
            a.send(ours, frame)
            left, sent = left - 1, sent + len(frame) + limits.LINK_PREFIX_BYTES
        most, before = max(most, a.links.unsent(ours)), taken()
        a.flush()
        wire.run(10.0, lambda before=before: taken() > before)
    wire.run(10.0)
    assert sum(map(len, b.frames())) == 20_000_000
    assert most <= high + len(frame) + limits.LINK_PREFIX_BYTES
    assert all(each.size_bytes >= limits.LINK_TAKEN_STEP_BYTES for each in a.of(LinkTaken))
    assert 0 <= sent - taken() < limits.LINK_TAKEN_STEP_BYTES


def test_a_peer_that_takes_nothing_is_cut_off_at_the_hard_bound() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2, takes=False)
    ours, _ = linked(wire, a, b)
    frame = bytes(limits.LINK_FRAME_BYTES)
    for _ in range(limits.LINK_UNSENT_MAX_BYTES // len(frame) + 1):
        a.send(ours, frame)
        assert a.links.unsent(ours) <= limits.LINK_UNSENT_MAX_BYTES
    a.flush()
    wire.run(1.0)
    assert a.of(LinkClosed) == [LinkClosed(ours, "too slow")]
    assert a.quic.counts["link too slow"] == 1


def test_a_link_in_use_by_nobody_is_kept_alive() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    linked(wire, a, b)
    carried = wire.carried
    wire.run(600.0)
    assert a.of(LinkClosed) == b.of(LinkClosed) == []
    assert wire.carried - carried < 4 * 600 / limits.KEEPALIVE_S


def test_a_connection_without_a_link_is_not_kept_alive() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    linked(wire, a, b)
    for connection in [*a.quic._connections, *b.quic._connections]:
        connection.keep_alive = False
    wire.run(limits.IDLE_S + limits.KEEPALIVE_S + 1)
    assert [type(value) for value in (a.inputs[-1], b.inputs[-1])] == [LinkClosed, LinkClosed]


def test_a_peer_that_vanished_is_noticed() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    ours, _ = linked(wire, a, b)
    wire.loses = lambda packet: True
    a.send(ours, b"are you there")
    a.flush()
    begun = wire.now
    wire.run(60.0, lambda: bool(a.of(LinkClosed)))
    assert a.of(LinkClosed) == [LinkClosed(ours, "no answer")]
    assert wire.now - begun <= limits.UNANSWERED_S + 0.01


def test_lost_packets_are_repeated() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    lost = iter(range(3))
    wire.loses = lambda packet: next(lost, None) is not None
    begun = wire.now
    a.open(1, b)
    wire.run(4.0, lambda: bool(a.of(LinkOpened)))
    assert a.of(LinkOpened)
    assert wire.now - begun < 1.0, "the first packets are repeated quickly"


def test_a_frame_for_a_link_that_is_down_is_counted() -> None:
    wire = Wire()
    a = Node(wire, 1)
    a.send(9, b"frame")
    assert a.quic.counts["frame for a link that is down"] == 1


def test_a_frame_of_bad_length_closes_the_link() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    linked(wire, a, b)
    (connection,) = a.quic._connections
    connection.quic.send_stream_data(0, (limits.LINK_FRAME_BYTES + 1).to_bytes(4, "big"))
    a.quic.touch(connection)
    a.flush()
    wire.run(1.0)
    assert b.of(Frame) == []
    assert b.quic.counts["bad frame length"] == 1
    assert [type(value) for value in b.inputs] == [LinkOpened, LinkClosed]


def test_a_refused_connection_never_looks_like_a_link() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2, QuicTuning(authenticated=0))
    a.open(1, b)
    wire.run(10.0)
    assert [type(value) for value in a.inputs] == [LinkFailed]
    assert b.inputs == []
    assert b.quic.counts["too many authenticated"] == 1


def test_a_deadline_that_has_moved_away_builds_no_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    ours, theirs = linked(wire, a, b)
    wire.run(1.0)
    a.send(ours, b"question")
    a.flush()
    wire.carry()
    acknowledgement_due = b.quic.next_deadline()
    assert acknowledgement_due is not None
    b.send(theirs, b"answer")  # and it carries the acknowledgement
    b.flush()
    built: list[float] = []

    def datagrams(connection: Connection, now: float) -> list[tuple[bytes, Endpoint]]:
        built.append(now)
        return []

    monkeypatch.setattr(Connection, "datagrams", datagrams)
    b.on_timer(acknowledgement_due)
    assert not built
    later = b.quic.next_deadline()
    assert later is not None
    assert later > acknowledgement_due
    b.on_timer(later)
    assert built


# --- links with a relay, and links in doubt ---


def relay_linked(wire: Wire, guest: Node, relay: Node, seed: bytes = b"") -> tuple[LinkOpened, LinkOpened]:
    """A link of the kind RELAY, as either side sees it."""
    guest.links.open(OpenLink(1, relay.node, (relay.endpoint,), LinkKind.RELAY, seed), wire.now)
    guest.flush()
    wire.run(1.0, lambda: bool(guest.of(LinkOpened)))
    (ours,), (theirs,) = guest.of(LinkOpened), relay.of(LinkOpened)
    assert isinstance(ours, LinkOpened)
    assert isinstance(theirs, LinkOpened)
    return ours, theirs


def test_a_link_says_what_kind_it_is() -> None:
    assert (LinkKind.PERSON.value, LinkKind.RELAY.value) == (b"L", b"V")
    wire = Wire()
    guest, relay = Node(wire, 1), Node(wire, 2)
    ours, theirs = relay_linked(wire, guest, relay)
    assert ours.kind is theirs.kind is LinkKind.RELAY
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    linked(wire, a, b)
    assert {value.kind for value in (*a.of(LinkOpened), *b.of(LinkOpened))} == {LinkKind.PERSON}  # type: ignore[attr-defined]


def test_who_dials_under_a_throwaway_key_shows_no_other() -> None:
    wire = Wire()
    guest, relay = Node(wire, 1), Node(wire, 2)
    seed = b"s" * 32
    ours, theirs = relay_linked(wire, guest, relay, seed)
    assert theirs.node == NodeKey(SigningKey(seed).public) != guest.node
    assert ours.node == relay.node
    assert ours.binding == theirs.binding


def test_a_kind_that_is_not_known_is_no_link() -> None:
    wire = Wire()
    guest, relay = Node(wire, 1), Node(wire, 2)
    opened: list[Connection] = []
    dialled = guest.links.dialled

    def with_another_byte(dial, connection, now):  # type: ignore[no-untyped-def]
        dialled(dial, connection, now)
        opened.append(connection)

    guest.links.dialled = with_another_byte  # type: ignore[method-assign]
    guest.links.open(OpenLink(1, relay.node, (relay.endpoint,), _Unknown()), wire.now)  # type: ignore[arg-type]
    guest.flush()
    wire.run(10.0)
    assert opened
    assert relay.of(LinkOpened) == guest.of(LinkOpened) == []


class _Unknown:
    value = b"W"


def test_a_relay_keeps_less_for_a_slow_reader_than_a_person_does() -> None:
    wire = Wire()
    guest, relay = Node(wire, 1, takes=False), Node(wire, 2)
    _, theirs = relay_linked(wire, guest, relay)
    frame = bytes(limits.LINK_FRAME_BYTES)
    sent = 0
    while relay.quic.counts["link too slow"] == 0:
        relay.send(theirs.link, frame)
        assert relay.links.unsent(theirs.link) <= limits.RELAY_UNSENT_MAX_BYTES
        sent += len(frame)
    assert limits.RELAY_UNSENT_MAX_BYTES - len(frame) <= sent <= limits.RELAY_UNSENT_MAX_BYTES + len(frame)
    relay.flush()
    wire.run(1.0)
    assert relay.of(LinkClosed) == [LinkClosed(theirs.link, "too slow")]


def test_a_link_in_doubt_without_a_sign_of_life_is_closed_soon() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    ours, _ = linked(wire, a, b)
    wire.run(1.0)
    wire.loses = lambda packet: True
    begun = wire.now
    a.links.check(ours, wire.now)
    a.flush()
    wire.run(limits.CHECK_LINK_S / 2)
    a.links.check(ours, wire.now)  # asked again it has no more time
    a.flush()
    wire.run(60.0, lambda: bool(a.of(LinkClosed)))
    assert a.of(LinkClosed) == [LinkClosed(ours, "no answer")]
    assert limits.CHECK_LINK_S <= wire.now - begun < 2 * limits.CHECK_LINK_S < limits.UNANSWERED_S


def test_a_link_in_doubt_that_gives_a_sign_of_life_stays() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    ours, theirs = linked(wire, a, b)
    for _ in range(3):
        a.links.check(ours, wire.now)
        a.flush()
        wire.run(2 * limits.CHECK_LINK_S)
    a.send(ours, b"still here")
    a.flush()
    wire.run(1.0)
    assert (a.of(LinkClosed), b.frames()) == ([], [b"still here"])
    a.links.check(99, wire.now)
    b.links.check(theirs, wire.now)


def test_one_lost_packet_is_no_end_of_a_link_in_doubt() -> None:
    wire = Wire()
    a, b = Node(wire, 1), Node(wire, 2)
    ours, _ = linked(wire, a, b)
    wire.run(1.0)
    lost = iter(range(1))
    wire.loses = lambda packet: next(lost, None) is not None
    a.links.check(ours, wire.now)
    a.flush()
    wire.run(3 * limits.CHECK_LINK_S)
    assert a.of(LinkClosed) == []
