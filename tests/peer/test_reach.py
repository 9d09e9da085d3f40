from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from p2pd import limits
from p2pd.effects import CheckLink, CloseLink, OpenLink
from p2pd.peer import own
from p2pd.peer.links import Link, LinkState
from p2pd.peer.published import PRESENCE, personal_address, presence_record
from p2pd.peer.reach import Candidate, Reach
from p2pd.peer.tries import Tries
from p2pd.store import ContactState, PathChoice
from p2pd.types import Endpoint, IdentityKey, NodeHint, NodeKey, Now
from p2pd.wire.address import format_hint
from p2pd.wire.person import NatKind, Presence, Waiting
from p2pd.wire.record import Record
from p2pd.wire.rpc import pack_endpoint
from tests.cast import START, Person, after
from tests.cast import friends as friends_of

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


def test_who_has_joined_anew_asks_for_presence_though_a_dial_hangs(friends: tuple[Person, Person]) -> None:
    seeker = Seeker(friends)
    old = Endpoint("192.0.2.99", 4242)
    hint = format_hint(NodeHint(old, seeker.friend.keys.node_key))
    seeker.person.store.save_contact(replace(seeker.person.contact(seeker.friend), endpoints=(hint,)))
    seeker.want()
    seeker.dht.serve([], NOON)  # there was nobody to ask
    assert [dial.endpoints for dial in seeker.dialled()] == [(old,)]
    seeker.reach.on_joined(after(1, NOON))
    seeker.reach.on_joined(after(1, NOON))
    assert len(seeker.dht.gets) == 1, "asked once, however often"
    seeker.dht.serve([seeker.presence(NOON)], after(1, NOON))
    assert [dial.endpoints for dial in seeker.dialled()] == [(THERE,)]


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


def test_who_has_been_away_for_long_is_tried_again_sooner_where_something_is_to_be_said(seeker: Seeker) -> None:
    now = NOON
    seeker.want(now)
    for gap in limits.DIAL_GAPS_S[1:]:
        seeker.dht.serve([], now)
        now = after(gap, now)
        seeker.reach.on_timer(now)
    seeker.dht.serve([], now)
    seeker.want(after(1, now))
    assert seeker.dht.gets == []
    assert seeker.reach.next_deadline() == now.steady + limits.DIAL_WANTED_S
    now = after(limits.DIAL_WANTED_S, now)
    seeker.reach.on_timer(now)
    seeker.dht.serve([], now)
    later = after(limits.HOUR_S, now)
    seeker.reach.on_timer(later)
    assert seeker.dht.gets == [], "nothing new is to be said"
    seeker.want(later)
    assert len(seeker.dht.gets) == 1, "the last attempt is long ago"


def test_a_sign_of_life_makes_the_next_attempt_immediate(seeker: Seeker) -> None:
    seeker.want()
    seeker.dht.serve([], NOON)
    seeker.reach.alive(seeker.friend.identity, after(1, NOON))
    assert len(seeker.dht.gets) == 1


@pytest.mark.parametrize("blocked", ["here", "there"])
def test_where_quic_is_blocked_a_sign_of_life_changes_nothing(seeker: Seeker, blocked: str) -> None:
    seeker.want()
    seeker.dht.serve([], NOON)
    if blocked == "here":
        seeker.dht.quic_blocked = True
    else:
        seeker.reach._seen[seeker.friend.identity] = Presence(1, seeker.friend.keys.node_key, [], [], NatKind.NO_QUIC)
    seeker.reach.alive(seeker.friend.identity, after(1, NOON))
    assert len(seeker.dht.gets) == 0
    seeker.reach.on_addresses(after(2, NOON))
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


class Flapping(Seeker):
    """Links with a friend come up, and fall again."""

    def rise(self, now: Now, relay: NodeKey | None = None) -> None:
        node, friend = self.friend.keys.node_key, self.friend.identity
        link = Link(7, True, node, None if relay else THERE, now.steady, LinkState.UP, friend, relay=relay)
        self.reach.on_up(friend, link, now)

    def fall(self, now: Now) -> float:
        """The gap before the next attempt."""
        self.reach.on_down(self.friend.identity, "closed by the peer", now)
        if self.dht.take_gets():
            return 0.0
        deadline = self.reach.next_deadline()
        assert deadline is not None
        return deadline - now.steady


def test_links_that_fall_as_soon_as_they_are_up_are_spaced_like_attempts_that_fail(
    friends: tuple[Person, Person],
) -> None:
    seeker, now = Flapping(friends), NOON
    for gap in (0, *limits.DIAL_GAPS_S[1:], limits.DIAL_GAPS_S[-1]):
        seeker.rise(now)
        now = after(0.2, now)
        assert seeker.fall(now) == pytest.approx(gap)
        assert seeker.reach.failed(seeker.friend.identity) is (gap > 0), "the mailbox does not wait"
    (told,) = seeker.reach.tried(seeker.friend.identity)
    assert (told.how, told.where, told.outcome) == ("direct", str(THERE), "fell after 0 s: closed by the peer")
    seeker.rise(now)
    now = after(limits.LINK_STANDS_S, now)
    assert seeker.fall(now) == 0, "it stood"


def test_a_link_that_falls_over_and_over_is_tried_at_once_from_somewhere_else(friends: tuple[Person, Person]) -> None:
    seeker, now = Flapping(friends), NOON
    for _ in range(4):
        seeker.rise(now, NodeKey(bytes(32)))
        gap = seeker.fall(now)
    assert gap == limits.DIAL_GAPS_S[3]
    assert [each.how for each in seeker.reach.tried(seeker.friend.identity)] == ["relay"]
    seeker.reach.on_addresses(now)
    assert len(seeker.dht.take_gets()) == 1
    seeker.rise(now)
    assert seeker.fall(now) == 0


def test_nobody_who_is_blocked_is_looked_for(seeker: Seeker) -> None:
    blocked = replace(seeker.person.contact(seeker.friend), state=ContactState.BLOCKED)
    seeker.person.store.save_contact(blocked)
    seeker.want()
    assert (seeker.dht.gets, seeker.reach.next_deadline()) == ([], None)


def test_where_nobody_answers_a_contact_is_looked_for_again_soon_though_a_dial_hangs(seeker: Seeker) -> None:
    """Who has just joined may know one node, which may be slow: that says nothing of the contact."""
    old = Endpoint("192.0.2.99", 4242)
    hint = format_hint(NodeHint(old, seeker.friend.keys.node_key))
    seeker.person.store.save_contact(replace(seeker.person.contact(seeker.friend), endpoints=(hint,)))
    seeker.want()
    assert [dial.endpoints for dial in seeker.dialled()] == [(old,)]
    now = NOON
    for gap_s in limits.LOOK_AGAIN_S:
        seeker.dht.serve([], now, holders=0)
        assert seeker.reach.next_deadline() == now.steady + gap_s
        now = after(gap_s, now)
        seeker.reach.on_timer(now)
    seeker.dht.serve([seeker.presence(NOON)], now)
    assert [dial.endpoints for dial in seeker.dialled()] == [(THERE,)]


def test_where_nobody_ever_answers_it_is_said_so(seeker: Seeker) -> None:
    seeker.want()
    now = NOON
    for gap_s in limits.LOOK_AGAIN_S:
        seeker.dht.serve([], now, holders=0)
        assert seeker.away == []
        now = after(gap_s, now)
        seeker.reach.on_timer(now)
    seeker.dht.serve([], now, holders=0)
    assert seeker.away == [now.steady]
    assert seeker.reach.tried(seeker.friend.identity) == [Candidate("presence", "", outcome="nobody answered")]


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


# --- relays, and what is allowed ---

ELSEWHERE = Endpoint("192.0.2.8", 4242)


def relay(number: int, *endpoints: Endpoint) -> Waiting:
    """Where the friend waits."""
    at = endpoints or (Endpoint(f"198.51.100.{number}", 4242),)
    return Waiting(NodeKey(bytes([number]) * 32), list(map(pack_endpoint, at)), NodeKey(bytes([100 + number]) * 32))


class Finder(Seeker):
    """A seeker whose friend's presence names relays, and whose links say how they end."""

    def __init__(self, friends: tuple[Person, Person]) -> None:
        super().__init__(friends)
        self.person.reach = self.reach

    def find(self, *relays: Waiting, endpoints: tuple[Endpoint, ...] = (THERE,), now: Now = NOON) -> None:
        """Asks for a link; the presence is there."""
        self.want(now)
        self.tell(*relays, endpoints=endpoints, now=now)

    def tell(self, *relays: Waiting, endpoints: tuple[Endpoint, ...] = (THERE,), now: Now = NOON) -> None:
        presence = Presence(
            now.wall_ms, self.friend.keys.node_key, list(map(pack_endpoint, endpoints)), list(relays), NatKind.SYMMETRIC
        )
        secret = own.secrets(self.friend.store)[0].secret
        record = presence_record(self.friend.keys.identity, secret, presence, now, self.friend.random)
        self.dht.serve([record], now)

    def choose(self, path: PathChoice) -> None:
        self.person.store.save_contact(replace(self.person.contact(self.friend), path=path))

    def called(self) -> list[NodeKey]:
        called, self.person.calls.called = self.person.calls.called, []
        return [at.relay for _, at in called]

    def at(self, seconds: float) -> Now:
        now = after(seconds, NOON)
        self.reach.on_timer(now)
        return now

    def fail(self, link: int, now: Now) -> None:
        self.links.on_link_failed(link, "no answer", now)

    def up(self, relayed: NodeKey | None, since: Now) -> Link:
        """A link is up."""
        link = Link(70, True, self.friend.keys.node_key, None if relayed else THERE, since.steady, LinkState.UP)
        link.contact, link.relay = self.friend.identity, relayed
        self.links._links[link.id] = self.links._up[self.friend.identity] = link
        self.reach.on_up(self.friend.identity, link, since)
        return link


@pytest.fixture
def finder(friends: tuple[Person, Person]) -> Finder:
    return Finder(friends)


def test_relays_are_called_a_moment_later_one_after_the_other(finder: Finder) -> None:
    finder.find(relay(1), relay(2))
    assert len(finder.dialled()) == 1
    assert finder.called() == []
    assert finder.reach.next_deadline() == NOON.steady + limits.RELAY_AFTER_S
    now = finder.at(limits.RELAY_AFTER_S)
    assert finder.called() == [relay(1).relay]
    assert finder.reach.next_deadline() == now.steady + limits.RELAY_NEXT_S
    finder.at(limits.RELAY_AFTER_S + limits.RELAY_NEXT_S)
    assert finder.called() == [relay(2).relay]
    assert finder.reach.next_deadline() is None, "now it is the others' turn"
    assert finder.reach.their_nat(finder.friend.identity) is NatKind.SYMMETRIC


def test_nobody_calls_by_themselves(finder: Finder) -> None:
    finder.find(Waiting(finder.dht.key, relay(1).endpoints, relay(1).callee), relay(2))
    finder.at(limits.RELAY_AFTER_S)
    assert finder.called() == [relay(2).relay]


def test_a_call_that_fails_makes_the_next_one_immediate(finder: Finder) -> None:
    finder.find(relay(1), relay(2))
    now = finder.at(limits.RELAY_AFTER_S)
    call = finder.reach.tried(finder.friend.identity)[-1]
    assert (call.how, call.outcome) == ("relay", "trying")
    finder.called()
    finder.fail(call.link, now)
    assert finder.called() == [relay(2).relay]
    assert call.outcome == "no answer"


def test_an_attempt_has_failed_when_every_way_has(finder: Finder) -> None:
    finder.find(relay(1))
    now = finder.at(limits.RELAY_AFTER_S)
    for candidate in list(finder.reach.tried(finder.friend.identity)):
        assert finder.away == []
        finder.fail(candidate.link, now)
    assert finder.away == [now.steady]
    assert finder.reach.next_deadline() == now.steady + limits.DIAL_GAPS_S[1]


def test_who_chose_direct_calls_by_no_relay(finder: Finder) -> None:
    finder.choose(PathChoice.DIRECT)
    finder.find(relay(1))
    finder.at(60)
    assert (len(finder.dialled()), finder.called()) == (1, [])


def test_who_shall_learn_no_address_is_neither_dialled_nor_called(finder: Finder) -> None:
    """The relay that they name could be theirs."""
    finder.choose(PathChoice.RELAY_ONLY)
    hint = format_hint(NodeHint(THERE, finder.friend.keys.node_key))
    finder.person.store.save_contact(replace(finder.person.contact(finder.friend), endpoints=(hint,)))
    finder.find(relay(1))
    finder.at(60)
    assert (finder.dialled(), finder.called()) == ([], [])
    assert finder.reach.their_nodes(finder.person.contact(finder.friend)) == {finder.friend.keys.node_key}


def test_the_node_of_who_shall_learn_no_address_is_known_after_a_restart(finder: Finder) -> None:
    finder.choose(PathChoice.RELAY_ONLY)
    finder.find(relay(1))
    finder.reach._seen.clear()
    assert finder.reach.their_nodes(finder.person.contact(finder.friend)) == {finder.friend.keys.node_key}


@pytest.mark.parametrize("choice", list(PathChoice))
def test_a_friend_who_waits_nowhere_is_away_sooner_or_later(finder: Finder, choice: PathChoice) -> None:
    finder.choose(choice)
    finder.find(endpoints=())
    assert finder.away == [NOON.steady]


def test_a_relay_is_dialled_only_where_one_may_be(friends: tuple[Person, Person]) -> None:
    finder = Finder(friends)
    finder.reach._tries = Tries(private=False)
    good, victim = Endpoint("203.0.113.9", 4242), Endpoint("203.0.113.7", 22)
    finder.find(relay(1, Endpoint("127.0.0.1", 4242)), relay(2, victim, good), endpoints=())
    finder.at(limits.RELAY_AFTER_S)
    ((_, at),) = finder.person.calls.called
    assert at == relay(2, good)


def test_other_peoples_addresses_in_a_presence_are_tried_four_times_a_minute(friends: tuple[Person, Person]) -> None:
    """A contact names a victim as themselves and as relays, and has every attempt made at once by signs of life."""
    finder = Finder(friends)
    finder.reach._tries = Tries(private=False)
    victim = "203.0.113.7"
    packets: list[int] = []
    outcomes: set[str] = set()
    finder.want()
    for second in range(180):
        now = after(second, NOON)
        places = tuple(Endpoint(victim, 2_000 + 10 * second + number) for number in range(limits.ENDPOINTS))
        finder.tell(*(relay(number, places[number]) for number in range(1, 4)), endpoints=places, now=now)
        finder.at(second + 0.5)
        dials = [dial for dial in finder.dialled() if dial.endpoints]
        packets += [second] * sum(len(dial.endpoints) for dial in dials)
        packets += [second] * sum(len(at.endpoints) for _, at in finder.person.calls.called)
        finder.person.calls.called.clear()
        for candidate in finder.reach.tried(finder.friend.identity):
            if candidate.outcome == "trying":
                finder.fail(candidate.link, now)
            outcomes.add(candidate.outcome)
        finder.reach.alive(finder.friend.identity, now)
    for minute in range(3):
        count = sum(60 * minute <= second < 60 * minute + 60 for second in packets)
        assert count == limits.TRIES_PER_ADDRESS
    assert "tried often enough for now" in outcomes


def test_private_places_and_ports_of_the_system_are_said_so(friends: tuple[Person, Person]) -> None:
    finder = Finder(friends)
    finder.reach._tries = Tries(private=False)
    finder.find(endpoints=(Endpoint("203.0.113.7", 22), Endpoint("192.168.1.1", 4242)))
    assert finder.dialled() == []
    assert [each.outcome for each in finder.reach.tried(finder.friend.identity)] == ["no place where a node can be"]


def test_a_friend_who_moved_is_dialled_there_though_the_old_place_hangs(finder: Finder) -> None:
    hint = format_hint(NodeHint(ELSEWHERE, finder.friend.keys.node_key))
    finder.person.store.save_contact(replace(finder.person.contact(finder.friend), endpoints=(hint,)))
    finder.find(endpoints=(ELSEWHERE, THERE))
    assert [dial.endpoints for dial in finder.dialled()] == [(ELSEWHERE,), (THERE,)]


def test_a_place_that_hint_and_presence_name_alike_costs_one_try(finder: Finder) -> None:
    hint = format_hint(NodeHint(THERE, finder.friend.keys.node_key))
    finder.person.store.save_contact(replace(finder.person.contact(finder.friend), endpoints=(hint,)))
    finder.find()
    left = [finder.reach._tries.take(THERE, NOON) for _ in range(limits.TRIES_PER_ADDRESS)]
    assert left == [True] * (limits.TRIES_PER_ADDRESS - 1) + [False]


def test_a_direct_link_in_doubt_is_asked_and_a_relayed_one_replaced(finder: Finder) -> None:
    link = finder.up(None, NOON)
    finder.reach.doubt(finder.friend.identity, after(limits.DOUBT_AFTER_S - 0.1, NOON))
    assert finder.person.effects.take() == []
    later = after(limits.DOUBT_AFTER_S, NOON)
    finder.reach.doubt(finder.friend.identity, later)
    assert finder.person.effects.take() == [CheckLink(link.id)]
    finder.up(relay(1).relay, NOON)
    finder.reach.doubt(finder.friend.identity, later)
    finder.tell(relay(1), relay(2), now=later)
    finder.at(limits.DOUBT_AFTER_S + limits.RELAY_AFTER_S)
    assert finder.called() == [relay(2).relay], "the doubted one comes last"


def test_a_doubt_that_finds_nothing_better_is_over(finder: Finder) -> None:
    finder.up(relay(1).relay, NOON)
    later = after(limits.DOUBT_AFTER_S, NOON)
    finder.reach.doubt(finder.friend.identity, later)
    finder.dht.serve([], later)
    assert (finder.reach.next_deadline(), finder.away) == (None, [])
    assert finder.reach.tried(finder.friend.identity) == [Candidate("presence", "", outcome="not found")]


def test_a_way_that_was_punched_is_dialled_in_place_of_the_dial_that_hangs(finder: Finder) -> None:
    finder.find(relay(1))
    (hanging,) = finder.dialled()
    finder.reach.on_way(finder.friend.identity, ELSEWHERE, NOON)
    effects = finder.person.effects.take()
    assert CloseLink(hanging.link, "a way was punched") in effects
    (dial,) = [effect for effect in effects if isinstance(effect, OpenLink)]
    assert (dial.node, dial.endpoints) == (finder.friend.keys.node_key, (ELSEWHERE,))
    assert finder.reach.tried(finder.friend.identity)[-1] == Candidate("punched", str(ELSEWHERE), dial.link)


def test_of_the_ways_that_were_punched_the_last_is_told(finder: Finder) -> None:
    finder.find(relay(1))
    for number in range(1, 50):
        finder.reach.on_way(finder.friend.identity, ELSEWHERE, after(number, NOON))
        finder.fail(finder.reach.tried(finder.friend.identity)[-1].link, after(number, NOON))
    punched = [each for each in finder.reach.tried(finder.friend.identity) if each.how == "punched"]
    assert [each.outcome for each in punched] == ["no answer"]


def test_a_way_to_someone_of_whom_nothing_is_known_leads_nowhere(finder: Finder) -> None:
    finder.reach.on_way(finder.friend.identity, ELSEWHERE, NOON)
    finder.reach.on_way(IdentityKey(b"?" * 32), ELSEWHERE, NOON)
    assert finder.dialled() == []


def test_who_is_removed_or_blocked_during_an_attempt_is_called_no_more(finder: Finder) -> None:
    finder.find(relay(1), relay(2))
    finder.dialled()
    finder.reach.forget(finder.friend.identity)
    finder.person.store.remove_contact(finder.friend.identity)
    finder.links.close(finder.friend.identity, "removed", NOON)
    finder.at(60)
    assert (finder.called(), finder.reach.next_deadline()) == ([], None)
    finder.reach.on_way(finder.friend.identity, ELSEWHERE, NOON)
    assert finder.dialled() == []


def test_somewhere_else_every_wish_is_tried_anew(finder: Finder) -> None:
    finder.want()
    finder.dht.serve([], NOON)
    finder.reach.on_addresses(after(1, NOON))
    assert len(finder.dht.gets) == 1
    finder.reach.on_addresses(after(2, NOON))
    assert len(finder.dht.gets) == 1, "it is being tried already"


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(
                ["want", "doubt", "alive", "moved", "way", "relayed", "down", "none", "unheard", "joined", "block"]
            )
        ),
        st.tuples(st.just("presence"), st.integers(0, 3), st.integers(0, 2)),
        st.tuples(st.just("fail"), st.integers(0, 9)),
        st.tuples(st.just("path"), st.sampled_from(list(PathChoice))),
        st.tuples(st.just("time"), st.floats(0.0001, 700, allow_nan=False)),
    ),
    max_size=40,
)


@given(STEPS)
def test_whatever_happens_no_deadline_stays_and_a_wish_is_never_stuck(steps: list[tuple[object, ...]]) -> None:
    with ExitStack() as stack:
        finder, now = Finder(friends_of(stack)), NOON
        friend = finder.friend.identity
        for kind, *arguments in steps:
            match kind, arguments:
                case "want", _:
                    finder.reach.want(friend, now)
                case "doubt", _:
                    finder.reach.doubt(friend, now)
                case "alive", _:
                    finder.reach.alive(friend, now)
                case "moved", _:
                    finder.reach.on_addresses(now)
                case "way", _:
                    finder.reach.on_way(friend, ELSEWHERE, now)
                case "relayed", _:
                    finder.links.close(friend, "another", now)
                    finder.up(relay(1).relay, now)
                case "down", _:
                    was_up = finder.links.up(friend) is not None
                    finder.links.close(friend, "down", now)
                    if was_up:
                        finder.reach.on_down(friend, "down", now)
                case "none", _:
                    finder.dht.serve([], now)
                case "unheard", _:
                    finder.dht.serve([], now, holders=0)
                case "joined", _:
                    finder.reach.on_joined(now)
                case "block", _:
                    blocked = replace(finder.person.contact(finder.friend), state=ContactState.BLOCKED)
                    finder.person.store.save_contact(blocked)
                case "presence", [int(relays), int(places)]:
                    finder.tell(*map(relay, range(1, relays + 1)), endpoints=(THERE, ELSEWHERE)[:places], now=now)
                case "fail", [int(which)]:
                    trying = [each for each in finder.reach.tried(friend) if each.outcome == "trying"]
                    if trying:
                        finder.fail(trying[which % len(trying)].link, now)
                case "path", [PathChoice() as choice]:
                    finder.choose(choice)
                case "time", [float(seconds)]:
                    now = after(seconds, now)
            finder.reach.on_timer(now)
            deadline = finder.reach.next_deadline()
            assert deadline is None or deadline > now.steady
            times = [attempt.next for attempt in finder.reach._attempts.values()]
            assert deadline == min((when for when in times if when is not None), default=None)
        # whatever was asked for ends; then the wish has a time again, or there is none
        finder.dht.serve([], now)
        while trying := [each for each in finder.reach.tried(friend) if each.outcome == "trying"]:
            known = [each for each in trying if each.link in finder.links._links]
            assert known, "what is tried is known to links, which will tell how it ends"
            finder.fail(known[0].link, now)
        finder.reach.on_timer(now)
        attempt = finder.reach._attempts.get(friend)
        if attempt is not None and not attempt.relays:
            assert finder.reach.next_deadline() is not None
