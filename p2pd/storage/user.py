"""One user's store on SQLite: `p2pd.store.UserStore`.

Knows no meaning of what it keeps; `user_schema` says what is in the clear.
Rules: a turn is one transaction, flushed to the disk before it counts as done.  A conversation's order is clock,
sender's key, id.
"""

from contextlib import AbstractContextManager

from p2pd import limits
from p2pd.errors import DamagedError
from p2pd.storage.database import MEMORY, Database
from p2pd.storage.rows import Row, SealedTable, Sealer
from p2pd.storage.transactions import Turns
from p2pd.storage.user_schema import USER_SCHEMA
from p2pd.store import (
    Contact,
    Counters,
    Direction,
    Event,
    Message,
    MessageState,
    OutboxItem,
    Part,
    Prekey,
    Session,
    Step,
)
from p2pd.types import IdentityKey, MessageId

_SEAL_CHECK = "seal check"
_BY_CONTACT = "WHERE contact=?"


class SqliteUserStore:
    """`UserStore` in a file, or in memory for tests and the simulator.

    `own_identity` may be set later, since the identity itself is kept here; messages need it.

    Raises:
        DamagedError: the file is no database, or sealed under another master key.
        StorageError: it cannot be opened or written.
        ForeignHomeError: it is not only ours.
    """

    def __init__(
        self,
        path: str = MEMORY,
        *,
        own_identity: bytes | None,
        master_key: bytes,
        events_kept: int = limits.EVENTS_KEPT,
    ) -> None:
        self.own_identity = own_identity
        self._events_kept = events_kept
        self._database = Database(path, USER_SCHEMA, synchronous="FULL")
        self._turns = Turns(self._database)
        self._sealer = Sealer(master_key)
        try:
            self._make_tables()
            self._check_seal()
        except BaseException:
            self._database.close()
            raise

    def _make_tables(self) -> None:
        def table(name: str, row_type: type[Row], *key: str, clear: tuple[str, ...] = ()) -> SealedTable[Row]:
            return SealedTable(self._turns, self._sealer, name, row_type, key=key, clear=clear)

        self._values = table("single_values", bytes, "name")
        self._contacts = table("contacts", Contact, "contact")
        self._counters = table("counters", Counters, "contact")
        self._sessions = table("sessions", Session, "contact", "session")
        self._prekeys = table("prekeys", Prekey, "id")
        self._outbox = table("outbox", OutboxItem, "contact", "sequence")
        columns = ("clock", "place", "at_ms", "unread", "request")
        self._messages = table("messages", Message, "message", "contact", clear=columns)
        self._steps = table("steps", Step, "message", "number")
        self._parts = table("parts", Part, "contact", "message", "part", clear=("size_bytes",))
        self._events = table("events", Event, "cursor", clear=("type",))
        self._consumers = table("consumers", int, "name")

    def _check_seal(self) -> None:
        try:
            sealed = self.value(_SEAL_CHECK)
        except DamagedError as error:
            raise DamagedError(
                f"{self._database.path} does not open with the key of this home",
                hint="put back the file `keys` that belongs to this user.db, or both from one backup",
            ) from error
        if sealed is None:
            with self.transaction():
                self.set_value(_SEAL_CHECK, b"")

    def transaction(self) -> AbstractContextManager[None]:
        return self._turns.transaction()

    def close(self) -> None:
        """Ends; the store cannot be used afterwards."""
        self._database.close()

    def faults(self) -> list[str]:
        """What is damaged, in words, for `doctor`; reads everything."""
        tables: list[SealedTable[object]] = [each for each in vars(self).values() if isinstance(each, SealedTable)]
        found = self._database.faults()
        return found or [fault for each in tables for fault in each.faults()]

    # --- single values ---

    def value(self, name: str) -> bytes | None:
        return self._values.one(name.encode())

    def set_value(self, name: str, value: bytes) -> None:
        self._values.save(value, name.encode())

    # --- contacts ---

    def contacts(self) -> list[Contact]:
        return sorted(self._contacts.find(), key=lambda contact: (contact.petname, contact.identity))

    def contact(self, identity: IdentityKey) -> Contact | None:
        return self._contacts.one(identity)

    def save_contact(self, contact: Contact) -> None:
        self._contacts.save(contact, contact.identity)

    def remove_contact(self, identity: IdentityKey) -> None:
        for table in (self._contacts, self._counters, self._sessions, self._outbox, self._parts):
            table.remove(_BY_CONTACT, (identity,))

    def counters(self, contact: IdentityKey) -> Counters:
        return self._counters.one(contact) or Counters()

    def save_counters(self, contact: IdentityKey, counters: Counters) -> None:
        self._counters.save(counters, contact)

    # --- sessions and prekeys ---

    def sessions(self, contact: IdentityKey) -> list[Session]:
        found = self._sessions.find(_BY_CONTACT, (contact,))
        return sorted(found, key=lambda session: (session.made_ms, session.session))

    def save_session(self, session: Session) -> None:
        self._sessions.save(session, session.contact, session.session)

    def remove_session(self, session: Session) -> None:
        self._sessions.remove_one(session.contact, session.session)

    def prekeys(self) -> list[Prekey]:
        return self._prekeys.find("ORDER BY id")

    def save_prekey(self, prekey: Prekey) -> None:
        self._prekeys.save(prekey, prekey.id)

    def remove_prekey(self, id: int) -> None:
        self._prekeys.remove_one(id)

    # --- outbox ---

    def outbox(self, contact: IdentityKey, *, after: int = 0, limit: int = 1_000_000) -> list[OutboxItem]:
        return self._outbox.find("WHERE contact=? AND sequence>? ORDER BY sequence LIMIT ?", (contact, after, limit))

    def outbox_item(self, contact: IdentityKey, sequence: int) -> OutboxItem | None:
        return self._outbox.one(contact, sequence)

    def outbox_contacts(self) -> list[IdentityKey]:
        rows = self._database.rows("SELECT DISTINCT contact FROM outbox ORDER BY contact")
        return [IdentityKey(contact) for (contact,) in rows]

    def outbox_count(self, contact: IdentityKey | None = None) -> int:
        if contact is None:
            return self._database.number("SELECT count(*) FROM outbox")
        return self._database.number("SELECT count(*) FROM outbox WHERE contact=?", (contact,))

    def save_outbox_item(self, item: OutboxItem) -> None:
        self._outbox.save(item, item.contact, item.sequence)

    def remove_outbox_item(self, contact: IdentityKey, sequence: int) -> None:
        self._outbox.remove_one(contact, sequence)

    # --- messages ---

    def message(self, message: MessageId, *, contact: IdentityKey | None = None) -> Message | None:
        if contact is not None:
            return self._messages.one(message, contact)
        found = self._messages.find("WHERE message=? ORDER BY contact LIMIT 1", (message,))
        return found[0] if found else None

    def messages_by_prefix(self, low: bytes, high: bytes) -> list[Message]:
        return self._messages.find("WHERE message BETWEEN ? AND ? ORDER BY message, contact LIMIT 3", (low, high))

    def message_by_request(self, request_id: str) -> Message | None:
        found = self._messages.find("WHERE request=? LIMIT 1", (self._sealer.hidden("request", request_id),))
        return found[0] if found else None

    def save_message(self, message: Message) -> None:
        incoming = message.direction is Direction.IN
        self._messages.save(
            message,
            message.message,
            message.contact,
            message.clock,
            self._place(message),
            (incoming and message.received_ms) or message.sent_ms,
            incoming and message.state is MessageState.RECEIVED,
            self._sealer.hidden("request", message.request_id) if message.request_id else None,
        )

    def remove_message(self, contact: IdentityKey, message: MessageId) -> None:
        self._messages.remove_one(message, contact)
        self._steps.remove(
            "WHERE message=? AND NOT EXISTS (SELECT 1 FROM messages WHERE messages.message=steps.message)", (message,)
        )

    def history(self, contact: IdentityKey, *, since_ms: int = 0, limit: int) -> list[Message]:
        newest_first = self._messages.find(
            "WHERE contact=? AND at_ms>=? ORDER BY clock DESC, place DESC, message DESC LIMIT ?",
            (contact, since_ms, limit),
        )
        return newest_first[::-1]

    def position(self, message: Message) -> int:
        # Counted from the end, which is where the messages are that anyone asks about.
        not_before = self._database.number(
            "SELECT count(*) FROM messages WHERE contact=? AND (clock, place, message) >= (?, ?, ?)",
            (message.contact, message.clock, self._place(message), message.message),
        )
        return (
            self._database.number("SELECT messages FROM conversations WHERE contact=?", (message.contact,)) - not_before
        )

    def newest_messages(self, contact: IdentityKey, limit: int) -> list[MessageId]:
        rows = self._database.rows(
            "SELECT message FROM messages WHERE contact=? ORDER BY clock DESC, place DESC, message DESC LIMIT ?",
            (contact, limit),
        )
        return [MessageId(message) for (message,) in reversed(rows)]

    def unread_count(self, contact: IdentityKey) -> int:
        return self._database.number("SELECT count(*) FROM messages WHERE contact=? AND unread", (contact,))

    def _place(self, message: Message) -> int:
        """Of its sender among the two of the conversation."""
        if self.own_identity is None:
            raise RuntimeError("messages need own_identity")
        return int((self.own_identity > message.contact) == (message.direction is Direction.OUT))

    # --- steps and parts ---

    def steps(self, message: MessageId) -> list[Step]:
        return self._steps.find("WHERE message=? ORDER BY number", (message,))

    def add_step(self, message: MessageId, step: Step) -> None:
        newest = self._database.number("SELECT max(number) FROM steps WHERE message=?", (message,))
        self._steps.save(step, message, newest + 1)
        self._steps.remove(
            "WHERE message=? AND number>? AND number<=?",
            (message, limits.STEPS_FIRST, newest + 1 - limits.STEPS_NEWEST),
        )

    def parts(self, contact: IdentityKey, message: MessageId) -> list[Part]:
        return self._parts.find("WHERE contact=? AND message=? ORDER BY part", (contact, message))

    def save_part(self, part: Part) -> None:
        self._parts.save(part, part.contact, part.message, part.part, len(part.body))

    def remove_parts(self, contact: IdentityKey, message: MessageId) -> None:
        self._parts.remove("WHERE contact=? AND message=?", (contact, message))

    def parts_bytes(self, contact: IdentityKey) -> int:
        return self._database.number(
            "SELECT sum(max(size_bytes, ?)) FROM parts WHERE contact=?", (limits.PART_ROW_BYTES, contact)
        )

    def unfinished_texts(self, contact: IdentityKey) -> list[MessageId]:
        rows = self._database.rows(
            "SELECT message FROM parts WHERE contact=? GROUP BY message ORDER BY min(rowid)", (contact,)
        )
        return [MessageId(message) for (message,) in rows]

    # --- events ---

    def add_event(self, type: str, data: str, at_ms: int) -> int:
        cursor = self.newest_cursor() + 1
        self._events.save(Event(cursor, at_ms, type, data), cursor, type)
        if cursor % limits.EVENTS_TRIM == 0:
            self._events.remove("WHERE cursor<=?", (cursor - self._events_kept,))
        return cursor

    def events(self, after: int, *, limit: int, types: tuple[str, ...] = ()) -> list[Event]:
        wanted = f"AND type IN ({', '.join('?' * len(types))}) " if types else ""
        return self._events.find(f"WHERE cursor>? {wanted}ORDER BY cursor LIMIT ?", (after, *types, limit))

    def newest_cursor(self) -> int:
        return self._database.number("SELECT max(cursor) FROM events")

    def consumer(self, name: str) -> int:
        return self._consumers.one(self._sealer.hidden("consumer", name)) or 0

    def save_consumer(self, name: str, cursor: int) -> None:
        self._consumers.save(cursor, self._sealer.hidden("consumer", name))
