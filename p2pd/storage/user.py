"""One user's store on SQLite: `p2pd.store.UserStore`.

Knows no meaning of what it keeps; `user_schema` says what is in the clear.
Rules: a turn is one transaction, flushed to the disk before it counts as done.
"""

from contextlib import AbstractContextManager
from pathlib import Path

from p2pd import limits
from p2pd.errors import DamagedError, StorageError
from p2pd.storage.database import MEMORY, Database, Opens
from p2pd.storage.messages import COLUMNS, Messages
from p2pd.storage.rows import Memo, Row, SealedTable, Sealer
from p2pd.storage.transactions import Turns
from p2pd.storage.user_schema import USER_SCHEMA
from p2pd.store import (
    Contact,
    Counters,
    Event,
    Invite,
    Message,
    OutboxItem,
    Part,
    Prekey,
    Session,
    Step,
)
from p2pd.types import IdentityKey, MessageId

_SEAL_CHECK = "seal check, contacts hidden"
_FORMER_SEAL_CHECK = "seal check"
_BY_CONTACT = "WHERE contact=?"


class SqliteUserStore:
    """`UserStore` in a file, or in memory for tests and the simulator.

    `own_identity` may be set later, since the identity itself is kept here; messages need it.
    `read_only` is for looking at a file that another process may have open: nothing is written.

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
        read_only: bool = False,
        database: Opens = Database,
    ) -> None:
        self._events_kept = events_kept
        self._read_only = read_only
        self._database = database(path, USER_SCHEMA, synchronous="FULL", read_only=read_only)
        self._turns = Turns(self._database)
        self._memo = Memo(self._turns)
        self._sealer = Sealer(master_key)
        self._person = self._sealer.person
        try:
            self._make_tables(own_identity)
            self._check_seal()
        except BaseException:
            self._database.close()
            raise

    def _make_tables(self, own_identity: bytes | None) -> None:
        def table(
            name: str, row_type: type[Row], *key: str, clear: tuple[str, ...] = (), remembered: int = 0
        ) -> SealedTable[Row]:
            return SealedTable(self._turns, self._sealer, name, row_type, key=key, clear=clear, remembered=remembered)

        hot = limits.ROWS_REMEMBERED
        self._values = table("single_values", bytes, "name", remembered=hot)
        self._contacts = table("contacts", Contact, "contact", remembered=hot)
        self._counters = table("counters", Counters, "contact", remembered=hot)
        self._sessions = table("sessions", Session, "contact", "session", remembered=hot)
        self._prekeys = table("prekeys", Prekey, "id")
        self._invites = table("invites", Invite, "id")
        self._outbox = table("outbox", OutboxItem, "contact", "sequence", remembered=hot)
        self._messages = table("messages", Message, "message", "contact", clear=COLUMNS, remembered=hot)
        self._said = Messages(self._messages, self._memo, self._sealer, own_identity)
        self._parts = table("parts", Part, "contact", "message", "part", clear=("size_bytes", "expires_ms"))
        self._events = table("events", Event, "cursor", clear=("type", "message"))
        self._consumers = table("consumers", int, "name")

    def _check_seal(self) -> None:
        try:
            sealed = self.value(_SEAL_CHECK)
        except DamagedError as error:
            raise DamagedError(
                f"{self._database.path} does not open with the key of this home",
                hint="put back the file `keys` that belongs to this user.db, or both from one backup",
            ) from error
        if sealed is None and self.value(_FORMER_SEAL_CHECK) is not None:
            raise StorageError(
                f"{self._database.path} was written by a p2pd of before contacts were hidden in it",
                hint="begin a new home; before 0.1.0 formats may change",
            )
        if sealed is None and not self._read_only:
            with self.transaction():
                self.set_value(_SEAL_CHECK, b"")

    @property
    def own_identity(self) -> bytes | None:
        return self._said.own_identity

    @own_identity.setter
    def own_identity(self, identity: bytes) -> None:
        self._said.own_identity = identity

    def transaction(self) -> AbstractContextManager[None]:
        return self._turns.transaction()

    def attempt(self) -> AbstractContextManager[None]:
        return self._turns.attempt()

    def wipe_deleted(self) -> None:
        self._turns.wipe_deleted()

    def close(self) -> None:
        """Ends; the store cannot be used afterwards."""
        self._database.close()

    def write_copy(self, path: Path) -> None:
        """A consistent copy in a new file; others may read and write meanwhile."""
        self._database.write_copy(path)

    def totals(self) -> dict[str, int]:
        """How much there is: `contacts`, `messages`, and items `waiting` for their recipients."""
        return {
            "contacts": self._contacts.number("SELECT count(*) FROM contacts"),
            "messages": self._messages.number("SELECT count(*) FROM messages"),
            "waiting": self.outbox_count(),
        }

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
        listed: list[Contact] | None = self._memo.get("contacts")
        if listed is None:
            listed = sorted(self._contacts.find(), key=lambda contact: (contact.petname, contact.identity))
            if len(listed) <= limits.ROWS_REMEMBERED:
                self._memo["contacts"] = listed
        return list(listed)

    def contact(self, identity: IdentityKey) -> Contact | None:
        return self._contacts.one(self._person(identity))

    def save_contact(self, contact: Contact) -> None:
        self._contacts.save(contact, self._person(contact.identity))
        self._memo.pop("contacts", None)

    def remove_contact(self, identity: IdentityKey) -> None:
        self._memo.clear()
        for table in (self._contacts, self._counters, self._sessions, self._outbox, self._parts):
            table.remove(_BY_CONTACT, (self._person(identity),))

    def counters(self, contact: IdentityKey) -> Counters:
        return self._counters.one(self._person(contact)) or Counters()

    def save_counters(self, contact: IdentityKey, counters: Counters) -> None:
        self._counters.save(counters, self._person(contact))

    # --- sessions, prekeys and invites ---

    def sessions(self, contact: IdentityKey) -> list[Session]:
        ids: list[bytes] | None = self._memo.get(("sessions", contact))
        if ids is None:
            rows = self._sessions.clear("SELECT session FROM sessions WHERE contact=?", (self._person(contact),))
            ids = [id for (id,) in rows]
            self._memo["sessions", contact] = ids
        found = [session for id in ids if (session := self._sessions.one(self._person(contact), id)) is not None]
        return sorted(found, key=lambda session: (session.made_ms, session.session)) if len(found) > 1 else found

    def session(self, contact: IdentityKey, id: bytes) -> Session | None:
        return self._sessions.one(self._person(contact), id)

    def save_session(self, session: Session) -> None:
        self._sessions.save(session, self._person(session.contact), session.session)
        if session.session not in self._memo.get(("sessions", session.contact), ()):
            self._memo.pop(("sessions", session.contact), None)

    def remove_session(self, session: Session) -> None:
        self._sessions.remove_one(self._person(session.contact), session.session)

    def prekeys(self) -> list[Prekey]:
        return self._prekeys.find("ORDER BY id")

    def save_prekey(self, prekey: Prekey) -> None:
        self._prekeys.save(prekey, prekey.id)

    def remove_prekey(self, id: int) -> None:
        self._prekeys.remove_one(id)

    def invites(self) -> list[Invite]:
        return self._invites.find("ORDER BY id")

    def invite(self, id: int) -> Invite | None:
        return self._invites.one(id)

    def save_invite(self, invite: Invite) -> None:
        self._invites.save(invite, invite.id)

    def remove_invite(self, id: int) -> None:
        self._invites.remove_one(id)

    # --- outbox ---

    def outbox(self, contact: IdentityKey, *, after: int = 0, limit: int = 1_000_000) -> list[OutboxItem]:
        rest = "WHERE contact=? AND sequence>? ORDER BY sequence LIMIT ?"
        return self._outbox.find(rest, (self._person(contact), after, limit))

    def outbox_item(self, contact: IdentityKey, sequence: int) -> OutboxItem | None:
        return self._outbox.one(self._person(contact), sequence)

    def outbox_contacts(self) -> list[IdentityKey]:
        first = self._outbox.find("WHERE (contact, sequence) IN (SELECT contact, min(sequence) FROM outbox GROUP BY 1)")
        return sorted(item.contact for item in first)

    def outbox_count(self, contact: IdentityKey | None = None) -> int:
        if contact is None:
            return self._outbox.number("SELECT count(*) FROM outbox")
        return self._outbox.number("SELECT count(*) FROM outbox WHERE contact=?", (self._person(contact),))

    def save_outbox_item(self, item: OutboxItem) -> None:
        self._outbox.save(item, self._person(item.contact), item.sequence)

    def remove_outbox_item(self, contact: IdentityKey, sequence: int) -> None:
        self._outbox.remove_one(self._person(contact), sequence)

    # --- messages ---

    def message(self, message: MessageId, *, contact: IdentityKey | None = None) -> Message | None:
        return self._said.one(message, contact)

    def messages_by_prefix(self, low: bytes, high: bytes) -> list[Message]:
        return self._said.by_prefix(low, high)

    def message_by_request(self, request_id: str) -> Message | None:
        return self._said.by_request(request_id)

    def save_message(self, message: Message) -> None:
        self._said.save(message)

    def remove_message(self, contact: IdentityKey, message: MessageId) -> None:
        self._said.remove(contact, message)

    def expired_messages(self, now_ms: int, *, limit: int) -> list[Message]:
        return self._said.expired(now_ms, limit)

    def next_expiry_ms(self) -> int:
        found = [
            table.number(f"SELECT min(expires_ms) FROM {name} WHERE expires_ms")  # noqa: S608  our own names
            for table, name in ((self._messages, "messages"), (self._parts, "parts"))
        ]
        return min(filter(None, found), default=0)

    def history(self, contact: IdentityKey, *, since_ms: int = 0, limit: int) -> list[Message]:
        return self._said.history(contact, since_ms, limit)

    def position(self, message: Message) -> int:
        return self._said.position(message)

    def newest_messages(self, contact: IdentityKey, limit: int) -> list[MessageId]:
        return self._said.newest(contact, limit)

    def unread_count(self, contact: IdentityKey) -> int:
        return self._said.unread(contact)

    def unread_through(self, message: Message, *, limit: int) -> list[Message]:
        return self._said.unread_through(message, limit)

    def steps(self, message: MessageId) -> list[Step]:
        found = self._said.one(message, None)
        return list(found.steps) if found else []

    # --- parts ---

    def parts(self, contact: IdentityKey, message: MessageId) -> list[Part]:
        return self._parts.find("WHERE contact=? AND message=? ORDER BY part", (self._person(contact), message))

    def save_part(self, part: Part) -> None:
        person = self._person(part.contact)
        self._parts.save(part, person, part.message, part.part, len(part.body), part.expires_ms)

    def remove_parts(self, contact: IdentityKey, message: MessageId) -> None:
        self._parts.remove("WHERE contact=? AND message=?", (self._person(contact), message))

    def remove_expired_parts(self, now_ms: int) -> None:
        self._parts.remove("WHERE expires_ms AND expires_ms<=?", (now_ms,))

    def parts_bytes(self, contact: IdentityKey) -> int:
        return self._parts.number(
            "SELECT sum(max(size_bytes, ?)) FROM parts WHERE contact=?", (limits.PART_ROW_BYTES, self._person(contact))
        )

    def unfinished_texts(self, contact: IdentityKey) -> list[MessageId]:
        rows = self._parts.clear(
            "SELECT message FROM parts WHERE contact=? GROUP BY message ORDER BY min(rowid)", (self._person(contact),)
        )
        return [MessageId(message) for (message,) in rows]

    # --- events ---

    def add_event(self, type: str, data: str, at_ms: int, *, about: bytes = b"") -> int:
        cursor = self.newest_cursor() + 1
        self._events.save(Event(cursor, at_ms, type, data), cursor, type, about or None)
        self._memo["cursor"] = cursor
        if cursor % limits.EVENTS_TRIM == 0:
            self._events.remove("WHERE cursor<=?", (cursor - self._events_kept,))
        return cursor

    def remove_events(self, about: MessageId) -> None:
        self._events.remove("WHERE message=?", (about,))

    def events(self, after: int, *, limit: int, types: tuple[str, ...] = ()) -> list[Event]:
        wanted = f"AND type IN ({', '.join('?' * len(types))}) " if types else ""
        return self._events.find(f"WHERE cursor>? {wanted}ORDER BY cursor LIMIT ?", (after, *types, limit))

    def event(self, cursor: int) -> Event | None:
        return self._events.one(cursor)

    def save_event(self, event: Event) -> None:
        self._events.save(event, event.cursor, event.type, None)

    def newest_cursor(self) -> int:
        cursor: int | None = self._memo.get("cursor")
        if cursor is None:
            cursor = self._memo["cursor"] = self._events.number("SELECT max(cursor) FROM events")
        return cursor

    def consumer(self, name: str) -> int:
        return self._consumers.one(self._sealer.hidden("consumer", name)) or 0

    def save_consumer(self, name: str, cursor: int) -> None:
        self._consumers.save(cursor, self._sealer.hidden("consumer", name))
