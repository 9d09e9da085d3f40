"""Putting mail: into which mailbox, when again, what receipts mean, and the rings that tell the reader.

Knows no links and no meaning of what it puts.

| an item is put | when |
|---|---|
| for the first time | the outbox says that mail is due |
| again, the same bytes at the same place | too few storers took it, after `limits.RETRY_S`; none, sooner |
| again, as another item in the day's mailbox | the day is another, or `limits.MAIL_REISSUE_S` have gone by |
| again, where it would be put anew | more servers are known than took it, and had to do, after `limits.RETRY_S` |
| again, sealed anew | the session is another |

Rules: an item counts as stored with the receipts that the DHT asks for, a message when all its items are.  A ring goes
out when something is stored, and again, less and less often, until something is acknowledged or heard; for what nobody
acknowledges, acknowledgements themselves, one.
"""

from msgspec.structs import replace

from p2pd import limits
from p2pd.chat import pairs
from p2pd.chat.envelopes import NO_MESSAGE, Envelopes
from p2pd.chat.flight import Flights
from p2pd.chat.history import History
from p2pd.chat.mail import MailAddress, again_s, mail_record, ring_record, was_reached
from p2pd.chat.withdrawing import Withdrawing
from p2pd.dht.node import Dht
from p2pd.dht.storing import PutProgress
from p2pd.peer.own import OwnKeys
from p2pd.peer.published import INBOX, personal_address
from p2pd.peer.sessions import Sessions
from p2pd.store import Contact, MessageState, OutboxItem, Posted, Session, UserStore
from p2pd.types import IdentityKey, ItemId, MessageId, Now, RandomSource
from p2pd.wire.record import Record


class Posting:
    """Mail to all contacts."""

    def __init__(
        self,
        own: OwnKeys,
        store: UserStore,
        sessions: Sessions,
        dht: Dht,
        history: History,
        random: RandomSource,
        envelopes: Envelopes,
        flights: Flights,
    ) -> None:
        self._own = own
        self._store = store
        self._sessions = sessions
        self._dht = dht
        self._history = history
        self._random = random
        self._envelopes = envelopes
        self._flights = flights
        self._withdrawing = Withdrawing(own, store, dht, history, self._look_again)

    def withdraw(self, contact: Contact, message: MessageId, now: Now) -> None:
        """Ends the records of a message that is recalled."""
        self._withdrawing.put(contact, message, now)

    def post(self, contact: Contact, now: Now) -> None:
        """Puts what is not on the DHT yet into the mailbox of the day."""
        flight = self._flights.of(contact.identity)
        flight.mail_at = now.steady + limits.RETRY_S[0]
        if self._dht.is_busy:
            flight.mail_at = now.steady + limits.LOOKUPS_BUSY_S
            return
        session = self._envelopes.session(contact, now)
        if session is None or not self._dht.joined:
            return
        window = self._window(contact.identity)
        for message in [item.message for item in window if item.recalls]:
            self._withdrawing.put(contact, message, now)
        items = [
            item
            for item in window
            if item.put_item not in flight.putting and self._mail_due_ms(item, session.session, now) <= now.wall_ms
        ]
        batch = [sealed for item in items[: limits.MAIL_BATCH] if (sealed := self._posted(contact, item, now))]
        if batch:
            flight.putting.update(item.put_item for item, _ in batch)
            flight.silent = True
            self._put(contact.identity, batch, now)
            flight.mail_at = now.steady if len(items) > limits.MAIL_BATCH else self._next_mail(contact.identity, now)
        elif not items:
            flight.mail_at = self._next_mail(contact.identity, now)

    def acknowledge(self, contact: Contact, session: Session, now: Now) -> bool:
        """Puts an acknowledgement into the mailbox; False where that is not possible now."""
        where = self._mailbox(contact, now) if self._dht.joined else None
        if where is None:
            return False
        envelope = self._envelopes.seal_acknowledgement(contact, session, self._history.tick(now))
        item = ItemId(self._random.bytes(limits.ITEM_ID_BYTES))
        record = mail_record(where, item, envelope, now.wall_s + limits.MAIL_LIFE_S)
        rung = False

        def progress(result: PutProgress, later: Now) -> None:
            nonlocal rung
            if result.receipts and not rung:
                rung = True
                self.ring(contact.identity, later)
            flight = self._flights.of(contact.identity)
            if result.receipts >= result.wanted > 0:
                flight.acknowledged_in_vain = 0
            elif result.done and self._store.contact(contact.identity) is not None:
                self._envelopes.mark_due(contact.identity)
                flight.acknowledged_in_vain += 1
                wait_s = again_s(flight.acknowledged_in_vain, reached=was_reached(result))
                flight.acknowledge_at = later.steady + wait_s

        self._dht.put([record], progress, now)
        return True

    def ring(self, contact: IdentityKey, now: Now) -> None:
        """Tells them to look, at once or, where they were told and have not answered, later."""
        known, flight = self._store.contact(contact), self._flights.of(contact)
        counters = self._envelopes.counters(contact)
        if known is None or not known.secret:
            return
        waits = bool(self._store.outbox(contact, limit=1))  # nothing tells whether an acknowledgement was heard
        gaps_s = (0 if waits else limits.RING_GAPS_S[0], *limits.RING_GAPS_S)
        gap_s = gaps_s[min(counters.rings, len(limits.RING_GAPS_S))]
        wait_s = gap_s - (now.wall_ms - counters.rung_ms) / 1000
        if 0 < wait_s <= gap_s:
            if flight.ring_at is None:
                flight.ring_at = now.steady + wait_s
            return
        flight.ring_at = None
        direction = pairs.writing(self._own, known)
        if direction is None or not 0 <= now.day - counters.mailbox_day <= 1:
            return  # what lies in older mailboxes is found by sweeps
        self._store.save_counters(contact, replace(counters, rung_ms=now.wall_ms, rings=counters.rings + waits))
        if waits:
            flight.ring_at = now.steady + limits.RING_GAPS_S[min(counters.rings, len(limits.RING_GAPS_S) - 1)]
        tag = direction.ring(counters.mailbox_day, counters.mailbox_index)
        inbox = personal_address(known.identity, INBOX, known.secret, now.day)
        self._dht.put([ring_record(inbox, tag, self._random, now)], _ignore, now)

    # --- which items, and where ---

    def _window(self, contact: IdentityKey) -> list[OutboxItem]:
        """The items that they would take now."""
        last = self._envelopes.counters(contact).acknowledged + limits.UNACKNOWLEDGED
        items = self._store.outbox(contact, limit=limits.UNACKNOWLEDGED)
        return [item for item in items if item.sequence <= last]

    def _next_mail(self, contact: IdentityKey, now: Now) -> float | None:
        session = self._sessions.current(contact)
        id = session.session if session else b""
        window = self._window(contact)
        due_ms = [self._mail_due_ms(item, id, now) for item in window] + self._withdrawing.due_ms(contact, window, now)
        return now.steady + max(1.0, (min(due_ms) - now.wall_ms) / 1000) if due_ms else None

    def _mail_due_ms(self, item: OutboxItem, session: bytes, now: Now) -> int:
        """When an item is to be put (again), wall clock: what was sealed in another session may never be opened."""
        if _stale(item, now):
            return now.wall_ms
        if not (item.put_item and item.receipts and item.session == session) or item.wanted < self._dht.receipts_wanted:
            return item.retry_ms
        again_ms = item.put_ms + limits.MAIL_REISSUE_S * 1000
        if item.wanted < limits.STORED_RECEIPTS:  # looked at again, for others may be known by then
            return min(again_ms, now.wall_ms + limits.HOUSEKEEPING_S * 1000)
        return again_ms

    def _posted(self, contact: Contact, item: OutboxItem, now: Now) -> tuple[OutboxItem, Record] | None:
        envelope = self._envelopes.sealed(contact, item, now)
        if envelope is None:
            return None
        item = self._store.outbox_item(contact.identity, item.sequence) or item
        again = item.put_item and item.posted and not _stale(item, now) and item.put_day == now.day
        address = self._posted_at(contact, item) if again else None
        fresh = address is None  # after a day the reader looks elsewhere, so it goes there as another item
        address = address or self._mailbox(contact, now)
        if address is None:
            return None
        put_item = ItemId(self._random.bytes(limits.ITEM_ID_BYTES)) if fresh else item.put_item
        expires_s = now.wall_s + limits.MAIL_LIFE_S if fresh else item.record_expires_ms // 1000
        if item.expires_ms:
            expires_s = min(expires_s, item.expires_ms // 1000)
        if fresh:
            place = Posted(address.day, address.index, address.direction.pair.generation, put_item, expires_s)
            item = replace(item, posted=(*item.posted, place)[-limits.PUTS_REMEMBERED :])
        item = replace(item, attempts=item.attempts + 1)
        item = replace(
            item,
            retry_ms=now.wall_ms + int(again_s(item.attempts) * 1000),
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
        direction = pairs.written(self._own, contact, item.put_generation)
        return MailAddress(direction, item.put_day, item.put_index) if direction is not None else None

    def _mailbox(self, contact: Contact, now: Now) -> MailAddress | None:
        """Where the next item goes; None where today's mailboxes are full."""
        direction = pairs.writing(self._own, contact)
        if direction is None:
            return None
        counters = self._envelopes.counters(contact.identity)
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

    # --- putting ---

    def _put(self, contact: IdentityKey, batch: list[tuple[OutboxItem, Record]], now: Now) -> None:
        by_key: dict[bytes, tuple[list[OutboxItem], list[Record]]] = {}
        for item, record in batch:
            items, records = by_key.setdefault(record.parse().address, ([], []))
            items.append(item)
            records.append(record)
        for items, records in by_key.values():

            def progress(result: PutProgress, later: Now, items: list[OutboxItem] = items) -> None:
                self._on_put(contact, items, result, later)

            self._dht.put(records, progress, now)

    def _on_put(self, contact: IdentityKey, items: list[OutboxItem], progress: PutProgress, now: Now) -> None:
        flight = self._flights.of(contact)
        stored = progress.receipts >= progress.wanted > 0
        for put in items:
            if progress.done:
                flight.putting.discard(put.put_item)
            item = self._store.outbox_item(contact, put.sequence)
            if item is None or item.put_item != put.put_item or not (stored or progress.done):
                continue  # gone, or by now put elsewhere, which has receipts of its own
            first = stored and not item.receipts
            place = replace(item.posted[-1], holders=max(item.posted[-1].holders, progress.receipts))
            item = replace(
                item,
                receipts=progress.receipts if stored else 0,
                wanted=progress.wanted,
                posted=(*item.posted[:-1], place),
            )
            if not was_reached(progress):
                item = replace(item, retry_ms=now.wall_ms + int(again_s(item.attempts, reached=False) * 1000))
            self._store.save_outbox_item(item)
            if first:
                self._stored(contact, item, progress, now)
            elif progress.done and not stored and item.message != NO_MESSAGE:
                have, want = progress.receipts, progress.wanted
                self._history.step(contact, item.message, "too few storers", now, have=have, want=want)
        if stored:
            self.ring(contact, now)
        if progress.done:
            self._look_again(contact, now)

    def _look_again(self, contact: IdentityKey, now: Now) -> None:
        """An attempt is over: it may have set the next."""
        if (due := self._next_mail(contact, now)) is not None:
            self._flights.of(contact).mail_by(due)

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


def _stale(item: OutboxItem, now: Now) -> bool:
    """Put long ago, or, after the wall clock was set back, in the future."""
    return not 0 <= now.wall_ms - item.put_ms < limits.MAIL_REISSUE_S * 1000


def _ignore(progress: PutProgress, now: Now) -> None:
    """Rings are hints: nothing depends on their receipts."""
