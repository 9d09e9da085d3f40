"""From item to envelope: an item is sealed once for the session in use, with the newest acknowledgement inside.

Knows no paths and no times.
Rules: every path and every retry carries the bytes made here; in another session an item is sealed anew, under the same
sequence, and what lies on the DHT of it is put again.  What is sealed says what is committed, so nothing more is owed.
"""

from collections.abc import Callable

from msgspec.structs import replace

from p2pd import limits
from p2pd.chat.flight import Flights
from p2pd.peer.links import Links
from p2pd.peer.sessions import Sessions
from p2pd.store import Contact, Counters, OutboxItem, Session, UserStore
from p2pd.types import IdentityKey, ItemId, MessageId, Now, RandomSource
from p2pd.wire.content import Acknowledgement, Content, Nothing

NO_MESSAGE = MessageId(bytes(limits.MESSAGE_ID_BYTES))
NO_EPOCH = bytes(8)
NOTHING = Nothing().encode()


class Envelopes:
    """Envelopes of all items, and the counters that they carry."""

    def __init__(
        self,
        store: UserStore,
        sessions: Sessions,
        links: Links,
        flights: Flights,
        random: RandomSource,
        resync: Callable[[Contact, Now], None],
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._links = links
        self._flights = flights
        self._random = random
        self._resync = resync

    def counters(self, contact: IdentityKey) -> Counters:
        """The counters with this contact; their epoch is chosen when they begin."""
        counters = self._store.counters(contact)
        if not counters.epoch:
            counters = replace(counters, epoch=self._random.bytes(8))
            self._store.save_counters(contact, counters)
        return counters

    def mark_due(self, contact: IdentityKey) -> None:
        """An acknowledgement is owed, also after a restart."""
        counters = self.counters(contact)
        if not counters.acknowledgement_due:
            self._store.save_counters(contact, replace(counters, acknowledgement_due=True))

    def session(self, contact: Contact, now: Now) -> Session | None:
        """The session in use; where there is none, one is asked for."""
        session = self._sessions.current(contact.identity)
        if session is None:
            self._resync(contact, now)
        return session

    def sealed(self, contact: Contact, item: OutboxItem, now: Now) -> bytes | None:
        """The item's envelope in the session in use; None where there is no session."""
        session = self.session(contact, now)
        if session is None:
            return None
        if item.session == session.session and item.envelope:
            return item.envelope
        envelope = self._seal(contact, session, item.sequence, item.message, item.clock, item.body)
        fresh = replace(item, session=session.session, envelope=envelope, left=True)
        if item.session:  # it was sealed in another session: what lies on the DHT may never be opened
            fresh = replace(fresh, put_item=ItemId(b""), receipts=0)
        self._store.save_outbox_item(fresh)
        return envelope

    def seal_request(self, contact: Contact, session: Session, item: OutboxItem) -> bytes:
        """The envelope of a contact request, which goes out before its contact is accepted."""
        envelope = self._seal(contact, session, item.sequence, item.message, item.clock, item.body)
        self._store.save_outbox_item(replace(item, session=session.session, envelope=envelope, left=True))
        return envelope

    def seal_acknowledgement(self, contact: Contact, session: Session, clock: int) -> bytes:
        """The envelope that only acknowledges."""
        return self._seal(contact, session, 0, NO_MESSAGE, clock, NOTHING)

    def _seal(
        self, contact: Contact, session: Session, sequence: int, message: MessageId, clock: int, body: bytes
    ) -> bytes:
        counters = self.counters(contact.identity)
        if counters.acknowledgement_due:
            self._store.save_counters(contact.identity, replace(counters, acknowledgement_due=False))
        if self._links.up(contact.identity):
            self._flights.of(contact.identity).acknowledge_at = None
        content = Content(message, clock, _acknowledgement(contact, counters), body)
        return self._sessions.seal(session, sequence, content.encode())


def _acknowledgement(contact: Contact, counters: Counters) -> Acknowledgement:
    bits = 0
    for sequence in counters.received_above:
        bits |= 1 << (sequence - counters.received - 2)
    above = bits.to_bytes(-(-bits.bit_length() // 8), "little")
    return Acknowledgement(
        counters.epoch, contact.epoch or NO_EPOCH, counters.received, above, counters.mark(counters.received)
    )
