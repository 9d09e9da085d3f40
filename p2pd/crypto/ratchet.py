"""The Double Ratchet (Signal's specification, revision 1) of one session between two devices.

The library does the Diffie-Hellman and symmetric ratchets (section 5.1, 5.2).  Message keys that were skipped are kept
here (section 3.5 there), because the library's own keeping copies all of them at every message: 3.5 ms with 900 kept.

Rules:
- The library's objects live for one operation; what stays is its model, a value.  So an operation that fails has
  changed nothing.
- A header is judged before any key is derived for it (R25).
- `state()` after an operation must be on disk before its result leaves the process, or keys repeat after a crash.

Keys: root chain HKDF-SHA256 (salt root key, label as info); message chains HMAC-SHA256(chain key, label ‖ 2) for the
next chain key and label ‖ 1 for the message key; ChaCha20-Poly1305 (RFC 8439) with key and nonce from
HKDF(message key), 44 bytes.  Associated data: the session's, the message's, and the header (see `_authenticated`).
"""

import hmac
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl import bindings
from nacl.utils import random as random_bytes

from p2pd.crypto import ratchet_state
from p2pd.crypto.derivation import hkdf
from p2pd.crypto.driving import run
from p2pd.crypto.keys import x25519
from p2pd.crypto.prekeys import PrekeyPair
from p2pd.crypto.ratchet_libraries import (
    HashFunction,
    KDFChainModel,
    SymmetricKeyRatchetModel,
    doubleratchet,
    kdf_hkdf,
)
from p2pd.crypto.ratchet_state import RETIRED_SIZE, Skipped
from p2pd.domains import Domain, framed
from p2pd.errors import DuplicateError, PeerError, UndecryptableError, UsageError
from p2pd.limits import KEY_BYTES, RATCHET_COUNTER_MAX, RATCHET_JUMP, RATCHET_RETIRED, RATCHET_SKIPPED

_CHAIN_THEN_MESSAGE = b"\x02\x01"
_NOBODY_YET = b""
"""In the place of the peer's ratchet key until its first message is in."""


@dataclass(frozen=True, slots=True)
class RatchetHeader:
    """The sender's ratchet key (X25519), how many messages its previous chain had, and this message's number."""

    public: bytes
    previous: int
    number: int


class _RootKdf(kdf_hkdf.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256

    @staticmethod
    def _get_info() -> bytes:
        return Domain.RATCHET_ROOT.value


class _ChainKdf(doubleratchet.KDF):
    @staticmethod
    async def derive(key: bytes, data: bytes, length: int) -> bytes:
        label = Domain.RATCHET_CHAIN.value
        return b"".join(hmac.digest(key, label + data[i : i + 1], "sha256") for i in range(length // 32))


class _Chains(doubleratchet.DiffieHellmanRatchet):
    """The library's ratchets over Curve25519, with the check for points of small order that it leaves out."""

    @staticmethod
    def _generate_priv() -> bytes:
        return random_bytes(KEY_BYTES)

    @staticmethod
    def _derive_pub(priv: bytes) -> bytes:
        return bindings.crypto_scalarmult_base(priv)

    @staticmethod
    def _perform_diffie_hellman(own_priv: bytes, other_pub: bytes) -> bytes:
        return x25519(own_priv, other_pub)


class Ratchet:
    """One end of a session; `begin` for who contacts first, `accept` for the other."""

    __slots__ = ("_associated", "_model", "_public", "_retired", "_skipped")

    def __init__(
        self, model: doubleratchet.DiffieHellmanRatchetModel, associated: bytes, skipped: Skipped, retired: bytes
    ) -> None:
        self._model = model
        self._associated = associated
        self._public = b"", b""
        self._skipped = skipped
        self._retired = retired

    @classmethod
    def begin(cls, secret: bytes, peer_prekey_x25519: bytes, associated: bytes) -> Self:
        """The initiator's end, from the secret of first contact; PeerError for a bad prekey."""
        created = _Chains.create(
            None, peer_prekey_x25519, _RootKdf, secret, _ChainKdf, _CHAIN_THEN_MESSAGE, RATCHET_JUMP
        )
        return cls(run(created).model, associated, {}, b"")

    @classmethod
    def accept(cls, secret: bytes, own_prekey: PrekeyPair, associated: bytes) -> Self:
        """The recipient's end; it can encrypt once it has decrypted a first message."""
        no_chain_yet = KDFChainModel(length=0, key=bytes(KEY_BYTES))
        model = doubleratchet.DiffieHellmanRatchetModel(
            own_ratchet_priv=own_prekey.x25519,
            other_ratchet_pub=_NOBODY_YET,
            root_chain=KDFChainModel(length=0, key=secret),
            symmetric_key_ratchet=SymmetricKeyRatchetModel(
                receiving_chain=None, sending_chain=no_chain_yet, previous_sending_chain_length=None
            ),
        )
        return cls(model, associated, {}, b"")

    @classmethod
    def from_state(cls, state: bytes) -> Self:
        """The end that gave these bytes; DamagedError when they are not from `state()`."""
        return cls(*ratchet_state.decode(state))

    def state(self) -> bytes:
        """The whole end in at most RATCHET_STATE_BYTES; secret, so it is sealed before it is stored."""
        return ratchet_state.encode(self._model, self._associated, self._skipped, self._retired)

    @property
    def skipped(self) -> int:
        """How many skipped message keys are kept: at most RATCHET_SKIPPED."""
        return sum(len(keys) for keys in self._skipped.values())

    @property
    def can_encrypt(self) -> bool:
        """False only for a recipient who has not decrypted a message yet."""
        return self._model.other_ratchet_pub != _NOBODY_YET

    def encrypt(self, plaintext: bytes, associated: bytes = b"") -> tuple[RatchetHeader, bytes]:
        """The header and the ciphertext, 16 bytes longer than the plaintext."""
        if not self.can_encrypt:
            raise UsageError("this session waits for the peer's first message")
        chains = self._chains()
        chains._derive_pub = self._own_public  # type: ignore[method-assign, assignment]  # it would be derived for every message
        key, made = run(chains.next_encryption_key())
        header = RatchetHeader(made.ratchet_pub, made.previous_sending_chain_length, made.sending_chain_length)
        cipher, nonce = _cipher(key)
        ciphertext = cipher.encrypt(nonce, plaintext, self._authenticated(header, associated))
        self._model = chains.model
        return header, ciphertext

    def decrypt(self, header: RatchetHeader, ciphertext: bytes, associated: bytes = b"") -> bytes:
        """The plaintext.

        DuplicateError for a message that was decrypted before, UndecryptableError for one that does not open (now).
        """
        key = self._skipped.get(header.public, {}).get(header.number)
        if key is not None:
            plaintext = self._opened(key, header, ciphertext, associated)
            self._forget(header)
            return plaintext
        self._judge(header)
        chains = self._chains()
        try:
            key, skipped = run(chains.next_decryption_key(_library_header(header)))
        except doubleratchet.DuplicateMessageException as error:
            raise DuplicateError("decrypted before") from error
        plaintext = self._opened(key, header, ciphertext, associated)
        self._step(chains.model)
        self._keep(skipped)
        return plaintext

    def _chains(self) -> _Chains:
        return _Chains.from_model(self._model, _RootKdf, _ChainKdf, _CHAIN_THEN_MESSAGE, RATCHET_JUMP)

    def _own_public(self, private: bytes) -> bytes:
        if self._public[0] != private:
            self._public = private, _Chains._derive_pub(private)
        return self._public[1]

    def _judge(self, header: RatchetHeader) -> None:
        """Refuse a header whose keys would cost too much, or whose chain is over."""
        if len(header.public) != KEY_BYTES or not 0 <= max(header.previous, header.number) <= RATCHET_COUNTER_MAX:
            raise PeerError("bad ratchet header")
        receiving = self._model.symmetric_key_ratchet.receiving_chain
        received = receiving.length if receiving else 0
        if header.public == self._model.other_ratchet_pub:
            skips = header.number - received
        elif self._is_retired(header.public):
            raise DuplicateError("decrypted before", "or its key was dropped")
        else:
            skips = max(header.number, header.previous - received if receiving else 0)
        if skips > RATCHET_JUMP:
            raise UndecryptableError("ratchet jump", "too many messages are missing before it")

    def _is_retired(self, public: bytes) -> bool:
        beginning = public[:RETIRED_SIZE]
        if beginning not in self._retired:  # at any place, so nearly always this says it
            return False
        starts = range(0, len(self._retired), RETIRED_SIZE)
        return any(self._retired[start : start + RETIRED_SIZE] == beginning for start in starts)

    def _opened(self, key: bytes, header: RatchetHeader, ciphertext: bytes, associated: bytes) -> bytes:
        cipher, nonce = _cipher(key)
        try:
            return cipher.decrypt(nonce, ciphertext, self._authenticated(header, associated))
        except InvalidTag as error:
            raise UndecryptableError("undecryptable") from error

    def _authenticated(self, header: RatchetHeader, associated: bytes) -> bytes:
        counters = header.previous.to_bytes(4, "big") + header.number.to_bytes(4, "big")
        return framed((self._associated, associated, header.public + counters))

    def _step(self, model: doubleratchet.DiffieHellmanRatchetModel) -> None:
        left = self._model.other_ratchet_pub
        if left not in (_NOBODY_YET, model.other_ratchet_pub):
            self._retired = (self._retired + left[:RETIRED_SIZE])[-RATCHET_RETIRED * RETIRED_SIZE :]
            self._public = b"", b""
        self._model = model

    def _keep(self, skipped: doubleratchet.SkippedMessageKeys) -> None:
        for (public, number), key in skipped.items():
            self._skipped.setdefault(public, {})[number] = key
        for _ in range(self.skipped - RATCHET_SKIPPED if skipped else 0):
            public, keys = next(iter(self._skipped.items()))
            self._forget(RatchetHeader(public, 0, next(iter(keys))))

    def _forget(self, header: RatchetHeader) -> None:
        keys = self._skipped[header.public]
        del keys[header.number]
        if not keys:
            del self._skipped[header.public]


def _cipher(message_key: bytes) -> tuple[ChaCha20Poly1305, bytes]:
    derived = hkdf(Domain.RATCHET_MESSAGE, message_key, size=KEY_BYTES + 12)
    return ChaCha20Poly1305(derived[:KEY_BYTES]), derived[KEY_BYTES:]


def _library_header(header: RatchetHeader) -> doubleratchet.Header:
    return doubleratchet.Header(header.public, header.previous, header.number)
