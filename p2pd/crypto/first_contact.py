"""First contact, suite 1: X3DH and ML-KEM-768 in one HKDF, shaped after PQXDH; and the outer seal of a request.

    secret = HKDF(label, X3DH secret ‖ KEM secret; suite, associated, prekey id, one-time id, ephemeral, ciphertext)
    associated = suite (1) ‖ initiator's identity ‖ its device ‖ recipient's identity ‖ its device (32 each)

The X3DH library does the agreement, with device keys in the place of its identity keys, and checks the device's
signature over the bundle that the prekey came in.  It is async and never waits: `run` drives it.
Its stores, clock and rotation are not used: a state is built for one agreement and thrown away.

A contact request lies in a public inbox, so its seal hides who asks, from a quantum computer too.
`seal_request` puts what tells nothing outside, and the rest of the header inside:

    | bytes | visible, and authenticated with the box   |    | bytes | inside the box (XChaCha20-Poly1305)  |
    |-------|-------------------------------------------|    |-------|--------------------------------------|
    | 1     | suite, 1                                  |    | 32    | initiator's device key               |
    | 4     | prekey id, big-endian                     |    | 32    | X3DH ephemeral key                   |
    | 32    | fresh X25519 public key                   |    | 4     | one-time prekey id, big-endian, or 0 |
    | 1088  | ML-KEM-768 ciphertext                     |    | rest  | plaintext                            |
    | 24    | nonce                                     |
    | rest  | box, 16 longer than what is inside        |

    box key = HKDF(outer label, X25519(fresh, prekey) ‖ KEM secret; the visible bytes before the nonce)

The KEM secret serves both under two labels, so the complete header (`FirstContactHeader`) can also travel alone
inside another seal.  Does not know how long prekeys live, nor what a request says.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from nacl.utils import random as random_bytes

from p2pd.crypto.derivation import hkdf
from p2pd.crypto.driving import run
from p2pd.crypto.keys import SigningKey, exchange_public, signed_bytes, x25519, x25519_public
from p2pd.crypto.prekeys import KEM_CIPHERTEXT_SIZE, OneTimePair, OneTimePublic, PrekeyPair, PrekeyPublic
from p2pd.crypto.ratchet_libraries import SecretType, XEdDSAException, x3dh
from p2pd.crypto.sealing import NONCE_SIZE, seal, unseal
from p2pd.domains import Domain
from p2pd.errors import PeerError
from p2pd.limits import BOX_OVERHEAD_BYTES, KEY_BYTES

SUITE = 1
_VISIBLE_SIZE = 1 + 4 + KEY_BYTES + KEM_CIPHERTEXT_SIZE
_INNER_HEADER_SIZE = KEY_BYTES + KEY_BYTES + 4
REQUEST_OVERHEAD = _VISIBLE_SIZE + NONCE_SIZE + BOX_OVERHEAD_BYTES + _INNER_HEADER_SIZE


@dataclass(frozen=True, slots=True)
class SignedBundle:
    """The encoded prekeys as they were received, and the device's signature over them (Domain.SIGN_PREKEYS)."""

    encoded: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class FirstContactHeader:
    """All that `accept` needs from the initiator; `device` is its Ed25519 device key, `one_time_id` 0 for none."""

    suite: int
    device: bytes
    ephemeral: bytes
    prekey_id: int
    one_time_id: int
    kem_ciphertext: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Started:
    """The initiator's side of a first contact: root secret, header to send, and what the ratchet binds."""

    secret: bytes = field(repr=False)
    header: FirstContactHeader
    associated: bytes
    outer_key: bytes = field(repr=False)
    outer_visible: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Accepted:
    """The recipient's side: the same root secret and associated bytes."""

    secret: bytes = field(repr=False)
    associated: bytes


@dataclass(frozen=True, slots=True)
class OpenedRequest:
    """What was inside the outer seal; nothing of it is proven before the ratchet has opened its message."""

    header: FirstContactHeader
    plaintext: bytes = field(repr=False)


def begin(
    device: SigningKey,
    own_identity: bytes,
    peer_identity: bytes,
    peer_device: bytes,
    prekey: PrekeyPublic,
    bundle: SignedBundle,
    *,
    one_time: OneTimePublic | None = None,
) -> Started:
    """Begin a session with a device from a prekey of its bundle; PeerError when the bundle or a key in it is bad."""
    if prekey.x25519 not in bundle.encoded or prekey.kem not in bundle.encoded:
        raise PeerError("bad prekey", "not in the signed bundle")
    exchange_public(peer_device)
    agreed, ephemeral = _agree_actively(device, peer_device, prekey, bundle, one_time)
    kem_secret, ciphertext = _encapsulate(prekey.kem)
    one_time_id = one_time.id if one_time else 0
    header = FirstContactHeader(SUITE, device.public, ephemeral, prekey.id, one_time_id, ciphertext)
    associated = _associated(own_identity, device.public, peer_identity, peer_device)
    fresh = random_bytes(KEY_BYTES)
    visible = _visible(header, x25519_public(fresh))
    return Started(
        secret=_session_secret(agreed, kem_secret, header, associated),
        header=header,
        associated=associated,
        outer_key=_outer_key(x25519(fresh, prekey.x25519), kem_secret, visible),
        outer_visible=visible,
    )


def accept(
    device: SigningKey,
    own_identity: bytes,
    peer_identity: bytes,
    prekey: PrekeyPair,
    header: FirstContactHeader,
    *,
    one_time: OneTimePair | None = None,
) -> Accepted:
    """The recipient's half, with the pairs that the header names; PeerError when the header is bad.

    A wrong or forged header gives a secret that opens nothing: only the ratchet's first message proves the peer.
    """
    if header.suite != SUITE:
        raise PeerError("unknown suite", str(header.suite))
    if header.prekey_id != prekey.id or header.one_time_id != (one_time.id if one_time else 0):
        raise PeerError("unknown prekey")
    exchange_public(header.device)
    agreed = _agree_passively(device, prekey, header, one_time)
    associated = _associated(peer_identity, header.device, own_identity, device.public)
    kem_secret = _decapsulate(prekey.kem, header.kem_ciphertext)
    return Accepted(_session_secret(agreed, kem_secret, header, associated), associated)


def seal_request(started: Started, plaintext: bytes) -> bytes:
    """The blob for a public inbox, REQUEST_OVERHEAD longer than the plaintext."""
    header = started.header
    inside = header.device + header.ephemeral + header.one_time_id.to_bytes(4, "big") + plaintext
    nonce = random_bytes(NONCE_SIZE)
    return started.outer_visible + nonce + seal(started.outer_key, nonce, inside, started.outer_visible)


def open_request(prekey_lookup: Callable[[int], PrekeyPair | None], blob: bytes) -> OpenedRequest:
    """Open a blob with the prekey it names; PeerError when it is malformed, too late for its prekey, or not for us."""
    if len(blob) < REQUEST_OVERHEAD or blob[0] != SUITE:
        raise PeerError("bad request", "not a contact request of suite 1")
    prekey_id = int.from_bytes(blob[1:5], "big")
    prekey = prekey_lookup(prekey_id)
    if prekey is None:
        raise PeerError("unknown prekey")
    visible, nonce, box = blob[:_VISIBLE_SIZE], blob[_VISIBLE_SIZE:][:NONCE_SIZE], blob[_VISIBLE_SIZE + NONCE_SIZE :]
    fresh, ciphertext = visible[5 : 5 + KEY_BYTES], visible[5 + KEY_BYTES :]
    key = _outer_key(x25519(prekey.x25519, fresh), _decapsulate(prekey.kem, ciphertext), visible)
    inside = unseal(key, nonce, box, visible)
    header = FirstContactHeader(
        suite=SUITE,
        device=inside[:KEY_BYTES],
        ephemeral=inside[KEY_BYTES : 2 * KEY_BYTES],
        prekey_id=prekey_id,
        one_time_id=int.from_bytes(inside[2 * KEY_BYTES : _INNER_HEADER_SIZE], "big"),
        kem_ciphertext=ciphertext,
    )
    return OpenedRequest(header, inside[_INNER_HEADER_SIZE:])


def _agree_actively(
    device: SigningKey, peer_device: bytes, prekey: PrekeyPublic, bundle: SignedBundle, one_time: OneTimePublic | None
) -> tuple[bytes, bytes]:
    theirs = x3dh.Bundle(
        identity_key=peer_device,
        signed_pre_key=prekey.x25519,
        signed_pre_key_sig=bundle.signature,
        pre_keys=frozenset([one_time.x25519] if one_time else []),
    )
    state = _x3dh_state(device, bytes(KEY_BYTES), None, signed_bytes(Domain.SIGN_PREKEYS, bundle.encoded))
    try:
        agreed, _, header = run(state.get_shared_secret_active(theirs, require_pre_key=False))
    except (x3dh.KeyAgreementException, XEdDSAException, ValueError) as error:
        raise PeerError("bad prekey", "its signature or a key in it is bad") from error
    return agreed, header.ephemeral_key


def _agree_passively(
    device: SigningKey, prekey: PrekeyPair, header: FirstContactHeader, one_time: OneTimePair | None
) -> bytes:
    theirs = x3dh.Header(
        identity_key=header.device,
        ephemeral_key=header.ephemeral,
        signed_pre_key=x25519_public(prekey.x25519),
        pre_key=x25519_public(one_time.x25519) if one_time else None,
    )
    state = _x3dh_state(device, prekey.x25519, one_time)
    try:
        agreed, _, _ = run(state.get_shared_secret_passive(theirs, require_pre_key=False))
    except (x3dh.KeyAgreementException, XEdDSAException, ValueError) as error:
        raise PeerError("bad first contact", "a key in it is bad") from error
    return agreed


def _x3dh_state(
    device: SigningKey, prekey_secret: bytes, one_time: OneTimePair | None, signed: bytes = b""
) -> x3dh.BaseState:
    """A state of the library's for one agreement.

    The library asks how a prekey is encoded in order to check the signature over that encoding.  Ours is signed as
    part of the whole bundle, so the answer is the signed bytes of the bundle.
    """

    class State(x3dh.BaseState):
        @staticmethod
        def _encode_public_key(key_format: x3dh.IdentityKeyFormat, pub: bytes) -> bytes:
            return pub if key_format is x3dh.IdentityKeyFormat.ED_25519 else signed

    model = x3dh.BaseStateModel(
        identity_key=x3dh.IdentityKeyPairModel(secret=device.seed, secret_type=SecretType.SEED),
        signed_pre_key=x3dh.SignedPreKeyPairModel(priv=prekey_secret, sig=bytes(64), timestamp=0),
        old_signed_pre_key=None,
        pre_keys=frozenset([one_time.x25519] if one_time else []),
    )
    hash_function = x3dh.HashFunction.SHA_256
    return State.from_model(model, x3dh.IdentityKeyFormat.ED_25519, hash_function, Domain.X3DH.value)


def _encapsulate(kem_public: bytes) -> tuple[bytes, bytes]:
    try:
        return MLKEM768PublicKey.from_public_bytes(kem_public).encapsulate()
    except ValueError as error:
        raise PeerError("bad prekey", "not an ML-KEM-768 key") from error


def _decapsulate(kem_seed: bytes, ciphertext: bytes) -> bytes:
    try:
        return MLKEM768PrivateKey.from_seed_bytes(kem_seed).decapsulate(ciphertext)
    except ValueError as error:
        raise PeerError("bad first contact", "not an ML-KEM-768 ciphertext") from error


def _associated(initiator: bytes, initiator_device: bytes, recipient: bytes, recipient_device: bytes) -> bytes:
    return bytes([SUITE]) + initiator + initiator_device + recipient + recipient_device


def _session_secret(agreed: bytes, kem_secret: bytes, header: FirstContactHeader, associated: bytes) -> bytes:
    ids = header.prekey_id.to_bytes(4, "big"), header.one_time_id.to_bytes(4, "big")
    bound = (bytes([header.suite]), associated, *ids, header.ephemeral, header.kem_ciphertext)
    return hkdf(Domain.FIRST_CONTACT, agreed + kem_secret, *bound)


def _visible(header: FirstContactHeader, fresh: bytes) -> bytes:
    return bytes([header.suite]) + header.prekey_id.to_bytes(4, "big") + fresh + header.kem_ciphertext


def _outer_key(agreed: bytes, kem_secret: bytes, visible: bytes) -> bytes:
    return hkdf(Domain.FIRST_CONTACT_OUTER, agreed + kem_secret, visible)
