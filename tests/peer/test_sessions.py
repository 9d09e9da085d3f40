"""Two persons' sessions under everything that a network and restarts can do to them."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random

import msgspec
import pytest

from p2pd import limits
from p2pd.crypto.prekeys import OneTimePair
from p2pd.errors import DuplicateError, PeerError, UndecryptableError
from p2pd.store import Invite, Session
from p2pd.types import DeviceKey, Now
from p2pd.wire.envelope import Envelope, FirstContact
from tests.cast import START, Person, after


def pair(stack: ExitStack) -> tuple[Person, Person]:
    """The lower identity first; they know each other's devices, and have no session."""
    lower, higher = sorted((Person("alice", stack), Person("bob", stack)), key=lambda person: person.identity)
    lower.knows(higher)
    higher.knows(lower)
    return lower, higher


def begin(person: Person, other: Person, now: Now = START) -> Session:
    return person.sessions.begin(other.identity, other.profile_device(now), now).session


def seal(person: Person, other: Person, plaintext: bytes, sequence: int = 1) -> bytes:
    session = person.sessions.current(other.identity)
    assert session is not None
    return person.sessions.seal(session, sequence, plaintext)


def opened(person: Person, other: Person, envelope: bytes, now: Now = START) -> bytes:
    return person.sessions.open(person.contact(other), Envelope.decode(envelope), now).plaintext


def current(person: Person, other: Person) -> bytes:
    session = person.sessions.current(other.identity)
    assert session is not None
    return session.session


def test_every_message_carries_the_first_contact_until_the_first_reply(stack: ExitStack) -> None:
    lower, higher = pair(stack)
    begin(lower, higher)
    first, second = seal(lower, higher, b"one"), seal(lower, higher, b"two")
    assert Envelope.decode(first).first_contact == Envelope.decode(second).first_contact != b""
    assert lower.sessions.awaits_answer(higher.identity, START)
    assert opened(higher, lower, second) == b"two"
    assert opened(higher, lower, first) == b"one"
    assert opened(lower, higher, seal(higher, lower, b"three")) == b"three"
    assert Envelope.decode(seal(lower, higher, b"four")).first_contact == b""
    assert not lower.sessions.awaits_answer(higher.identity, START)


def test_nothing_opens_twice_also_after_a_restart(stack: ExitStack) -> None:
    lower, higher = pair(stack)
    begin(lower, higher)
    envelope = seal(lower, higher, b"once")
    opened(higher, lower, envelope)
    with pytest.raises(DuplicateError):
        opened(higher, lower, envelope)
    higher.start()
    with pytest.raises(DuplicateError):
        opened(higher, lower, envelope)


@pytest.mark.parametrize("changed", ["sequence", "first_contact", "ciphertext", "number", "ratchet", "session"])
def test_a_changed_envelope_opens_nothing_and_spoils_nothing(stack: ExitStack, changed: str) -> None:
    lower, higher = pair(stack)
    begin(lower, higher)
    opened(higher, lower, seal(lower, higher, b"one"))
    whole = seal(lower, higher, b"two")
    fields = {name: getattr(Envelope.decode(whole), name) for name in Envelope.__struct_fields__}
    spoilt = {
        "sequence": 7,
        "first_contact": b"",
        "ciphertext": bytes(40),
        "number": 9,
        "ratchet": bytes(31) + b"\1",
        "session": b"s" * 16,
    }
    with pytest.raises(PeerError):
        opened(higher, lower, Envelope(**{**fields, changed: spoilt[changed]}).encode())
    assert opened(higher, lower, whole) == b"two"


def test_a_first_contact_of_another_device_is_refused(stack: ExitStack) -> None:
    lower, higher = pair(stack)
    mallory = Person("mallory", stack)
    mallory.knows(higher)
    begin(mallory, higher)
    envelope = seal(mallory, higher, b"I am the other one")
    with pytest.raises(PeerError, match="wrong_device"):
        opened(higher, lower, envelope)
    assert higher.sessions.current(lower.identity) is None


def test_a_prekey_that_is_gone_is_not_for_now(stack: ExitStack) -> None:
    lower, higher = pair(stack)
    begin(lower, higher)
    envelope = seal(lower, higher, b"late")
    higher.store.remove_prekey(1)
    with pytest.raises(UndecryptableError, match="unknown_prekey"):
        opened(higher, lower, envelope)


def test_an_unknown_session_without_first_contact_may_open_later(stack: ExitStack) -> None:
    lower, higher = pair(stack)
    begin(lower, higher)
    opened(higher, lower, seal(lower, higher, b"one"))
    answer = seal(higher, lower, b"two")
    stranger = Person("carol", stack)
    stranger.knows(higher)
    with pytest.raises(UndecryptableError, match="unknown_session"):
        opened(stranger, higher, answer)


def test_of_two_begun_at_once_the_lower_identitys_is_sent_on(stack: ExitStack) -> None:
    lower, higher = pair(stack)
    wanted = begin(lower, higher).session
    begin(higher, lower)
    from_lower, from_higher = seal(lower, higher, b"mine"), seal(higher, lower, b"mine too")
    assert opened(lower, higher, from_higher) == b"mine too"
    assert opened(higher, lower, from_lower) == b"mine"
    assert current(lower, higher) == current(higher, lower) == wanted


def test_a_first_contact_that_was_overtaken_does_not_part_them(stack: ExitStack) -> None:
    lower, higher = pair(stack)
    wanted = begin(lower, higher).session
    begin(higher, lower)
    late = seal(higher, lower, b"late")
    opened(higher, lower, seal(lower, higher, b"one"))
    opened(lower, higher, seal(higher, lower, b"two"))
    assert opened(lower, higher, late) == b"late"
    assert opened(higher, lower, seal(lower, higher, b"three")) == b"three"
    assert opened(lower, higher, seal(higher, lower, b"four")) == b"four"
    assert current(lower, higher) == current(higher, lower) == wanted


def test_first_contacts_of_one_side_in_the_wrong_order_do_not_part_them(stack: ExitStack) -> None:
    for first, second in (pair(stack), pair(stack)[::-1]):
        begin(first, second)
        older = seal(first, second, b"older")
        begin(first, second, after(1))
        opened(second, first, seal(first, second, b"newer"), after(2))
        opened(second, first, older, after(3))
        opened(first, second, seal(second, first, b"answer"), after(4))
        opened(second, first, seal(first, second, b"again"), after(5))
        assert current(first, second) == current(second, first)


def test_a_new_session_supersedes_and_the_old_one_receives_on(stack: ExitStack) -> None:
    lower, higher = pair(stack)
    begin(lower, higher)
    opened(higher, lower, seal(lower, higher, b"one"))
    opened(lower, higher, seal(higher, lower, b"two"))
    under_way = seal(lower, higher, b"three")
    begin(higher, lower, after(10))
    opened(lower, higher, seal(higher, lower, b"four"), after(11))
    assert opened(higher, lower, under_way, after(12)) == b"three"
    assert opened(higher, lower, seal(lower, higher, b"five"), after(13)) == b"five"
    assert opened(lower, higher, seal(higher, lower, b"six"), after(14)) == b"six"
    assert current(lower, higher) == current(higher, lower)


def test_a_superseded_session_is_retired_when_it_has_been_silent_for_long(stack: ExitStack) -> None:
    lower, higher = pair(stack)
    begin(higher, lower)
    first = seal(higher, lower, b"first")
    opened(lower, higher, first)
    opened(higher, lower, seal(lower, higher, b"answer"))
    under_way, later = seal(higher, lower, b"under way"), seal(higher, lower, b"later")
    begin(lower, higher, after(1))
    keep_s = limits.SESSION_KEEP_S
    assert opened(lower, higher, under_way, after(keep_s / 2)) == b"under way"
    lower.sessions.expire(higher.identity, after(keep_s + 10))
    assert opened(lower, higher, later, after(keep_s + 20)) == b"later"
    lower.sessions.expire(higher.identity, after(2 * keep_s + 30))
    with pytest.raises(UndecryptableError, match="unknown_session"):
        opened(lower, higher, later, after(2 * keep_s + 40))
    with pytest.raises(DuplicateError, match="retired_session"):
        opened(lower, higher, first, after(2 * keep_s + 40))
    assert lower.sessions.knows(higher.identity, Envelope.decode(first).session)
    lower.sessions.expire(higher.identity, after(2 * keep_s + limits.SESSION_FORGET_S + 60))
    assert not lower.sessions.knows(higher.identity, Envelope.decode(first).session)


def test_a_contact_who_begins_without_end_costs_little(stack: ExitStack) -> None:
    lower, higher = pair(stack)
    device = higher.profile_device()
    for second in range(limits.SESSIONS_RETIRED + 20):
        lower.sessions.begin(higher.identity, device, after(second))
        opened(higher, lower, seal(lower, higher, b"again"), after(second))
        assert current(higher, lower) == current(lower, higher)
    for person, other in ((lower, higher), (higher, lower)):
        rows = person.store.sessions(other.identity)
        assert sum(bool(row.ratchet) for row in rows) <= limits.SESSIONS_PER_CONTACT
        assert len(rows) <= limits.SESSIONS_RETIRED + limits.SESSIONS_PER_CONTACT


def test_begin_refuses_a_profile_whose_keys_are_bad(stack: ExitStack) -> None:
    lower, higher = pair(stack)
    device = Person("carol", stack).profile_device()
    with pytest.raises(PeerError, match="wrong_identity"):
        lower.sessions.begin(higher.identity, device, START)
    assert lower.sessions.current(higher.identity) is None


@dataclass
class Exchange:
    """Two sides and everything that is under way between them."""

    sides: tuple[Person, Person]
    random: Random
    under_way: list[tuple[int, bytes, bytes]] = field(default_factory=list)
    """To whom, the envelope, and what it says."""
    accepted: set[bytes] = field(default_factory=set)
    sent: int = 0
    now: Now = START

    def send(self, side: int) -> None:
        person, other = self.sides[side], self.sides[1 - side]
        if person.sessions.current(other.identity) is None or self.begins_anew():
            begin(person, other, self.now)
        plaintext = b"%d" % self.sent
        self.sent += 1
        self.under_way.append((1 - side, seal(person, other, plaintext, self.sent), plaintext))

    def begins_anew(self) -> bool:
        return self.random.random() < 0.01

    def deliver(self, *, keep: bool) -> None:
        place = self.random.randrange(len(self.under_way))
        to, envelope, plaintext = self.under_way[place]
        if not keep:
            del self.under_way[place]
        try:
            assert opened(self.sides[to], self.sides[1 - to], envelope, self.now) == plaintext
        except DuplicateError:
            assert plaintext in self.accepted
        else:
            assert plaintext not in self.accepted, "accepted twice"
            self.accepted.add(plaintext)

    def step(self) -> None:
        self.now = after(1, self.now)
        chance = self.random.random()
        if chance < 0.45 or not self.under_way:
            self.send(self.random.randrange(2))
        elif chance < 0.5:
            self.under_way.pop(self.random.randrange(len(self.under_way)))  # lost
        elif chance < 0.53:
            self.sides[self.random.randrange(2)].start()
        else:
            self.deliver(keep=chance < 0.6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_loss_disorder_repetition_and_restarts_make_nothing_undecryptable(stack: ExitStack, seed: int) -> None:
    exchange = Exchange(pair(stack), Random(seed))
    for side in (0, 1):  # both begin at once
        exchange.send(side)
    while exchange.sent < 300:
        exchange.step()
    while exchange.under_way:
        exchange.deliver(keep=False)
    one, other = exchange.sides
    for _ in range(2):
        opened(other, one, seal(one, other, b"settled"), exchange.now)
        opened(one, other, seal(other, one, b"settled"), exchange.now)
    assert current(one, other) == current(other, one)
    assert len(exchange.accepted) > 200


def test_devices_are_told_apart(stack: ExitStack) -> None:
    lower, higher = pair(stack)
    begin(lower, higher)
    envelope = seal(lower, higher, b"hello")
    higher.knows(lower, device=DeviceKey(higher.keys.device_key))
    with pytest.raises(PeerError, match="wrong_device"):
        opened(higher, lower, envelope)


def with_one_time(stack: ExitStack) -> tuple[Person, Person, OneTimePair]:
    """Two persons, and a one-time prekey of the second's."""
    one, other = pair(stack)
    key = OneTimePair(7, b"7" * 32)
    other.store.save_invite(Invite(key.id, b"s" * 16, 0, 0, one_time=key.x25519))
    return one, other, key


def test_a_one_time_prekey_begins_one_session_and_no_other(stack: ExitStack) -> None:
    one, other, key = with_one_time(stack)
    one.sessions.begin(other.identity, other.profile_device(), START, key.public())
    first = seal(one, other, b"first")
    one.sessions.begin(other.identity, other.profile_device(), START, key.public())
    second = seal(one, other, b"second")
    assert opened(other, one, first) == b"first"
    assert other.prekeys.find_one_time(key.id) is None
    for _ in range(2):
        with pytest.raises(PeerError, match="used_one_time_prekey"):
            opened(other, one, second)
        other.start()
    assert opened(one, other, seal(other, one, b"answer")) == b"answer"


def test_a_one_time_prekey_is_part_of_the_secret_and_spent_only_by_what_opens(stack: ExitStack) -> None:
    one, other, key = with_one_time(stack)
    for wrong in (OneTimePair(key.id, b"8" * 32).public(), None):
        one.sessions.begin(other.identity, other.profile_device(), START, wrong)
        envelope = Envelope.decode(seal(one, other, b"no"))
        header = FirstContact.decode(envelope.first_contact)
        named = msgspec.structs.replace(header, one_time=key.id).encode()
        with pytest.raises(PeerError):
            other.sessions.open(other.contact(one), msgspec.structs.replace(envelope, first_contact=named), START)
        assert other.prekeys.find_one_time(key.id) is not None
        assert not other.store.sessions(one.identity)


def test_an_invite_for_several_has_no_one_time_prekey_to_give(stack: ExitStack) -> None:
    one, other = pair(stack)
    other.store.save_invite(Invite(7, b"s" * 16, 0, 0))
    one.sessions.begin(other.identity, other.profile_device(), START, OneTimePair(7, b"7" * 32).public())
    with pytest.raises(PeerError, match="used_one_time_prekey"):
        opened(other, one, seal(one, other, b"no"))
    assert other.store.invite(7) is not None
