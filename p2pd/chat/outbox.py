"""The outbox: everything under way to others, until they have acknowledged it.

Knows no user and no meaning: items are encoded bodies with a sequence number.

| a contact's items go | when |
|---|---|
| nowhere | they have not accepted yet (our contact request goes by `requests`), or are blocked |
| over the link, oldest first | one is up |
| into the mailbox, a link being tried beside it | none is up soon, or what went over it is not acknowledged |

Rules: an item is sealed once for the session in use, oldest first; every path carries those bytes.  It leaves only when
it is acknowledged: receipts, rings and tombstones are no reason.  Acknowledgements gather for a turn on a link, for a
second by mail; whatever is sealed carries the newest one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from p2pd import limits
from p2pd.chat import pairs
from p2pd.chat.history import History
from p2pd.chat.mail import MailAddress, mail_record, ring_record
from p2pd.dht.node import Dht
from p2pd.dht.storing import PutProgress
from p2pd.errors import QuotaError
from p2pd.peer.links import Links
from p2pd.peer.own import OwnKeys
from p2pd.peer.published import INBOX, personal_address
from p2pd.peer.reach import Reach
from p2pd.peer.sessions import Sessions
from p2pd.store import Contact, ContactState, Counters, MessageState, OutboxItem, Session, UserStore
from p2pd.types import IdentityKey, ItemId, MessageId, Now, RandomSource
from p2pd.wire.content import Acknowledgement, Content, Nothing, PairProposal, decode_content_body
from p2pd.wire.link import Carry
from p2pd.wire.record import Record

NO_MESSAGE = MessageId(bytes(limits.MESSAGE_ID_BYTES))
NO_EPOCH = bytes(8)
NOTHING = Nothing().encode()


@dataclass(slots=True)
class Flight:
    """What memory knows of the items under way to one contact; lost without harm."""

    sent_through: int = 0
    """The highest sequence that went over the link that is up."""
    resends: int = 0
    resend_at: float | None = None
    mail_at: float | None = None
    """Steady seconds; not None: the mailbox is due then."""
    silent: bool = False
    """A link was up and ended, or nothing comes back over it: whatever was heard before says nothing."""
    acknowledge_at: float | None = None
    ring_at: float | None = None
    putting: set[int] = field(default_factory=set)
    """Sequences in a put that is not done."""

    def mail_by(self, when: float) -> None:
        """The mailbox is due then, unless it is due sooner."""
        self.mail_at = when if self.mail_at is None else min(self.mail_at, when)


class Outbox:
    """Items, acknowledgements and mail to all contacts."""

    def __init__(
        self,
        own: OwnKeys,
        store: UserStore,
        sessions: Sessions,
        links: Links,
        reach: Reach,
        dht: Dht,
        history: History,
        random: RandomSource,
        resync: Callable[[Contact, Now], None],
        acknowledged: Callable[[IdentityKey, int, Now], None],
    ) -> None:
        self._own = own
        self._store = store
        self._sessions = sessions
        self._links = links
        self._reach = reach
        self._dht = dht
        self._history = history
        self._random = random
        self._resync = resync
        self._acknowledged = acknowledged
        self._flights: dict[IdentityKey, Flight] = {}

    # --- what others of this node ask ---

    def counters(self, contact: IdentityKey) -> Counters:
        """The counters with this contact; their epoch is chosen when they begin."""
        counters = self._store.counters(contact)
        if not counters.epoch:
            counters = replace(counters, epoch=self._random.bytes(8))
            self._store.save_counters(contact, counters)
        return counters

    def add(
        self,
        contact: IdentityKey,
        body: bytes,
        now: Now,
        *,
        message: MessageId = NO_MESSAGE,
        clock: int = 0,
        expires_ms: int = 0,
    ) -> int:
        """Takes an item; its sequence number.  Raises `QuotaError` where too many wait, and only for a message."""
        if message != NO_MESSAGE and not self.has_room(contact):
            raise QuotaError(
                f"{limits.OUTBOX_ITEMS} items wait for this contact already", hint="wait until some are delivered"
            )
        counters = self.counters(contact)
        sequence = counters.next_sequence
        self._store.save_counters(contact, replace(counters, next_sequence=sequence + 1))
        clock = clock or self._history.tick(now)
        item = OutboxItem(contact, sequence, message, body, now.wall_ms, clock, expires_ms=expires_ms)
        self._store.save_outbox_item(item)
        return sequence

    def has_room(self, contact: IdentityKey) -> bool:
        """Whether further items may wait for this contact."""
        return self._store.outbox_count(contact) < limits.OUTBOX_ITEMS

    def begin_anew(self, contact: IdentityKey) -> None:
        """Their counters began anew, so that they know nothing of ours: what waits gets new numbers, from 1."""
        waiting = self._store.outbox(contact)
        numbers: dict[MessageId, list[int]] = {}
        for sequence, item in enumerate(waiting, 1):
            self._store.remove_outbox_item(contact, item.sequence)
            if item.message != NO_MESSAGE:
                numbers.setdefault(item.message, []).append(sequence)
        for sequence, item in enumerate(waiting, 1):
            body = NOTHING if isinstance(decode_content_body(item.body), PairProposal) else item.body
            fresh = OutboxItem(contact, sequence, item.message, body, item.made_ms, item.clock)
            self._store.save_outbox_item(replace(fresh, parents=item.parents, expires_ms=item.expires_ms))
        for id, sequences in numbers.items():
            message = self._store.message(id, contact=contact)
            if message is not None:
                moved = replace(message, first_sequence=sequences[0], last_sequence=sequences[-1])
                self._store.save_message(moved)
        counters = replace(
            self._store.counters(contact),
            epoch=self._random.bytes(8),
            next_sequence=len(waiting) + 1,
            acknowledged=0,
            received=0,
            received_above=(),
            rings=0,
        )
        self._store.save_counters(contact, counters)
        self._flights[contact] = Flight()

    def start(self, now: Now) -> None:
        """The node has joined: everything that waits goes on its way."""
        for contact in self._store.outbox_contacts():
            self._flight(contact).mail_at = None
            self.pump(contact, now)
        for known in self._store.contacts():
            if known.state is ContactState.ACCEPTED and self._store.counters(known.identity).acknowledgement_due:
                self.acknowledge(known.identity, now)

    def acknowledge(self, contact: IdentityKey, now: Now) -> None:
        """Something of theirs is committed: tell them soon."""
        flight = self._flight(contact)
        if self._links.up(contact):
            flight.acknowledge_at = now.steady
        elif flight.acknowledge_at is None:
            flight.acknowledge_at = now.steady + limits.ACKNOWLEDGE_BY_MAIL_S
            self._reach.want(contact, now)

    def on_up(self, contact: IdentityKey, now: Now) -> None:
        """A link is up: everything not acknowledged goes over it."""
        flight = self._flight(contact)
        flight.sent_through, flight.resends, flight.resend_at, flight.mail_at = 0, 0, None, None
        flight.silent = False
        if flight.acknowledge_at is not None:
            flight.acknowledge_at = now.steady
        self.pump(contact, now)

    def on_down(self, contact: IdentityKey, now: Now) -> None:
        """The link is gone."""
        flight = self._flight(contact)
        flight.sent_through, flight.resend_at, flight.silent = 0, None, True
        counters = self._store.counters(contact)
        if counters.received and 0 <= now.wall_ms - counters.heard_ms < limits.RETRY_S[0] * 1000:
            self.acknowledge(contact, now)  # the last one may have been lost with the link
        self.pump(contact, now)

    def on_away(self, contact: IdentityKey, now: Now) -> None:
        """An attempt to reach them ended without a link: the mailbox need not wait any longer."""
        flight = self._flights.get(contact)
        if flight is not None and flight.mail_at is not None:
            flight.mail_at = now.steady

    def forget(self, contact: IdentityKey) -> None:
        """Nothing is to go to them any more."""
        self._flights.pop(contact, None)

    def on_acknowledgement(self, contact: IdentityKey, acknowledgement: Acknowledgement, now: Now) -> list[OutboxItem]:
        """Drops what they have committed; the items dropped."""
        counters = self.counters(contact)
        if acknowledgement.of != counters.epoch:
            return []
        through = min(acknowledgement.through, counters.next_sequence - 1)
        dropped = [
            item
            for sequence in _acknowledged(counters.acknowledged, through, acknowledgement.above)
            if (item := self._store.outbox_item(contact, sequence)) is not None
        ]
        for item in dropped:
            self._store.remove_outbox_item(contact, item.sequence)
            if item.message == NO_MESSAGE:
                self._acknowledged(contact, item.sequence, now)
        if dropped or through > counters.acknowledged:
            fresh = replace(counters, acknowledged=max(through, counters.acknowledged), rings=0)
            self._store.save_counters(contact, fresh)
        flight = self._flight(contact)
        for message in dict.fromkeys(item.message for item in dropped if item.message != NO_MESSAGE):
            self._delivered(contact, message, flight, now)
        if dropped:
            self._progressed(contact, flight, now)
        return dropped

    def _progressed(self, contact: IdentityKey, flight: Flight, now: Now) -> None:
        """Something was acknowledged: what is still under way gets its whole time again."""
        flight.resends, flight.resend_at, flight.mail_at, flight.ring_at = 0, None, None, None
        flight.silent = flight.silent and not self._links.up(contact)
        if self._links.up(contact) and self._store.outbox(contact, limit=1):
            flight.resend_at = now.steady + limits.RETRY_S[0]
            flight.mail_at = now.steady + limits.MAILBOX_AFTER_S
        self.pump(contact, now)

    # --- sending ---

    def pump(self, contact: IdentityKey, now: Now) -> None:
        """Sends what can go over the link now; without one asks for it and sets the mailbox's hour."""
        known = self._store.contact(contact)
        if known is None or known.state is not ContactState.ACCEPTED:
            return
        flight = self._flight(contact)
        if self._links.up(contact):
            self._send_over_link(known, flight, now)
        elif self._store.outbox(contact, limit=1):
            self._reach.want(contact, now)
            heard_s = (now.wall_ms - self.counters(contact).heard_ms) / 1000
            recently = 0 <= heard_s < limits.HEARD_RECENTLY_S and not flight.silent and not self._reach.failed(contact)
            flight.mail_by(now.steady + (limits.MAILBOX_AFTER_S if recently else limits.MAILBOX_AFTER_ABSENT_S))

    def _send_over_link(self, contact: Contact, flight: Flight, now: Now) -> None:
        counters = self.counters(contact.identity)
        room = limits.LINK_WINDOW - max(0, flight.sent_through - counters.acknowledged)
        for item in self._store.outbox(contact.identity, after=flight.sent_through, limit=max(0, room)):
            if item.sequence > counters.acknowledged + limits.UNACKNOWLEDGED:
                return
            envelope = self._sealed(contact, item, now)
            if envelope is None or not self._links.send(contact.identity, Carry(envelope)):
                return
            flight.sent_through = item.sequence
            if flight.resend_at is None:
                flight.resend_at = now.steady + limits.RETRY_S[min(flight.resends, len(limits.RETRY_S) - 1)]
            flight.mail_by(now.steady + (limits.MAILBOX_AFTER_ABSENT_S if flight.silent else limits.MAILBOX_AFTER_S))

    def _sealed(self, contact: Contact, item: OutboxItem, now: Now) -> bytes | None:
        """The item's envelope in the session in use; None where there is no session."""
        session = self._sessions.current(contact.identity)
        if session is None:
            self._resync(contact, now)
            return None
        if item.session == session.session and item.envelope:
            return item.envelope
        envelope = self._seal(contact, session, item.sequence, item.message, item.clock, item.body)
        fresh = replace(item, session=session.session, envelope=envelope)
        if item.session:  # it was sealed in another session: what lies on the DHT may never be opened
            fresh = replace(fresh, put_item=ItemId(b""), receipts=0)
        self._store.save_outbox_item(fresh)
        return envelope

    def seal_request(self, contact: Contact, session: Session, item: OutboxItem) -> bytes:
        """The envelope of a contact request, which goes out before its contact is accepted."""
        envelope = self._seal(contact, session, item.sequence, item.message, item.clock, item.body)
        self._store.save_outbox_item(replace(item, session=session.session, envelope=envelope))
        return envelope

    def _seal(
        self, contact: Contact, session: Session, sequence: int, message: MessageId, clock: int, body: bytes
    ) -> bytes:
        counters = self.counters(contact.identity)
        if counters.acknowledgement_due:
            self._store.save_counters(contact.identity, replace(counters, acknowledgement_due=False))
        if self._links.up(contact.identity):
            self._flight(contact.identity).acknowledge_at = None
        content = Content(message, clock, _acknowledgement(contact, counters), body)
        return self._sessions.seal(session, sequence, content.encode())

    def _delivered(self, contact: IdentityKey, message: MessageId, flight: Flight, now: Now) -> None:
        known = self._store.message(message, contact=contact)
        if known is None:
            return
        waiting = self._store.outbox(contact, after=known.first_sequence - 1, limit=1)
        if not waiting or waiting[0].sequence > known.last_sequence:
            via = "direct" if known.last_sequence <= flight.sent_through else "mailbox"
            self._history.change_state(contact, message, MessageState.DELIVERED, now, via=via)

    # --- by mail ---

    def _mail(self, contact: Contact, now: Now) -> None:
        """Puts what is not on the DHT yet into the mailbox of the day."""
        flight = self._flight(contact.identity)
        flight.mail_at = now.steady + limits.RETRY_S[0]
        session = self._sessions.current(contact.identity)
        if session is None:
            self._resync(contact, now)
        if session is None or not self._dht.joined:
            return
        window = self._window(contact.identity)
        items = [
            item
            for item in window
            if item.sequence not in flight.putting and _mail_due_ms(item, session.session, now) <= now.wall_ms
        ]
        batch = [sealed for item in items[: limits.MAIL_BATCH] if (sealed := self._posted(contact, item, now))]
        if batch:
            sequences = [item.sequence for item, _ in batch]
            flight.putting.update(sequences)
            flight.silent = True
            self._put(contact.identity, [record for _, record in batch], sequences, now)
            flight.mail_at = now.steady if len(items) > limits.MAIL_BATCH else self._next_mail(contact.identity, now)
        elif not items:
            flight.mail_at = self._next_mail(contact.identity, now)

    def _window(self, contact: IdentityKey) -> list[OutboxItem]:
        """The items that they would take now."""
        last = self.counters(contact).acknowledged + limits.UNACKNOWLEDGED
        items = self._store.outbox(contact, limit=limits.UNACKNOWLEDGED)
        return [item for item in items if item.sequence <= last]

    def _next_mail(self, contact: IdentityKey, now: Now) -> float | None:
        session = self._sessions.current(contact)
        id = session.session if session else b""
        waits = [_mail_due_ms(item, id, now) - now.wall_ms for item in self._window(contact)]
        return now.steady + max(1.0, min(waits) / 1000) if waits else None

    def _posted(self, contact: Contact, item: OutboxItem, now: Now) -> tuple[OutboxItem, Record] | None:
        envelope = self._sealed(contact, item, now)
        if envelope is None:
            return None
        item = self._store.outbox_item(contact.identity, item.sequence) or item
        again = item.put_item and not _stale(item, now) and item.put_day == now.day
        address = self._posted_at(contact, item) if again else None
        fresh = address is None  # after a day the reader looks elsewhere, so it goes there as another item
        address = address or self._mailbox(contact, now)
        if address is None:
            return None
        put_item = ItemId(self._random.bytes(limits.ITEM_ID_BYTES)) if fresh else item.put_item
        expires_s = now.wall_s + limits.MAIL_LIFE_S if fresh else item.record_expires_ms // 1000
        if item.expires_ms:
            expires_s = min(expires_s, item.expires_ms // 1000)
        attempts = item.attempts + 1
        retry_ms = now.wall_ms + limits.RETRY_S[min(attempts - 1, len(limits.RETRY_S) - 1)] * 1000
        item = replace(
            item,
            attempts=attempts,
            retry_ms=retry_ms,
            put_day=address.day,
            put_index=address.index,
            put_generation=address.direction.pair.generation,
            put_item=put_item,
            put_ms=now.wall_ms,
            record_expires_ms=expires_s * 1000,
        )
        self._store.save_outbox_item(item)
        return item, mail_record(address, put_item, envelope, expires_s)

    def _posted_at(self, contact: Contact, item: OutboxItem) -> MailAddress | None:
        """Where an item was put before; None where that generation is gone."""
        for pair in contact.pair_secrets:
            if pair.generation == item.put_generation and contact.device is not None:
                direction = pairs.Direction(pair, self._own.device_key, contact.device)
                return MailAddress(direction, item.put_day, item.put_index)
        return None

    def _mailbox(self, contact: Contact, now: Now) -> MailAddress | None:
        """Where the next item goes; None where today's mailboxes are full."""
        direction = pairs.writing(self._own, contact)
        if direction is None:
            return None
        counters = self.counters(contact.identity)
        index, items = counters.mailbox_index, counters.mailbox_items
        if counters.mailbox_day != now.day:
            index, items = 0, 0
        if items >= limits.MAILBOX_INDEX_ITEMS:
            index, items = index + 1, 0
        if index >= limits.MAILBOX_INDEXES:
            return None
        fresh = replace(counters, mailbox_day=now.day, mailbox_index=index, mailbox_items=items + 1)
        self._store.save_counters(contact.identity, fresh)
        return MailAddress(direction, now.day, index)

    def _put(self, contact: IdentityKey, records: list[Record], sequences: list[int], now: Now) -> None:
        by_key: dict[bytes, tuple[list[Record], list[int]]] = {}
        for record, sequence in zip(records, sequences, strict=True):
            address = record.parse().address
            entry = by_key.setdefault(address, ([], []))
            entry[0].append(record)
            entry[1].append(sequence)
        for group, numbers in by_key.values():

            def progress(result: PutProgress, later: Now, numbers: list[int] = numbers) -> None:
                self._on_put(contact, numbers, result, later)

            self._dht.put(group, progress, now)

    def _on_put(self, contact: IdentityKey, sequences: list[int], progress: PutProgress, now: Now) -> None:
        flight = self._flight(contact)
        stored = progress.receipts >= progress.wanted > 0
        for sequence in sequences:
            if progress.done:
                flight.putting.discard(sequence)
            item = self._store.outbox_item(contact, sequence)
            if item is None or not item.put_item or not (stored or progress.done):
                continue
            first = stored and not item.receipts
            item = replace(item, receipts=progress.receipts if stored else 0, wanted=progress.wanted)
            self._store.save_outbox_item(item)
            if first:
                self._stored(contact, item, progress, now)
            elif progress.done and not stored and item.message != NO_MESSAGE:
                self._history.step(item.message, "too few storers", now, have=progress.receipts, want=progress.wanted)
        if stored:
            self._ring(contact, now)
        if progress.done and flight.mail_at is None:
            flight.mail_at = self._next_mail(contact, now)

    def _stored(self, contact: IdentityKey, item: OutboxItem, progress: PutProgress, now: Now) -> None:
        message = self._store.message(item.message, contact=contact)
        if message is None or message.state is not MessageState.QUEUED:
            return
        parts = self._store.outbox(contact, after=message.first_sequence - 1, limit=limits.PARTS)
        if all(part.receipts for part in parts if part.sequence <= message.last_sequence):
            note = {"note": "small network"} if progress.small_network else {}
            self._history.change_state(
                contact,
                item.message,
                MessageState.STORED,
                now,
                via="mailbox",
                have=progress.receipts,
                want=progress.wanted,
                **note,
            )

    def _ring(self, contact: IdentityKey, now: Now) -> None:
        """Tells them to look, at once or, where they were told and have not answered, later."""
        known, counters, flight = self._store.contact(contact), self.counters(contact), self._flight(contact)
        if known is None or not known.secret:
            return
        gap_s = limits.RING_GAPS_S[min(counters.rings, len(limits.RING_GAPS_S)) - 1] if counters.rings else 0
        wait_s = gap_s - (now.wall_ms - counters.rung_ms) / 1000
        if 0 < wait_s <= gap_s:
            if flight.ring_at is None:
                flight.ring_at = now.steady + wait_s
            return
        flight.ring_at = None
        direction = pairs.writing(self._own, known)
        if direction is None or not 0 <= now.day - counters.mailbox_day <= 1:
            return  # what lies in older mailboxes is found by sweeps
        self._store.save_counters(contact, replace(counters, rung_ms=now.wall_ms, rings=counters.rings + 1))
        if self._store.outbox(contact, limit=1):
            flight.ring_at = now.steady + limits.RING_GAPS_S[min(counters.rings, len(limits.RING_GAPS_S) - 1)]
        tag = direction.ring(counters.mailbox_day, counters.mailbox_index)
        inbox = personal_address(known.identity, INBOX, known.secret, now.day)
        self._dht.put([ring_record(inbox, tag, self._random, now)], _ignore, now)

    # --- acknowledging ---

    def _acknowledge(self, contact: Contact, now: Now) -> None:
        flight = self._flight(contact.identity)
        flight.acknowledge_at = None
        session = self._sessions.current(contact.identity)
        if session is None:
            return
        link_up = self._links.up(contact.identity) is not None
        where = self._mailbox(contact, now) if not link_up and self._dht.joined else None
        if not link_up and where is None:
            flight.acknowledge_at = now.steady + limits.RETRY_S[0]
            return
        envelope = self._seal(contact, session, 0, NO_MESSAGE, self._history.tick(now), NOTHING)
        if where is None:
            self._links.send(contact.identity, Carry(envelope))
            return
        item = ItemId(self._random.bytes(limits.ITEM_ID_BYTES))
        record = mail_record(where, item, envelope, now.wall_s + limits.MAIL_LIFE_S)

        def progress(result: PutProgress, later: Now) -> None:
            if result.receipts:
                self._ring(contact.identity, later)
            elif result.done and self._store.contact(contact.identity) is not None:
                self.mark_due(contact.identity)
                self._flight(contact.identity).acknowledge_at = later.steady + limits.RETRY_S[0]

        self._dht.put([record], progress, now)

    def mark_due(self, contact: IdentityKey) -> None:
        """An acknowledgement is owed, also after a restart."""
        counters = self.counters(contact)
        if not counters.acknowledgement_due:
            self._store.save_counters(contact, replace(counters, acknowledgement_due=True))

    # --- time ---

    def next_deadline(self) -> float | None:
        """When the next thing is due, steady seconds."""
        due = [
            when
            for flight in self._flights.values()
            for when in (flight.mail_at, flight.resend_at, flight.acknowledge_at, flight.ring_at)
            if when is not None
        ]
        return min(due, default=None)

    def on_timer(self, now: Now) -> None:
        """Does what is due."""
        for identity, flight in list(self._flights.items()):
            if not _is_due(flight, now):
                continue
            contact = self._store.contact(identity)
            if contact is None or contact.state is not ContactState.ACCEPTED:
                self._flights.pop(identity)
                continue
            if flight.acknowledge_at is not None and flight.acknowledge_at <= now.steady:
                self._acknowledge(contact, now)
            if flight.resend_at is not None and flight.resend_at <= now.steady:
                self._resend(identity, flight, now)
            if flight.mail_at is not None and flight.mail_at <= now.steady:
                flight.mail_at = None
                self._mail(contact, now)
            if flight.ring_at is not None and flight.ring_at <= now.steady:
                flight.ring_at = None
                self._ring(identity, now)

    def _resend(self, contact: IdentityKey, flight: Flight, now: Now) -> None:
        """What went over the link long ago is not acknowledged: send it all again."""
        flight.resends += 1
        flight.sent_through, flight.resend_at = 0, None
        self.pump(contact, now)

    def expire(self, now: Now) -> None:
        """Ends messages whose time is up; their sequence numbers go on as voids, so that nobody waits for them."""
        for contact in self._store.outbox_contacts():
            for item in self._store.outbox(contact):
                until_ms = item.expires_ms or item.made_ms + limits.OUTBOX_LIFE_S * 1000
                if item.message != NO_MESSAGE and now.wall_ms >= until_ms:
                    void = OutboxItem(contact, item.sequence, NO_MESSAGE, NOTHING, now.wall_ms, item.clock)
                    self._store.save_outbox_item(void)
                    self._history.change_state(contact, item.message, MessageState.EXPIRED, now)
                    self._flight(contact).mail_by(now.steady + limits.MAILBOX_AFTER_S)

    def _flight(self, contact: IdentityKey) -> Flight:
        return self._flights.setdefault(contact, Flight())


def _acknowledgement(contact: Contact, counters: Counters) -> Acknowledgement:
    bits = 0
    for sequence in counters.received_above:
        bits |= 1 << (sequence - counters.received - 2)
    above = bits.to_bytes(-(-bits.bit_length() // 8), "little")
    return Acknowledgement(counters.epoch, contact.epoch or NO_EPOCH, counters.received, above)


def _acknowledged(known: int, through: int, above: bytes) -> list[int]:
    bits = int.from_bytes(above, "little")
    beyond = [through + 2 + place for place in range(bits.bit_length()) if bits >> place & 1]
    return [*range(known + 1, through + 1), *beyond]


def _stale(item: OutboxItem, now: Now) -> bool:
    """Put long ago, or, after the wall clock was set back, in the future."""
    return not 0 <= now.wall_ms - item.put_ms < limits.MAIL_REISSUE_S * 1000


def _mail_due_ms(item: OutboxItem, session: bytes, now: Now) -> int:
    """When an item is to be put (again), wall clock: what was sealed in another session may never be opened."""
    if _stale(item, now):
        return now.wall_ms
    stored = item.put_item and item.receipts and item.session == session
    return item.put_ms + limits.MAIL_REISSUE_S * 1000 if stored else item.retry_ms


def _is_due(flight: Flight, now: Now) -> bool:
    times = (flight.mail_at, flight.resend_at, flight.acknowledge_at, flight.ring_at)
    return any(when is not None and when <= now.steady for when in times)


def _ignore(progress: PutProgress, now: Now) -> None:
    """Rings are hints: nothing depends on their receipts."""
