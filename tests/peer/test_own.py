from contextlib import ExitStack

import pytest
from nacl import bindings

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.domains import Domain
from p2pd.errors import DamagedError, PeerError
from p2pd.peer import own
from p2pd.storage.user import SqliteUserStore
from p2pd.types import DeviceKey, IdentityKey
from p2pd.wire.person import DeviceCertificate, DeviceContent
from tests.cast import START, Person, after
from tests.wire.formats import TEXTS

SMALL_ORDER = b"\1" + bytes(31)
ON_THE_CURVE = bindings.crypto_sign_seed_keypair(b"s" * 32)[0]


def test_what_was_created_is_loaded(stack: ExitStack) -> None:
    person = Person("alice", stack)
    assert own.load(person.store) == person.keys
    content = own.certified_device(person.keys.certificate, person.identity)
    assert (content.identity, content.device) == (person.identity, person.keys.device_key)
    assert len({person.keys.identity, person.keys.device, person.keys.node}) == 3


def test_missing_keys_are_damage() -> None:
    store = SqliteUserStore(own_identity=None, master_key=bytes(32))
    for read in (own.load, own.secrets):
        with pytest.raises(DamagedError):
            read(store)
    store.close()


def test_a_changed_secret_is_read_for_as_long_as_mail_may_name_it(stack: ExitStack) -> None:
    person = Person("alice", stack)
    first = own.secrets(person.store)[0].secret
    second = own.rotate_secret(person.store, person.random, START)
    assert [held.secret for held in own.secrets(person.store)] == [second, first]
    own.drop_old_secrets(person.store, after(limits.SECRET_READ_S - 1))
    assert [held.secret for held in own.secrets(person.store)] == [second, first]
    own.drop_old_secrets(person.store, after(limits.SECRET_READ_S))
    assert [held.secret for held in own.secrets(person.store)] == [second]


def test_contact_secrets_are_bounded(stack: ExitStack) -> None:
    person = Person("alice", stack)
    newest = [own.rotate_secret(person.store, person.random, START) for _ in range(limits.CONTACT_SECRETS + 5)][-1]
    held = own.secrets(person.store)
    assert len(held) == limits.CONTACT_SECRETS
    assert held[0].secret == newest


def test_who_shall_learn_no_address_keeps_their_secret_however_often_the_others_changes(stack: ExitStack) -> None:
    person = Person("alice", stack)
    shielded = own.rotate_secret(person.store, person.random, START, shielded=True)
    newest = [own.rotate_secret(person.store, person.random, START) for _ in range(2 * limits.CONTACT_SECRETS)][-1]
    assert own.secret(person.store, shielded=True) == shielded
    assert own.secret(person.store) == newest
    for _ in range(2 * limits.CONTACT_SECRETS):
        own.rotate_secret(person.store, person.random, START, shielded=True)
    assert own.secret(person.store) == newest
    assert len(own.secrets(person.store)) == limits.CONTACT_SECRETS


def test_a_certificate_of_another_identity_or_signature_is_refused(stack: ExitStack) -> None:
    alice, bob = Person("alice", stack), Person("bob", stack)
    with pytest.raises(PeerError, match="wrong_identity"):
        own.certified_device(alice.keys.certificate, bob.identity)
    forged = DeviceCertificate(alice.keys.certificate.content, bob.keys.certificate.signature)
    with pytest.raises(PeerError, match="bad_certificate"):
        own.certified_device(forged)


@pytest.mark.parametrize("device", [SMALL_ORDER, b"\xff" * 32, bytes(32)])
def test_a_certificate_for_a_key_with_which_nothing_is_agreed_is_refused(device: bytes) -> None:
    identity = SigningKey(b"i" * 32)
    content = DeviceContent(IdentityKey(identity.public), DeviceKey(device), 1).encode()
    certificate = DeviceCertificate(content, identity.sign(Domain.SIGN_DEVICE, content))
    with pytest.raises(PeerError, match="bad key"):
        own.certified_device(certificate)


def test_what_is_read_aloud_is_what_the_second_implementation_makes() -> None:
    one, other = IdentityKey(TEXTS["identity"]), IdentityKey(TEXTS["other_identity"])
    assert own.fingerprint(one) == TEXTS["fingerprint"]
    assert own.safety_code(one, other) == own.safety_code(other, one) == TEXTS["safety_code"]


def test_a_fingerprint_is_eight_groups_of_four(stack: ExitStack) -> None:
    groups = own.fingerprint(Person("alice", stack).identity).split(" ")
    assert [len(group) for group in groups] == [4] * 8
    assert own.fingerprint(IdentityKey(ON_THE_CURVE)) != " ".join(groups)
