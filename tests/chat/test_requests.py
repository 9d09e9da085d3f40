"""First contact through public inboxes: asking, being asked, and what strangers cannot do with it."""

from contextlib import ExitStack
from dataclasses import replace

import pytest
from msgspec import structs

from p2pd import limits
from p2pd.crypto.blinding import blind_secret
from p2pd.crypto.keys import SigningKey
from p2pd.dht.records import verified
from p2pd.domains import Domain
from p2pd.effects import SolveStamp
from p2pd.errors import UsageError
from p2pd.peer.prekeys import Prekeys
from p2pd.peer.published import INBOX, PROFILE, personal_address, profile_record, signed_record
from p2pd.store import Contact, ContactState, MessageState
from p2pd.types import DeviceKey, Now
from p2pd.wire.address import Link
from p2pd.wire.person import DeviceCertificate, DeviceContent, PrekeyContent, Profile, ProfileDevice, SignedPrekey
from p2pd.wire.record import OpenItem, Record, Tombstone
from tests.cast import START, Person, Put, after


def profile(person: Person, now: Now = START, *, bits: int = 0) -> Record:
    content = Profile(person.name, now.wall_ms, bits, [person.profile_device(now)])
    return profile_record(person.keys.identity, content, now, person.random)


@pytest.fixture
def alice(stack: ExitStack) -> Person:
    return Person("alice", stack)


@pytest.fixture
def bob(stack: ExitStack) -> Person:
    return Person("bob", stack)


def ask(asker: Person, asked: Person, text: str = "hello", now: Now = START) -> Contact:
    return asker.people.add(Link(asked.identity), now, name=asked.name, text=text)[0]


def requests_put(person: Person) -> list[Put]:
    return [put for put in person.dht.take_puts() if isinstance(put.records[0].parse(), OpenItem)]


def asked(asker: Person, other: Person, text: str = "hello", now: Now = START) -> Record:
    """The record of a request."""
    ask(asker, other, text, now)
    asker.dht.serve([profile(other, now)], now)
    (put,) = requests_put(asker)
    put.answer(now)
    return put.records[0]


def find(reader: Person, record: Record, now: Now = START) -> None:
    content = record.parse()
    assert isinstance(content, OpenItem)
    reader.requests.on_inbox_record(content, now.day, now)


def ended(person: Person) -> list[bytes]:
    contents = [put.records[0].parse() for put in person.dht.take_puts()]
    return [content.item for content in contents if isinstance(content, Tombstone)]


def test_a_request_lies_in_the_public_inbox_and_tells_nothing(alice: Person, bob: Person) -> None:
    record = asked(alice, bob)
    content = verified(record.encode()).content
    assert isinstance(content, OpenItem)
    assert content.address == personal_address(bob.identity, INBOX, b"", START.day)
    assert len(content.body) == limits.SIZE_CLASSES[2]
    assert not any(key in content.body for key in (alice.identity, alice.keys.device_key, bob.identity))
    (message,) = alice.store.history(bob.identity, limit=9)
    assert message.state is MessageState.STORED


def test_the_longest_request_fits(alice: Person, bob: Person) -> None:
    alice.store.set_value("name", ("\U0001f600" * limits.NAME_CHARS).encode())
    find(bob, asked(alice, bob, "x" * limits.REQUEST_TEXT_BYTES))
    assert bob.people.requests()[0].request_text == "x" * limits.REQUEST_TEXT_BYTES


def test_who_is_asked_is_told_once_and_ends_the_record(alice: Person, bob: Person) -> None:
    record = asked(alice, bob)
    find(bob, record)
    (request,) = bob.people.requests()
    assert (request.identity, request.request_text) == (alice.identity, "hello")
    item = record.parse().item  # type: ignore[union-attr]
    assert ended(bob) == [item]
    find(bob, record)
    assert ended(bob) == [item]
    assert len(bob.store.events(0, limit=9, types=("request",))) == 1


def test_an_older_profile_is_looked_for_where_todays_is_missing(alice: Person, bob: Person) -> None:
    older = profile(bob, after(-3 * limits.DAY_S))
    ask(alice, bob)
    assert alice.dht.serve([older], START) == 1 + limits.PROFILE_DAYS_READ
    assert len(requests_put(alice)) == 1


def test_the_newest_profile_counts(alice: Person, bob: Person) -> None:
    ask(alice, bob)
    first, second = (profile(bob, after(-days * limits.DAY_S), bits=days) for days in (5, 3))
    alice.dht.serve([first, second], START)
    (effect,) = [effect for effect in alice.effects.take() if isinstance(effect, SolveStamp)]
    assert effect.bits == 3


def test_nobody_there_is_tried_again_and_explained(alice: Person, bob: Person) -> None:
    ask(alice, bob)
    now = START
    for gap in limits.REQUEST_GAPS_S:
        alice.dht.serve([], now)
        assert alice.requests.next_deadline() == now.steady + gap
        now = after(gap, now)
        alice.requests.on_timer(now)
    (message,) = alice.store.history(bob.identity, limit=9)
    assert "their profile is not on the network" in [step.what for step in alice.store.steps(message.message)]


def test_too_few_storers_are_tried_again_with_the_same_request(alice: Person, bob: Person) -> None:
    ask(alice, bob)
    alice.dht.serve([profile(bob)], START)
    (put,) = requests_put(alice)
    put.answer(START, receipts=1)
    alice.requests.on_timer(after(limits.REQUEST_GAPS_S[0]))
    alice.dht.serve([profile(bob)], START)
    (again,) = requests_put(alice)
    bodies = {each.records[0].parse().body for each in (put, again)}  # type: ignore[union-attr]
    assert len(bodies) == 1


def test_a_price_is_paid(alice: Person, bob: Person) -> None:
    ask(alice, bob)
    alice.dht.serve([profile(bob, bits=9)], START)
    assert requests_put(alice) == []
    (job,) = [effect for effect in alice.effects.take() if isinstance(effect, SolveStamp)]
    assert (job.bits, job.domain) == (9, Domain.STAMP)
    alice.requests.on_stamp(job.job, b"n" * 8, START)
    (put,) = requests_put(alice)
    item = verified(put.records[0].encode()).content
    assert isinstance(item, OpenItem)
    assert (item.stamp, item.challenge) == (b"n" * 8, job.challenge)
    alice.requests.on_stamp(job.job, b"n" * 8, START)
    alice.requests.on_stamp(99, None, START)
    assert requests_put(alice) == []


def paid(asker: Person, asked: Person, now: Now, price: int) -> int | None:
    """The bits of the stamp with which a request that is due goes out and is stored; None where it is not put."""
    asker.requests.on_timer(now)
    asker.dht.serve([profile(asked, now, bits=price)], now)
    jobs = [effect for effect in asker.effects.take() if isinstance(effect, SolveStamp)]
    for job in jobs:
        asker.requests.on_stamp(job.job, b"n" * 8, now)
        requests_put(asker)[0].answer(now)
    return jobs[0].bits if jobs else None


@pytest.mark.parametrize(
    ("price", "bits", "waits"),
    [
        (12, (12, 14, 16, 16), (1, 1, 12, 12)),
        (15, (15, 16, 16), (1, 12, 12)),
        (16, (16, 16), (12, 12)),
        (20, (20, 20), (12, 12)),
    ],
)
def test_who_waits_pays_more_each_day(
    alice: Person, bob: Person, price: int, bits: tuple[int, ...], waits: tuple[int, ...]
) -> None:
    ask(alice, bob)
    now = START
    for expected, days in zip(bits, waits, strict=True):
        assert paid(alice, bob, now, price) == expected
        assert alice.requests.next_deadline() == now.steady + days * limits.DAY_S
        now = after(days * limits.DAY_S, now)


def test_a_restart_pays_for_nothing_twice(alice: Person, bob: Person) -> None:
    ask(alice, bob)
    assert paid(alice, bob, START, 12) == 12
    alice.start()
    back = after(limits.HOUR_S)
    alice.requests.start(back)
    assert paid(alice, bob, back, 12) is None
    due = after(limits.DAY_S)
    assert alice.requests.next_deadline() == pytest.approx(due.steady)
    assert paid(alice, bob, due, 12) == 14


@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_was_wrong_asks_no_more_than_the_most(alice: Person, bob: Person, days: int) -> None:
    ask(alice, bob, now=after(days * limits.DAY_S))
    alice.dht.take_gets()
    alice.requests.ask(bob.identity, START)
    assert paid(alice, bob, START, 12) == (16 if days < 0 else 12)
    assert alice.requests.next_deadline() == START.steady + (12 if days < 0 else 1) * limits.DAY_S


def test_a_price_that_could_not_be_paid_is_tried_later(alice: Person, bob: Person) -> None:
    ask(alice, bob)
    alice.dht.serve([profile(bob, bits=9)], START)
    (job,) = [effect for effect in alice.effects.take() if isinstance(effect, SolveStamp)]
    alice.requests.on_stamp(job.job, None, START)
    assert alice.requests.next_deadline() == START.steady + limits.REQUEST_GAPS_S[0]


def test_asking_waits_for_a_network_and_ends_with_the_contact(alice: Person, bob: Person) -> None:
    alice.dht.joined = False
    ask(alice, bob)
    assert alice.dht.gets == []
    alice.dht.joined = True
    alice.requests.start(after(1))
    late = alice.dht.take_gets()
    alice.requests.forget(bob.identity)
    for get in late:
        get.answer([profile(bob)], after(2))
    assert (requests_put(alice), alice.requests.next_deadline()) == ([], None)


def test_a_request_that_was_given_up_is_not_asked_on(alice: Person, bob: Person) -> None:
    ask(alice, bob)
    now = after(limits.OUTBOX_LIFE_S)
    alice.outbox.expire(now)
    alice.dht.take_gets()
    alice.start()
    alice.requests.start(now)
    alice.dht.serve([profile(bob, now)], now)
    assert requests_put(alice) == []
    assert alice.requests.next_deadline() is None


def test_an_accepted_contact_gets_a_new_session_and_is_asked_for_until_it_is_found(
    friends: tuple[Person, Person],
) -> None:
    one, other = friends
    before = one.sessions.current(other.identity)
    one.requests.read_profile(other.identity, START)
    one.dht.serve([], START)
    due = one.requests.next_deadline()
    assert due is not None
    one.requests.on_timer(after(due - START.steady))
    one.dht.serve([profile(other)], START)
    current = one.sessions.current(other.identity)
    assert current is not None
    assert current != before
    assert current.header
    assert one.requests.next_deadline() is None


def test_few_are_looked_for_at_once_and_all_in_the_end(alice: Person, stack: ExitStack) -> None:
    others = [Person(f"other{number}", stack) for number in range(limits.PROFILES_READ + 4)]
    for other in others:
        ask(alice, other)
    first = alice.dht.take_gets()
    assert len(first) == limits.PROFILES_READ
    alice.people.remove(alice.contact(others[0]), START)
    for get in first:
        get.answer([], START)
    assert len(alice.dht.gets) == (limits.PROFILES_READ - 1) * limits.PROFILE_DAYS_READ + 1
    alice.dht.serve([profile(other) for other in others], START)
    due = alice.requests.next_deadline()
    assert due is not None
    alice.requests.on_timer(after(due - START.steady))  # who was looked for in vain today is asked once more
    alice.dht.serve([profile(other) for other in others], START)
    assert len(requests_put(alice)) == len(others) - 1


def test_who_is_asked_for_again_and_again_waits_once(alice: Person, bob: Person, stack: ExitStack) -> None:
    for number in range(limits.PROFILES_READ):
        ask(alice, Person(f"other{number}", stack))
    ask(alice, bob)
    for _ in range(3):
        alice.requests.read_profile(bob.identity, START)
    looked_for = []
    while gets := alice.dht.take_gets():
        looked_for += [get.address for get in gets]
        for get in gets:
            get.answer([], START)
    assert looked_for.count(personal_address(bob.identity, PROFILE, b"", START.day)) == 1


def test_a_profile_is_found_across_midnight(alice: Person, bob: Person) -> None:
    late = after(limits.DAY_S - START.wall_s % limits.DAY_S - 1)
    ask(alice, bob, now=late)
    (get,) = alice.dht.take_gets()
    after_midnight = after(2, late)
    get.answer([], after_midnight)
    assert len(alice.dht.gets) == limits.PROFILE_DAYS_READ
    alice.dht.serve([profile(bob, after_midnight)], after_midnight)
    assert len(requests_put(alice)) == 1


def test_another_device_of_a_contact_is_told_of_once(friends: tuple[Person, Person]) -> None:
    one, other = friends
    device = SigningKey(b"d" * 32)
    content = DeviceContent(other.identity, DeviceKey(device.public), START.wall_s + 1).encode()
    certificate = DeviceCertificate(content, other.keys.identity.sign(Domain.SIGN_DEVICE, content))
    other.keys = replace(other.keys, device=device, certificate=certificate)
    other.prekeys = Prekeys(other.store, device, other.random)
    for _ in range(2):
        one.requests.read_profile(other.identity, START)
        one.dht.serve([profile(other)], START)
    (event,) = one.store.events(0, limit=99, types=("device",))
    assert f'"name":"{other.name}"' in event.data
    assert one.contact(other).device == device.public


def test_another_key_under_a_known_name_is_another_contact_unverified_and_under_another_name(
    friends: tuple[Person, Person], stack: ExitStack
) -> None:
    one, other = friends
    one.store.save_contact(structs.replace(one.contact(other), verified=True))
    pretender = Person("pretender", stack)
    pretender.store.set_value("name", other.name.encode())
    find(one, asked(pretender, one))
    (request,) = one.people.requests()
    assert (request.identity, request.claimed_name) == (pretender.identity, other.name)
    accepted = one.people.accept(request, START)
    assert (accepted.petname, accepted.verified) == (f"{other.name}-2", False)
    assert (one.contact(other).petname, one.contact(other).verified) == (other.name, True)


def test_a_profile_with_bad_keys_breaks_nothing(alice: Person, bob: Person) -> None:
    device = bob.profile_device()
    good = PrekeyContent.decode(device.prekey.content)
    for exchange, kem in ((bytes(32), good.kem), (good.exchange, b"\xff" * len(good.kem))):
        encoded = PrekeyContent(good.id, exchange, kem, good.made_s).encode()
        prekey = SignedPrekey(encoded, bob.keys.device.sign(Domain.SIGN_PREKEYS, encoded))
        bad = Profile("bob", START.wall_ms, 0, [ProfileDevice(device.certificate, prekey)])
        record = profile_record(bob.keys.identity, bad, START, bob.random)
        if alice.store.contact(bob.identity) is None:
            ask(alice, bob)
        else:
            alice.requests.ask(bob.identity, START)
        alice.dht.serve([record], START)
        assert requests_put(alice) == []
        assert alice.requests.next_deadline() is not None


def test_a_profile_of_someone_else_is_not_believed(alice: Person, bob: Person, stack: ExitStack) -> None:
    mallory = Person("mallory", stack)
    ask(alice, bob)
    signer = blind_secret(mallory.keys.identity, PROFILE, b"", START.day)
    record = profile(mallory)
    assert record.parse().address == signer.public
    for get in alice.dht.take_gets():
        get.answer([record], START)
    assert requests_put(alice) == []


@pytest.mark.parametrize("body", [b"", bytes(4096), b"\1" + bytes(4095), b"\1\0\0\0\1" + bytes(4091), bytes(16)])
def test_what_is_no_request_is_ended_and_leaves_nothing(bob: Person, body: bytes) -> None:
    bob.profile_device()
    signer = SigningKey(b"s" * 32)
    address = personal_address(bob.identity, INBOX, b"", START.day)
    content = OpenItem(address, START.wall_s + 60, body, signer.public)
    find(bob, signed_record(content, signer))
    assert ended(bob) == [content.item]
    assert bob.store.contacts() == []
    assert sum(bob.counts.values()) == 1


def test_a_stranger_whose_keys_agree_on_nothing_breaks_nothing(alice: Person, bob: Person) -> None:
    device = DeviceContent(alice.identity, DeviceKey(b"\1" + bytes(31)), 1).encode()
    bad = DeviceCertificate(device, alice.keys.identity.sign(Domain.SIGN_DEVICE, device))
    alice.keys = replace(alice.keys, certificate=bad)
    alice.requests._own = alice.keys
    find(bob, asked(alice, bob))
    assert bob.store.contacts() == []
    assert bob.counts["bad key"] == 1


def test_a_request_under_anothers_certificate_is_refused(alice: Person, bob: Person, stack: ExitStack) -> None:
    victim = Person("carol", stack)
    alice.requests._own = replace(alice.keys, certificate=victim.keys.certificate)
    find(bob, asked(alice, bob))
    assert bob.store.contact(victim.identity) is None
    assert bob.store.sessions(victim.identity) == []
    assert not bob.store.counters(victim.identity).epoch


def test_who_says_something_else_than_a_request_leaves_nothing(alice: Person, bob: Person) -> None:
    ask(alice, bob)
    (item,) = alice.store.outbox(bob.identity)
    real = bob.inbox._act

    def act(contact: Contact, content: object, body: object, via: str, now: Now) -> None:
        """As an asker does whose body makes no sense: nothing comes of it."""

    bob.inbox._act = act
    alice.dht.serve([profile(bob)], START)
    (put,) = requests_put(alice)
    find(bob, put.records[0])
    assert bob.store.contact(alice.identity) is None
    assert bob.store.sessions(alice.identity) == []
    bob.inbox._act = real
    assert item.sequence == 1


@pytest.mark.parametrize("state", [ContactState.BLOCKED, ContactState.REJECTED])
def test_the_blocked_and_rejected_ask_in_vain(alice: Person, bob: Person, state: ContactState) -> None:
    bob.knows(alice, state)
    find(bob, asked(alice, bob))
    assert bob.contact(alice).state is state
    assert bob.acted == []
    assert len(ended(bob)) == 1


def test_requests_are_bounded_and_the_rest_stays_where_it_is(
    alice: Person, bob: Person, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REQUESTS_KEPT", 1)
    find(bob, asked(alice, bob))
    ended(bob)
    other = asked(Person("carol", stack), bob)
    find(bob, other)
    assert (len(bob.people.requests()), ended(bob), bob.counts["too_many_requests"]) == (1, [], 1)
    bob.people.reject(bob.people.requests()[0], START)
    find(bob, other)
    assert [request.claimed_name for request in bob.people.requests()] == [""]


def test_we_do_not_ask_ourselves(alice: Person) -> None:
    with pytest.raises(UsageError):
        ask(alice, alice)
    assert alice.store.contacts() == []
