"""What rings mean: which mailbox of whom each of the 16-byte tags of a day names.

Knows no network.
Rules: the tags of a contact are worked out once a day and again when their device or generations have changed, so that
a flood of rings costs no hashes; a hit counts only while the contact it was worked out for stands as it did then.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from p2pd import limits
from p2pd.chat import pairs
from p2pd.chat.mail import MailAddress
from p2pd.peer.own import OwnKeys
from p2pd.store import Contact, ContactState, PairSecret, UserStore
from p2pd.types import DeviceKey, IdentityKey


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of one contact's mailboxes of one day, and what they follow from."""

    device: DeviceKey | None
    pair_secrets: tuple[PairSecret, ...]
    mailboxes: dict[bytes, MailAddress]

    def still_of(self, contact: Contact | None) -> bool:
        """Whether they are the contact's tags, and the contact may ring."""
        return (
            contact is not None
            and contact.state in (ContactState.ACCEPTED, ContactState.PENDING)
            and (contact.device, contact.pair_secrets) == (self.device, self.pair_secrets)
        )


class Rings:
    """The tags of all contacts, of the few days that are looked at."""

    def __init__(self, keys: OwnKeys, store: UserStore) -> None:
        self._keys = keys
        self._store = store
        self._days: dict[int, dict[IdentityKey, Tags]] = {}

    def mailboxes(self, tags: Iterable[bytes], day: int) -> dict[bytes, tuple[IdentityKey, MailAddress]]:
        """Whose mailboxes the tags in an inbox of this day name: the day's, or those of the day before."""
        wanted = list(dict.fromkeys(tags))
        found = {tag: hit for tag in wanted if (hit := self._known(tag, day)) is not None}
        if len(found) < len(wanted):
            self._follow(day)
            found |= {tag: hit for tag in wanted if tag not in found and (hit := self._known(tag, day)) is not None}
        return found

    def _known(self, tag: bytes, day: int) -> tuple[IdentityKey, MailAddress] | None:
        for mail_day in (day, day - 1):
            for identity, tags in self._days.get(mail_day, {}).items():
                where = tags.mailboxes.get(tag)
                if where is not None and tags.still_of(self._store.contact(identity)):
                    return identity, where
        return None

    def _follow(self, day: int) -> None:
        """Works out what is missing of the two days, and forgets what nobody rings with any more."""
        contacts = self._store.contacts()
        for mail_day in (day, day - 1):
            before = self._days.get(mail_day, {})
            self._days[mail_day] = {
                contact.identity: self._tags(contact, mail_day, before.get(contact.identity))
                for contact in contacts
                if contact.state in (ContactState.ACCEPTED, ContactState.PENDING)
            }
        while len(self._days) > limits.RING_DAYS:
            del self._days[min(self._days)]

    def _tags(self, contact: Contact, day: int, before: Tags | None) -> Tags:
        if before is not None and before.still_of(contact):
            return before
        mailboxes = {
            direction.ring(day, index): MailAddress(direction, day, index)
            for direction in pairs.reading(self._keys, contact)
            for index in range(limits.MAILBOX_INDEXES)
        }
        return Tags(contact.device, contact.pair_secrets, mailboxes)
