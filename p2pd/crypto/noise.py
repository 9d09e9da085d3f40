"""Noise_IK_25519_ChaChaPoly_BLAKE2b: the handshake of the Noise specification, revision 34, over raw X25519 keys.

    IK:
      <- s
      ...
      -> e, es, s, ss
      <- e, ee, se

Names and section numbers are the specification's.  Knows nothing of devices: `handshake.py` does.
Rules: each object serves one handshake, in order; bytes that do not open raise PeerError, after which it is dead.
"""

import hmac
from enum import Enum, auto
from hashlib import blake2b

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from p2pd.crypto.keys import x25519, x25519_public
from p2pd.errors import PeerError
from p2pd.limits import BOX_OVERHEAD_BYTES, KEY_BYTES, NOISE_MESSAGE_BYTES
from p2pd.types import RandomSource

PROTOCOL_NAME = b"Noise_IK_25519_ChaChaPoly_BLAKE2b"
_SEALED_KEY_SIZE = KEY_BYTES + BOX_OVERHEAD_BYTES


class CipherState:
    """Section 5.1: a key and a nonce that counts."""

    __slots__ = ("_cipher", "_nonce")

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)
        self._nonce = 0

    def encrypt(self, plaintext: bytes, associated: bytes = b"") -> bytes:
        """The box, 16 bytes longer than the plaintext."""
        box = self._cipher.encrypt(self._nonce_bytes(), plaintext, associated)
        self._nonce += 1
        return box

    def decrypt(self, box: bytes, associated: bytes = b"") -> bytes:
        """The plaintext of the next box; PeerError, and no step forward, when it is not that."""
        try:
            plaintext = self._cipher.decrypt(self._nonce_bytes(), box, associated)
        except InvalidTag as error:
            raise PeerError("unsealable") from error
        self._nonce += 1
        return plaintext

    def _nonce_bytes(self) -> bytes:
        return bytes(4) + self._nonce.to_bytes(8, "little")


class _SymmetricState:
    """Section 5.2: the chaining key and the transcript's hash, BLAKE2b with 64 bytes."""

    def __init__(self, prologue: bytes, responder_static: bytes) -> None:
        self.hash = PROTOCOL_NAME.ljust(64, b"\0")
        self._chaining_key = self.hash
        self._cipher: CipherState | None = None
        self.mix_hash(prologue)
        self.mix_hash(responder_static)

    def mix_hash(self, data: bytes) -> None:
        self.hash = blake2b(self.hash + data).digest()

    def mix_key(self, secret: bytes) -> None:
        self._chaining_key, key = _hkdf(self._chaining_key, secret)
        self._cipher = CipherState(key[:KEY_BYTES])

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        box = self._keyed().encrypt(plaintext, self.hash)
        self.mix_hash(box)
        return box

    def decrypt_and_hash(self, box: bytes) -> bytes:
        plaintext = self._keyed().decrypt(box, self.hash)
        self.mix_hash(box)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        from_initiator, from_responder = _hkdf(self._chaining_key, b"")
        return CipherState(from_initiator[:KEY_BYTES]), CipherState(from_responder[:KEY_BYTES])

    def _keyed(self) -> CipherState:
        if self._cipher is None:
            raise RuntimeError("the pattern encrypts nothing before its first agreement")
        return self._cipher


class _Stage(Enum):
    FIRST = auto()
    SECOND = auto()
    DONE = auto()
    DEAD = auto()


class _Side:
    """What both sides keep, and the order of their messages."""

    def __init__(self, static: bytes, responder_static: bytes, prologue: bytes, random: RandomSource) -> None:
        self._static = static
        self._symmetric = _SymmetricState(prologue, responder_static)
        self._random = random
        self._ephemeral = b""
        self._stage = _Stage.FIRST

    @property
    def hash(self) -> bytes:
        """64 bytes that stand for the whole handshake, equal on both sides when it is done (section 11.2)."""
        return self._symmetric.hash

    def split(self) -> tuple[CipherState, CipherState]:
        """The ciphers of the initiator's and of the responder's messages."""
        self._expect(_Stage.DONE)
        return self._symmetric.split()

    def _expect(self, stage: _Stage) -> None:
        if self._stage is not stage:
            raise RuntimeError(f"the handshake is at {self._stage.name}, not at {stage.name}")

    def _make_ephemeral(self) -> bytes:
        self._ephemeral = self._random.bytes(KEY_BYTES)
        public = x25519_public(self._ephemeral)
        self._symmetric.mix_hash(public)
        return public

    def _check_size(self, message: bytes, least: int) -> None:
        if not least <= len(message) <= NOISE_MESSAGE_BYTES:
            raise PeerError("bad handshake", f"{len(message)} bytes")


class IkInitiator(_Side):
    """Who knows the other's static key and speaks first; keys are raw X25519."""

    def __init__(self, static: bytes, peer_static: bytes, prologue: bytes, random: RandomSource) -> None:
        super().__init__(static, peer_static, prologue, random)
        self._peer_static = peer_static

    def write_first(self, payload: bytes) -> bytes:
        """-> e, es, s, ss: 96 bytes longer than the payload."""
        self._expect(_Stage.FIRST)
        ephemeral = self._make_ephemeral()
        self._symmetric.mix_key(x25519(self._ephemeral, self._peer_static))
        sealed_static = self._symmetric.encrypt_and_hash(x25519_public(self._static))
        self._symmetric.mix_key(x25519(self._static, self._peer_static))
        self._stage = _Stage.SECOND
        return ephemeral + sealed_static + self._symmetric.encrypt_and_hash(payload)

    def read_second(self, message: bytes) -> bytes:
        """<- e, ee, se: the responder's payload, which proves it."""
        self._expect(_Stage.SECOND)
        self._stage = _Stage.DEAD
        self._check_size(message, KEY_BYTES + BOX_OVERHEAD_BYTES)
        ephemeral = message[:KEY_BYTES]
        self._symmetric.mix_hash(ephemeral)
        self._symmetric.mix_key(x25519(self._ephemeral, ephemeral))
        self._symmetric.mix_key(x25519(self._static, ephemeral))
        payload = self._symmetric.decrypt_and_hash(message[KEY_BYTES:])
        self._stage = _Stage.DONE
        return payload


class IkResponder(_Side):
    """Who is called; keys are raw X25519."""

    def __init__(self, static: bytes, prologue: bytes, random: RandomSource) -> None:
        super().__init__(static, x25519_public(static), prologue, random)
        self._peer_ephemeral = b""
        self._peer_static = b""

    def read_first(self, message: bytes) -> tuple[bytes, bytes]:
        """-> e, es, s, ss: the initiator's static key, claimed and not yet proven, and its payload."""
        self._expect(_Stage.FIRST)
        self._stage = _Stage.DEAD
        self._check_size(message, KEY_BYTES + _SEALED_KEY_SIZE + BOX_OVERHEAD_BYTES)
        self._peer_ephemeral = message[:KEY_BYTES]
        self._symmetric.mix_hash(self._peer_ephemeral)
        self._symmetric.mix_key(x25519(self._static, self._peer_ephemeral))
        self._peer_static = self._symmetric.decrypt_and_hash(message[KEY_BYTES:][:_SEALED_KEY_SIZE])
        self._symmetric.mix_key(x25519(self._static, self._peer_static))
        payload = self._symmetric.decrypt_and_hash(message[KEY_BYTES + _SEALED_KEY_SIZE :])
        self._stage = _Stage.SECOND
        return self._peer_static, payload

    def write_second(self, payload: bytes) -> bytes:
        """<- e, ee, se: 48 bytes longer than the payload."""
        self._expect(_Stage.SECOND)
        ephemeral = self._make_ephemeral()
        self._symmetric.mix_key(x25519(self._ephemeral, self._peer_ephemeral))
        self._symmetric.mix_key(x25519(self._ephemeral, self._peer_static))
        self._stage = _Stage.DONE
        return ephemeral + self._symmetric.encrypt_and_hash(payload)


def _hkdf(chaining_key: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """Section 4.3, with two outputs of 64 bytes."""
    temporary = hmac.digest(chaining_key, secret, "blake2b")
    first = hmac.digest(temporary, b"\x01", "blake2b")
    return first, hmac.digest(temporary, first + b"\x02", "blake2b")
