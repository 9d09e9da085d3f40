"""Ed25519 keys: signing under a label, and agreement through their Curve25519 form.

Knows nothing of what a key stands for (person, device, node).
Rules: nothing is signed without its domain's label; secrets are compared in constant time and never shown.
A signature covers `length of label (4, big-endian) ‖ label ‖ message` (docs/protocol.md, cryptography).
"""

from functools import lru_cache
from hmac import compare_digest

from nacl import bindings
from nacl.exceptions import CryptoError

from p2pd.domains import Domain
from p2pd.errors import PeerError
from p2pd.limits import KEY_BYTES, SIGNATURE_BYTES


class SigningKey:
    """An Ed25519 key pair from its 32-byte seed (RFC 8032)."""

    __slots__ = ("_exchange_secret", "_secret", "public")

    def __init__(self, seed: bytes) -> None:
        self.public, self._secret = bindings.crypto_sign_seed_keypair(seed)
        self._exchange_secret: bytes | None = None

    @property
    def seed(self) -> bytes:
        return self._secret[:KEY_BYTES]

    @property
    def exchange_secret(self) -> bytes:
        """The X25519 secret of the same key: the first half of SHA-512 of the seed, clamped."""
        if self._exchange_secret is None:
            self._exchange_secret = bindings.crypto_sign_ed25519_sk_to_curve25519(self._secret)
        return self._exchange_secret

    def sign(self, domain: Domain, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature of the message under the domain's label."""
        return bindings.crypto_sign(signed_bytes(domain, message), self._secret)[:SIGNATURE_BYTES]

    def exchange(self, peer_public: bytes) -> bytes:
        """The 32-byte X25519 secret shared with the owner of an Ed25519 key; PeerError for a bad point."""
        return x25519(self.exchange_secret, exchange_public(peer_public))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SigningKey) and equal(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self.public)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.hex()[:8]})"


def verify(public: bytes, domain: Domain, message: bytes, signature: bytes) -> bool:
    """Whether the signature is the key's for this message in this domain; never raises, whatever the bytes."""
    return verify_raw(public, signed_bytes(domain, message), signature)


def verify_raw(public: bytes, message: bytes, signature: bytes) -> bool:
    """As `verify` without a label: for certificates alone, whose signed bytes X.509 fixes."""
    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public)
    except CryptoError:
        return False
    return True


def equal(a: bytes, b: bytes) -> bool:
    """Equality of secrets, in a time that depends on their lengths alone."""
    return compare_digest(a, b)


def signed_bytes(domain: Domain, message: bytes) -> bytes:
    """What a signature of the message in this domain covers."""
    return len(domain.value).to_bytes(4, "big") + domain.value + message


@lru_cache(maxsize=1024)  # a fifth of what a node that comes to know another pays; nothing secret
def exchange_public(public: bytes) -> bytes:
    """The X25519 form of an Ed25519 public key; PeerError for a point outside the main subgroup."""
    try:
        return bindings.crypto_sign_ed25519_pk_to_curve25519(public)
    except CryptoError as error:
        raise PeerError("bad key", "not an Ed25519 point of prime order") from error


def x25519(secret: bytes, public: bytes) -> bytes:
    """The X25519 function (RFC 7748) with the check for an all-zero result; PeerError when it is or sizes are wrong."""
    if len(public) != KEY_BYTES:
        raise PeerError("bad key", "an X25519 key has 32 bytes")
    try:
        return bindings.crypto_scalarmult(secret, public)
    except CryptoError as error:
        raise PeerError("bad key", "an X25519 point of small order") from error


def x25519_public(secret: bytes) -> bytes:
    """The X25519 public key of a 32-byte secret."""
    return bindings.crypto_scalarmult_base(secret)
