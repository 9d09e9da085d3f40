"""Padding to the few sizes that anyone may see.  `docs/protocol.md`, "Size classes".

A padded plaintext is its length in 4 bytes, itself, zeros.
"""

from p2pd import limits
from p2pd.errors import PeerError

LENGTH_BYTES = 4
SEAL_BYTES = limits.NONCE_BYTES + limits.BOX_OVERHEAD_BYTES


def pad(plaintext: bytes, size: int) -> bytes:
    """`size` bytes."""
    if len(plaintext) + LENGTH_BYTES > size:
        raise ValueError(f"{len(plaintext)} bytes do not fit {size}")
    return (len(plaintext).to_bytes(LENGTH_BYTES, "big") + plaintext).ljust(size, b"\0")


def pad_for_seal(plaintext: bytes, *, least: int = 0, seal_bytes: int = SEAL_BYTES) -> bytes:
    """Padded to have exactly a size class with what its seal adds: the smallest that fits, from `least` upward."""
    needed = len(plaintext) + LENGTH_BYTES + seal_bytes
    for size in limits.SIZE_CLASSES:
        if needed <= size >= least:
            return pad(plaintext, size - seal_bytes)
    raise ValueError(f"{len(plaintext)} bytes do not fit any size class")


def unpad(padded: bytes) -> bytes:
    """What was padded; what follows its length is ignored.  Raises `PeerError`."""
    size = int.from_bytes(padded[:LENGTH_BYTES], "big")
    if len(padded) < LENGTH_BYTES + size:
        raise PeerError("malformed", "padding")
    return padded[LENGTH_BYTES : LENGTH_BYTES + size]
