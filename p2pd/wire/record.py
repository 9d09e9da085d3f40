"""Records: what storers keep.  `docs/protocol.md`, "Records".

Knows no keys: whoever holds one signs and verifies.
Rules: a record proves itself: its place in the DHT is the hash of its family and of the key that its content names, and
its content is signed; its expiry is absolute, inside the signature, and nothing extends it.  Nothing stands outside the
signature, so that nobody on its way can take anything from it.
"""

from enum import IntEnum
from typing import Annotated, ClassVar, Self

import msgspec

from p2pd import limits
from p2pd.domains import Domain, domain_hash
from p2pd.errors import PeerError
from p2pd.types import AddressKey, ItemId, RecordKey
from p2pd.wire.codec import U8, U32, U63, Address, Bytes32, Item, Node, Signature, Wire, decode

Body = Annotated[bytes, msgspec.Meta(max_length=limits.BODY_BYTES)]
OpenBody = Annotated[bytes, msgspec.Meta(max_length=limits.OPEN_BODY_BYTES)]
Stamp = Annotated[bytes, msgspec.Meta(max_length=limits.STAMP_BYTES)]


class Family(IntEnum):
    """The three kinds of record; the family goes into the record key, so that none can be read as another."""

    SINGLE = 1
    SET = 2
    OPEN_SET = 3


class HolderKind(IntEnum):
    """What the signer of a receipt is."""

    NODE = 1


def record_key(family: Family, address: AddressKey) -> RecordKey:
    """Where the DHT keeps what is signed under `address`."""
    return RecordKey(domain_hash(Domain.RECORD_KEY, bytes([family]), address))


class Single(Wire, frozen=True, tag=1):
    """One value of its address key's owner; the newest sequence wins."""

    LIMIT: ClassVar[int] = limits.RECORD_BYTES
    address: Address
    sequence: U63
    expires_s: U32
    body: Body


class SetItem(Wire, frozen=True, tag=2):
    """One item of a set, signed by the address key, which writer and reader both hold."""

    LIMIT: ClassVar[int] = limits.RECORD_BYTES
    address: Address
    item: Item
    expires_s: U32
    body: Body


class OpenItem(Wire, frozen=True, tag=3):
    """One item that anyone may add, signed by a key made for it alone, with its proof of work where one is asked.

    The key gives the item its id, which so can be nobody else's: a tombstone ends what was read, and nothing beside it.
    """

    LIMIT: ClassVar[int] = limits.RECORD_BYTES
    address: Address
    expires_s: U32
    body: OpenBody
    signer: Bytes32
    stamp: Stamp = b""

    def __post_init__(self) -> None:
        if len(self.stamp) not in (0, limits.STAMP_BYTES):
            raise ValueError("a stamp is whole or not there")

    @property
    def challenge(self) -> bytes:
        """What the stamp is found for: the digest that the item has without one."""
        return domain_hash(Domain.RECORD_DIGEST, msgspec.structs.replace(self, stamp=b"").encode())

    @property
    def item(self) -> ItemId:
        """The beginning of its signer's key."""
        return ItemId(self.signer[: limits.ITEM_ID_BYTES])


class Tombstone(Wire, frozen=True, tag=4):
    """The end of one item, signed by the address key; outranks it, may arrive before it, stays until it expires."""

    LIMIT: ClassVar[int] = limits.RECORD_BYTES
    address: Address
    item: Item
    expires_s: U32
    family: U8

    def __post_init__(self) -> None:
        if self.family not in (Family.SET, Family.OPEN_SET):
            raise ValueError("a tombstone of no set")


Content = Single | SetItem | OpenItem | Tombstone


class Record(Wire, frozen=True):
    """A signed content.

    | field | bytes |
    |---|---|
    | content | the encoded content, exactly as signed |
    | signature | 64, Ed25519 over the content, by its address key or, for an open item, its signer |

    Unlike other formats it has one encoding only, and no further fields: nobody on its way can make it longer.
    """

    LIMIT: ClassVar[int] = limits.RECORD_BYTES
    content: Annotated[bytes, msgspec.Meta(max_length=limits.RECORD_BYTES)]
    signature: Signature

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The record of these bytes; raises `PeerError`."""
        record = decode(cls, data, cls.LIMIT)
        if record.encode() != data:
            raise PeerError("malformed", "not a record's one encoding")
        return record

    def parse(self) -> Content:
        """The content's value; raises `PeerError`."""
        content: Content = decode(Content, self.content, limits.RECORD_BYTES)  # type: ignore[arg-type]
        return content

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for this content in receipts and refreshes."""
        return domain_hash(Domain.RECORD_DIGEST, self.content)


def family_of(content: Content) -> Family:
    """The family whose record key the content lies under."""
    match content:
        case Single():
            return Family.SINGLE
        case SetItem():
            return Family.SET
        case OpenItem():
            return Family.OPEN_SET
        case Tombstone():
            return Family(content.family)


def signing_domain(content: Content) -> Domain:
    """The label that the content's signature carries."""
    match content:
        case Single():
            return Domain.SIGN_SINGLE
        case SetItem():
            return Domain.SIGN_ITEM
        case OpenItem():
            return Domain.SIGN_OPEN_ITEM
        case Tombstone():
            return Domain.SIGN_TOMBSTONE


class ReceiptContent(Wire, frozen=True):
    """A storer's word that it holds the record of this digest until `expires_s`."""

    LIMIT: ClassVar[int] = 200
    digest: Bytes32
    holder: Node
    holder_kind: U8
    expires_s: U32


class Receipt(Wire, frozen=True):
    """A receipt's content as signed by the holder's node key."""

    LIMIT: ClassVar[int] = 300
    content: Annotated[bytes, msgspec.Meta(max_length=200)]
    signature: Signature
