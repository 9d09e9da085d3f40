"""Mail: envelopes as records in the mailbox of a pair, a direction and a day.

Knows no order and no acknowledgements: `posting` writes with it, `mailroom` reads with it.
"""

from dataclasses import dataclass

from p2pd import limits
from p2pd.chat.pairs import Direction
from p2pd.crypto.keys import SigningKey
from p2pd.dht.storing import PutProgress
from p2pd.domains import Domain, domain_hash
from p2pd.peer.published import Signer, opened_body, sealed_body, signed_record
from p2pd.types import AddressKey, ItemId, Now, RandomSource
from p2pd.wire.record import Family, OpenItem, Record, SetItem, Tombstone


@dataclass(frozen=True, slots=True)
class MailAddress:
    """One mailbox: a direction's, of one day, at one index."""

    direction: Direction
    day: int
    index: int

    def address(self) -> AddressKey:
        return AddressKey(self.signer().public)

    def signer(self) -> SigningKey:
        return self.direction.address(self.day, self.index)


def mail_record(where: MailAddress, item: ItemId, envelope: bytes, expires_s: int) -> Record:
    """The record that carries an envelope.

    The nonce follows from what it seals and where, so that a retried put has the same bytes, and its storers the same
    record; it repeats only with its plaintext.
    """
    signer = where.signer()
    address = AddressKey(signer.public)
    nonce = domain_hash(Domain.MAIL_NONCE, address, item, envelope, size=limits.NONCE_BYTES)
    body = sealed_body(where.direction.seal_key(), envelope, address, nonce)
    return signed_record(SetItem(address, item, expires_s, body), signer)


def open_mail(where: MailAddress, item: SetItem) -> bytes:
    """The envelope in a record; raises `PeerError`."""
    return opened_body(where.direction.seal_key(), item.body, item.address)


def tombstone(signer: Signer, item: ItemId, family: Family, expires_s: int) -> Record:
    """The record that ends an item; it lasts as long as the item would have."""
    return signed_record(Tombstone(AddressKey(signer.public), item, expires_s, family), signer)


def ring_record(inbox: AddressKey, tag: bytes, random: RandomSource, now: Now) -> Record:
    """A ring in a contacts' inbox, signed by a key made for it alone."""
    signer = SigningKey(random.bytes(32))
    return signed_record(OpenItem(inbox, now.wall_s + limits.RING_LIFE_S, tag, signer.public), signer)


def was_reached(progress: PutProgress) -> bool:
    """Whether any storer has answered, be it with a refusal."""
    return bool(progress.receipts or progress.refused)


def again_s(attempt: int, *, reached: bool = True) -> float:
    """From one attempt to have something stored, counted from 1, to the next; of none that counts, as of the first."""
    gaps_s = limits.RETRY_S if reached else (*limits.UNREACHED_S, *limits.RETRY_S)
    return gaps_s[min(max(attempt, 1), len(gaps_s)) - 1]
