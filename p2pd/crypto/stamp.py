"""Proof of work: Argon2id over one mebibyte (RFC 9106, t = 1, one lane), for stamps on records and for node keys.

Memory-hard, so that graphics cards gain little.  Solving takes 2^bits tries of about 0.65 ms: an effect in a worker,
never in the core.  Checking takes one try.

    salt     = BLAKE2b-128(label, challenge)
    password = BLAKE2b-256(label, challenge, nonce)
    bits     = leading zero bits of Argon2id(password, salt), 32 bytes
"""

from nacl import bindings

from p2pd.crypto.keys import SigningKey
from p2pd.domains import Domain, domain_hash
from p2pd.limits import KEY_BYTES, MIB, STAMP_BITS_MAX, STAMP_BYTES
from p2pd.types import RandomSource

_PASSES = 1
_SALT_SIZE = 16
_OUTPUT_SIZE = 32


def solve(domain: Domain, challenge: bytes, bits: int, start: int = 0) -> bytes:
    """The first 8-byte nonce, counting from `start`, whose stamp has at least so many bits (0 to STAMP_BITS_MAX)."""
    _check_bits(bits)
    number = start
    while stamp_bits(domain, challenge, _nonce(number)) < bits:
        number += 1
    return _nonce(number)


def stamp_bits(domain: Domain, challenge: bytes, nonce: bytes) -> int:
    """How many leading zero bits the stamp has: 0 to 256."""
    salt = domain_hash(domain, challenge, size=_SALT_SIZE)
    password = domain_hash(domain, challenge, nonce)
    output = bindings.crypto_pwhash_alg(
        _OUTPUT_SIZE, password, salt, _PASSES, MIB, bindings.crypto_pwhash_ALG_ARGON2ID13
    )
    return _OUTPUT_SIZE * 8 - int.from_bytes(output, "big").bit_length()


def node_key_bits(public: bytes) -> int:
    """How many bits of the node puzzle a public node key satisfies (R6)."""
    return stamp_bits(Domain.NODE_PUZZLE, public, b"")


def make_node_seed(bits: int, random: RandomSource) -> bytes:
    """A 32-byte seed whose public key satisfies so many bits of the node puzzle (0 to STAMP_BITS_MAX)."""
    _check_bits(bits)
    seed = random.bytes(KEY_BYTES)
    while bits and node_key_bits(SigningKey(seed).public) < bits:
        seed = random.bytes(KEY_BYTES)
    return seed


def _check_bits(bits: int) -> None:
    if not 0 <= bits <= STAMP_BITS_MAX:
        raise ValueError(f"a stamp of {bits} bits is not within 0 to {STAMP_BITS_MAX}")


def _nonce(number: int) -> bytes:
    return (number % (1 << 8 * STAMP_BYTES)).to_bytes(STAMP_BYTES, "big")
