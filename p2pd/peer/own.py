"""What is ours: the keys of one user's node, their device's certificate, the contact secrets, the claimed name.

Knows no network.
Rules: seeds lie in the user store, sealed at rest; `create` makes them once, at the first run.
The contact secret is what accepted contacts find presence and rings with; a retired one is still read for
`limits.SECRET_READ_S`, so that a contact who has not heard of the new one yet is not lost.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import msgspec

from p2pd import limits
from p2pd.crypto.keys import SigningKey, exchange_public, verify
from p2pd.domains import Domain, domain_hash
from p2pd.errors import DamagedError, PeerError
from p2pd.store import UserStore
from p2pd.types import DeviceKey, IdentityKey, NodeKey, Now, RandomSource
from p2pd.wire.address import encode_letters
from p2pd.wire.codec import U63, Bytes32, Wire
from p2pd.wire.person import DeviceCertificate, DeviceContent

SEEDS = ("identity", "device", "node")
INBOX_READ_DAY = "inbox_read_day"
"""The value that holds the last day through which the public inbox was read, 4 bytes."""


class HeldSecret(Wire, frozen=True):
    """One contact secret of ours; `retired_ms` 0 while it is in use."""

    secret: Bytes32
    made_ms: U63
    retired_ms: U63 = 0
    shielded: bool = False
    """Given to contacts who shall learn no address of ours."""


class _HeldSecrets(Wire, frozen=True):
    LIMIT: ClassVar[int] = 16 * limits.KIB
    secrets: Annotated[list[HeldSecret], msgspec.Meta(max_length=limits.CONTACT_SECRETS)]


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """The three keys of one installation and the certificate that binds device to identity."""

    identity: SigningKey
    device: SigningKey
    node: SigningKey
    certificate: DeviceCertificate

    @property
    def identity_key(self) -> IdentityKey:
        return IdentityKey(self.identity.public)

    @property
    def device_key(self) -> DeviceKey:
        return DeviceKey(self.device.public)

    @property
    def node_key(self) -> NodeKey:
        return NodeKey(self.node.public)


def create(store: UserStore, node_seed: bytes, random: RandomSource, now: Now) -> None:
    """Makes identity, device and contact secret; the node's seed is given, since it may have cost a puzzle."""
    identity, device = SigningKey(random.bytes(32)), SigningKey(random.bytes(32))
    content = DeviceContent(IdentityKey(identity.public), DeviceKey(device.public), now.wall_s).encode()
    certificate = DeviceCertificate(content, identity.sign(Domain.SIGN_DEVICE, content))
    for name, value in zip(SEEDS, (identity.seed, device.seed, node_seed), strict=True):
        store.set_value(name, value)
    store.set_value("certificate", certificate.encode())
    store.set_value(INBOX_READ_DAY, now.day.to_bytes(4, "big"))
    _save_secrets(store, [HeldSecret(random.bytes(32), now.wall_ms)])


def load(store: UserStore) -> OwnKeys:
    """The keys that `create` made.

    Raises:
        DamagedError: some are missing.
    """
    seeds = [store.value(name) for name in SEEDS]
    certificate = store.value("certificate")
    if certificate is None or any(seed is None for seed in seeds):
        raise DamagedError("the keys are not in the database", hint="restore a backup of the home")
    identity, device, node = (SigningKey(seed) for seed in seeds if seed is not None)
    try:
        return OwnKeys(identity, device, node, DeviceCertificate.decode(certificate))
    except PeerError as error:
        raise DamagedError("our own certificate is damaged", hint="restore a backup of the home") from error


def secret(store: UserStore, *, shielded: bool = False) -> bytes | None:
    """The contact secret in use, of one of the two kinds; of the shielded kind there may be none."""
    found = [held.secret for held in secrets(store) if held.shielded is shielded and not held.retired_ms]
    return found[0] if found else None


def secrets(store: UserStore) -> list[HeldSecret]:
    """Our contact secrets, the newest first."""
    value = store.value("secrets")
    if value is None:
        raise DamagedError("the contact secret is not in the database", hint="restore a backup of the home")
    return _HeldSecrets.decode(value).secrets


def rotate_secret(store: UserStore, random: RandomSource, now: Now, *, shielded: bool = False) -> bytes:
    """A new contact secret, after someone who held it shall not any more; the others must be told."""
    kept = [
        held
        if held.retired_ms or held.shielded is not shielded
        else HeldSecret(held.secret, held.made_ms, now.wall_ms, shielded)
        for held in secrets(store)
    ]
    fresh = HeldSecret(random.bytes(32), now.wall_ms, shielded=shielded)
    held = [fresh, *kept]
    oldest = next((each for each in reversed(held) if each.retired_ms), None)
    if len(held) > limits.CONTACT_SECRETS and oldest is not None:  # the other kind's may be older, and is in use
        held.remove(oldest)
    _save_secrets(store, held)
    return fresh.secret


def drop_old_secrets(store: UserStore, now: Now) -> None:
    """Forgets the retired secrets that are read no more; a date ahead of the clock counts as now (see `prekeys`)."""
    held = secrets(store)
    kept = [
        HeldSecret(each.secret, each.made_ms, min(each.retired_ms, now.wall_ms), each.shielded)
        for each in held
        if not each.retired_ms or now.wall_ms - each.retired_ms < limits.SECRET_READ_S * 1000
    ]
    if kept != held:
        _save_secrets(store, kept)


def _save_secrets(store: UserStore, held: list[HeldSecret]) -> None:
    store.set_value("secrets", _HeldSecrets(held).encode())


def name(store: UserStore) -> str:
    """The name that we claim; may be empty."""
    return (store.value("name") or b"").decode()


def fingerprint(identity: IdentityKey) -> str:
    """A person's key for reading aloud: eight groups of four letters."""
    return _spoken(domain_hash(Domain.FINGERPRINT, identity, size=20))


def safety_code(one: IdentityKey, other: IdentityKey) -> str:
    """What two people compare by voice: equal on both ends only if each has the other's real address."""
    return _spoken(domain_hash(Domain.SAFETY_CODE, *sorted((one, other)), size=20))


def _spoken(digest: bytes) -> str:
    letters = encode_letters(digest)
    return " ".join(letters[start : start + 4] for start in range(0, 32, 4))


def certified_device(certificate: DeviceCertificate, identity: IdentityKey | None = None) -> DeviceContent:
    """What a certificate says, once its signature is checked.

    Raises:
        PeerError: it is not signed by the identity that it names, or not by the one asked for, or names a key with
            which nothing can be agreed: no one after this has to expect that.
    """
    content = DeviceContent.decode(certificate.content)
    if identity is not None and content.identity != identity:
        raise PeerError("wrong_identity")
    if not verify(content.identity, Domain.SIGN_DEVICE, certificate.content, certificate.signature):
        raise PeerError("bad_certificate")
    for key in (content.identity, content.device):
        exchange_public(key)
    return content
