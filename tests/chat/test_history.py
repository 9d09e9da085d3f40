import json
from contextlib import ExitStack
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from p2pd import limits
from p2pd.chat.history import CLOCK_COUNTER_BITS, bounded_clock
from p2pd.effects import Notify
from p2pd.store import Direction, Message, MessageState
from p2pd.types import MessageId
from p2pd.wire.address import encode_id
from tests import cast
from tests.cast import START, Person, after

AHEAD_MS = limits.CLOCK_SKEW_S * 1000


def incoming(person: Person, other: Person, number: int, clock: int = START.wall_ms << CLOCK_COUNTER_BITS) -> Message:
    id = MessageId(bytes([number]) * 16)
    return Message(other.identity, id, Direction.IN, f"text {number}", clock, 0, state=MessageState.RECEIVED)


def events(person: Person, type: str) -> list[dict[str, object]]:
    return [json.loads(event.data) for event in person.store.events(0, limit=100, types=(type,))]


def test_the_clock_only_grows_also_over_a_restart(stack: ExitStack) -> None:
    person = Person("alice", stack)
    ticks = [person.history.tick(START), person.history.tick(START), person.history.tick(after(-60))]
    person.start()
    ticks.append(person.history.tick(after(-60)))
    assert ticks == sorted(set(ticks))
    assert ticks[0] >> CLOCK_COUNTER_BITS == START.wall_ms


def test_what_we_say_comes_after_what_we_saw(stack: ExitStack) -> None:
    person = Person("alice", stack)
    seen = (START.wall_ms + 5_000) << CLOCK_COUNTER_BITS
    person.history.witness(seen, START)
    assert person.history.tick(START) == seen + 1


@pytest.mark.parametrize("clock", [2**63 - 1, (START.wall_ms + AHEAD_MS + 1) << CLOCK_COUNTER_BITS])
def test_a_clock_from_far_ahead_counts_as_ten_minutes_ahead(friends: tuple[Person, Person], clock: int) -> None:
    person, other = friends
    assert bounded_clock(clock, START) >> CLOCK_COUNTER_BITS == START.wall_ms + AHEAD_MS
    person.history.received(person.contact(other), incoming(person, other, 1, clock), (), START)
    person.history.witness(clock, START)
    ours = Message(other.identity, MessageId(b"o" * 16), Direction.OUT, "ours", person.history.tick(START), 0)
    person.history.sent(ours, START)
    assert person.texts(other) == ["text 1", "ours"]
    assert person.store.history(other.identity, limit=1)[0].clock < clock


def test_a_sender_keeps_its_order_though_our_clock_is_set_back(friends: tuple[Person, Person]) -> None:
    person, other = friends
    for number, back_s in ((1, 0), (2, 7_200), (3, 7_200), (4, 7_200)):
        clock = (START.wall_ms + number) << CLOCK_COUNTER_BITS
        person.history.received(person.contact(other), incoming(person, other, number, clock), (), after(-back_s))
    assert person.texts(other) == ["text 1", "text 2", "text 3", "text 4"]


def arrive(person: Person, other: Person, messages: list[Message], times_s: list[float]) -> None:
    """These texts, which have numbers from 1 on, come in this order at these times; each is committed as it comes."""
    seen: set[int] = set()
    for message, at_s in zip(messages, times_s, strict=True):
        seen.add(message.message[0])
        through = next(number for number in range(256) if number + 1 not in seen)
        above = tuple(sorted(number for number in seen if number > through))
        counters = person.store.counters(other.identity)
        person.store.save_counters(other.identity, replace(counters, received=through, received_above=above))
        person.history.received(person.contact(other), message, (), after(at_s))


def said(person: Person, other: Person, number: int, ahead_ms: int) -> Message:
    return incoming(person, other, number, (START.wall_ms + ahead_ms) << CLOCK_COUNTER_BITS)


def test_what_was_overtaken_goes_before_what_overtook_it_though_their_clock_is_ahead(
    friends: tuple[Person, Person],
) -> None:
    person, other = friends
    texts = [said(person, other, number, 7_200_000 + 400 * number) for number in (1, 4, 3, 2, 5)]
    arrive(person, other, texts, [0, 1, 2, 3, 4])
    assert person.texts(other) == [f"text {number}" for number in (1, 2, 3, 4, 5)]
    assert person.contact(other).said_clock == 0


def test_who_sets_a_clock_right_is_not_left_before_what_was_said_by_the_wrong_one(
    friends: tuple[Person, Person],
) -> None:
    person, other = friends
    texts = [said(person, other, number, ahead) for number, ahead in ((1, 2_000_000_000), (2, 800_000), (3, 900_000))]
    arrive(person, other, texts, [0, 800, 900])
    assert person.texts(other) == ["text 1", "text 2", "text 3"]


@given(
    gaps_ms=st.lists(st.integers(1, 4_000_000), min_size=2, max_size=8),
    chance=st.randoms(use_true_random=False),
    passing_s=st.lists(st.integers(-4_000, 4_000), min_size=8, max_size=8),
)
def test_a_sender_keeps_its_order_however_it_comes_and_whatever_the_clocks_do(
    gaps_ms: list[int], chance: Random, passing_s: list[int]
) -> None:
    with ExitStack() as stack:
        person, other = cast.friends(stack)
        ahead_ms = list(accumulate(gaps_ms))
        written = [said(person, other, number, ahead) for number, ahead in enumerate(ahead_ms, 1)]
        times_s = [max(-80_000, at_s) for at_s in accumulate(passing_s[: len(written)])]
        arrive(person, other, chance.sample(written, len(written)), times_s)
        assert person.texts(other) == [message.text for message in written]


def test_what_was_received_is_told_once(friends: tuple[Person, Person]) -> None:
    person, other = friends
    for _ in range(2):
        person.history.received(person.contact(other), incoming(person, other, 1), (), START)
    assert [event["id"] for event in events(person, "message")] == [encode_id(b"\1" * 16)]
    assert sum(isinstance(effect, Notify) for effect in person.effects.take()) == 1


def test_a_missing_parent_is_a_gap(friends: tuple[Person, Person]) -> None:
    person, other = friends
    contact = person.contact(other)
    person.history.received(contact, incoming(person, other, 1), (b"?" * 16,), START)
    person.history.received(contact, incoming(person, other, 2), (b"\1" * 16,), START)
    assert [event.get("gap", False) for event in events(person, "message")] == [True, False]
    assert [message.gap for message in person.store.history(other.identity, limit=9)] == [True, False]


def test_states_go_forward_and_tell(friends: tuple[Person, Person]) -> None:
    person, other = friends
    message = replace(incoming(person, other, 1), direction=Direction.OUT, state=MessageState.QUEUED)
    person.history.sent(message, START)
    for state in (
        MessageState.STORED,
        MessageState.DELIVERED,
        MessageState.EXPIRED,
        MessageState.READ,
        MessageState.READ,
    ):
        person.history.change_state(other.identity, message.message, state, START)
    assert [event["state"] for event in events(person, "receipt")] == ["stored", "delivered", "read"]
    assert [step.what for step in person.store.steps(message.message)] == ["queued", "stored", "delivered", "read"]


def test_what_others_wrote_has_no_state_that_they_could_change(friends: tuple[Person, Person]) -> None:
    person, other = friends
    person.history.received(person.contact(other), incoming(person, other, 1), (), START)
    person.history.change_state(other.identity, MessageId(b"\1" * 16), MessageState.DELIVERED, START)
    person.history.change_state(other.identity, MessageId(b"?" * 16), MessageState.DELIVERED, START)
    assert events(person, "receipt") == []


def test_messages_with_strange_texts_are_told(friends: tuple[Person, Person]) -> None:
    person, other = friends
    text = 'a\0b\x1b[2J"\\\U0001f600\ufffd'
    person.history.received(person.contact(other), replace(incoming(person, other, 1), text=text), (), START)
    assert events(person, "message")[0]["text"] == text
