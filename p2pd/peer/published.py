"""Profile and presence as records: signed under a blinded key, sealed for whoever may read them.

Knows no network: `Publisher` and `Reach` put and get what is made here.
`docs/protocol.md`, "People", has the bytes.
"""

from typing import Protocol

from p2pd import limits
from p2pd.crypto.blinding import blind_public, blind_secret
from p2pd.crypto.keys import SigningKey, verify
from p2pd.crypto.sealing import seal, unseal
from p2pd.domains import Domain, derive_key, domain_hash
from p2pd.errors import PeerError
from p2pd.peer.own import certified_device
from p2pd.types import AddressKey, IdentityKey, Now, RandomSource
from p2pd.wire.padding import pad_for_seal, unpad
from p2pd.wire.person import PrekeyContent, Presence, Profile, ProfileDevice
from p2pd.wire.record import Content, Record, Single, signing_domain

PROFILE = b"profile"
PRESENCE = b"presence"
INBOX = b"inbox"


class Signer(Protocol):
    """A key that signs records: an ordinary one or a blinded one."""

    @property
    def public(self) -> bytes: ...
    def sign(self, domain: Domain, message: bytes) -> bytes: ...


def signed_record(content: Content, signer: Signer) -> Record:
    """The record of this content; the signer is its address key or, for an open item, its own."""
    encoded = content.encode()
    return Record(encoded, signer.sign(signing_domain(content), encoded))


def personal_address(identity: IdentityKey, purpose: bytes, secret: bytes, day: int) -> AddressKey:
    """Where a person's record of this purpose and day is found; raises `PeerError` for a key that is none."""
    return AddressKey(blind_public(identity, purpose, secret, day))


def sealed_body(key: bytes, plaintext: bytes, address: AddressKey, nonce: bytes, *, least: int = 0) -> bytes:
    """Nonce and box, together exactly a size class."""
    return nonce + seal(key, nonce, pad_for_seal(plaintext, least=least), address)


def opened_body(key: bytes, body: bytes, address: AddressKey) -> bytes:
    """What `sealed_body` sealed; raises `PeerError`."""
    nonce, box = body[: limits.NONCE_BYTES], body[limits.NONCE_BYTES :]
    return unpad(unseal(key, nonce, box, address))


def _profile_key(identity: IdentityKey, day: int) -> bytes:
    return domain_hash(Domain.PROFILE_SEAL, identity, day.to_bytes(4, "big"))


def _presence_key(identity: IdentityKey, secret: bytes, day: int) -> bytes:
    return derive_key(Domain.PRESENCE_SEAL, secret, identity, day.to_bytes(4, "big"))


def profile_record(identity: SigningKey, profile: Profile, now: Now, random: RandomSource) -> Record:
    """Our profile for today."""
    signer = blind_secret(identity, PROFILE, b"", now.day)
    address = AddressKey(signer.public)
    key = _profile_key(IdentityKey(identity.public), now.day)
    body = sealed_body(key, profile.encode(), address, random.bytes(limits.NONCE_BYTES), least=limits.SIZE_CLASSES[2])
    expires_s = now.wall_s + limits.PROFILE_LIFE_S - limits.CLOCK_SKEW_S
    return signed_record(Single(address, profile.made_ms, expires_s, body), signer)


def open_profile(identity: IdentityKey, day: int, single: Single) -> Profile:
    """A person's profile of that day, every certificate and prekey in it checked; raises `PeerError`."""
    profile = Profile.decode(opened_body(_profile_key(identity, day), single.body, single.address))
    for device in profile.devices:
        checked_prekey(identity, device)
    return profile


def checked_prekey(identity: IdentityKey, device: ProfileDevice) -> PrekeyContent:
    """The prekey of a device whose certificate and signature hold; raises `PeerError`."""
    content = certified_device(device.certificate, identity)
    if not verify(content.device, Domain.SIGN_PREKEYS, device.prekey.content, device.prekey.signature):
        raise PeerError("bad_prekey")
    return PrekeyContent.decode(device.prekey.content)


def presence_record(identity: SigningKey, secret: bytes, presence: Presence, now: Now, random: RandomSource) -> Record:
    """Where we are, for those who hold our contact secret."""
    signer = blind_secret(identity, PRESENCE, secret, now.day)
    address = AddressKey(signer.public)
    key = _presence_key(IdentityKey(identity.public), secret, now.day)
    body = sealed_body(key, presence.encode(), address, random.bytes(limits.NONCE_BYTES))
    return signed_record(Single(address, presence.made_ms, now.wall_s + limits.PRESENCE_LIFE_S, body), signer)


def open_presence(identity: IdentityKey, secret: bytes, day: int, single: Single) -> Presence:
    """Where a contact is; raises `PeerError`."""
    return Presence.decode(opened_body(_presence_key(identity, secret, day), single.body, single.address))
