"""A relay and its guests: what it carries, to whom, and what no number of guests can make it do."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd import limits
from p2pd.effects import CloseLink, EffectQueue, SendFrame
from p2pd.peer.relaying import Relaying, Untaken
from p2pd.types import Endpoint, NodeKey
from p2pd.wire.relay import (
    Call,
    Called,
    HangUp,
    Over,
    RelayMessage,
    Reserve,
    Reserved,
    Through,
    decode_relay_message,
)
from p2pd.wire.rpc import pack_endpoint
from tests.cast import START, after

WAITER, CALLER, OTHER = -1, -2, -3
NOBODY = NodeKey(b"?" * 32)


def key(link: int) -> NodeKey:
    """The throwaway key of who came on a link."""
    return NodeKey((-link).to_bytes(32, "big"))


@dataclass
class Relay:
    """The machine, and what its guests have heard."""

    carries: bool = True
    effects: EffectQueue = field(default_factory=EffectQueue)
    counts: Counter[str] = field(default_factory=Counter)
    heard: dict[int, list[RelayMessage]] = field(default_factory=dict)
    closed: dict[int, str] = field(default_factory=dict)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.machine = Relaying(self.effects, lambda: self.carries, lambda why: self.counts.update([why]))

    def come(self, *links: int) -> None:
        for link in links:
            self.machine.on_opened(link, key(link), after(self.now))
        self._listen()

    def say(self, link: int, *messages: RelayMessage | bytes) -> list[RelayMessage]:
        """What a guest says; what it hears since it last asked."""
        for message in messages:
            frame = message if isinstance(message, bytes) else message.encode()
            self.machine.on_frame(link, frame, after(self.now))
        return self.hear(link)

    def hear(self, link: int) -> list[RelayMessage]:
        self._listen()
        return self.heard.pop(link, [])

    def leave(self, link: int) -> None:
        self.machine.on_closed(link)
        self._listen()

    def _listen(self) -> None:
        for effect in self.effects.take():
            match effect:
                case SendFrame():
                    assert effect.link not in self.closed, "nothing is said on a link that is over"
                    self.heard.setdefault(effect.link, []).append(decode_relay_message(effect.frame))
                case CloseLink():
                    self.closed[effect.link] = effect.reason
                case _:
                    raise AssertionError(f"a relay does not {effect}")


@pytest.fixture
def relay() -> Relay:
    """One waits, another has come."""
    relay = Relay()
    relay.come(WAITER, CALLER)
    assert relay.say(WAITER, Reserve()) == [Reserved()]
    return relay


def test_who_waits_is_told_where_the_relay_is_by_each_family() -> None:
    relay = Relay()
    where = (Endpoint("2001:db8::1", 4242), Endpoint("192.0.2.1", 4242))
    relay.machine._where = lambda: where
    relay.come(WAITER)
    assert relay.say(WAITER, Reserve()) == [Reserved(list(map(pack_endpoint, where)))]


def test_a_call_connects_two_and_frames_go_both_ways(relay: Relay) -> None:
    assert relay.say(CALLER, Call(1, key(WAITER)), Through(1, b"first")) == []
    assert relay.hear(WAITER) == [Called(1, key(CALLER)), Through(1, b"first")]
    relay.say(WAITER, Through(1, b"answer"))
    assert relay.hear(CALLER) == [Through(1, b"answer")]
    carried = relay.machine.carried
    assert (carried.guests, carried.waiting, carried.channels, carried.frames, carried.bytes) == (2, 1, 1, 2, 11)


def test_each_end_numbers_its_channels_for_itself(relay: Relay) -> None:
    relay.come(OTHER)
    relay.say(OTHER, Call(7, key(WAITER)))
    relay.say(CALLER, Call(3, key(WAITER)))
    assert relay.hear(WAITER) == [Called(1, key(OTHER)), Called(2, key(CALLER))]
    relay.say(WAITER, Through(2, b"to the caller"), Through(1, b"to the other"))
    assert relay.hear(CALLER) == [Through(3, b"to the caller")]
    assert relay.hear(OTHER) == [Through(7, b"to the other")]


@pytest.mark.parametrize("whom", [NOBODY, key(CALLER), key(OTHER)], ids=["nobody", "oneself", "who only came"])
def test_who_has_not_reserved_cannot_be_called(relay: Relay, whom: NodeKey) -> None:
    relay.come(OTHER)
    assert relay.say(CALLER, Call(1, whom), Through(1, b"is anybody there")) == [HangUp(1, Over.NOBODY)]
    assert (relay.hear(WAITER), relay.hear(OTHER)) == ([], [])


def test_who_waits_does_not_call_and_who_calls_does_not_wait(relay: Relay) -> None:
    relay.come(OTHER)
    relay.say(OTHER, Reserve())
    relay.say(WAITER, Call(1, key(OTHER)))
    relay.say(CALLER, Call(1, key(OTHER)), Reserve())
    assert relay.closed == {WAITER: "refused", CALLER: "refused"}
    assert relay.counts == {"bad_call": 1, "bad_reserve": 1}


def test_giving_a_reservation_up_allows_no_calls_either(relay: Relay) -> None:
    relay.come(OTHER)
    relay.say(OTHER, Reserve())
    relay.say(WAITER, HangUp(0))
    assert relay.say(CALLER, Call(1, key(WAITER))) == [HangUp(1, Over.NOBODY)]
    relay.say(WAITER, Call(1, key(OTHER)))
    assert relay.closed == {WAITER: "refused"}


def test_a_newer_reservation_under_the_same_key_takes_over(relay: Relay) -> None:
    relay.machine.on_opened(OTHER, key(WAITER), START)
    assert relay.say(OTHER, Reserve()) == [Reserved()]
    relay.say(CALLER, Call(1, key(WAITER)))
    assert (relay.hear(OTHER), relay.hear(WAITER)) == ([Called(1, key(CALLER))], [])
    relay.leave(WAITER)
    assert relay.machine.carried.waiting == 1, "the old link's end does not end the new one's reservation"
    assert relay.say(CALLER, Call(2, key(WAITER))) == []
    relay.say(WAITER, Reserve())
    assert relay.machine.carried.waiting == 1


def test_hanging_up_ends_the_other_end_too(relay: Relay) -> None:
    relay.say(CALLER, Call(1, key(WAITER)))
    relay.say(WAITER, HangUp(1))
    assert relay.hear(CALLER) == [HangUp(1, Over.BY_CHOICE)]
    relay.hear(WAITER)
    assert relay.say(CALLER, Through(1, b"late")) == relay.hear(WAITER) == []
    assert relay.machine.carried.channels == 0


@pytest.mark.parametrize("gone", [WAITER, CALLER])
def test_the_end_of_a_link_ends_its_channels(relay: Relay, gone: int) -> None:
    relay.say(CALLER, Call(1, key(WAITER)))
    relay.hear(WAITER)
    relay.leave(gone)
    left = WAITER if gone == CALLER else CALLER
    assert relay.hear(left) == [HangUp(1, Over.GONE)]
    assert relay.machine.carried.channels == 0
    assert relay.machine.carried.waiting == (1 if gone == CALLER else 0)


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (b"", "malformed"),
        (b"\xff" * 40, "malformed"),
        (b"\x91\x63", "malformed"),
        (bytes(limits.LINK_FRAME_BYTES + 1), "too_large"),
        (Reserved().encode(), "not_a_guest"),
        (Called(1, NOBODY).encode(), "not_a_guest"),
        (Call(0, key(WAITER)).encode(), "bad_call"),
    ],
)
def test_nonsense_ends_the_guest_and_nobody_else(relay: Relay, frame: bytes, why: str) -> None:
    relay.come(OTHER)
    relay.say(OTHER, Call(1, key(WAITER)))
    relay.say(CALLER, frame)
    assert (relay.closed, dict(relay.counts)) == ({CALLER: "refused"}, {why: 1})
    assert not relay.machine.owns(CALLER)
    assert relay.say(CALLER, Call(1, key(WAITER))) == []
    relay.say(OTHER, Through(1, b"still here"))
    assert relay.hear(WAITER)[-1] == Through(1, b"still here")


def test_a_channel_number_is_not_used_twice(relay: Relay) -> None:
    relay.say(CALLER, Call(5, key(WAITER)), HangUp(5), Call(5, key(WAITER)))
    assert relay.closed == {CALLER: "refused"}


def test_who_does_not_serve_carries_nothing() -> None:
    relay = Relay(carries=False)
    relay.come(CALLER)
    assert relay.closed == {CALLER: "no relay"}
    assert relay.machine.carried.guests == 0


# --- bounds ---


def test_bytes_beyond_the_budget_end_the_channel_on_which_they_come(relay: Relay) -> None:
    relay.say(CALLER, Call(1, key(WAITER)))
    relay.hear(WAITER)
    frame = Through(1, bytes(limits.RELAYED_FRAME_BYTES))
    fit = limits.RELAY_BYTES_BURST // limits.RELAYED_FRAME_BYTES
    for _ in range(fit):
        assert relay.say(CALLER, frame) == []
        assert relay.hear(WAITER) == [frame]
        relay.machine.on_taken(WAITER, limits.LINK_FRAME_BYTES)
    assert relay.say(CALLER, frame) == [HangUp(1, Over.BUDGET)]
    assert relay.hear(WAITER) == [HangUp(1, Over.BUDGET)]
    relay.now += limits.RELAYED_FRAME_BYTES / limits.RELAY_BYTES_PER_S
    relay.say(CALLER, Call(2, key(WAITER)), Through(2, frame.frame))
    assert len(relay.hear(WAITER)) == 2


def untaken_bytes(relay: Relay, link: int) -> int:
    """What has been said on a link since it was asked last, as the stream has it."""
    return sum(limits.LINK_PREFIX_BYTES + len(message.encode()) for message in relay.hear(link))


def test_who_pushes_more_than_a_slow_reader_takes_loses_its_channel_and_the_others_go_on(relay: Relay) -> None:
    relay.come(OTHER)
    relay.say(OTHER, Call(1, key(WAITER)))
    relay.say(CALLER, Call(1, key(WAITER)))
    frame = Through(1, bytes(limits.RELAYED_FRAME_BYTES))
    heard: list[RelayMessage] = []
    while not heard:
        heard = relay.say(CALLER, frame)
    assert heard == [HangUp(1, Over.BUDGET)]
    assert dict(relay.counts) == {"relay_untaken": 1}
    assert relay.machine.carried.channels == 1
    small = Through(1, bytes(limits.SIZE_CLASSES[1]))
    assert relay.say(OTHER, small) == [], "there is room for what is no push"
    said = untaken_bytes(relay, WAITER)
    assert limits.RELAY_UNTAKEN_BYTES - limits.LINK_FRAME_BYTES < said < limits.RELAY_UNSENT_MAX_BYTES
    relay.machine.on_taken(WAITER, said)
    assert relay.say(CALLER, Call(2, key(WAITER)), Through(2, frame.frame)) == []
    assert relay.say(OTHER, frame) == []
    assert relay.hear(WAITER) == [Called(3, key(CALLER)), Through(3, frame.frame), frame]


def test_nobody_calls_who_has_not_taken_what_others_said(relay: Relay) -> None:
    relay.come(OTHER)
    relay.say(CALLER, Call(1, key(WAITER)))
    while relay.machine.carried.channels:
        relay.say(CALLER, Through(1, bytes(limits.SIZE_CLASSES[0])))
    assert relay.say(OTHER, Call(1, key(WAITER))) == [HangUp(1, Over.FULL)]
    relay.machine.on_taken(WAITER, limits.LINK_TAKEN_STEP_BYTES)
    assert relay.say(OTHER, Call(2, key(WAITER)), Through(2, b"now")) == []


def test_all_channels_of_a_reader_that_takes_nothing_fit_before_the_end_of_its_link(relay: Relay) -> None:
    callers = range(-100, -100 - limits.RELAY_CHANNELS, -1)
    relay.come(*callers)
    for caller in callers:
        assert relay.say(caller, Call(1, key(WAITER))) == []
    for caller in callers:
        size = limits.RELAYED_FRAME_BYTES if caller == callers[0] else limits.SIZE_CLASSES[1]
        while not relay.say(caller, Through(1, bytes(size))):
            pass
    assert relay.machine.carried.channels == 0
    assert untaken_bytes(relay, WAITER) < limits.RELAY_UNSENT_MAX_BYTES
    assert relay.closed == {}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30_000)), max_size=40), st.randoms())
def test_what_is_taken_is_counted_whatever_the_steps(said: list[tuple[int, int]], chance: Random) -> None:
    untaken, left = Untaken(), 0
    for channel, size in said:
        untaken.add(channel, bytes(size))
        left += limits.LINK_PREFIX_BYTES + size
        taken = chance.randint(0, left)
        untaken.take(taken)
        left -= taken
        assert left <= untaken._weight == sum(untaken._of.values())
    untaken.take(left)
    assert (untaken._weight, len(untaken._said), dict(untaken._of)) == (0, 0, {})


def test_calls_are_few(relay: Relay) -> None:
    for number in range(limits.RELAY_CALLS_BURST):
        relay.say(CALLER, Call(number + 1, NOBODY))
    assert relay.closed == {}
    relay.now += 1
    relay.say(CALLER, *(Call(100 + number, NOBODY) for number in range(limits.RELAY_CALLS_PER_S)))
    assert relay.closed == {}
    relay.say(CALLER, Call(200, NOBODY))
    assert relay.closed == {CALLER: "refused"}


def test_someone_talks_with_so_many_at_once(relay: Relay) -> None:
    for number in range(limits.RELAY_CHANNELS + 1):
        link = -100 - number
        relay.come(link)
        full = number == limits.RELAY_CHANNELS
        assert relay.say(link, Call(1, key(WAITER))) == ([HangUp(1, Over.FULL)] if full else [])
    assert relay.machine.carried.channels == limits.RELAY_CHANNELS


@pytest.mark.parametrize("message", [Through(9, b"x"), HangUp(9), Reserve()], ids=["through", "hang up", "reserve"])
def test_small_messages_without_end_end_the_link(relay: Relay, message: RelayMessage) -> None:
    relay.come(OTHER)
    relay.say(OTHER, *[message] * limits.RELAY_MESSAGES_BURST)
    assert relay.closed == {}
    relay.say(OTHER, message)
    assert relay.closed == {OTHER: "refused"}
    assert relay.counts["too_many_messages"] == 1


def test_who_does_nothing_makes_room_and_who_waits_or_talks_stays(relay: Relay) -> None:
    relay.say(CALLER, Call(1, key(WAITER)))
    idle = range(-1_000, -1_000 - (limits.RELAY_LINKS - 2), -1)
    relay.come(*idle)
    assert relay.closed == {}
    relay.come(OTHER)
    assert relay.closed == {idle[0]: "refused"}
    assert all(relay.machine.owns(link) for link in (WAITER, CALLER, OTHER))


def test_a_relay_full_of_those_who_wait_refuses_more() -> None:
    relay = Relay()
    for number in range(limits.RELAY_LINKS):
        relay.come(-1 - number)
        relay.say(-1 - number, Reserve())
    relay.come(-5_000)
    assert relay.closed == {-5_000: "no relay"}
    assert relay.machine.carried.waiting == limits.RELAY_LINKS


@pytest.mark.slow
def test_a_hundred_thousand_messages_of_strangers_take_bounded_room() -> None:
    chance, relay = Random(1), Relay()
    link = 0
    reserved: set[int] = set()
    called: set[int] = set()
    for number in range(100_000):
        relay.now += 0.001
        if number % 50 == 0:
            link -= 1
            relay.come(link)
        who, other = (link + chance.randrange(min(100, -link)) for _ in range(2))
        match chance.randrange(5):
            case 0 if who % 2:
                relay.say(who, Reserve())
                reserved.add(who)
            case 1 if who % 2 == 0:
                relay.say(who, Call(1 + number, key(other)))
            case 2:
                numbers = [*relay.machine._guests[who].channels, 7] if relay.machine.owns(who) else [7]
                relay.say(who, Through(chance.choice(numbers), b"x" * 100))
            case 3:
                relay.say(who, HangUp(chance.randrange(4)))
            case 4 if chance.random() < 0.01:
                relay.say(who, b"nonsense")
        if number % 1_000 == 0:
            called |= {each for each, heard in relay.heard.items() if any(isinstance(one, Called) for one in heard)}
            relay.heard.clear()
            check(relay)
    assert called, "somebody was called"
    assert called <= reserved
    assert relay.machine.carried.frames > 100


# --- whatever guests do ---

CHANNELS = st.integers(0, 3)
LINKS = st.integers(-5, -1)
MESSAGES = st.one_of(
    st.just(Reserve()),
    st.builds(Call, CHANNELS, LINKS.map(key)),
    st.builds(Through, CHANNELS, st.binary(min_size=1, max_size=4)),
    st.builds(HangUp, CHANNELS, st.integers(0, 9)),
    st.sampled_from([Reserved(), Called(1, NOBODY), b"nonsense"]),
)
STEPS = st.lists(st.tuples(LINKS, st.one_of(st.sampled_from(["come", "leave"]), MESSAGES)), max_size=60)


def check(relay: Relay) -> None:
    """What holds at any time: every channel has two ends that know each other, and who waits is there."""
    guests = relay.machine._guests
    assert len(guests) <= limits.RELAY_LINKS
    for guest in guests.values():
        assert len(guest.channels) <= limits.RELAY_CHANNELS
        for number, far in guest.channels.items():
            back = guests[far.link].channels[far.channel]
            assert (back.link, back.channel) == (guest.link, number)
            assert 0 < number <= guest.last_channel
    for name, link in relay.machine._waiting.items():
        assert (guests[link].key, guests[link].waits) == (name, True)


@given(STEPS)
def test_channels_have_two_ends_and_nothing_is_left(steps: Iterable[tuple[int, str | RelayMessage | bytes]]) -> None:
    relay = Relay()
    for link, step in steps:
        if step == "come":
            if not relay.machine.owns(link):
                relay.closed.pop(link, None)
                relay.come(link)
        elif step == "leave":
            relay.leave(link)
        else:
            assert not isinstance(step, str)
            relay.say(link, step)
        check(relay)
    for link in range(-5, 0):
        relay.leave(link)
    carried = relay.machine.carried
    assert (carried.guests, carried.waiting, carried.channels) == (0, 0, 0)
