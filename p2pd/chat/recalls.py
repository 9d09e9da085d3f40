"""Recalls: taking back what was said, ours and theirs.

Knows no paths.

| a message of ours | recalled |
|---|---|
| nothing of it ever left | is over at once; its numbers go on as voids |
| is under way, and not acknowledged | the same, its records are ended, and they are asked |
| is acknowledged, or was given up | they are asked |

Rules: the text is gone here at once, and there as soon as they hear of it; its id and its place stay, so that both
histories agree and nothing of it is shown later.  Only their answer says whether it was shown: an acknowledgement
cannot tell a void from what had its number before.
"""

from p2pd.chat.history import History
from p2pd.chat.outbox import Outbox
from p2pd.errors import FailedError, PeerError, RefusedError
from p2pd.store import Contact, ContactState, Direction, Message, MessageState, RecallOutcome, UserStore
from p2pd.types import MessageId, Now
from p2pd.wire.content import Content, Recalled, Request, decode_content_body

_WIRE = (RecallOutcome.UNSEEN, RecallOutcome.SHOWN, RecallOutcome.READ)
"""What the wire's numbers mean."""


class Recalls:
    """What our user and their contacts take back."""

    def __init__(self, store: UserStore, outbox: Outbox, history: History) -> None:
        self._store = store
        self._outbox = outbox
        self._history = history

    def recall(self, message: Message, now: Now) -> None:
        """Takes a message of our user's back; a second time changes nothing.

        Raises:
            RefusedError: it is not ours, its reader is blocked, or it is a request without an answer.
            FailedError: its reader is no contact any more.
        """
        if message.direction is Direction.IN:
            raise RefusedError("only who wrote a message can recall it")
        if message.recall is not None and message.state is not MessageState.FAILED:
            return
        contact = self._reader(message)
        waiting = self._outbox.waiting(message)
        if any(isinstance(decode_content_body(item.body), Request) for item in waiting):
            raise RefusedError(
                "a contact request cannot be recalled before it is answered",
                hint=f"to ask no longer: p2pctl contact remove {contact.petname}",
            )
        parts = message.last_sequence - message.first_sequence + 1
        left = len(waiting) < parts or any(item.left for item in waiting)  # what waits no more was acknowledged
        records = message.recall.records if message.recall is not None else ()
        records += tuple(record for item in waiting for record in item.posted)
        self._history.recalled(message, records, now, left=left)
        self._outbox.withdraw(contact, message, waiting, now, ask=left)

    def on_void(self, contact: Contact, content: Content, message: MessageId, now: Now) -> RecallOutcome:
        """A contact has taken a message of theirs back; raises `PeerError` where it is not theirs."""
        known = self._store.message(message, contact=contact.identity) or self._store.message(message)
        if known is not None and (known.contact != contact.identity or known.direction is Direction.OUT):
            raise PeerError("recall_of_another")
        self._store.remove_parts(contact.identity, message)
        return self._history.taken_back(contact, message, content.clock, now)

    def on_recall(self, contact: Contact, content: Content, message: MessageId, now: Now) -> None:
        """The same, and they ask what had become of it."""
        outcome = self.on_void(contact, content, message, now)
        if self._outbox.has_room(contact.identity):
            self._outbox.add(contact.identity, Recalled(message, _WIRE.index(outcome)).encode(), now)
            self._outbox.pump(contact.identity, now)

    def on_recalled(self, contact: Contact, answer: Recalled, now: Now) -> None:
        """They say what had become of a message of ours; raises `PeerError` where nobody asked."""
        if not self._history.recall_answered(contact.identity, answer.message, _WIRE[answer.outcome], now):
            raise PeerError("recall_not_asked")

    def _reader(self, message: Message) -> Contact:
        contact = self._store.contact(message.contact)
        if contact is not None and contact.state is ContactState.BLOCKED:
            raise RefusedError(f"{contact.petname} is blocked", hint=f"p2pctl contact unblock {contact.petname}")
        if contact is None or contact.state not in (ContactState.ACCEPTED, ContactState.PENDING):
            raise FailedError("its reader is no contact any more, and cannot be asked", hint="p2pctl contact add")
        return contact
