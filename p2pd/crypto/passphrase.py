"""What a passphrase becomes: a key, by Argon2id (RFC 9106), which costs each guess time and memory.

Rule: how much it costs is stored beside what it opens, and whoever reads that checks it against `limits`.
"""

from nacl import bindings, exceptions

from p2pd.domains import Domain, derive_key
from p2pd.errors import StorageError
from p2pd.limits import KEY_BYTES


def passphrase_key(passphrase: bytes, salt: bytes, *, memory_bytes: int, passes: int, purpose: bytes) -> bytes:
    """32 bytes for one purpose, from any passphrase and a salt of 16 bytes; StorageError without the memory for it."""
    argon2id = bindings.crypto_pwhash_ALG_ARGON2ID13
    try:
        stretched = bindings.crypto_pwhash_alg(KEY_BYTES, passphrase, salt, passes, memory_bytes, argon2id)
    except (exceptions.RuntimeError, MemoryError) as error:
        raise StorageError(
            f"{memory_bytes} bytes of memory are wanted for a moment", hint="free some memory"
        ) from error
    return derive_key(Domain.AT_REST, stretched, b"passphrase", purpose)
