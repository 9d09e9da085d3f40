"""Rows to keep, and the stores to keep them in: for all tests of storage."""

from collections.abc import Iterator
from pathlib import Path

from p2pd.storage.user import SqliteUserStore
from p2pd.store import Contact, ContactState, Direction, HeldRecord, Message, MessageState, OutboxItem, Session
from p2pd.types import IdentityKey, MessageId, RecordKey

OWN = IdentityKey(b"m" * 32)
SMALLER = IdentityKey(b"a" * 32)
LARGER = IdentityKey(b"z" * 32)
MASTER = b"k" * 32


def user_store(path: Path | str = ":memory:") -> SqliteUserStore:
    return SqliteUserStore(str(path), own_identity=OWN, master_key=MASTER)


def message_id(number: int) -> MessageId:
    return MessageId(number.to_bytes(16, "big"))


def message(
    number: int,
    contact: IdentityKey = LARGER,
    *,
    clock: int | None = None,
    direction: Direction = Direction.OUT,
    text: str = "text",
    sent_ms: int = 0,
    received_ms: int = 0,
    state: MessageState = MessageState.QUEUED,
    request_id: str = "",
) -> Message:
    return Message(
        contact,
        message_id(number),
        direction,
        text,
        number if clock is None else clock,
        sent_ms,
        received_ms,
        state,
        request_id=request_id,
    )


def contact(identity: IdentityKey, petname: str = "bob") -> Contact:
    return Contact(identity, petname, ContactState.ACCEPTED, added_ms=1)


def outbox_item(contact: IdentityKey, sequence: int) -> OutboxItem:
    return OutboxItem(contact, sequence, message_id(sequence), b"body", made_ms=1, clock=1, parents=(b"p" * 16,))


def session(contact: IdentityKey, name: bytes, made_ms: int = 1) -> Session:
    return Session(contact, name, ours=True, made_ms=made_ms, ratchet=b"ratchet", associated=b"both")


def held_record(
    key: int = 1, item: bytes = b"", *, expires_s: int = 100, data: bytes = b"data", sequence: int = 1
) -> HeldRecord:
    name = RecordKey(key.to_bytes(32, "big"))
    return HeldRecord(name, item, 2, False, sequence, expires_s, b"d" * 32, data, stamp_bits=3)


def files_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    return ((path.name, path.read_bytes()) for path in sorted(folder.iterdir()) if path.is_file())
