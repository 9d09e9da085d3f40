from contextlib import ExitStack

import pytest

from p2pd import limits
from p2pd.crypto.keys import verify
from p2pd.errors import PeerError
from p2pd.peer import own
from p2pd.peer.published import (
    INBOX,
    PRESENCE,
    PROFILE,
    open_presence,
    open_profile,
    opened_body,
    personal_address,
    presence_record,
    profile_record,
    sealed_body,
)
from p2pd.types import AddressKey, Endpoint, IdentityKey
from p2pd.wire.person import Presence, Profile, ProfileDevice, SignedPrekey
from p2pd.wire.record import Record, Single, signing_domain
from p2pd.wire.rpc import pack_endpoint
from tests.cast import START, Person, after
from tests.second import make_vectors, protocol

SECRET = b"s" * 32


def single(record: Record) -> Single:
    content = record.parse()
    assert isinstance(content, Single)
    assert verify(content.address, signing_domain(content), record.content, record.signature)
    return content


def profile_of(person: Person, device: ProfileDevice) -> Single:
    profile = Profile("Alice", START.wall_ms, 12, [device])
    return single(profile_record(person.keys.identity, profile, START, person.random))


def test_a_profile_opens_for_who_knows_the_identity(stack: ExitStack) -> None:
    person = Person("alice", stack)
    content = profile_of(person, person.profile_device())
    assert content.address == personal_address(person.identity, PROFILE, b"", START.day)
    assert len(content.body) in limits.SIZE_CLASSES[2:]
    assert content.expires_s <= START.wall_s + limits.RECORD_LIFE_MAX_S
    assert open_profile(person.identity, START.day, content).name == "Alice"
    for identity, day in ((Person("bob", stack).identity, START.day), (person.identity, START.day + 1)):
        with pytest.raises(PeerError):
            open_profile(identity, day, content)


def test_a_profile_with_another_ones_device_or_prekey_is_refused(stack: ExitStack) -> None:
    alice, bob = Person("alice", stack), Person("bob", stack)
    theirs, ours = bob.profile_device(), alice.profile_device()
    forged = SignedPrekey(theirs.prekey.content, ours.prekey.signature)
    for device in (theirs, ProfileDevice(ours.certificate, theirs.prekey), ProfileDevice(ours.certificate, forged)):
        with pytest.raises(PeerError):
            open_profile(alice.identity, START.day, profile_of(alice, device))


def test_where_presence_lies_follows_from_the_secret_and_the_day_alone(stack: ExitStack) -> None:
    person = Person("alice", stack)
    presence = Presence(START.wall_ms, person.keys.node_key, [])
    places = {
        (secret, now.day): single(presence_record(person.keys.identity, secret, presence, now, person.random)).address
        for secret in (SECRET, b"t" * 32)
        for now in (START, after(limits.DAY_S))
    }
    for (secret, day), place in places.items():
        assert place == personal_address(person.identity, PRESENCE, secret, day)
    known = {personal_address(person.identity, purpose, b"", START.day) for purpose in (PROFILE, PRESENCE, INBOX)}
    assert len({*places.values(), *known}) == len(places) + len(known), "who has the address alone finds none"


def test_what_the_second_implementation_seals_opens(stack: ExitStack) -> None:
    vector, person = make_vectors.sealed(), Person("alice", stack)
    identity, day, address = IdentityKey(vector["identity"]), vector["day"], AddressKey(b"a" * 32)
    presence = Presence(START.wall_ms, person.keys.node_key, [])
    for key, secret in (("presence_key", vector["contact_secret"]), ("public_presence_key", b"")):
        body = protocol.sealed_body(vector[key], b"n" * 24, presence.encode(), address, 256)
        assert open_presence(identity, secret, day, Single(address, 1, START.wall_s, body)) == presence
    profile = Profile("alice", START.wall_ms, 12, [])
    body = protocol.sealed_body(vector["profile_key"], b"n" * 24, profile.encode(), address, 4_096)
    assert open_profile(identity, day, Single(address, 1, START.wall_s, body)) == profile


def test_presence_opens_with_the_secret_only(stack: ExitStack) -> None:
    person = Person("alice", stack)
    endpoint = pack_endpoint(Endpoint("192.0.2.1", 4242))
    presence = Presence(START.wall_ms, person.keys.node_key, [endpoint])
    content = single(presence_record(person.keys.identity, SECRET, presence, START, person.random))
    assert open_presence(person.identity, SECRET, START.day, content) == presence
    assert content.expires_s == START.wall_s + limits.PRESENCE_LIFE_S
    with pytest.raises(PeerError):
        open_presence(person.identity, b"", START.day, content)


def test_presence_can_be_for_everyone(stack: ExitStack) -> None:
    person = Person("alice", stack)
    presence = Presence(START.wall_ms, person.keys.node_key, [])
    content = single(presence_record(person.keys.identity, b"", presence, START, person.random))
    assert open_presence(person.identity, b"", START.day, content) == presence


def test_the_days_address_changes_and_a_key_that_is_none_is_refused(stack: ExitStack) -> None:
    identity = Person("alice", stack).identity
    days = {personal_address(identity, PROFILE, b"", after(day * limits.DAY_S).day) for day in range(3)}
    assert len(days) == 3
    with pytest.raises(PeerError):
        personal_address(IdentityKey(b"\1" + bytes(31)), PROFILE, b"", 1)


def test_a_sealed_body_has_a_size_class_and_belongs_to_its_address() -> None:
    here, there = AddressKey(b"a" * 32), AddressKey(b"b" * 32)
    body = sealed_body(b"k" * 32, b"text", here, b"n" * 24)
    assert len(body) == limits.SIZE_CLASSES[0]
    assert opened_body(b"k" * 32, body, here) == b"text"
    for spoilt, address in ((body, there), (body[:-1], here), (b"", here), (bytes(len(body)), here)):
        with pytest.raises(PeerError):
            opened_body(b"k" * 32, spoilt, address)


def test_own_certificate_is_what_a_profile_carries(stack: ExitStack) -> None:
    person = Person("alice", stack)
    assert own.certified_device(person.profile_device().certificate).device == person.keys.device_key
