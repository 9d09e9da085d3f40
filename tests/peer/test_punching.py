"""Two who talk by a relay make a way of their own, through routers that are simulated by what they let through."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd import limits
from p2pd.effects import EffectQueue, SendDatagram
from p2pd.peer.links import Link, LinkState
from p2pd.peer.punching import Punching, PunchState
from p2pd.peer.tries import Tries
from p2pd.types import Endpoint, IdentityKey, NodeKey, Now
from p2pd.wire.datagram import Knock, network_id
from p2pd.wire.link import Punch, PunchNow
from p2pd.wire.person import NatKind
from p2pd.wire.rpc import pack_endpoint
from tests.cast import START, after
from tests.chance import SeededRandom

NETWORK = network_id("main")
FRIEND = IdentityKey(b"f" * 32)
ROUND_TRIP_S = 0.2
VICTIM = Endpoint("198.51.100.99", 5_000)


@dataclass
class Post:
    """What links are to punching: messages to the contact."""

    sent: list[Punch | PunchNow] = field(default_factory=list)

    def send(self, contact: IdentityKey, message: Punch | PunchNow) -> bool:
        self.sent.append(message)
        return True

    def take(self) -> list[Punch | PunchNow]:
        taken, self.sent = self.sent, []
        return taken


@dataclass
class Here:
    """Where a side is, by itself."""

    endpoints: tuple[Endpoint, ...]
    nat: NatKind = NatKind.RESTRICTED
    is_told: bool = True

    @property
    def observed(self) -> tuple[Endpoint, ...]:
        return self.endpoints if self.is_told else ()


class Side:
    """One end's machine behind a router, and what it found."""

    def __init__(self, name: str, host: str, *, dialled: bool, private: bool = False) -> None:
        self.outside = Endpoint(host, 6_000)
        self.effects, self.links, self.here = EffectQueue(), Post(), Here((self.outside,))
        self.counts: Counter[str] = Counter()
        self.found: list[Endpoint] = []
        self.tries = Tries(private=private)
        self.punching = Punching(
            NETWORK,
            self.effects,
            SeededRandom(name),
            self.links,  # type: ignore[arg-type]
            self.here,  # type: ignore[arg-type]
            self.tries,
            lambda contact, endpoint, now: self.found.append(endpoint),
            lambda why: self.counts.update([why]),
        )
        self.link = Link(1, dialled, NodeKey(b"n" * 32), None, START.steady, LinkState.UP, FRIEND)
        self.link.relay = NodeKey(b"r" * 32)

    def up(self, now: Now = START) -> None:
        self.punching.on_up(FRIEND, self.link, now)

    def knocks(self) -> list[tuple[Endpoint, bytes]]:
        sent = self.effects.take()
        assert all(isinstance(effect, SendDatagram) for effect in sent)
        return [(effect.to, effect.data) for effect in sent if isinstance(effect, SendDatagram)]

    def hear(self, message: Punch | PunchNow, now: Now) -> None:
        self.punching.on_message(FRIEND, message, now)

    def knocked(self, source: Endpoint, now: Now, *, heard: bool, token: bytes | None = None) -> None:
        effort = self.punching.effort(FRIEND)
        token = token or (effort.token if effort else b"")
        self.punching.on_knock(Knock(NETWORK, token, heard).encode(), source, now)

    def later(self, now: Now) -> None:
        self.punching.on_timer(now)
        deadline = self.punching.next_deadline()
        assert deadline is None or deadline > now.steady

    @property
    def state(self) -> PunchState:
        effort = self.punching.effort(FRIEND)
        assert effort is not None
        return effort.state

    def due(self) -> float:
        deadline = self.punching.next_deadline()
        assert deadline is not None
        return deadline


class Town:
    """Two sides, a relay between them, and the open network; a packet takes half a round trip."""

    def __init__(self, *, drops: int = 0) -> None:
        self.caller = Side("caller", "203.0.113.1", dialled=True)
        self.called = Side("called", "203.0.113.2", dialled=False)
        self.now = START
        self.drops = drops
        self.written: set[tuple[str, str]] = set()
        self.under_way: list[tuple[float, Side, object, Endpoint | None]] = []

    def run(self, seconds: float) -> None:
        until = self.now.steady + seconds
        while True:
            for side, other in ((self.caller, self.called), (self.called, self.caller)):
                arrives = self.now.steady + ROUND_TRIP_S / 2
                self.under_way += [(arrives, other, message, None) for message in side.links.take()]
                for to, data in side.knocks():
                    self.written.add((side.outside.host, to.host))
                    if to == other.outside:
                        self.under_way.append((arrives, other, data, side.outside))
            times = [when for when, *_ in self.under_way] + [self.caller.due(), self.called.due()]
            if min(times) > until:
                self.now = after(until - self.now.steady, self.now)
                return
            self.now = after(max(0.0, min(times) - self.now.steady), self.now)
            for packet in [packet for packet in self.under_way if packet[0] <= self.now.steady]:
                self.under_way.remove(packet)
                self.arrive(*packet[1:])
            for side in (self.caller, self.called):
                side.later(self.now)

    def arrive(self, side: Side, what: object, source: Endpoint | None) -> None:
        if isinstance(what, Punch | PunchNow):
            side.hear(what, self.now)
            return
        assert source is not None
        if (side.outside.host, source.host) not in self.written:
            return  # the router lets in only who was written to
        if self.drops:
            self.drops -= 1
            return
        assert isinstance(what, bytes)
        side.punching.on_knock(what, source, self.now)


@pytest.fixture
def town() -> Town:
    town = Town()
    town.caller.up()
    town.called.up()
    return town


def test_two_routers_are_opened_in_two_round_trips_and_a_half(town: Town) -> None:
    town.run(2.6 * ROUND_TRIP_S)
    assert (town.caller.found, town.called.found) == ([town.called.outside], []), "who dialled the link dials this too"
    effort = town.caller.punching.effort(FRIEND)
    assert effort is not None
    assert (effort.state, effort.outcome) == (PunchState.RESTING, "a way was found")


@pytest.mark.parametrize("drops", [1, 2, 5])
def test_lost_knocks_cost_the_next_ones(drops: int) -> None:
    town = Town(drops=drops)
    town.caller.up()
    town.called.up()
    town.run(limits.PUNCH_ROUND_S)
    assert town.caller.found == [town.called.outside]


def test_both_begin_at_the_same_moment(town: Town) -> None:
    begun: dict[str, float] = {}
    while len(begun) < 2:
        town.run(0.01)
        for name, side in (("caller", town.caller), ("called", town.called)):
            effort = side.punching.effort(FRIEND)
            if effort and effort.state is PunchState.KNOCKING:
                begun.setdefault(name, effort.began_at)
    assert begun["caller"] == pytest.approx(begun["called"], abs=0.02)


def test_a_port_that_a_router_gives_anew_is_learnt_from_the_knock() -> None:
    caller = Side("caller", "203.0.113.1", dialled=True)
    caller.up()
    (asked,) = caller.links.take()
    told = Endpoint("203.0.113.2", 6_000)
    assert isinstance(asked, Punch)
    caller.hear(Punch(asked.round, b"t" * 16, [pack_endpoint(told)]), START)
    caller.later(START)
    assert [to for to, _ in caller.knocks()] == [told]
    anew = Endpoint(told.host, 7_777)
    caller.knocked(anew, START, heard=False)
    assert caller.knocks() == [(anew, Knock(NETWORK, b"t" * 16, True).encode())]
    caller.knocked(anew, START, heard=True)
    assert caller.found == [anew]


def test_what_does_not_come_through_is_tried_ever_more_seldom(town: Town) -> None:
    town.drops = 10**9
    begun: list[float] = []
    rounds = 0
    while town.now.steady < START.steady + 3_000:
        town.run(0.5)
        effort = town.caller.punching.effort(FRIEND)
        assert effort is not None
        if effort.round > rounds:
            rounds = effort.round
            begun.append(town.now.steady)
    gaps = [later - earlier for earlier, later in pairwise(begun)]
    for gap, wanted in zip(gaps, limits.PUNCH_GAPS_S[1:], strict=False):
        assert wanted <= gap <= wanted + limits.PUNCH_ROUND_S + ROUND_TRIP_S + 0.5
    assert town.caller.found == []
    effort = town.caller.punching.effort(FRIEND)
    assert effort is not None
    assert effort.outcome == "nothing came through"
    town.caller.punching.on_addresses(town.now)
    town.run(0.1)
    assert effort.state is PunchState.ASKING, "somewhere else it may succeed"
    assert effort.rounds == 0


def test_a_relay_that_drops_what_is_said_is_waited_for_no_longer_than_a_round() -> None:
    for dialled, state in ((True, PunchState.ASKING), (False, PunchState.READY)):
        side = Side("side", "203.0.113.1", dialled=dialled)
        side.up()
        if not dialled:
            side.hear(Punch(1, b"t" * 16, [pack_endpoint(VICTIM)]), START)
        assert side.state is state
        side.later(after(limits.PUNCH_ROUND_S))
        assert side.state is PunchState.RESTING
        assert side.knocks() == []


def test_a_direct_link_or_none_ends_all_efforts(town: Town) -> None:
    caller = town.caller
    caller.link.relay = None
    caller.up()
    assert (caller.punching.effort(FRIEND), caller.punching.next_deadline()) == (None, None)
    token = town.called.punching.effort(FRIEND)
    assert token is not None
    town.called.hear(Punch(1, b"t" * 16, []), START)
    known = token.token
    town.called.punching.forget(FRIEND)
    town.called.knocked(VICTIM, START, heard=False, token=known)
    assert (town.called.knocks(), town.called.counts) == ([], {"knock": 1})
    assert town.called.punching._tokens == {}


def test_steps_of_a_round_that_is_over_do_nothing(town: Town) -> None:
    called, caller = town.called, town.caller
    called.hear(Punch(7, b"t" * 16, [pack_endpoint(VICTIM)]), START)
    called.hear(PunchNow(6), START)
    assert (called.state, called.knocks()) == (PunchState.READY, [])
    called.hear(PunchNow(7), START)
    assert called.state is PunchState.KNOCKING
    caller.hear(Punch(99, b"t" * 16, [pack_endpoint(VICTIM)]), START)
    caller.hear(PunchNow(1), START)
    assert caller.state is PunchState.ASKING
    caller.punching.on_message(IdentityKey(b"?" * 32), PunchNow(1), START)


def test_after_a_stall_one_knock_stands_for_those_missed(town: Town) -> None:
    town.called.hear(Punch(1, b"t" * 16, [pack_endpoint(town.caller.outside)]), START)
    town.called.hear(PunchNow(1), START)
    assert len(town.called.knocks()) == 1
    town.called.later(after(100))
    assert len(town.called.knocks()) == 1
    town.called.later(after(101))
    assert (town.called.knocks(), town.called.state) == ([], PunchState.RESTING)


# --- a contact who lies ---


def ready(side: Side, *places: Endpoint, now: Now = START) -> None:
    """The contact asks for a round, and has it begin."""
    side.hear(Punch(1, b"t" * 16, [pack_endpoint(place) for place in places]), now)
    side.hear(PunchNow(1), now)


def test_nobody_is_knocked_at_where_no_contact_can_be() -> None:
    side = Side("called", "203.0.113.2", dialled=False)
    side.up()
    ready(
        side,
        Endpoint("127.0.0.1", 4242),
        Endpoint("192.168.1.1", 4242),
        Endpoint("198.51.100.1", 53),
        Endpoint("255.255.255.255", 4242),
    )
    assert side.knocks() == []
    side.knocked(Endpoint("198.51.100.1", 53), START, heard=False)
    assert (side.knocks(), side.counts) == ([], {"knock_place": 1})


def test_a_round_knocks_at_few_places() -> None:
    side = Side("called", "203.0.113.2", dialled=False, private=True)
    side.up()
    ready(side, *(Endpoint(f"20.0.0.{number}", 4242) for number in range(limits.ENDPOINTS)))
    assert len(side.knocks()) == limits.PUNCH_ENDPOINTS < limits.ENDPOINTS


def test_rounds_without_end_are_four_a_minute_to_anyone() -> None:
    side = Side("called", "203.0.113.2", dialled=False)
    side.up()
    rounds = 0
    for tenth in range(600):
        ready(side, VICTIM, now=after(tenth / 10))
        rounds += bool(side.knocks())
    assert rounds == limits.TRIES_PER_ADDRESS


@pytest.mark.parametrize("told", [False, True], ids=["not told", "told as well"])
def test_forged_knocks_do_not_have_a_victim_dialled_again_and_again(told: bool) -> None:
    """Who knows the token may write any source on a knock; the relayed link is made anew, so that rounds begin anew."""
    side = Side("caller", "203.0.113.1", dialled=True)
    places = [pack_endpoint(VICTIM)] if told else []
    for second in range(60):
        now = after(second)
        side.up(now)
        (asked,) = side.links.take()
        assert isinstance(asked, Punch)
        side.hear(Punch(asked.round, b"t" * 16, places), now)
        side.links.take()
        side.knocked(VICTIM, now, heard=True)
    assert len(side.found) == limits.TRIES_PER_ADDRESS
    assert sum(side.tries.take(VICTIM, after(300)) for _ in range(99)) == limits.TRIES_PER_ADDRESS, "nor is it proven"


def test_answers_to_knocks_are_bounded() -> None:
    side = Side("called", "203.0.113.2", dialled=False)
    side.up()
    ready(side, VICTIM)
    side.knocks()
    for number in range(1_000):
        side.knocked(Endpoint("198.51.100.7", 2_000 + number), START, heard=False)
    assert len(side.knocks()) == 32


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (Knock(NETWORK, b"?" * 16, False).encode(), "knock"),
        (Knock(network_id("other"), b"?" * 16, False).encode(), "network"),
        (Knock(NETWORK, b"?" * 16, False).encode() + b"more", "malformed"),
        (Knock(NETWORK, b"?" * 16, False).encode()[:15], "malformed"),
    ],
)
def test_a_stranger_who_knocks_is_not_heard(town: Town, data: bytes, why: str) -> None:
    ready(town.called, VICTIM)
    town.called.knocks()
    assert Punching.is_knock(data)
    town.called.punching.on_knock(data, VICTIM, START)
    assert (town.called.knocks(), town.called.counts) == ([], {why: 1})


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("punch"), st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.just("now"), st.integers(0, 3)),
        st.tuples(st.just("knock"), st.booleans()),
        st.tuples(st.sampled_from(["up", "forget", "addresses"])),
        st.tuples(st.just("time"), st.floats(0.0001, 2_000, allow_nan=False)),
    ),
    max_size=40,
)


@given(st.booleans(), STEPS)
def test_whatever_a_contact_does_no_deadline_stays_and_tokens_are_one_each(
    dialled: bool, steps: list[tuple[object, ...]]
) -> None:
    side, now, packets = Side("side", "203.0.113.1", dialled=dialled), START, 0
    side.up(now)
    for kind, *arguments in steps:
        match kind, arguments:
            case "punch", [int(number), int(places)]:
                side.hear(Punch(number, b"t" * 16, [pack_endpoint(VICTIM)] * places), now)
            case "now", [int(number)]:
                side.hear(PunchNow(number), now)
            case "knock", [bool(heard)]:
                side.knocked(VICTIM, now, heard=heard)
            case "up", _:
                side.up(now)
            case "forget", _:
                side.punching.forget(FRIEND)
            case "addresses", _:
                side.punching.on_addresses(now)
            case "time", [float(seconds)]:
                now = after(seconds, now)
        side.later(now)
        packets += len(side.knocks())
        effort = side.punching.effort(FRIEND)
        assert set(side.punching._tokens) <= ({effort.token} if effort else set())
    assert packets <= len(steps) * (1 + limits.PUNCH_ENDPOINTS)


def test_who_has_just_come_waits_a_little_until_others_say_where_it_is() -> None:
    side = Side("waits", "198.51.100.1", dialled=True)
    side.here.is_told = False
    side.up()
    for wait in range(1, limits.PUNCH_WAITS + 1):
        assert side.state is PunchState.RESTING
        side.later(after(wait * limits.PUNCH_WAIT_S - 0.01))
        if wait < limits.PUNCH_WAITS:
            side.later(after(wait * limits.PUNCH_WAIT_S))
    side.later(after(limits.PUNCH_WAITS * limits.PUNCH_WAIT_S))
    assert side.state is PunchState.ASKING, "nobody tells: it goes with what it knows itself"


def test_who_is_told_where_it_is_waits_no_longer() -> None:
    side = Side("told", "198.51.100.1", dialled=True)
    side.here.is_told = False
    side.up()
    side.here.is_told = True
    side.later(after(limits.PUNCH_WAIT_S))
    assert side.state is PunchState.ASKING
