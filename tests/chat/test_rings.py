"""What a ring's tag names, today and yesterday, and what working that out costs."""

from contextlib import ExitStack

import pytest
from msgspec.structs import replace

from p2pd import limits
from p2pd.chat import pairs
from p2pd.chat.mail import MailAddress
from p2pd.chat.rings import Rings
from p2pd.store import Contact, ContactState, PairSecret
from tests.cast import START, Person

DAY = START.day
Pair = tuple[Person, Person]


@pytest.fixture
def rings(friends: Pair) -> Rings:
    reader = friends[1]
    return Rings(reader.keys, reader.store)


def tag(friends: Pair, day: int = DAY, index: int = 0) -> bytes:
    sender, reader = friends
    direction = pairs.writing(sender.keys, sender.contact(reader))
    assert direction is not None
    return direction.ring(day, index)


def count_directions(monkeypatch: pytest.MonkeyPatch) -> list[Contact]:
    """The contacts whose tags are worked out from now on."""
    worked: list[Contact] = []
    reading = pairs.reading

    def counted(keys, contact):  # type: ignore[no-untyped-def]
        worked.append(contact)
        return reading(keys, contact)

    monkeypatch.setattr(pairs, "reading", counted)
    return worked


@pytest.mark.parametrize("index", range(limits.MAILBOX_INDEXES))
@pytest.mark.parametrize("back", [0, 1])
def test_a_tag_names_a_mailbox_of_the_day_or_the_day_before(friends: Pair, rings: Rings, back: int, index: int) -> None:
    sender, reader = friends
    (direction,) = pairs.reading(reader.keys, reader.contact(sender))
    wanted = tag(friends, DAY - back, index)
    expected = {wanted: (sender.identity, MailAddress(direction, DAY - back, index))}
    assert rings.mailboxes([wanted, wanted, b"?" * 16], DAY) == expected


@pytest.mark.parametrize("day", [DAY - 2, DAY + 1])
def test_other_days_are_not_rung_for(friends: Pair, rings: Rings, day: int) -> None:
    assert rings.mailboxes([tag(friends, day)], DAY) == {}


def test_a_flood_of_rings_costs_no_hashes(friends: Pair, rings: Rings, monkeypatch: pytest.MonkeyPatch) -> None:
    worked = count_directions(monkeypatch)
    for number in range(50):
        rings.mailboxes([tag(friends), number.to_bytes(16, "big")], DAY)
    assert len(worked) == 2


def test_a_new_contact_is_found_and_the_others_cost_nothing(
    friends: Pair, rings: Rings, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = friends[1]
    rings.mailboxes([tag(friends)], DAY)
    carol = Person("carol", stack)
    carol.knows(reader)
    reader.knows(carol)
    worked = count_directions(monkeypatch)
    assert [who for who, _ in rings.mailboxes([tag((carol, reader))], DAY).values()] == [carol.identity]
    assert {contact.identity for contact in worked} == {carol.identity}


def test_a_new_generation_is_found_and_one_that_is_gone_is_not(friends: Pair, rings: Rings) -> None:
    before = tag(friends)
    assert rings.mailboxes([before], DAY)
    fresh = PairSecret(1, b"1" * 32, START.wall_ms)
    for person, other in (friends, friends[::-1]):
        person.store.save_contact(replace(person.contact(other), pair_secrets=(fresh,)))
    assert rings.mailboxes([tag(friends), before], DAY).keys() == {tag(friends)}


@pytest.mark.parametrize("state", [ContactState.BLOCKED, ContactState.REJECTED])
def test_who_is_no_contact_any_more_rings_for_nothing(friends: Pair, rings: Rings, state: ContactState) -> None:
    sender, reader = friends
    assert rings.mailboxes([tag(friends)], DAY)
    reader.store.save_contact(replace(reader.contact(sender), state=state))
    assert rings.mailboxes([tag(friends)], DAY) == {}
    reader.store.remove_contact(sender.identity)
    assert rings.mailboxes([tag(friends)], DAY) == {}


def test_days_are_forgotten(friends: Pair, rings: Rings) -> None:
    for day in range(DAY, DAY + 10):
        rings.mailboxes([tag(friends, day)], day)
    assert sorted(rings._days) == list(range(DAY + 9 - limits.RING_DAYS + 1, DAY + 10))
