"""What is deleted is gone from the files: neither its words nor its sealed bytes are found in the home any more."""

import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from p2pd.errors import StorageError
from p2pd.limits import EVENTS_KEPT
from p2pd.store import Counters, Direction, Part
from tests.storage.samples import LARGER, contact, files_of, message, message_id, outbox_item, session, user_store

COUNT = 1_000
MARK = "vanishing-point"
TABLES = ("messages", "events", "outbox", "parts", "sessions")


def sealed_bytes(home: Path) -> list[bytes]:
    """The end of every sealed row there is, in any table: 24 bytes that are found once in a world."""
    database = sqlite3.connect(home / "user.db")
    rows = [blob for name in TABLES for (blob,) in database.execute(f"SELECT sealed FROM {name}")]  # noqa: S608
    database.close()
    return [bytes(blob[-24:]) for blob in rows]


def hits(home: Path, wanted: list[bytes]) -> int:
    whole = b"".join(data for _, data in files_of(home))
    return sum(each in whole for each in wanted)


def test_a_thousand_deleted_messages_leave_nothing(tmp_path: Path) -> None:
    store = user_store(tmp_path / "user.db")
    with store.transaction():
        store.save_contact(contact(LARGER))
    for number in range(COUNT):
        with store.transaction():
            said = message(number, direction=Direction(("in", "out")[number % 2]), text=f"{MARK} {number} " + "x" * 100)
            store.save_message(replace(said, expires_ms=1_000 + number))
            store.add_event("message", f"{MARK} {number}", 1, about=message_id(number))
            store.save_outbox_item(outbox_item(LARGER, number + 1))
            store.save_session(replace(session(LARGER, b"s"), ratchet=number.to_bytes(200, "big")))
    before = sealed_bytes(tmp_path)
    assert len(before) == 3 * COUNT + 1
    assert hits(tmp_path, before) == len(before), "it would be found"
    assert any(name.endswith("-wal") for name, _ in files_of(tmp_path))
    for number in range(COUNT):
        with store.transaction():
            store.remove_message(LARGER, message_id(number))
            store.remove_events(message_id(number))
            store.remove_outbox_item(LARGER, number + 1)
    with store.transaction():
        store.save_session(session(LARGER, b"s"))
        store.wipe_deleted()
    kept = sealed_bytes(tmp_path)
    assert len(kept) == 1
    wal = (tmp_path / "user.db-wal").stat().st_size
    words = [f"{MARK} {number}".encode() for number in range(COUNT)]
    print(
        f"{hits(tmp_path, before)} of {len(before)} sealed rows, {hits(tmp_path, words)} of {COUNT} texts, log {wal} B"
    )
    assert hits(tmp_path, before) == 0
    assert hits(tmp_path, words) == 0
    assert wal == 0
    assert hits(tmp_path, kept) == 1
    store.close()
    assert hits(tmp_path, before) == 0


def test_whose_a_row_is_cannot_be_read_from_the_file(tmp_path: Path) -> None:
    store = user_store(tmp_path / "user.db")
    with store.transaction():
        store.save_contact(contact(LARGER, "bob"))
        store.save_counters(LARGER, Counters(heard_ms=1))
        store.save_session(session(LARGER, b"s"))
        store.save_outbox_item(outbox_item(LARGER, 1))
        store.save_message(message(1))
        store.save_part(Part(LARGER, message_id(2), 0, 2, b"half"))
    assert hits(tmp_path, [bytes(LARGER), b"bob", b"half"]) == 0
    assert store.outbox_contacts() == [LARGER]
    store.close()
    assert hits(tmp_path, [bytes(LARGER), b"bob", b"half"]) == 0


def test_a_database_that_names_contacts_is_refused_and_not_misread(tmp_path: Path) -> None:
    store = user_store(tmp_path / "user.db")
    with store.transaction():
        store.set_value("seal check", b"")
        store._values.remove_one(b"seal check, contacts hidden")
    store.close()
    with pytest.raises(StorageError, match="before contacts were hidden"):
        user_store(tmp_path / "user.db")


def test_a_reader_in_the_way_puts_it_off_and_stops_nobody(tmp_path: Path) -> None:
    store = user_store(tmp_path / "user.db")
    with store.transaction():
        store.save_message(message(1, text=MARK))
    before = sealed_bytes(tmp_path)
    reader = sqlite3.connect(tmp_path / "user.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM messages").fetchall()
    with store.transaction():
        store.remove_message(LARGER, message_id(1))
        store.wipe_deleted()
    assert hits(tmp_path, before) == 1
    reader.execute("COMMIT")
    reader.close()
    with store.transaction():
        store.set_value("anything", b"")
    assert hits(tmp_path, before) == 0
    store.close()


def test_old_events_leave_nothing(tmp_path: Path) -> None:
    store = user_store(tmp_path / "user.db")
    assert store._events_kept == EVENTS_KEPT
    store._events_kept = 10
    with store.transaction():
        for number in range(300):
            store.add_event("message", f"{MARK} {number}", 1)
    before = sealed_bytes(tmp_path)
    with store.transaction():
        for number in range(300):
            store.add_event("other", str(number), 1)
        store.wipe_deleted()
    assert set(sealed_bytes(tmp_path)).isdisjoint(before[:200])
    assert hits(tmp_path, before[:200]) == 0
    store.close()
