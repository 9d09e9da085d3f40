"""Every domain-separation label of the protocol, once, and the hash that takes one.

A label says what a hash, key or signature is for, so that none can be passed off as another (R23).
BLAKE2b is RFC 7693; inputs are length-prefixed, so that no two lists of parts hash alike.
"""

from enum import Enum
from hashlib import blake2b


class Domain(Enum):
    """One use of a hash, key derivation or signature; the value goes into the bytes."""

    # hashes
    NETWORK = b"p2pd/1 network"
    NODE_ID = b"p2pd/1 node id"
    RECORD_KEY = b"p2pd/1 record key"
    RECORD_DIGEST = b"p2pd/1 record digest"
    ADDRESS_CHECKSUM = b"p2pd/1 address checksum"
    INVITE_CHECKSUM = b"p2pd/1 invite checksum"
    FINGERPRINT = b"p2pd/1 fingerprint"
    SAFETY_CODE = b"p2pd/1 safety code"
    BLIND = b"p2pd/1 blind"
    BLIND_NONCE = b"p2pd/1 blind nonce"
    DEMO_KEY = b"p2pd/1 dht put"
    # keys
    PAIR_ZERO = b"p2pd/1 pair secret, generation 0"
    PAIR_ADDRESS = b"p2pd/1 pair address"
    PAIR_SEAL = b"p2pd/1 pair seal"
    RING = b"p2pd/1 ring"
    MAIL_NONCE = b"p2pd/1 mail nonce"
    INVITE_PROOF = b"p2pd/1 invite proof"
    PROFILE_SEAL = b"p2pd/1 profile seal"
    PRESENCE_SEAL = b"p2pd/1 presence seal"
    DATAGRAM = b"p2pd/1 datagram"
    ADDRESS_TOKEN = b"p2pd/1 address token"
    THROWAWAY = b"p2pd/1 throwaway node key"
    MAPPING_NONCE = b"p2pd/1 port mapping nonce"
    FIRST_CONTACT = b"p2pd/1 first contact, suite 1"
    FIRST_CONTACT_OUTER = b"p2pd/1 first contact, outer seal, suite 1"
    X3DH = b"p2pd/1 x3dh"
    RATCHET_ROOT = b"p2pd/1 ratchet root"
    RATCHET_CHAIN = b"p2pd/1 ratchet chain"
    ENVELOPE = b"p2pd/1 envelope"
    RATCHET_MESSAGE = b"p2pd/1 ratchet message"
    LINK = b"p2pd/1 link"
    RELAYED_LINK = b"p2pd/1 relayed link"
    LAN_TAG = b"p2pd/1 lan tag"
    AT_REST = b"p2pd/1 at rest"
    STAMP = b"p2pd/1 stamp"
    NODE_PUZZLE = b"p2pd/1 node puzzle"
    # signatures
    SIGN_SINGLE = b"p2pd/1 sign single"
    SIGN_ITEM = b"p2pd/1 sign item"
    SIGN_OPEN_ITEM = b"p2pd/1 sign open item"
    SIGN_TOMBSTONE = b"p2pd/1 sign tombstone"
    SIGN_RECEIPT = b"p2pd/1 sign receipt"
    SIGN_LISTEN = b"p2pd/1 sign listen"
    SIGN_DEVICE = b"p2pd/1 sign device"
    SIGN_PREKEYS = b"p2pd/1 sign prekeys"


def framed(parts: tuple[bytes, ...]) -> bytes:
    """The parts, each behind its length in 4 bytes, big-endian: no two lists of parts give the same bytes."""
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])


def domain_hash(domain: Domain, *parts: bytes, size: int = 32) -> bytes:
    """BLAKE2b of the label and the parts, `size` bytes (1 to 64)."""
    return blake2b(framed((domain.value, *parts)), digest_size=size).digest()


def derive_key(domain: Domain, secret: bytes, *parts: bytes, size: int = 32) -> bytes:
    """A key or MAC of `size` bytes (1 to 64) from a secret of 16 to 64: keyed BLAKE2b of the label and the parts."""
    return blake2b(framed((domain.value, *parts)), key=secret, digest_size=size).digest()
