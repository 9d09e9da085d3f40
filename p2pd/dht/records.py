"""Records as the DHT trusts them: verified, or not at all.

Knows no store.  The same check stands before a record is kept and after it was read (R1).
"""

from dataclasses import dataclass

from p2pd import limits
from p2pd.crypto.keys import SigningKey, verify
from p2pd.domains import Domain
from p2pd.errors import PeerError
from p2pd.types import ItemId, NodeKey, RecordKey
from p2pd.wire.record import (
    Content,
    Family,
    HolderKind,
    OpenItem,
    Receipt,
    ReceiptContent,
    Record,
    Single,
    Tombstone,
    family_of,
    record_key,
    signing_domain,
)


@dataclass(frozen=True, slots=True)
class VerifiedRecord:
    """A record whose signature holds, with what follows from it."""

    record: Record
    content: Content
    family: Family
    key: RecordKey
    digest: bytes
    data: bytes
    """As it arrived; what others are given."""

    @property
    def item(self) -> ItemId:
        """The item's id; empty for a single."""
        return ItemId(b"") if isinstance(self.content, Single) else self.content.item

    @property
    def body(self) -> bytes:
        """What its writer put in; empty for a tombstone."""
        return b"" if isinstance(self.content, Tombstone) else self.content.body


def verified(data: bytes) -> VerifiedRecord:
    """The record in these bytes, whoever brought them; raises `PeerError`."""
    record = Record.decode(data)
    content = record.parse()
    signer = content.signer if isinstance(content, OpenItem) else content.address
    if not verify(signer, signing_domain(content), record.content, record.signature):
        raise PeerError("forged", "a record's signature")
    family = family_of(content)
    return VerifiedRecord(record, content, family, record_key(family, content.address), record.digest, data)


UNTIMELY = frozenset(("expired", "too_long"))
"""What `check_time` says: of our clock as much as of who gave the record."""


def check_time(record: VerifiedRecord, wall_s: int) -> None:
    """Raise `PeerError` "expired", or "too_long" where a record would outlive what any may (R2)."""
    if record.content.expires_s <= wall_s:
        raise PeerError("expired")
    if record.content.expires_s > wall_s + limits.RECORD_LIFE_MAX_S + limits.CLOCK_SKEW_S:
        raise PeerError("too_long")


def signed_receipt(digest: bytes, expires_s: int, holder: SigningKey) -> bytes:
    """This node's word that it holds the record."""
    content = ReceiptContent(digest, NodeKey(holder.public), HolderKind.NODE, expires_s).encode()
    return Receipt(content, holder.sign(Domain.SIGN_RECEIPT, content)).encode()


def check_receipt(data: bytes, digest: bytes, expires_s: int, holder: NodeKey) -> None:
    """Raise `PeerError` unless this is the holder's word for exactly that record."""
    receipt = Receipt.decode(data)
    content = ReceiptContent.decode(receipt.content)
    if content != ReceiptContent(digest, holder, HolderKind.NODE, expires_s):
        raise PeerError("receipt", "for something else")
    if not verify(holder, Domain.SIGN_RECEIPT, receipt.content, receipt.signature):
        raise PeerError("forged", "a receipt's signature")
