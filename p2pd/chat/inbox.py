"""The one entrance: every envelope, by link, mailbox or request, comes through here.

Knows no paths but their names.

| an envelope | outcome |
|---|---|
| of a sequence that is committed | `DUPLICATE`: acknowledged again |
| the same, and is another item | `DUPLICATE`: the former was withdrawn after it had been sent, or all begins anew |
| of counters that are gone | `DUPLICATE`: they hear of those that count, and it comes again |
| too far ahead, malformed, or badly sealed | `REFUSED`: counted; never acknowledged |
| ahead of what is missing before it, or of no session yet | `HELD`: in memory for a while, tried again after others |
| otherwise | `DONE`: decrypted, its content acted on, to be acknowledged |

Rules: a contact's items are acted on in their order; what is missing is waited for `limits.HOLD_S` at most.
A body that makes no sense in an authenticated envelope is acknowledged and counted: it must not stall what follows.
Another epoch in a session that they began means that their counters began anew, and so do ours with them; one that
knows our present epoch is their answer to our own beginning.  Any other epoch is of old mail, which comes again.
What was opened and could not be committed never opens again: where that is possible a new session is asked for, but not
by mail of a session that another has just taken the place of: that is of before all began anew, and comes again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from msgspec.structs import replace

from p2pd import limits
from p2pd.chat.history import History
from p2pd.chat.outbox import Outbox
from p2pd.errors import DuplicateError, PeerError, UndecryptableError
from p2pd.peer.sessions import Opened, Sessions
from p2pd.store import Contact, ContactState, Counters, UserStore
from p2pd.types import IdentityKey, Now
from p2pd.wire.content import Acknowledgement, Body, Content, Nothing, Void, decode_content_body
from p2pd.wire.envelope import Envelope


class Outcome(Enum):
    """See the table above."""

    DONE = auto()
    DUPLICATE = auto()
    HELD = auto()
    REFUSED = auto()


@dataclass(slots=True)
class Held:
    """An envelope that came too early."""

    envelope: Envelope
    via: str
    until: float
    """Steady seconds; then it is acted on although something before it is missing."""
    opens: bool = True
    """Whether it may be opened at all once its time has come; False: its session is not known."""


WITHDRAWALS = (Void, Nothing)
"""What takes the place of an item that is not to arrive any more."""
Act = Callable[[Contact, Content, Body, str, Now], None]


class Inbox:
    """Envelopes of all contacts."""

    def __init__(
        self,
        store: UserStore,
        sessions: Sessions,
        outbox: Outbox,
        history: History,
        act: Act,
        count: Callable[[str], None],
        resync: Callable[[Contact, Now], None],
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._outbox = outbox
        self._history = history
        self._act = act
        self._count = count
        self._resync = resync
        self._held: dict[IdentityKey, dict[tuple[bytes, int], Held]] = {}

    def on_envelope(self, contact: Contact, data: bytes, via: str, now: Now) -> Outcome:
        """An envelope of a contact whose device is known."""
        try:
            envelope = Envelope.decode(data)
        except PeerError as error:
            return self._refuse(error.reason)
        outcome = self._enter(contact, envelope, via, now)
        if outcome is Outcome.DONE:
            self._try_held(contact.identity, now)
        return outcome

    def next_deadline(self) -> float | None:
        """When the first held envelope has waited long enough, steady seconds."""
        return min((held.until for waiting in self._held.values() for held in waiting.values()), default=None)

    def on_timer(self, now: Now) -> None:
        """Acts on what has waited long enough, and forgets what cannot be opened: its sender or storers keep it."""
        for identity, waiting in list(self._held.items()):
            for key, held in sorted(waiting.items(), key=lambda entry: entry[0][1]):
                contact = self._store.contact(identity)
                if held.until > now.steady:
                    continue
                del waiting[key]
                if contact is None or contact.state in (ContactState.BLOCKED, ContactState.REJECTED):
                    continue
                if held.opens:
                    self._open(contact, held.envelope, held.via, now, last=True)
                else:
                    self._resync(contact, now)
            if not waiting:
                self._held.pop(identity, None)
            self._try_held(identity, now)

    def forget(self, contact: IdentityKey) -> None:
        """Nothing of theirs is wanted any more."""
        self._held.pop(contact, None)

    def _enter(self, contact: Contact, envelope: Envelope, via: str, now: Now) -> Outcome:
        counters = self._outbox.counters(contact.identity)
        if envelope.sequence:
            known = self._sessions.knows(contact.identity, envelope.session)
            if known and _committed(counters, envelope.sequence):
                if _contradicts(counters, envelope) and not self._is_withdrawal(
                    contact, envelope, now
                ):  # their home is an old copy: none of this is what it seems
                    self._outbox.renew(contact.identity, now)
                    return Outcome.DUPLICATE
                return self._again(contact, now)
            if envelope.sequence > counters.received + limits.UNACKNOWLEDGED:
                if known:
                    self._again(contact, now)
                return self._refuse("too_far_ahead")
            if not self._complete_below(contact, envelope, counters):
                return self._hold(contact, envelope, via, now)
        return self._open(contact, envelope, via, now)

    def _is_withdrawal(self, contact: Contact, envelope: Envelope, now: Now) -> bool:
        """Whether it takes back what was committed under its number."""
        try:
            content = Content.decode(self._sessions.open(contact, envelope, now).plaintext)
            body = decode_content_body(content.body)
        except PeerError:
            return False
        if isinstance(body, WITHDRAWALS):
            self._unmark(contact.identity, envelope.sequence)
            return True
        return False

    def _unmark(self, contact: IdentityKey, sequence: int) -> None:
        """Two items have this number: neither contradicts the other."""
        counters, number = self._outbox.counters(contact), sequence.to_bytes(8, "big")
        marks = tuple(mark for mark in counters.marks if not mark.startswith(number))
        self._store.save_counters(contact, replace(counters, marks=marks))

    def _complete_below(self, contact: Contact, envelope: Envelope, counters: Counters) -> bool:
        return all(_committed(counters, number) for number in range(counters.received + 1, envelope.sequence))

    def _open(self, contact: Contact, envelope: Envelope, via: str, now: Now, *, last: bool = False) -> Outcome:
        try:
            opened = self._sessions.open(contact, envelope, now)
        except UndecryptableError as error:
            self._count(error.reason)
            if last or error.reason == "unknown_session":
                self._resync(contact, now)
            return Outcome.REFUSED if last else self._hold(contact, envelope, via, now, opens=False)
        except DuplicateError as error:
            if envelope.sequence and not _committed(self._outbox.counters(contact.identity), envelope.sequence):
                self._count(error.reason)
                if self._sessions.was_left(contact.identity, envelope.session, now):
                    return self._again(contact, now)  # mail of before all began anew
                self._resync(contact, now)
            return Outcome.DUPLICATE
        except PeerError as error:
            return self._refuse(error.reason)
        return self._opened(contact, envelope, opened, via, now)

    def _opened(self, contact: Contact, envelope: Envelope, opened: Opened, via: str, now: Now) -> Outcome:
        try:
            content = Content.decode(opened.plaintext)
        except PeerError as error:
            self._count(error.reason)
            self._commit(contact, envelope, self._outbox.counters(contact.identity), now)
            return Outcome.DONE
        before = self._outbox.counters(contact.identity).epoch
        known = self._with_epoch(contact, content.acknowledgement, opened)
        if known is None:
            return self._again(contact, now) if envelope.sequence else Outcome.DUPLICATE
        contact, epoch = known, self._outbox.counters(contact.identity).epoch
        self._outbox.on_acknowledgement(contact.identity, content.acknowledgement, now)
        counters = self._outbox.counters(contact.identity)
        if counters.epoch != epoch:  # ours have just begun anew, and this comes again under another number
            return Outcome.DUPLICATE
        if envelope.sequence and _committed(counters, envelope.sequence):
            return self._again(contact, now)
        if envelope.sequence > counters.received + limits.UNACKNOWLEDGED:  # once more: the counters may have begun anew
            return self._refuse("too_far_ahead")
        self._commit(contact, envelope, counters, now)
        self._history.witness(content.clock, now)
        try:
            body = decode_content_body(content.body)
            if envelope.sequence and isinstance(body, WITHDRAWALS):
                self._unmark(contact.identity, envelope.sequence)
            self._act(contact, content, body, via, now)
        except PeerError as error:
            self._count(error.reason)
        if epoch != before:  # what waits has new numbers, and goes again
            self._outbox.pump(contact.identity, now)
        return Outcome.DONE

    def _again(self, contact: Contact, now: Now) -> Outcome:
        """Something is committed already, or of counters that are gone: they have to hear what counts here."""
        self._outbox.mark_due(contact.identity)
        if contact.state is ContactState.ACCEPTED:
            self._outbox.acknowledge(contact.identity, now)
        return Outcome.DUPLICATE

    def _with_epoch(self, contact: Contact, said: Acknowledgement, opened: Opened) -> Contact | None:
        """The contact as of this envelope; None where the envelope is not of its present counters."""
        known = self._store.contact(contact.identity) or contact
        if known.epoch == said.epoch:
            return known
        counters = self._outbox.counters(contact.identity)
        answers = said.of == counters.epoch
        if not opened.began and not answers:
            return None
        if known.epoch and opened.began:
            self._outbox.begin_anew(contact.identity)
        elif known.epoch:
            self._store.save_counters(contact.identity, replace(counters, received=0, received_above=(), marks=()))
        known = replace(self._store.contact(contact.identity) or contact, epoch=said.epoch)
        self._store.save_contact(known)
        return known

    def _commit(self, contact: Contact, envelope: Envelope, counters: Counters, now: Now) -> None:
        if envelope.sequence:
            received, above = _with_received(counters, envelope.sequence)
            counters = replace(
                counters,
                heard_ms=now.wall_ms,
                rings=min(counters.rings, 1),  # who says something new is there to hear a ring
                received=received,
                received_above=above,
                marks=(*counters.marks, envelope.sequence.to_bytes(8, "big") + envelope.mark)[-limits.ITEMS_MARKED :],
                acknowledgement_due=True,
            )
        else:
            counters = replace(counters, heard_ms=now.wall_ms)
        self._store.save_counters(contact.identity, counters)
        if envelope.sequence and contact.state is ContactState.ACCEPTED:
            self._outbox.acknowledge(contact.identity, now)

    def _hold(self, contact: Contact, envelope: Envelope, via: str, now: Now, *, opens: bool = True) -> Outcome:
        waiting = self._held.setdefault(contact.identity, {})
        key = (envelope.session, envelope.sequence)
        if key not in waiting and len(waiting) >= limits.HELD_ENVELOPES:
            return self._refuse("too_many_held")
        if key not in waiting:
            waiting[key] = Held(envelope, via, now.steady + limits.HOLD_S, opens)
        return Outcome.HELD

    def _try_held(self, identity: IdentityKey, now: Now) -> None:
        """After something was committed: what waited for it, in order, as long as it goes on."""
        progress = True
        while progress and identity in self._held:
            progress = False
            waiting = self._held[identity]
            for key, held in sorted(waiting.items(), key=lambda entry: entry[0][1]):
                contact = self._store.contact(identity)
                if contact is None or not self._ready(contact, held):
                    continue
                del waiting[key]
                outcome = self._open(contact, held.envelope, held.via, now, last=True)
                progress = progress or outcome is Outcome.DONE
            if not waiting:
                self._held.pop(identity, None)

    def _ready(self, contact: Contact, held: Held) -> bool:
        known = self._sessions.knows(contact.identity, held.envelope.session)
        counters = self._outbox.counters(contact.identity)
        return known and self._complete_below(contact, held.envelope, counters)

    def _refuse(self, reason: str) -> Outcome:
        self._count(reason)
        return Outcome.REFUSED


def _committed(counters: Counters, sequence: int) -> bool:
    return sequence <= counters.received or sequence in counters.received_above


def _contradicts(counters: Counters, envelope: Envelope) -> bool:
    """Whether this is another item than the one committed under its number: in a session an item keeps its bytes."""
    mark = counters.mark(envelope.sequence)
    return mark[:4] == envelope.mark[:4] and mark != envelope.mark


def _with_received(counters: Counters, sequence: int) -> tuple[int, tuple[int, ...]]:
    """Through where everything is committed, and what is beyond, once this is."""
    above = sorted({*counters.received_above, sequence})
    received = counters.received
    while above and above[0] <= received + 1:
        received = max(received, above.pop(0))
    return received, tuple(above)
