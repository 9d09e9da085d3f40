"""Texts: cutting them into parts, putting parts together, saying that they were read.

Knows no paths.  Rules: all parts of a text share message id, clock and parents, and have sequence numbers of their own;
a text is shown when it is whole, delivered when every part is acknowledged.
"""

from p2pd import limits
from p2pd.chat.expiry import Expiry
from p2pd.chat.history import CLOCK_COUNTER_BITS, History
from p2pd.chat.outbox import Outbox
from p2pd.chat.requests import why_unsent
from p2pd.errors import PeerError, RefusedError, UsageError
from p2pd.store import Contact, ContactState, Direction, Message, MessageState, Part, UserStore
from p2pd.types import MessageId, Now, RandomSource
from p2pd.wire.content import Content, Read, Text


class Conversation:
    """What our user and their contacts write to each other."""

    def __init__(
        self, store: UserStore, outbox: Outbox, history: History, expiry: Expiry, random: RandomSource
    ) -> None:
        self._store = store
        self._expiry = expiry
        self._outbox = outbox
        self._history = history
        self._random = random

    def send(
        self, contact: Contact, text: str, now: Now, *, reply: bytes = b"", expire_s: int = 0, request_id: str = ""
    ) -> Message:
        """Takes a text for a contact; it is on its way when this turn is committed.

        Raises:
            UsageError: it is empty, too long or shall last too long; RefusedError: the contact is blocked.
        """
        data = checked_text(text, expire_s)
        if contact.state is ContactState.BLOCKED:
            raise RefusedError(f"{contact.petname} is blocked", hint=f"p2pctl contact unblock {contact.petname}")
        id = MessageId(self._random.bytes(limits.MESSAGE_ID_BYTES))
        clock = self._history.tick(now)
        parents = self._parents(contact)
        expires_ms = now.wall_ms + expire_s * 1000 if expire_s else 0
        cut = _cut(data)
        sequences = [
            self._outbox.add(
                contact.identity,
                Text(piece, part, len(cut), list(parents), reply, expires_ms // 1000).encode(),
                now,
                message=id,
                clock=clock,
                expires_ms=expires_ms,
            )
            for part, piece in enumerate(cut)
        ]
        message = Message(
            contact.identity,
            id,
            Direction.OUT,
            text,
            clock,
            now.wall_ms,
            reply=reply,
            first_sequence=sequences[0],
            last_sequence=sequences[-1],
            request_id=request_id,
            expires_ms=expires_ms,
        )
        message = self._history.sent(message, now)
        self._expiry.expect(expires_ms, now)
        if contact.state is ContactState.PENDING:
            self._history.step(contact.identity, id, why_unsent(contact), now)
        self._outbox.pump(contact.identity, now)
        return message

    def mark_read(self, message: Message, now: Now) -> None:
        """Our user has seen a message, and so those before it: the other side is told."""
        if message.direction is Direction.OUT:
            return
        seen = self._store.unread_through(message, limit=limits.READ_AT_ONCE)
        for each in seen:
            self._history.mark_read(each, now)
        contact = self._store.contact(message.contact)
        if contact is None or contact.state is not ContactState.ACCEPTED:
            return
        for start in range(0, len(seen), limits.READ_MESSAGES):
            if self._outbox.has_room(contact.identity):
                ids = [each.message for each in seen[start : start + limits.READ_MESSAGES]]
                self._outbox.add(contact.identity, Read(ids).encode(), now)
        if seen:
            self._outbox.pump(contact.identity, now)

    def on_text(self, contact: Contact, content: Content, text: Text, via: str, now: Now) -> None:
        """A text, or a part of one, arrived; raises `PeerError` where its parts make no sense."""
        if contact.state not in (ContactState.ACCEPTED, ContactState.PENDING):  # who writes to us has accepted us
            raise PeerError("not_accepted")
        if self._store.message(content.message, contact=contact.identity) is not None:
            return  # shown before, or recalled
        expires_ms = _end_ms(text, now)
        self._expiry.expect(expires_ms, now)
        if text.parts == 1:
            self._show(contact, content, text, text.text, via, now)
            return
        if not text.text:
            raise PeerError("malformed", "an empty part")
        self._make_room(contact, content.message, len(text.text))
        self._store.save_part(Part(contact.identity, content.message, text.part, text.parts, text.text, expires_ms))
        parts = self._store.parts(contact.identity, content.message)
        if len(parts) == text.parts and all(part.parts == text.parts for part in parts):
            self._store.remove_parts(contact.identity, content.message)
            self._show(contact, content, text, b"".join(part.body for part in parts), via, now)

    def on_read(self, contact: Contact, read: Read, now: Now) -> None:
        """They have seen messages of ours."""
        for message in read.messages:
            self._history.change_state(contact.identity, message, MessageState.READ, now)

    def _parents(self, contact: Contact) -> list[MessageId]:
        """What the next message follows; what will be forgotten is no part of it, or it would be missed."""
        newest = self._store.newest_messages(contact.identity, limits.PARENTS)
        known = [(id, self._store.message(id, contact=contact.identity)) for id in newest]
        return [id for id, message in known if message is not None and not message.expires_ms]

    def _make_room(self, contact: Contact, message: MessageId, size: int) -> None:
        """The texts unfinished longest go: their senders have given them up, or never meant to finish them."""
        for oldest in self._store.unfinished_texts(contact.identity):
            if self._store.parts_bytes(contact.identity) + size <= limits.PART_BYTES_KEPT:
                return
            if oldest != message:
                self._store.remove_parts(contact.identity, oldest)

    def _show(self, contact: Contact, content: Content, text: Text, data: bytes, via: str, now: Now) -> None:
        message = Message(
            contact.identity,
            content.message,
            Direction.IN,
            data.decode(errors="replace"),
            content.clock,
            sent_ms=content.clock >> CLOCK_COUNTER_BITS,
            received_ms=now.wall_ms,
            state=MessageState.RECEIVED,
            via=via,
            reply=text.reply,
            expires_ms=_end_ms(text, now),
        )
        self._history.received(contact, message, text.parents, now)


def _end_ms(text: Text, now: Now) -> int:
    """When a text that has just come is to be forgotten here; 0: never."""
    return max(text.expires_s * 1000, now.wall_ms + limits.TEXT_SHOWN_MIN_S * 1000) if text.expires_s else 0


def checked_text(text: str, expire_s: int = 0) -> bytes:
    """The text's UTF-8; raises `UsageError` where it, or how long it shall last, is not allowed."""
    if expire_s > limits.OUTBOX_LIFE_S:
        most = f"{limits.OUTBOX_LIFE_S // limits.DAY_S}d"
        raise UsageError(f"a text with an end lasts {most} at most", hint=f"give {most} or less, or no end")
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise UsageError("the text is not valid Unicode") from None
    if not data:
        raise UsageError("the text is empty", hint="p2pctl send TO TEXT...")
    if len(data) > limits.TEXT_BYTES:
        raise UsageError(
            f"the text has {len(data)} bytes, and {limits.TEXT_BYTES} is the most",
            hint="longer things are files; sending files is not built yet",
        )
    return data


def _cut(data: bytes) -> list[bytes]:
    return [data[start : start + limits.PART_BYTES] for start in range(0, len(data), limits.PART_BYTES)]
