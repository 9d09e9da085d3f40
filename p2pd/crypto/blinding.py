"""Keys that change daily: blinded ones that only their owner can sign with, and pair keys that two devices share.

Blinding follows Tor's version 3 onion services (rend-spec-v3, appendix A.2) with BLAKE2b for its hashes:

    h  = BLAKE2b-512(label, identity, purpose, secret, day) mod L
    A' = h A          a' = h a mod L          prefix' = BLAKE2b-256(key = prefix, label, h)

`identity` A is an Ed25519 public key, `a ‖ prefix` its expanded secret (RFC 8032 section 5.1.5), L the group's order.
Signatures by (a', prefix') verify under A' as ordinary Ed25519.
Where `purpose` is public and `secret` empty, h is public: a leaked a' then gives away a, so it is guarded as a is.

Does not know what purposes there are.  Days are whole days since 1970 UTC, 4 bytes, big-endian, as indexes are.
"""

from hashlib import sha512

from nacl import bindings
from nacl.exceptions import CryptoError

from p2pd.crypto.keys import SigningKey, signed_bytes
from p2pd.domains import Domain, derive_key, domain_hash
from p2pd.errors import PeerError
from p2pd.limits import RING_BYTES

_PREFIX_SIZE = 32


class BlindedKey:
    """The secret half of a blinded key: signs as any Ed25519 key does."""

    __slots__ = ("_prefix", "_scalar", "public")

    def __init__(self, public: bytes, scalar: bytes, prefix: bytes) -> None:
        self.public = public
        self._scalar = scalar
        self._prefix = prefix

    def sign(self, domain: Domain, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature of the message under the domain's label (RFC 8032 section 5.1.6)."""
        signed = signed_bytes(domain, message)
        nonce = _reduced(sha512(self._prefix + signed).digest())
        commitment = bindings.crypto_scalarmult_ed25519_base_noclamp(nonce)
        challenge = _reduced(sha512(commitment + self.public + signed).digest())
        response = bindings.crypto_core_ed25519_scalar_mul(challenge, self._scalar)
        return commitment + bindings.crypto_core_ed25519_scalar_add(nonce, response)

    def __repr__(self) -> str:
        return f"BlindedKey({self.public.hex()[:8]})"


def blind_secret(identity: SigningKey, purpose: bytes, secret: bytes, day: int) -> BlindedKey:
    """The identity's key pair for a purpose and day; `secret` is empty where anyone may compute the public half."""
    factor = _factor(identity.public, purpose, secret, day)
    expanded_prefix = sha512(identity.seed).digest()[_PREFIX_SIZE:]
    scalar = bindings.crypto_core_ed25519_scalar_mul(factor, identity.exchange_secret)
    return BlindedKey(
        public=bindings.crypto_scalarmult_ed25519_base_noclamp(scalar),
        scalar=scalar,
        prefix=derive_key(Domain.BLIND_NONCE, expanded_prefix, factor),
    )


def blind_public(identity: bytes, purpose: bytes, secret: bytes, day: int) -> bytes:
    """The 32-byte public half of `blind_secret`; PeerError when the identity is not a point of prime order."""
    try:
        return bindings.crypto_scalarmult_ed25519_noclamp(_factor(identity, purpose, secret, day), identity)
    except CryptoError as error:
        raise PeerError("bad key", "not an Ed25519 point of prime order") from error


def pair_zero(own: SigningKey, peer_public: bytes) -> bytes:
    """Generation 0 of the pair secret of two devices, 32 bytes, equal on both ends; PeerError for a bad key."""
    return derive_key(Domain.PAIR_ZERO, own.exchange(peer_public), *sorted((own.public, peer_public)))


def pair_address(pair_secret: bytes, sender_device: bytes, recipient_device: bytes, day: int, index: int) -> SigningKey:
    """The key that both devices hold for mail in one direction on one day; `index` counts mailboxes of that day."""
    place = (sender_device, recipient_device, _u32(day), _u32(index))
    return SigningKey(derive_key(Domain.PAIR_ADDRESS, pair_secret, *place))


def ring_tag(pair_secret: bytes, sender_device: bytes, recipient_device: bytes, day: int, index: int) -> bytes:
    """The 16 bytes by which a recipient knows who rang that day, and in which mailbox to look."""
    place = (sender_device, recipient_device, _u32(day), _u32(index))
    return derive_key(Domain.RING, pair_secret, *place, size=RING_BYTES)


def _factor(identity: bytes, purpose: bytes, secret: bytes, day: int) -> bytes:
    return _reduced(domain_hash(Domain.BLIND, identity, purpose, secret, _u32(day), size=64))


def _reduced(wide: bytes) -> bytes:
    return bindings.crypto_core_ed25519_scalar_reduce(wide)


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "big")
