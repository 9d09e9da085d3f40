"""Prekeys: what a device publishes so that others can begin a session while it is away.

Knows nothing of rotation, publication or signatures: when a pair is made and dropped is the caller's decision.
Secrets never appear in a repr and are compared in constant time.
"""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from p2pd.crypto.keys import equal, x25519_public
from p2pd.types import RandomSource

KEM_SEED_SIZE = 64
KEM_PUBLIC_SIZE = 1184
KEM_CIPHERTEXT_SIZE = 1088


@dataclass(frozen=True, slots=True)
class PrekeyPublic:
    """The published half: an id chosen by the device, X25519 (32 bytes) and ML-KEM-768 (1,184 bytes, FIPS 203)."""

    id: int
    x25519: bytes
    kem: bytes


@dataclass(frozen=True, slots=True, eq=False)
class PrekeyPair:
    """The secret half: an X25519 secret (32 bytes) and an ML-KEM-768 seed d ‖ z (64 bytes, FIPS 203)."""

    id: int
    made_ms: int
    x25519: bytes = field(repr=False)
    kem: bytes = field(repr=False)

    def public(self) -> PrekeyPublic:
        kem = MLKEM768PrivateKey.from_seed_bytes(self.kem).public_key().public_bytes_raw()
        return PrekeyPublic(self.id, x25519_public(self.x25519), kem)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PrekeyPair) or (self.id, self.made_ms) != (other.id, other.made_ms):
            return False
        return equal(self.x25519 + self.kem, other.x25519 + other.kem)

    def __hash__(self) -> int:
        return hash((self.id, self.made_ms))


@dataclass(frozen=True, slots=True)
class OneTimePublic:
    """The published half of a one-time prekey: an id from 1, and X25519."""

    id: int
    x25519: bytes


@dataclass(frozen=True, slots=True, eq=False)
class OneTimePair:
    """The secret half of a one-time prekey; its holder deletes it when it has been used."""

    id: int
    x25519: bytes = field(repr=False)

    def public(self) -> OneTimePublic:
        return OneTimePublic(self.id, x25519_public(self.x25519))


def new_prekey(id: int, made_ms: int, random: RandomSource) -> PrekeyPair:
    """A pair from 96 random bytes; `id` is a u32 that the device has not used before."""
    return PrekeyPair(id, made_ms, random.bytes(32), random.bytes(KEM_SEED_SIZE))
