from contextlib import ExitStack

import pytest
from msgspec.structs import replace

from p2pd import limits
from p2pd.chat import pairs
from p2pd.domains import Domain
from p2pd.errors import PeerError
from p2pd.store import Contact, PairSecret
from p2pd.types import IdentityKey, Now
from p2pd.wire.person import DeviceCertificate, DeviceContent
from tests.cast import START, Person, after


def secret(generation: int, now: Now = START, **changes: bool) -> PairSecret:
    return PairSecret(generation, bytes([generation % 256]) * 32, now.wall_ms, **changes)


def generations(contact: Contact) -> list[int]:
    return [pair.generation for pair in contact.pair_secrets]


def with_pairs(contact: Contact, *pairs_: PairSecret) -> Contact:
    return replace(contact, pair_secrets=(*contact.pair_secrets, *pairs_))


def test_both_ends_find_the_same_mailboxes_and_each_direction_its_own(friends: tuple[Person, Person]) -> None:
    one, other = friends
    there, back = pairs.writing(one.keys, one.contact(other)), pairs.reading(one.keys, one.contact(other))[0]
    (theirs,) = pairs.reading(other.keys, other.contact(one))
    assert there is not None
    assert there.address(5, 0).public == theirs.address(5, 0).public
    assert (there.seal_key(), there.ring(5, 1)) == (theirs.seal_key(), theirs.ring(5, 1))
    different = {
        there.address(5, 0).public,
        there.address(5, 1).public,
        there.address(6, 0).public,
        back.address(5, 0).public,
    }
    assert len(different) == 4
    assert there.ring(5, 0) != there.ring(5, 1) != back.ring(5, 1)


def test_the_newest_usable_generation_writes_and_all_are_read(friends: tuple[Person, Person]) -> None:
    one, other = friends
    contact = with_pairs(one.contact(other), secret(1), secret(2, usable=False))
    writing = pairs.writing(one.keys, contact)
    assert writing is not None
    assert writing.pair.generation == 1
    assert [direction.pair.generation for direction in pairs.reading(one.keys, contact)] == [2, 1, 0]
    assert pairs.writing(one.keys, replace(contact, device=None)) is None
    assert pairs.reading(one.keys, replace(contact, device=None)) == []


def test_the_lower_identity_proposes_every_week_and_one_at_a_time(friends: tuple[Person, Person]) -> None:
    lower, higher = friends
    assert pairs.due_proposal(higher.keys, higher.contact(lower), higher.random, START) is None
    first = pairs.due_proposal(lower.keys, lower.contact(higher), lower.random, START)
    assert first is not None
    assert (first.generation, first.usable) == (1, False)
    proposed = pairs.with_pair(lower.contact(higher), first, START)
    week = after(limits.PAIR_ROTATE_S)
    assert pairs.due_proposal(lower.keys, proposed, lower.random, week) is None
    known = pairs.with_pair(proposed, replace(first, usable=True), START)
    assert pairs.due_proposal(lower.keys, known, lower.random, after(limits.PAIR_ROTATE_S - 1)) is None
    second = pairs.due_proposal(lower.keys, known, lower.random, week)
    assert second is not None
    assert second.generation == 2


def test_old_generations_go_but_not_the_first(friends: tuple[Person, Person]) -> None:
    one, other = friends
    contact = pairs.with_pair(with_pairs(one.contact(other), secret(1)), secret(2), START)
    later = after(limits.PAIR_READ_S)
    assert generations(pairs.without_old(contact, after(-1, later))) == [0, 1, 2]
    assert generations(pairs.without_old(contact, later)) == [0, 2]


def test_a_generation_is_not_retired_by_one_that_cannot_be_written_with_yet(friends: tuple[Person, Person]) -> None:
    one, other = friends
    contact = pairs.with_pair(with_pairs(one.contact(other), secret(1)), secret(2, usable=False), START)
    assert generations(pairs.without_old(contact, after(limits.PAIR_READ_S))) == [0, 1, 2]
    known = pairs.with_pair(contact, secret(2), after(limits.PAIR_READ_S))
    assert generations(pairs.without_old(known, after(limits.PAIR_READ_S + 1))) == [0, 1, 2], "its mail is under way"


def test_generations_are_bounded_whatever_is_proposed(friends: tuple[Person, Person]) -> None:
    one, other = friends
    contact = one.contact(other)
    for generation in range(1, 300):
        contact = pairs.with_pair(contact, secret(generation), START)
    kept = generations(contact)
    assert len(kept) == limits.PAIR_GENERATIONS
    assert (kept[0], kept[-1]) == (0, 299)


def test_a_generation_is_not_looked_for_on_days_before_it(friends: tuple[Person, Person]) -> None:
    one, other = friends
    new, zero = pairs.reading(one.keys, with_pairs(one.contact(other), secret(1)))
    assert [new.used_on(START.day + days, START.day) for days in (-2, -1, 0, 9)] == [False, True, True, True]
    assert zero.used_on(0, START.day)


def certificate(person: Person, device: bytes, made_s: int) -> DeviceCertificate:
    content = DeviceContent(person.identity, device, made_s).encode()
    return DeviceCertificate(content, person.keys.identity.sign(Domain.SIGN_DEVICE, content))


def test_a_newer_device_takes_the_place_of_the_old_one_and_never_back(stack: ExitStack) -> None:
    one, other = Person("alice", stack), Person("bob", stack)
    contact = one.knows(other)
    assert pairs.with_device(one.keys, contact, other.keys.certificate, START) is contact
    newer = certificate(other, Person("carol", stack).keys.device_key, START.wall_s + 1)
    moved = pairs.with_device(one.keys, contact, newer, START)
    assert moved.device != contact.device
    assert moved.pair_secrets != contact.pair_secrets
    with pytest.raises(PeerError, match="old_device"):
        pairs.with_device(one.keys, moved, other.keys.certificate, START)
    with pytest.raises(PeerError, match="wrong_identity"):
        pairs.with_device(one.keys, replace(contact, identity=IdentityKey(b"x" * 32)), newer, START)
