"""Reading what waits for us on the DHT: inboxes, rings, mailboxes.

Knows no contents: envelopes go to `inbox`, requests to `requests`.
Rules: a ring says where to look and is only a hint: every mailbox is read when the node joins and each six hours,
today's and yesterday's always, older ones back to the last complete reading, which the first after joining never is:
who knows few nodes may hear one liar alone.  Of who has a link with us everything comes by it: after the first two
sweeps others pass them by, once theirs were read completely that day.  What was not read whole is read again, soon and
then less often.  What has been acted on is ended by a tombstone; what is held stays at the storers and is read again.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from p2pd import limits
from p2pd.chat import pairs
from p2pd.chat.inbox import Inbox, Outcome
from p2pd.chat.mail import MailAddress, open_mail, tombstone
from p2pd.chat.requests import Requests, inbox_address
from p2pd.chat.rings import Rings
from p2pd.crypto.blinding import blind_secret
from p2pd.crypto.stamp import stamp_bits
from p2pd.dht.deadlines import Deadlines
from p2pd.dht.getting import Found
from p2pd.dht.listening import ListenHandle
from p2pd.dht.node import Dht
from p2pd.dht.records import VerifiedRecord
from p2pd.dht.storing import PutProgress
from p2pd.domains import Domain
from p2pd.errors import PeerError
from p2pd.peer import own
from p2pd.peer.own import OwnKeys
from p2pd.peer.published import INBOX
from p2pd.peer.reach import Reach
from p2pd.store import Contact, ContactState, UserStore
from p2pd.types import IdentityKey, ItemId, Now
from p2pd.wire.envelope import Envelope
from p2pd.wire.record import Family, OpenItem, Record, SetItem


@dataclass(slots=True)
class Sweep:
    """One reading of a contact's mailboxes of several days; complete when nothing is left to wait for."""

    waiting: int
    complete: bool = True
    whole: bool = True
    """Of all mailboxes: one that is not empty leads to the next index, and completeness is remembered."""
    noted: bool = True
    """Whether its completeness is remembered."""
    places: set[MailAddress] = field(default_factory=set)
    """What it reads, each mailbox once."""
    tries: int = 0
    """How many came before it, each soon after another: for what could not be entered yet, once, or not be read."""


@dataclass(frozen=True, slots=True)
class Read:
    """One mailbox to be read."""

    contact: IdentityKey
    where: MailAddress
    sweep: Sweep
    """Which this is a part of."""
    leisurely: bool = False
    """Whether nobody waits for it: it is read only because it is time."""


class Mailroom:
    """Our inboxes and all mailboxes that contacts write for us."""

    def __init__(
        self,
        keys: OwnKeys,
        store: UserStore,
        dht: Dht,
        inbox: Inbox,
        requests: Requests,
        reach: Reach,
        count: Callable[[str], None],
        *,
        inbox_bits: int,
    ) -> None:
        self._keys = keys
        self._store = store
        self._dht = dht
        self._inbox = inbox
        self._requests = requests
        self._reach = reach
        self._count = count
        self._inbox_bits = inbox_bits
        self._rings = Rings(keys, store)
        self._listeners: dict[tuple[bytes, int], ListenHandle] = {}
        self._sweep_at: float | None = None
        self._swept_ms = 0
        self._next_sweep_s: float = limits.SWEEP_SETTLED_S
        self._settled = False
        """Whether the last sweep was not the first since we joined."""
        self._listen_at: float | None = None
        self._again: dict[IdentityKey, tuple[float, int]] = {}
        self._agains: Deadlines[IdentityKey] = Deadlines(self._again_at)
        self._rung: dict[MailAddress, tuple[int, bool]] = {}
        """Mailboxes that are being read since they were rung for: how often, and whether it rang again."""
        self._unread: deque[Read] = deque()
        self._unread_leisurely: deque[Read] = deque()
        self._reading = 0

    def start(self, now: Now, settle_s: float = limits.SETTLE_S) -> None:
        """The node has joined: read everything, and then listen, which reads the inboxes of today."""
        self._next_sweep_s = limits.SWEEP_SETTLED_S
        self._sweep_at, self._listen_at = now.steady, now.steady + settle_s
        self.on_timer(now)

    def contacts_changed(self, contact: IdentityKey, now: Now) -> None:
        """A contact was accepted, blocked or removed: perhaps they have written already."""
        known = self._store.contact(contact)
        if known is not None and known.state is ContactState.ACCEPTED and self._sweep_at is not None:
            self._sweep_contact(known, now)

    def secret_changed(self, now: Now) -> None:
        """Our contact secret is another: listen under it too."""
        if self._listen_at is not None:
            self._listen_at = now.steady

    def on_woken(self, now: Now) -> None:
        """The machine may have slept while the wall's clock went on: what is due by that is due."""
        if self._sweep_at is not None and sweep_is_due(self._swept_ms, now):
            self._sweep_at = now.steady
        if self._listen_at is not None:
            self._listen_at = now.steady

    def next_deadline(self) -> float | None:
        """When something is to be read again, steady seconds."""
        due = (self._sweep_at, self._listen_at, self._agains.next())
        return min((when for when in due if when is not None), default=None)

    def _again_at(self, contact: IdentityKey) -> float | None:
        again = self._again.get(contact)
        return None if again is None else again[0]

    def on_timer(self, now: Now) -> None:
        """Reads what is due."""
        if self._listen_at is not None and self._listen_at <= now.steady:
            self._listen(now)
        if self._sweep_at is not None and self._sweep_at <= now.steady:
            has_settled, self._settled = self._settled, self._next_sweep_s == limits.SWEEP_S
            self._sweep_at, self._next_sweep_s = now.steady + self._next_sweep_s, limits.SWEEP_S
            self._swept_ms = now.wall_ms
            self._sweep_all(now, everybody=not has_settled)
        for identity in self._agains.due(now):
            _, tries = self._again.pop(identity)
            contact = self._store.contact(identity)
            if contact is not None and contact.state in (ContactState.ACCEPTED, ContactState.PENDING):
                self._sweep_contact(contact, now, tries=tries)

    # --- listening ---

    def _listen(self, now: Now) -> None:
        """Holders of our inboxes of today, and near midnight of the day beside it, push what arrives."""
        secrets = (b"", *_watched(own.secrets(self._store)))
        wanted = [(secret, day) for day in days_watched(now) for secret in secrets]
        for gone in [place for place in self._listeners if place not in wanted]:
            self._listeners.pop(gone).close()
        for secret, day in wanted:
            if (secret, day) not in self._listeners:
                self._listeners[secret, day] = self._listener(secret, day, now)
        self._listen_at = now.steady + until_next_watch_s(now)

    def _listener(self, secret: bytes, day: int, now: Now) -> ListenHandle:
        signer = blind_secret(self._keys.identity, INBOX, secret, day)

        def pushed(records: list[VerifiedRecord], later: Now) -> None:
            self._on_inbox_records(secret, day, records, later)

        return self._dht.listen(signer, pushed, now)

    # --- inboxes ---

    def _read_inbox(self, day: int, sweep: Sweep, now: Now) -> None:
        """The public one of a day before today."""

        def found(result: Found, later: Now) -> None:
            done = self._on_inbox_records(b"", day, result.records, later)
            sweep.waiting -= 1
            sweep.complete = sweep.complete and result.complete and done
            if sweep.waiting == 0 and sweep.complete and sweep.noted:
                self._store.set_value(own.INBOX_READ_DAY, later.day.to_bytes(4, "big"))

        address = inbox_address(self._keys, b"", day)
        self._dht.get(Family.OPEN_SET, address, found, now, all_holders=True, leisurely=True)

    def _on_inbox_records(self, secret: bytes, day: int, records: list[VerifiedRecord], now: Now) -> bool:
        """Whether nothing of it is to be read again."""
        rings: list[OpenItem] = []
        done = True
        for record in records:
            content = record.content
            if not isinstance(content, OpenItem):
                continue
            if secret:
                rings.append(content)
            elif self._paid(content):
                done = self._requests.on_inbox_record(content, day, now) and done
        if rings:
            self._on_rings(secret, day, rings, now)
        return done

    def _paid(self, item: OpenItem) -> bool:
        if not self._inbox_bits:
            return True
        if item.stamp and stamp_bits(Domain.STAMP, item.challenge, item.stamp) >= self._inbox_bits:
            return True
        self._count("unpaid_request")
        return False

    def _on_rings(self, secret: bytes, day: int, rings: list[OpenItem], now: Now) -> None:
        known = self._rings.mailboxes((ring.body for ring in rings), day)
        signer = blind_secret(self._keys.identity, INBOX, secret, day)
        ended: list[Record] = []
        read: set[MailAddress] = set()
        for ring in rings:
            identity, where = known.get(ring.body, (None, None))
            if identity is None or where is None:
                self._count("unknown_ring")
                continue
            if where not in read:
                read.add(where)
                self._seen_index(identity, where)
                self._read_rung(identity, where, now)
                self._reach.alive(identity, now)
            ended.append(tombstone(signer, ring.item, Family.OPEN_SET, ring.expires_s))
        for start in range(0, len(ended), limits.MAIL_BATCH):
            self._dht.put(ended[start : start + limits.MAIL_BATCH], _ignore, now, leisurely=True)

    def _read_rung(self, identity: IdentityKey, where: MailAddress, now: Now) -> None:
        """Now, or once more when one of the readings under way is over: whoever holds a ring can repeat it."""
        reads, _ = self._rung.get(where, (0, False))
        if reads >= limits.RING_READS:
            self._rung[where] = reads, True
            return
        self._rung[where] = reads + 1, False
        self._unread.appendleft(Read(identity, where, Sweep(1, whole=False)))  # it waits for no sweep
        self._read_next(now)

    def _on_rung_read(self, identity: IdentityKey, where: MailAddress, now: Now) -> None:
        reads, again = self._rung.pop(where)
        if reads > 1:
            self._rung[where] = reads - 1, False
        if again:
            self._read_rung(identity, where, now)

    # --- mailboxes ---

    def _accepted(self) -> list[Contact]:
        return [
            contact
            for contact in self._store.contacts()
            if contact.state in (ContactState.ACCEPTED, ContactState.PENDING)
        ]

    def _sweep_all(self, now: Now, *, everybody: bool) -> None:
        since = read_through(int.from_bytes(self._store.value(own.INBOX_READ_DAY) or b"", "big"), now)
        days = range(max(since - 1, now.day - limits.SWEEP_DAYS + 1), now.day)
        wanted = [
            contact
            for contact in self._accepted()
            if everybody or contact.swept_day != now.day or not self._reach.has_link(contact.identity)
        ]
        # what an earlier sweep has left is read by this one
        self._unread = deque(read for read in self._unread if not read.sweep.whole)
        self._unread_leisurely.clear()
        reads = [read for contact in wanted for read in self._reads_of(contact, now)]
        reads.sort(key=lambda read: (read.where.day > now.day, -read.where.day))
        for read in reads:  # everybody's of today first: holders answer us so much a second
            self._read(read, now)
        sweep = Sweep(len(days), noted=self._settled)
        for day in days:
            self._read_inbox(day, sweep, now)

    def _sweep_contact(self, contact: Contact, now: Now, *, tries: int = 0) -> None:
        for read in self._reads_of(contact, now, tries=tries):
            self._read(read, now)

    def _reads_of(self, contact: Contact, now: Now, *, tries: int = 0) -> list[Read]:
        """Today, back to the day before the last complete reading, and tomorrow, for a clock ahead of ours."""
        oldest = max(read_through(contact.swept_day, now) - 1, now.day - limits.SWEEP_DAYS + 1)
        days = [now.day, *range(now.day - 1, oldest - 1, -1), now.day + 1]
        directions = pairs.reading(self._keys, contact)
        places = [
            MailAddress(direction, day, index)
            for day in days
            for direction in directions
            if direction.used_on(day, now.day)
            for index in range(self._indexes(contact, day))
        ]
        sweep = Sweep(len(places), noted=self._settled, places=set(places), tries=tries)
        return [Read(contact.identity, place, sweep, leisurely=place.day != now.day) for place in places]

    def _indexes(self, contact: Contact, day: int) -> int:
        """Up to the one after the last that had something: that one may have been filled, and ended, meanwhile."""
        return min(contact.mail_index + 2, limits.MAILBOX_INDEXES) if day == contact.mail_day else 1

    def _seen_index(self, identity: IdentityKey, where: MailAddress) -> None:
        """Remembers how far the writer has come that day: sweeps look there too when what came before is read."""
        contact = self._store.contact(identity)
        if contact is not None and (where.day, where.index) > (contact.mail_day, contact.mail_index):
            self._store.save_contact(replace(contact, mail_day=where.day, mail_index=where.index))

    def _read(self, read: Read, now: Now) -> None:
        (self._unread_leisurely if read.leisurely else self._unread).append(read)
        self._read_next(now)

    def _read_next(self, now: Now) -> None:
        """A few at a time: the DHT refuses look-ups beyond a number, and a refused one finds nothing."""
        for waiting, most in (
            (self._unread, limits.MAILBOXES_READ),
            (self._unread_leisurely, limits.MAILBOXES_READ // 2),
        ):
            while waiting and self._reading < most:
                read = waiting.popleft()
                self._reading += 1
                found, address = self._reader(read), read.where.address()
                self._dht.get(Family.SET, address, found, now, all_holders=True, leisurely=read.leisurely)

    def _reader(self, read: Read) -> Callable[[Found, Now], None]:
        def found(result: Found, later: Now) -> None:
            self._reading -= 1
            self._on_mail(read.contact, read.where, result, read.sweep, later)
            if not read.sweep.whole:
                self._on_rung_read(read.contact, read.where, later)
            self._read_next(later)

        return found

    def _on_mail(self, identity: IdentityKey, where: MailAddress, found: Found, sweep: Sweep, now: Now) -> None:
        items = [record.content for record in found.records if isinstance(record.content, SetItem)]
        if items:
            self._seen_index(identity, where)
        following = MailAddress(where.direction, where.day, where.index + 1)
        if items and following.index < limits.MAILBOX_INDEXES and sweep.whole and following not in sweep.places:
            sweep.waiting += 1
            sweep.places.add(following)
            self._read(Read(identity, following, sweep, leisurely=where.day != now.day), now)
        if not found.complete:
            sweep.complete = False
            self._read_again(identity, sweep, now)
        ended = [item for item in self._in_order(where, items) if self._enter(identity, where, item, sweep, now)]
        self._end(where, ended, now)
        sweep.waiting -= 1
        contact = self._store.contact(identity)
        complete = sweep.whole and sweep.complete and sweep.waiting == 0
        if complete and sweep.noted and contact is not None and contact.swept_day != now.day:
            self._store.save_contact(replace(contact, swept_day=now.day))

    def _in_order(self, where: MailAddress, items: list[SetItem]) -> list[tuple[SetItem, bytes]]:
        """The envelopes in the order in which they were written, so that none has to wait for another."""
        opened: list[tuple[int, SetItem, bytes]] = []
        for item in items:
            try:
                envelope = open_mail(where, item)
                opened.append((Envelope.decode(envelope).sequence, item, envelope))
            except PeerError as error:
                self._count(error.reason)
        opened.sort(key=lambda entry: (entry[0], entry[1].item))
        return [(item, envelope) for _, item, envelope in opened]

    def _enter(
        self, identity: IdentityKey, where: MailAddress, mail: tuple[SetItem, bytes], sweep: Sweep, now: Now
    ) -> bool:
        """Whether the item is done with."""
        contact = self._store.contact(identity)
        if contact is None or contact.state not in (ContactState.ACCEPTED, ContactState.PENDING):
            return False
        outcome = self._inbox.on_envelope(contact, mail[1], "mailbox", now)
        if outcome is Outcome.HELD:
            sweep.complete = False
            if not sweep.tries:
                self._read_again(identity, sweep, now)
        return outcome in (Outcome.DONE, Outcome.DUPLICATE)

    def _read_again(self, identity: IdentityKey, sweep: Sweep, now: Now) -> None:
        if sweep.tries < len(limits.SWEEP_AGAIN_S):
            self._again.setdefault(identity, (now.steady + limits.SWEEP_AGAIN_S[sweep.tries], sweep.tries + 1))
            self._agains.touch(identity)

    def _end(self, where: MailAddress, ended: list[tuple[SetItem, bytes]], now: Now) -> None:
        signer = where.signer()
        records = [tombstone(signer, ItemId(item.item), Family.SET, item.expires_s) for item, _ in ended]
        for start in range(0, len(records), limits.MAIL_BATCH):
            self._dht.put(records[start : start + limits.MAIL_BATCH], _ignore, now, leisurely=True)


def _watched(secrets: list[own.HeldSecret]) -> list[bytes]:
    """Those in use, and of each kind the one before: a contact may not have heard of the new one yet."""
    kinds = ([held.secret for held in secrets if held.shielded is shielded][:2] for shielded in (False, True))
    return [secret for kind in kinds for secret in kind]


def days_watched(now: Now) -> list[int]:
    """The days at whose inboxes somebody may leave something now: clocks differ."""
    into_s = now.wall_s % limits.DAY_S
    if into_s < limits.ROLLOVER_S:
        return [now.day, now.day - 1]
    return [now.day, now.day + 1] if into_s >= limits.DAY_S - limits.ROLLOVER_S else [now.day]


def read_through(day: int, now: Now) -> int:
    """The day through which was read; 0 where a clock that was wrong said a later one than today."""
    return day if day <= now.day else 0


def sweep_is_due(swept_ms: int, now: Now) -> bool:
    """Whether the last sweep was as long ago as another follows, by the wall's clock, or of another day.

    Rings of that day may have come to nobody since, and are in an inbox that is not listened at any more.
    """
    return abs(now.wall_ms - swept_ms) >= limits.SWEEP_S * 1000 or swept_ms // limits.DAY_MS != now.day


def until_next_watch_s(now: Now) -> float:
    """Until the days watched are others."""
    into_s = now.wall_s % limits.DAY_S
    edges = (limits.ROLLOVER_S, limits.DAY_S - limits.ROLLOVER_S, limits.DAY_S)
    return min(limits.HOUSEKEEPING_S, *(edge - into_s for edge in edges if edge > into_s)) + 1.0  # clocks are set


def _ignore(progress: PutProgress, now: Now) -> None:
    """A tombstone that did not reach a storer is put again when its item is seen again."""
