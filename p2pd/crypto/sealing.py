"""Sealed boxes: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), and the key of datagrams between two nodes.

Rules: a key seals under one purpose; a nonce is never used twice under a key (24 random bytes will do).
"""

from nacl import bindings
from nacl.exceptions import CryptoError

from p2pd.crypto.keys import SigningKey
from p2pd.domains import Domain, derive_key
from p2pd.errors import PeerError
from p2pd.limits import BOX_OVERHEAD_BYTES, KEY_BYTES, NONCE_BYTES

KEY_SIZE = KEY_BYTES
NONCE_SIZE = NONCE_BYTES


def seal(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes = b"") -> bytes:
    """The box, 16 bytes longer than the plaintext, under a 32-byte key and a 24-byte nonce."""
    return bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, associated, nonce, key)


def unseal(key: bytes, nonce: bytes, box: bytes, associated: bytes = b"") -> bytes:
    """What `seal` sealed; PeerError when the box does not open."""
    if len(box) < BOX_OVERHEAD_BYTES or len(nonce) != NONCE_SIZE:
        raise PeerError("unsealable")
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(box, associated, nonce, key)
    except CryptoError as error:
        raise PeerError("unsealable") from error


def datagram_key(own: SigningKey, peer_public: bytes) -> bytes:
    """The 32-byte key that two nodes share for their datagrams; PeerError for a bad key."""
    shared = own.exchange(peer_public)
    return derive_key(Domain.DATAGRAM, shared, *sorted((own.public, peer_public)))
