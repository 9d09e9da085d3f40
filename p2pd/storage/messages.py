"""What was said: the table of messages, and the order of their conversations.

Knows no meaning of them.
Rules: a conversation's order is clock, sender's key, id.  Its end, where nearly everything happens, is remembered, so
that saying what came last, and where in the conversation that is, asks the database nothing.
"""

from bisect import bisect_left, insort

from p2pd import limits
from p2pd.storage.rows import Memo, SealedTable, Sealer
from p2pd.store import Direction, Message, MessageState
from p2pd.types import IdentityKey, MessageId

COLUMNS = ("clock", "place", "at_ms", "unread", "request", "expires_ms")
_Position = tuple[int, int, bytes]
_NEWEST_FIRST = "ORDER BY clock DESC, place DESC, message DESC LIMIT ?"
_END = f"SELECT clock, place, message FROM messages WHERE contact=? {_NEWEST_FIRST}"  # noqa: S608  our own words


class Messages:
    """The messages of one user; `own_identity` may be set later."""

    def __init__(self, table: SealedTable[Message], memo: Memo, sealer: Sealer, own_identity: bytes | None) -> None:
        self.own_identity = own_identity
        self._table = table
        self._memo = memo
        self._sealer = sealer
        self._person = sealer.person

    def one(self, message: MessageId, contact: IdentityKey | None) -> Message | None:
        """See `UserStore.message`."""
        if contact is not None:
            return self._table.one(message, self._person(contact))
        found = self._table.find("WHERE message=? ORDER BY contact LIMIT 1", (message,))
        return found[0] if found else None

    def by_prefix(self, low: bytes, high: bytes) -> list[Message]:
        """See `UserStore.messages_by_prefix`."""
        return self._table.find("WHERE message BETWEEN ? AND ? ORDER BY message, contact LIMIT 3", (low, high))

    def by_request(self, request_id: str) -> Message | None:
        """See `UserStore.message_by_request`."""
        kept_back = next((row for row in self._table.kept_back() if row.request_id == request_id), None)
        if kept_back is not None:
            return kept_back
        hidden = self._sealer.hidden("request", request_id)
        found = self._table.find_written("WHERE request=? LIMIT 1", (hidden,))
        return found[0] if found else None

    def save(self, message: Message) -> None:
        """Inserts or replaces."""
        incoming = message.direction is Direction.IN
        place = self._place(message)
        self._note(message.contact, (message.clock, place, message.message))
        self._table.save(
            message,
            message.message,
            self._person(message.contact),
            message.clock,
            place,
            (incoming and message.received_ms) or message.sent_ms,
            incoming and message.state is MessageState.RECEIVED,
            self._sealer.hidden("request", message.request_id) if message.request_id else None,
            message.expires_ms,
        )

    def remove(self, contact: IdentityKey, message: MessageId) -> None:
        """If it is there."""
        self._memo.pop(("end", contact), None)
        self._memo.pop(("length", contact), None)
        self._table.remove_one(message, self._person(contact))

    def history(self, contact: IdentityKey, since_ms: int, limit: int) -> list[Message]:
        """See `UserStore.history`."""
        rest = f"WHERE contact=? AND at_ms>=? {_NEWEST_FIRST}"
        newest_first = self._table.find(rest, (self._person(contact), since_ms, limit))
        return newest_first[::-1]

    def position(self, message: Message) -> int:
        """See `UserStore.position`."""
        contact, own = message.contact, (message.clock, self._place(message), message.message)
        length: int | None = self._memo.get(("length", contact))
        if length is None:
            length = self._table.number("SELECT messages FROM conversations WHERE contact=?", (self._person(contact),))
            self._memo["length", contact] = length
        end = self._end(contact)
        if end and own >= end[0]:
            return length - (len(end) - bisect_left(end, own))
        not_before = self._table.number(
            "SELECT count(*) FROM messages WHERE contact=? AND (clock, place, message) >= (?, ?, ?)",
            (self._person(contact), *own),
        )
        return length - not_before

    def newest(self, contact: IdentityKey, limit: int) -> list[MessageId]:
        """See `UserStore.newest_messages`."""
        end = self._end(contact) if limit <= limits.CONVERSATION_END else self._read_end(contact, limit)
        return [MessageId(message) for _, _, message in end[max(0, len(end) - limit) :]]

    def expired(self, now_ms: int, limit: int) -> list[Message]:
        """See `UserStore.expired_messages`."""
        rest = "WHERE expires_ms AND expires_ms<=? ORDER BY expires_ms, message, contact LIMIT ?"
        return self._table.find(rest, (now_ms, limit))

    def unread(self, contact: IdentityKey) -> int:
        """See `UserStore.unread_count`."""
        return self._table.number("SELECT count(*) FROM messages WHERE contact=? AND unread", (self._person(contact),))

    def unread_through(self, message: Message, limit: int) -> list[Message]:
        """See `UserStore.unread_through`."""
        rest = f"WHERE contact=? AND unread AND (clock, place, message) <= (?, ?, ?) {_NEWEST_FIRST}"
        position = (message.clock, self._place(message), message.message)
        return self._table.find(rest, (self._person(message.contact), *position, limit))[::-1]

    def _end(self, contact: IdentityKey) -> list[_Position]:
        """The positions of the newest, ascending: `limits.CONVERSATION_END`, or all there are."""
        end: list[_Position] | None = self._memo.get(("end", contact))
        if end is None:
            end = self._memo["end", contact] = self._read_end(contact, limits.CONVERSATION_END)
        return end

    def _read_end(self, contact: IdentityKey, limit: int) -> list[_Position]:
        newest_first = self._table.clear(_END, (self._person(contact), limit))
        return [(clock, place, id) for clock, place, id in reversed(newest_first)]

    def _note(self, contact: IdentityKey, position: _Position) -> None:
        """A message is about to be saved: what is remembered of its conversation follows."""
        length: int | None = self._memo.get(("length", contact))
        if length is not None and self._table.one(position[2], self._person(contact)) is None:
            self._memo["length", contact] = length + 1
        end: list[_Position] | None = self._memo.get(("end", contact))
        if end is not None and position not in end:
            insort(end, position)
            del end[: -limits.CONVERSATION_END]

    def _place(self, message: Message) -> int:
        """Of its sender among the two of the conversation."""
        if self.own_identity is None:
            raise RuntimeError("messages need own_identity")
        return int((self.own_identity > message.contact) == (message.direction is Direction.OUT))
