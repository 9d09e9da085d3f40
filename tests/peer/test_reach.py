from contextlib import ExitStack
from dataclasses import replace

import pytest

from p2pd import limits
from p2pd.effects import OpenLink
from p2pd.peer import own
from p2pd.peer.links import Link, LinkState
from p2pd.peer.published import PRESENCE, personal_address, presence_record
from p2pd.peer.reach import Candidate, Reach
from p2pd.peer.tries import Tries
from p2pd.store import ContactState
from p2pd.types import Endpoint, NodeHint, Now
from p2pd.wire.address import format_hint
from p2pd.wire.person import Presence
from p2pd.wire.record import Record
from p2pd.wire.rpc import pack_endpoint
from tests.cast import START, Person, after

THERE = Endpoint("192.0.2.7", 4242)
NOON = after(limits.DAY_S // 2 - START.wall_s % limits.DAY_S)


class Seeker:
    """Someone who looks for a friend."""

    def __init__(self, friends: tuple[Person, Person]) -> None:
        self.person, self.friend = friends
        self.away: list[float] = []
        self.dht, self.links = self.person.dht, self.person.links
        away = lambda contact, now: self.away.append(now.steady)  # noqa: E731 - as short as its use
        self.reach = Reach(self.person.store, self.dht, self.links, Tries(private=True), away)  # type: ignore[arg-type]

    def presence(self, now: Now) -> Record:
        node, secret = self.friend.keys.node_key, own.secrets(self.friend.store)[0].secret
        presence = Presence(now.wall_ms, node, [pack_endpoint(THERE)])
        return presence_record(self.friend.keys.identity, secret, presence, now, self.friend.random)

    def dialled(self) -> list[OpenLink]:
        return [effect for effect in self.person.effects.take() if isinstance(effect, OpenLink)]

    def want(self, now: Now = NOON) -> None:
        self.reach.want(self.friend.identity, now)


@pytest.fixture
def seeker(friends: tuple[Person, Person]) -> Seeker:
    return Seeker(friends)


def test_a_wish_asks_for_presence_and_dials_what_it_says(seeker: Seeker) -> None:
    seeker.want()
    assert seeker.dialled() == []
    seeker.dht.serve([seeker.presence(NOON)], NOON)
    assert [(dial.node, dial.endpoints) for dial in seeker.dialled()] == [(seeker.friend.keys.node_key, (THERE,))]
    assert seeker.away == []


def test_where_they_were_last_is_tried_at_once(seeker: Seeker) -> None:
    hint = format_hint(NodeHint(THERE, seeker.friend.keys.node_key))
    seeker.person.store.save_contact(replace(seeker.person.contact(seeker.friend), endpoints=(hint, "no hint")))
    seeker.want()
    assert [dial.endpoints for dial in seeker.dialled()] == [(THERE,)]


def test_near_midnight_two_days_are_asked(seeker: Seeker) -> None:
    midnight = after(limits.DAY_S - START.wall_s % limits.DAY_S)
    expected = {-60: [-1, 0], 60: [0, -1], 3 * limits.HOUR_S: [0]}
    for offset, days in expected.items():
        seeker.reach.forget(seeker.friend.identity)
        seeker.want(after(offset, midnight))
        secret = own.secrets(seeker.friend.store)[0].secret
        wanted = [personal_address(seeker.friend.identity, PRESENCE, secret, midnight.day + day) for day in days]
        assert sorted(get.address for get in seeker.dht.take_gets()) == sorted(wanted)


def test_attempts_that_fail_are_spaced_and_the_mailbox_is_told(seeker: Seeker) -> None:
    now = NOON
    seeker.want(now)
    for gap in (*limits.DIAL_GAPS_S[1:], limits.DIAL_GAPS_S[-1]):
        assert seeker.reach.next_deadline() is None
        seeker.dht.serve([], now)
        assert seeker.away[-1] == now.steady
        assert seeker.reach.failed(seeker.friend.identity)
        assert seeker.reach.next_deadline() == now.steady + gap
        now = after(gap, now)
        seeker.reach.on_timer(now)


def test_a_sign_of_life_makes_the_next_attempt_immediate(seeker: Seeker) -> None:
    seeker.want()
    seeker.dht.serve([], NOON)
    seeker.reach.alive(seeker.friend.identity, after(1, NOON))
    assert len(seeker.dht.gets) == 1


def test_the_end_of_an_earlier_attempt_does_not_stop_the_next_for_ever(seeker: Seeker) -> None:
    seeker.want()
    old = seeker.dht.take_gets()
    link = Link(7, False, seeker.friend.keys.node_key, THERE, 0.0, LinkState.UP, seeker.friend.identity)
    seeker.reach.on_up(seeker.friend.identity, link, NOON)
    seeker.want(after(1, NOON))
    for get in old:
        get.answer([], after(2, NOON))
    seeker.reach.on_dial_failed(seeker.friend.identity, 99, "unreachable", after(2, NOON))
    seeker.dht.serve([], after(3, NOON))
    deadline = seeker.reach.next_deadline()
    assert deadline is not None
    seeker.reach.on_timer(Now(deadline, NOON.wall_ms))
    assert seeker.dht.gets


def test_a_link_fulfils_the_wish_and_is_remembered(seeker: Seeker) -> None:
    seeker.want()
    link = Link(7, True, seeker.friend.keys.node_key, THERE, 0.0, LinkState.UP, seeker.friend.identity)
    seeker.reach.on_up(seeker.friend.identity, link, NOON)
    assert seeker.reach.next_deadline() is None
    hint = format_hint(NodeHint(THERE, seeker.friend.keys.node_key))
    assert seeker.person.contact(seeker.friend).endpoints == (hint,)


def test_nobody_who_is_blocked_is_looked_for(seeker: Seeker) -> None:
    blocked = replace(seeker.person.contact(seeker.friend), state=ContactState.BLOCKED)
    seeker.person.store.save_contact(blocked)
    seeker.want()
    assert (seeker.dht.gets, seeker.reach.next_deadline()) == ([], None)


def test_presence_that_is_forged_or_of_another_is_not_found(seeker: Seeker, stack: ExitStack) -> None:
    seeker.want()
    (get,) = seeker.dht.take_gets()
    stranger = Person("carol", stack)
    presence = Presence(NOON.wall_ms, stranger.keys.node_key, [pack_endpoint(THERE)])
    get.answer([presence_record(stranger.keys.identity, b"s" * 32, presence, NOON, stranger.random)], NOON)
    assert seeker.dialled() == []
    assert seeker.reach.tried(seeker.friend.identity) == [Candidate("presence", "", outcome="not found")]


def test_what_was_tried_is_told(seeker: Seeker) -> None:
    seeker.want()
    seeker.dht.serve([seeker.presence(NOON)], NOON)
    link = seeker.dialled()[0].link
    assert seeker.reach.tried(seeker.friend.identity)[-1].outcome == "trying"
    seeker.links.on_link_failed(link, "unreachable", NOON)
    seeker.reach.on_dial_failed(seeker.friend.identity, link, "unreachable", NOON)
    assert seeker.reach.tried(seeker.friend.identity)[-1] == Candidate("direct", str(THERE), link, "unreachable")
