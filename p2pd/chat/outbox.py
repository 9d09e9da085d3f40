"""The outbox: everything under way to others, until they have acknowledged it.

Knows no user and no meaning: items are encoded bodies with a sequence number.  `envelopes` seals them, `posting` puts
them into mailboxes; both know nothing of this module.

| a contact's items go | when |
|---|---|
| nowhere | they have not accepted yet (our contact request goes by `requests`), or are blocked |
| over the link, oldest first | one is up |
| into the mailbox, a link being tried beside it | none is up soon, or what went over it is not acknowledged |

Rules: an item is sealed once for the session in use, oldest first; every path carries those bytes.  It leaves only when
it is acknowledged: receipts, rings and tombstones are no reason.  Acknowledgements gather for a turn on a link, for a
second by mail; whatever is sealed carries the newest one.
An acknowledgement that cannot be, of what we never sent, or of less than before and yet of something new, means that
one of the two homes is an old copy: our counters begin anew, and theirs when they see it.
"""

from collections.abc import Callable

from msgspec.structs import replace

from p2pd import limits
from p2pd.chat.envelopes import NO_MESSAGE, NOTHING, Envelopes
from p2pd.chat.flight import Flight, Flights
from p2pd.chat.history import History
from p2pd.chat.posting import Posting
from p2pd.dht.node import Dht
from p2pd.errors import QuotaError
from p2pd.peer.links import Links
from p2pd.peer.own import OwnKeys
from p2pd.peer.reach import Reach
from p2pd.peer.sessions import Sessions
from p2pd.store import Contact, ContactState, Counters, Message, MessageState, OutboxItem, Session, UserStore
from p2pd.types import IdentityKey, MessageId, Now, RandomSource
from p2pd.wire.content import Acknowledgement, Nothing, PairProposal, Recall, Void, decode_content_body
from p2pd.wire.envelope import Envelope
from p2pd.wire.link import Carry


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
        self._store = store
        self._sessions = sessions
        self._links = links
        self._reach = reach
        self._history = history
        self._random = random
        self._resync = resync
        self._acknowledged = acknowledged
        flights = self._flights = Flights()
        envelopes = self._envelopes = Envelopes(store, sessions, links, flights, random, resync)
        self._posting = Posting(own, store, sessions, dht, history, random, envelopes, flights)

    # --- what others of this node ask ---

    def counters(self, contact: IdentityKey) -> Counters:
        """The counters with this contact."""
        return self._envelopes.counters(contact)

    def seal_request(self, contact: Contact, session: Session, item: OutboxItem) -> bytes:
        """The envelope of a contact request, which goes out before its contact is accepted."""
        return self._envelopes.seal_request(contact, session, item)

    def mark_due(self, contact: IdentityKey) -> None:
        """An acknowledgement is owed, also after a restart."""
        self._envelopes.mark_due(contact)

    def add(
        self,
        contact: IdentityKey,
        body: bytes,
        now: Now,
        *,
        message: MessageId = NO_MESSAGE,
        clock: int = 0,
        expires_ms: int = 0,
        recalls: bool = False,
    ) -> int:
        """Takes an item; its sequence number.  Raises `QuotaError` where too many wait, and only for a new message."""
        if message != NO_MESSAGE and not recalls and not self.has_room(contact):
            raise QuotaError(
                f"{limits.OUTBOX_ITEMS} items wait for this contact already", hint="wait until some are delivered"
            )
        counters = self._envelopes.counters(contact)
        sequence = counters.next_sequence
        self._store.save_counters(contact, replace(counters, next_sequence=sequence + 1))
        clock = clock or self._history.tick(now)
        item = OutboxItem(contact, sequence, message, body, now.wall_ms, clock, expires_ms=expires_ms, recalls=recalls)
        self._store.save_outbox_item(item)
        return sequence

    def has_room(self, contact: IdentityKey) -> bool:
        """Whether further items may wait for this contact."""
        counters = self._envelopes.counters(contact)
        most = counters.next_sequence - 1 - counters.acknowledged  # some of them may be acknowledged
        return most < limits.OUTBOX_ITEMS or self._store.outbox_count(contact) < limits.OUTBOX_ITEMS

    def waiting(self, message: Message) -> list[OutboxItem]:
        """What of a message of ours is not acknowledged."""
        numbers = range(message.first_sequence, message.last_sequence + 1)
        items = (self._store.outbox_item(message.contact, number) for number in numbers)
        return [item for item in items if item is not None and item.message == message.message]

    def withdraw(self, contact: Contact, message: Message, items: list[OutboxItem], now: Now, *, ask: bool) -> None:
        """Makes these items of a message voids, under their numbers, ends its records, and asks what became of it."""
        void = Void(message.message).encode()
        flight = self._flights.of(contact.identity)
        for item in items:
            self._store.save_outbox_item(
                OutboxItem(contact.identity, item.sequence, NO_MESSAGE, void, now.wall_ms, item.clock)
            )
            flight.sent_through = min(flight.sent_through, item.sequence - 1)
        if ask:
            id = message.message
            self.add(contact.identity, Recall(id).encode(), now, message=id, clock=message.clock, recalls=True)
        self._posting.withdraw(contact, message.message, now)
        self.pump(contact.identity, now)

    def begin_anew(self, contact: IdentityKey) -> None:
        """Counters of a new epoch, and nothing known of theirs: what waits gets new numbers, from 1.

        Of the pair secrets only generation 0 stays: it is the only one that both are sure to have.
        """
        waiting = self._store.outbox(contact)
        numbers: dict[MessageId, list[int]] = {}
        for sequence, item in enumerate(waiting, 1):
            self._store.remove_outbox_item(contact, item.sequence)
            if item.message != NO_MESSAGE:
                numbers.setdefault(item.message, []).append(sequence)
        for sequence, item in enumerate(waiting, 1):
            body = NOTHING if isinstance(decode_content_body(item.body), PairProposal) else item.body
            self._store.save_outbox_item(
                OutboxItem(
                    contact,
                    sequence,
                    item.message,
                    body,
                    item.made_ms,
                    item.clock,
                    parents=item.parents,
                    expires_ms=item.expires_ms,
                    left=item.left,
                    posted=item.posted,
                    recalls=item.recalls,
                )
            )
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
            marks=(),
            rings=0,
        )
        self._store.save_counters(contact, counters)
        self._flights.forget(contact)
        known = self._store.contact(contact)
        if known is not None:
            zero = tuple(pair for pair in known.pair_secrets if not pair.generation)
            self._store.save_contact(replace(known, epoch=b"", pair_secrets=zero))

    def start(self, now: Now) -> None:
        """The node has joined: everything that waits goes on its way."""
        for contact in self._store.outbox_contacts():
            self._flights.of(contact).mail_at = None
            self.pump(contact, now)
        for known in self._store.contacts():
            if known.state is ContactState.ACCEPTED and self._store.counters(known.identity).acknowledgement_due:
                self.acknowledge(known.identity, now)

    def acknowledge(self, contact: IdentityKey, now: Now) -> None:
        """Something of theirs is committed: tell them soon."""
        flight = self._flights.of(contact)
        soon_s = now.steady + limits.ACKNOWLEDGE_BY_MAIL_S
        if self._links.up(contact):
            flight.acknowledge_at = now.steady
        elif flight.acknowledge_at is None or flight.acknowledge_at > soon_s:
            flight.acknowledge_at = soon_s
            self._reach.want(contact, now)

    def on_up(self, contact: IdentityKey, now: Now) -> None:
        """A link is up: everything not acknowledged goes over it."""
        flight = self._flights.of(contact)
        flight.sent_through, flight.resends, flight.resend_at, flight.mail_at = 0, 0, None, None
        flight.silent, flight.timed = False, None
        if flight.acknowledge_at is not None:
            flight.acknowledge_at = now.steady
        self.pump(contact, now)

    def on_down(self, contact: IdentityKey, now: Now) -> None:
        """The link is gone."""
        flight = self._flights.of(contact)
        flight.sent_through, flight.resend_at, flight.silent, flight.timed = 0, None, True, None
        counters = self._store.counters(contact)
        if counters.received and 0 <= now.wall_ms - counters.heard_ms < limits.RETRY_S[0] * 1000:
            self.acknowledge(contact, now)  # the last one may have been lost with the link
        self.pump(contact, now)

    def on_away(self, contact: IdentityKey, now: Now) -> None:
        """An attempt to reach them ended without a link: the mailbox need not wait any longer."""
        flight = self._flights.known(contact)
        if flight is not None and flight.mail_at is not None:
            flight.mail_at = now.steady

    def forget(self, contact: IdentityKey) -> None:
        """Nothing is to go to them any more."""
        self._flights.forget(contact)

    def on_acknowledgement(self, contact: IdentityKey, acknowledgement: Acknowledgement, now: Now) -> list[OutboxItem]:
        """Drops what they have committed; the items dropped."""
        counters = self._envelopes.counters(contact)
        if acknowledgement.of != counters.epoch:
            return []
        if _last(acknowledgement) >= counters.next_sequence or self._is_of_another(contact, acknowledgement):
            self.renew(contact, now)
            return []
        through = acknowledgement.through
        dropped = [
            item
            for sequence in _acknowledged(counters.acknowledged, acknowledgement)
            if (item := self._store.outbox_item(contact, sequence)) is not None
        ]
        for item in dropped:
            self._store.remove_outbox_item(contact, item.sequence)
            if item.message == NO_MESSAGE:
                self._acknowledged(contact, item.sequence, now)
        if dropped or through > counters.acknowledged:
            fresh = replace(counters, acknowledged=max(through, counters.acknowledged), rings=0)
            self._store.save_counters(contact, fresh)
        flight = self._flights.of(contact)
        for message in dict.fromkeys(item.message for item in dropped if item.message != NO_MESSAGE):
            self._delivered(contact, message, flight, now)
        if dropped and through < counters.acknowledged:  # of something new, but no more of what was before: theirs is
            self.renew(contact, now)
        elif dropped:
            self._progressed(contact, flight, now)
        return dropped

    def _is_of_another(self, contact: IdentityKey, acknowledgement: Acknowledgement) -> bool:
        """Whether what they have under this number is not what we sent, or have yet to send, under it."""
        item = self._store.outbox_item(contact, acknowledgement.through)
        if item is None or not acknowledgement.mark:
            return False
        if not item.envelope:
            return item.message != NO_MESSAGE  # what has expired was sent as something else before
        mark = Envelope.decode(item.envelope).mark
        if mark[:4] != acknowledgement.mark[:4] or mark == acknowledgement.mark:
            return False
        return not isinstance(decode_content_body(item.body), Void | Nothing)  # they may have what these took back

    def renew(self, contact: IdentityKey, now: Now) -> None:
        """The two ends do not know the same any more: everything that waits goes again, in a new session."""
        known = self._store.contact(contact)
        if known is not None:
            self._sessions.retire(contact, now)
            self.begin_anew(contact)
            self._resync(known, now)

    def _progressed(self, contact: IdentityKey, flight: Flight, now: Now) -> None:
        """Something was acknowledged: what is still under way gets its whole time again."""
        flight.resends, flight.resend_at, flight.mail_at, flight.ring_at = 0, None, None, None
        flight.silent = flight.silent and not self._links.up(contact)
        counters = self._envelopes.counters(contact)
        flight.answered(counters.acknowledged, now)
        if counters.acknowledged + 1 == counters.next_sequence:
            return  # nothing is under way any more
        if self._links.up(contact):
            flight.resend_at = now.steady + limits.RETRY_S[0]
            flight.mail_at = now.steady + flight.patience_s
        self.pump(contact, now)

    # --- sending ---

    def pump(self, contact: IdentityKey, now: Now) -> None:
        """Sends what can go over the link now; without one asks for it and sets the mailbox's hour."""
        known = self._store.contact(contact)
        if known is None or known.state is not ContactState.ACCEPTED:
            return
        flight = self._flights.of(contact)
        if self._links.up(contact):
            self._send_over_link(known, flight, now)
        elif self._store.outbox(contact, limit=1):
            self._reach.want(contact, now)
            flight.mail_by(now.steady + self._patience_s(contact, flight, now))

    def _patience_s(self, contact: IdentityKey, flight: Flight, now: Now) -> float:
        """How long a link may take to come up before the mailbox gets what waits."""
        if flight.silent or self._reach.failed(contact):
            return 0.0
        heard_s = (now.wall_ms - self._envelopes.counters(contact).heard_ms) / 1000
        return limits.MAILBOX_AFTER_S if 0 <= heard_s < limits.HEARD_RECENTLY_S else limits.MAILBOX_AFTER_ABSENT_S

    def _send_over_link(self, contact: Contact, flight: Flight, now: Now) -> None:
        counters = self._envelopes.counters(contact.identity)
        first = max(flight.sent_through, counters.acknowledged) + 1
        room = self._window(contact.identity) - (first - 1 - counters.acknowledged)
        for sequence in range(first, min(counters.next_sequence, counters.acknowledged + limits.UNACKNOWLEDGED + 1)):
            if room <= 0:
                return
            item = self._store.outbox_item(contact.identity, sequence)
            if item is None:  # acknowledged, before others
                continue
            room -= 1
            envelope = self._envelopes.sealed(contact, item, now)
            if envelope is None or not self._links.send(contact.identity, Carry(envelope)):
                return
            flight.sent_through = item.sequence
            if flight.resend_at is None:
                flight.resend_at = now.steady + limits.RETRY_S[min(flight.resends, len(limits.RETRY_S) - 1)]
            flight.sent(sequence, now)
            flight.mail_by(now.steady + flight.patience_s)

    def _window(self, contact: IdentityKey) -> int:
        """Envelopes that may be under way over the link: a relay keeps few for a slow reader."""
        link = self._links.up(contact)
        return limits.LINK_WINDOW if link is None or link.relay is None else limits.RELAYED_WINDOW

    def _delivered(self, contact: IdentityKey, message: MessageId, flight: Flight, now: Now) -> None:
        known = self._store.message(message, contact=contact)
        if known is None:
            return
        parts = range(known.first_sequence, known.last_sequence + 1)
        if all(self._store.outbox_item(contact, part) is None for part in parts):
            link = self._links.up(contact)
            via = link.via if link is not None and known.last_sequence <= flight.sent_through else "mailbox"
            self._history.change_state(contact, message, MessageState.DELIVERED, now, via=via)

    def _acknowledge(self, contact: Contact, flight: Flight, now: Now) -> None:
        flight.acknowledge_at = None
        session = self._sessions.current(contact.identity)
        if session is None:
            return
        if self._links.up(contact.identity) is not None:
            envelope = self._envelopes.seal_acknowledgement(contact, session, self._history.tick(now))
            self._links.send(contact.identity, Carry(envelope))
        elif not self._posting.acknowledge(contact, session, now):
            flight.acknowledge_at = now.steady + limits.RETRY_S[0]

    # --- time ---

    def next_deadline(self) -> float | None:
        """When the next thing is due, steady seconds."""
        return self._flights.next_deadline()

    def on_timer(self, now: Now) -> None:
        """Does what is due."""
        for identity, flight in self._flights.due(now):
            contact = self._store.contact(identity)
            if contact is None or contact.state is not ContactState.ACCEPTED:
                self._flights.forget(identity)
                continue
            if flight.acknowledge_at is not None and flight.acknowledge_at <= now.steady:
                self._acknowledge(contact, flight, now)
            if flight.resend_at is not None and flight.resend_at <= now.steady:
                self._resend(identity, flight, now)
            if flight.mail_at is not None and flight.mail_at <= now.steady:
                flight.mail_at = None
                self._posting.post(contact, now)
                if self._links.up(identity):
                    self._reach.doubt(identity, now)
            if flight.ring_at is not None and flight.ring_at <= now.steady:
                flight.ring_at = None
                self._posting.ring(identity, now)

    def _resend(self, contact: IdentityKey, flight: Flight, now: Now) -> None:
        """What went over the link long ago is not acknowledged: send it all again."""
        flight.resends += 1
        flight.sent_through, flight.resend_at, flight.timed = 0, None, None
        self.pump(contact, now)

    def expire(self, now: Now) -> None:
        """Ends messages whose time is up; their sequence numbers go on as voids, so that nobody waits for them."""
        for contact in self._store.outbox_contacts():
            for item in self._store.outbox(contact):
                until_ms = item.expires_ms or item.made_ms + limits.OUTBOX_LIFE_S * 1000
                if item.message != NO_MESSAGE and now.wall_ms >= until_ms:
                    void = OutboxItem(contact, item.sequence, NO_MESSAGE, NOTHING, now.wall_ms, item.clock)
                    self._store.save_outbox_item(void)
                    if item.recalls:
                        reason = "they have not answered the recall"
                        self._history.change_state(contact, item.message, MessageState.FAILED, now, reason=reason)
                    else:
                        self._history.change_state(contact, item.message, MessageState.EXPIRED, now)
                    self._flights.of(contact).mail_by(now.steady + limits.MAILBOX_AFTER_S)


def _acknowledged(known: int, acknowledgement: Acknowledgement) -> list[int]:
    through, bits = acknowledgement.through, int.from_bytes(acknowledgement.above, "little")
    beyond = [through + 2 + place for place in range(bits.bit_length()) if bits >> place & 1]
    return [*range(known + 1, through + 1), *beyond]


def _last(acknowledgement: Acknowledgement) -> int:
    bits = int.from_bytes(acknowledgement.above, "little").bit_length()
    return acknowledgement.through + (bits + 1 if bits else 0)
