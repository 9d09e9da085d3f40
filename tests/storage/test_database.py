"""Opening a database: whose it is, its version, its mode, and what is said when it is damaged."""

import errno
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from p2pd import limits
from p2pd.errors import DamagedError, ForeignHomeError, StorageError
from p2pd.storage.database import Database, Schema, set_aside

FIRST = ("CREATE TABLE things (name TEXT PRIMARY KEY)", "INSERT INTO things VALUES ('one')")
SECOND = ("ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 7",)
HINT = "what to do"


def schema(*migrations: tuple[str, ...], application_id: int = 5) -> Schema:
    return Schema(application_id, migrations, HINT)


def opened(path: Path, made_by: Schema) -> Database:
    return Database(str(path), made_by, synchronous="FULL")


def test_migrations_run_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    opened(path, schema(FIRST)).close()
    for _ in range(2):
        database = opened(path, schema(FIRST, SECOND))
        assert database.rows("SELECT name, size FROM things") == [("one", 7)]
        database.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    opened(path, schema(FIRST)).close()
    with pytest.raises(sqlite3.OperationalError):
        opened(path, schema(FIRST, (*SECOND, "not a statement")))
    database = opened(path, schema(FIRST))
    assert database.rows("SELECT * FROM things") == [("one",)]
    database.close()


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    opened(path, schema(FIRST, SECOND)).close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="newer"):
        opened(path, schema(FIRST))
    assert path.read_bytes() == before


def test_another_database_is_left_alone(tmp_path: Path) -> None:
    ours, foreign = tmp_path / "ours.db", tmp_path / "foreign.db"
    opened(ours, schema(FIRST)).close()
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    foreign.chmod(0o600)
    for path in (ours, foreign):
        before = path.read_bytes()
        with pytest.raises(DamagedError) as refused:
            opened(path, schema(FIRST, application_id=6))
        assert refused.value.hint == HINT
        assert path.read_bytes() == before


def test_it_is_set_up_to_leave_nothing_behind(tmp_path: Path) -> None:
    database = opened(tmp_path / "some.db", schema(FIRST))
    wanted = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "temp_store": 2, "mmap_size": 0}
    assert {name: database.rows(f"PRAGMA {name}")[0][0] for name in wanted} == wanted
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o7777 == 0o600, path
    assert len(list(tmp_path.iterdir())) == 3
    database.close()
    assert [path.name for path in tmp_path.iterdir()] == ["some.db"]


def test_a_long_log_is_cut_back(tmp_path: Path) -> None:
    database = opened(tmp_path / "some.db", schema(("CREATE TABLE blobs (blob)",)))
    database.run("INSERT INTO blobs VALUES (zeroblob(?))", (3 * limits.WAL_KEPT_BYTES,))
    log = tmp_path / "some.db-wal"
    assert log.stat().st_size > 3 * limits.WAL_KEPT_BYTES
    database.run("INSERT INTO blobs VALUES (1)")
    assert log.stat().st_size <= limits.WAL_KEPT_BYTES
    database.close()


def test_commits_change_no_length_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "some.db-wal"
    database = opened(tmp_path / "some.db", schema(FIRST))
    assert log.stat().st_size == limits.WAL_KEPT_BYTES
    for number in range(30):  # 100 pages each, so that the log begins anew in between
        database.run("INSERT INTO things VALUES (?)", (f"{number:0{200 * limits.KIB}}",))
    assert log.stat().st_size == limits.WAL_KEPT_BYTES
    database.close()


@pytest.mark.parametrize("changes", [0, 1, 20])
def test_what_is_committed_is_there_after_a_crash(tmp_path: Path, changes: int) -> None:
    (tmp_path / "copy").mkdir(mode=0o700)
    database = opened(tmp_path / "some.db", schema(FIRST))
    for number in range(changes):
        database.run("INSERT INTO things VALUES (?)", (str(number),))
    for ending in ("", "-wal"):  # as a crash leaves them: the log ends in zeros
        shutil.copy(tmp_path / f"some.db{ending}", tmp_path / "copy" / f"some.db{ending}")
    database.close()
    after = opened(tmp_path / "copy" / "some.db", schema(FIRST))
    assert after.number("SELECT count(*) FROM things") == 1 + changes
    assert (tmp_path / "copy" / "some.db-wal").stat().st_size == limits.WAL_KEPT_BYTES
    assert after.faults() == []
    after.close()


def test_a_log_that_gets_no_room_serves_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(descriptor: int, data: bytes, start: int) -> int:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "pwrite", refused)
    database = opened(tmp_path / "some.db", schema(FIRST))
    database.run("INSERT INTO things VALUES ('two')")
    assert 0 < (tmp_path / "some.db-wal").stat().st_size < limits.WAL_KEPT_BYTES
    assert database.number("SELECT count(*) FROM things") == 2
    database.close()


def test_a_log_that_another_reads_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    first = opened(path, schema(FIRST))
    first.run("INSERT INTO things VALUES ('two')")
    with sqlite3.connect(path, isolation_level=None) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM things").fetchone() == (2,)
        second = opened(path, schema(FIRST))
        assert second.number("SELECT count(*) FROM things") == 2
        reader.execute("COMMIT")
    reader.close()
    for database in (second, first):
        database.close()


@pytest.mark.parametrize("ending", ["", "-wal", "-shm"])
def test_files_open_to_others_or_elsewhere_are_refused(tmp_path: Path, ending: str) -> None:
    opened(tmp_path / "some.db", schema(FIRST)).close()
    path = tmp_path / f"some.db{ending}"
    path.touch()
    path.chmod(0o640)
    with pytest.raises(ForeignHomeError):
        opened(tmp_path / "some.db", schema(FIRST))
    path.unlink()
    path.symlink_to("elsewhere")
    with pytest.raises(ForeignHomeError):
        opened(tmp_path / "some.db", schema(FIRST))


def test_a_file_that_is_no_database_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    path.write_bytes(b"no database at all" * 1000)
    path.chmod(0o600)
    with pytest.raises(DamagedError) as refused:
        opened(path, schema(FIRST))
    assert (refused.value.exit_code, refused.value.hint) == (13, HINT)


def test_damaged_pages_are_found(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    opened(path, schema(FIRST)).close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * len(data[4096:])
    path.write_bytes(data)
    database = opened(path, schema(FIRST))
    assert database.faults()
    with pytest.raises(DamagedError):
        database.rows("SELECT * FROM things")
    database.close()


def test_a_folder_that_is_not_there_is_the_disks_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        opened(tmp_path / "none" / "some.db", schema(FIRST))


def test_a_database_in_use_by_another_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BUSY_S", 0.0)
    database = opened(tmp_path / "some.db", schema(FIRST))
    other = sqlite3.connect(tmp_path / "some.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked") as refused:
        database.run("BEGIN IMMEDIATE")
    assert "other program" in refused.value.hint
    other.close()
    database.close()


def test_a_bug_of_ours_is_not_called_the_disks(tmp_path: Path) -> None:
    database = opened(tmp_path / "some.db", schema(FIRST))
    with pytest.raises(sqlite3.OperationalError):
        database.rows("SELECT * FROM nothing")
    with pytest.raises(sqlite3.IntegrityError):
        database.run("INSERT INTO things VALUES ('one')")
    database.close()


def test_what_is_set_aside_makes_room_for_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    for expected in ("some.db.damaged-1", "some.db.damaged-2"):
        path.write_bytes(b"damaged")
        (tmp_path / "some.db-wal").write_bytes(b"its log")
        aside = set_aside(path)
        assert aside.name == expected
        assert aside.read_bytes() == b"damaged"
        assert aside.with_name(expected + "-wal").read_bytes() == b"its log"
        assert not path.exists()
        assert not (tmp_path / "some.db-wal").exists()


def read_only(path: Path, made_by: Schema) -> Database:
    return Database(str(path), made_by, synchronous="FULL", read_only=True)


def test_read_only_leaves_everything_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a %20?.db"
    opened(path, schema(FIRST)).close()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    database = read_only(path, schema(FIRST))
    assert database.rows("SELECT name FROM things") == [("one",)]
    assert database.faults() == []
    with pytest.raises(StorageError):
        database.run("DELETE FROM things")
    database.close()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_read_only_sees_what_another_has_committed(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    writer = opened(path, schema(FIRST))
    writer.run("INSERT INTO things VALUES ('two')")
    log = path.with_name("some.db-wal").read_bytes()
    database = read_only(path, schema(FIRST))
    assert database.rows("SELECT name FROM things ORDER BY name") == [("one",), ("two",)]
    database.close()
    assert path.with_name("some.db-wal").read_bytes() == log
    writer.run("INSERT INTO things VALUES ('three')")
    writer.close()


def test_read_only_brings_nothing_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    opened(path, schema(FIRST)).close()
    with pytest.raises(StorageError, match="older"):
        read_only(path, schema(FIRST, SECOND))
