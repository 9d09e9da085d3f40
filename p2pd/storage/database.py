"""One SQLite file: opening, pragmas, migrations, errors, closing.

Knows no table and no key.
Rules: write-ahead log; deleted bytes are overwritten (R42) and nothing temporary touches the disk; the file is private
(R38), and SQLite gives `-wal` and `-shm` its mode.  `user_version` counts the migrations done, `application_id` says
whose file it is.  Every error of SQLite's that is not a bug of ours becomes StorageError or DamagedError here.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from p2pd import limits
from p2pd.errors import DamagedError, StorageError
from p2pd.storage.files import check_file, lengthen_file, make_file

MEMORY = ":memory:"

Parameters = Sequence[bytes | str | int | None]
Fields = tuple[Any, ...]
"""One row as SQLite gives it; its columns are what the schema says."""

_REFUSED = {
    sqlite3.SQLITE_FULL: "make room on the disk; nothing that was accepted is lost",
    sqlite3.SQLITE_IOERR: "check the disk that holds the home",
    sqlite3.SQLITE_READONLY: "the home must lie where this user may write",
    sqlite3.SQLITE_CANTOPEN: "the home must lie where this user may write",
    sqlite3.SQLITE_PERM: "the home must lie where this user may write",
    sqlite3.SQLITE_BUSY: "end the other program that has the database open",
    sqlite3.SQLITE_LOCKED: "end the other program that has the database open",
    sqlite3.SQLITE_PROTOCOL: "end the other program that has the database open",
    sqlite3.SQLITE_NOLFS: "move the home to a file system that takes large files",
    sqlite3.SQLITE_NOMEM: "free some memory",
}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True, slots=True)
class Schema:
    """What makes a file ours: its number, and the statements that bring it from each version to the next."""

    application_id: int
    migrations: tuple[tuple[str, ...], ...]
    damaged_hint: str
    """What a user can do when this database is damaged."""


class Database:
    """One open database; `synchronous` is SQLite's word for when a commit waits for the disk.

    `read_only` opens one that another process may have open, or nobody, and changes neither it nor its log.
    """

    def __init__(self, path: str, schema: Schema, *, synchronous: str, read_only: bool = False) -> None:
        self.path = path
        self._schema = schema
        if path != MEMORY and not read_only:
            _check_files(Path(path))
        try:
            self._connection = sqlite3.connect(
                _read_only_uri(Path(path)) if read_only else path,
                timeout=limits.BUSY_S,
                isolation_level=None,
                cached_statements=limits.STATEMENTS_CACHED,
                uri=read_only,
            )
        except sqlite3.Error as error:
            raise self._mapped(error) from error
        try:
            self._prepare_reading() if read_only else self._prepare(synchronous)
        except BaseException:
            self._connection.close()
            raise

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def run(self, sql: str, parameters: Parameters = ()) -> int:
        """Runs a statement as it is; how many rows it changed."""
        try:
            return self._connection.execute(sql, parameters).rowcount
        except sqlite3.Error as error:
            raise self._mapped(error) from error

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Fields]:
        """All that a query gives."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._mapped(error) from error

    def row(self, sql: str, parameters: Parameters = ()) -> Fields | None:
        """The first that a query gives."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def number(self, sql: str, parameters: Parameters = ()) -> int:
        """The one number that a query gives; 0 for none."""
        found = self.row(sql, parameters)
        return int(found[0] or 0) if found else 0

    def faults(self) -> list[str]:
        """What SQLite's own check of every page and index finds; empty: all is well.  Reads the whole file."""
        try:
            return [str(line) for (line,) in self.rows("PRAGMA integrity_check") if line != "ok"]
        except DamagedError as error:
            return [error.message]

    def write_copy(self, path: Path) -> None:
        """All that is committed, in one new private file."""
        make_file(path)
        try:
            target = sqlite3.connect(path)
            try:
                target.execute("PRAGMA journal_mode=OFF")
                self._connection.backup(target)
            finally:
                target.close()
        except sqlite3.Error as error:
            raise self._mapped(error) from error

    def empty_log(self) -> bool:
        """Moves the log into the database and cuts it to nothing; whether nobody stood in the way."""
        self.run("PRAGMA busy_timeout=0")
        try:
            (blocked, *_) = self.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0]
        except StorageError:  # a full disk: nothing is lost by waiting
            return False
        finally:
            self.run(f"PRAGMA busy_timeout={round(limits.BUSY_S * 1000)}")
        return not blocked

    def close(self) -> None:
        """Moves the log into the database, but for one opened read-only, and ends; what is not committed is gone."""
        with suppress(StorageError):  # the log keeps what could not be moved
            if self.in_transaction:
                self.run("ROLLBACK")
            self.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    def _prepare(self, synchronous: str) -> None:
        self._check_ours()
        for pragma in (
            "trusted_schema=OFF",
            "cell_size_check=ON",
            "secure_delete=ON",
            "temp_store=MEMORY",
            "mmap_size=0",
            f"wal_autocheckpoint={limits.WAL_PAGES}",
            f"journal_size_limit={limits.WAL_KEPT_BYTES}",
            f"synchronous={synchronous}",
        ):
            self.rows(f"PRAGMA {pragma}")
        if self.path != MEMORY and self.row("PRAGMA journal_mode=WAL") != ("wal",):
            raise StorageError(f"{self.path} cannot keep a write-ahead log", hint="move the home to a local disk")
        if self.path != MEMORY and synchronous == "FULL":
            self._make_room()
        self._migrate()

    def _make_room(self) -> None:
        """Gives an empty log its length at once: a commit that lengthens it waits for the file system's journal, too.

        For SQLite a log that begins with zeros is empty (sqlite.org, walformat.html, section 4.4).
        """
        self.number("SELECT count(*) FROM sqlite_master")  # opens the log
        with suppress(OSError):  # without the room commits take longer, and the first says what the disk refuses
            lengthen_file(Path(self.path + "-wal"), limits.WAL_KEPT_BYTES)

    def _prepare_reading(self) -> None:
        for pragma in ("query_only=ON", "trusted_schema=OFF", "cell_size_check=ON", "temp_store=MEMORY"):
            self.rows(f"PRAGMA {pragma}")
        self._check_ours()
        if self.number("PRAGMA user_version") < len(self._schema.migrations):
            raise StorageError(
                f"{self.path} was written by an older p2pd", hint="start p2pd once: it brings it up to date"
            )

    def _check_ours(self) -> None:
        used = self.number("SELECT count(*) FROM sqlite_master") or self.number("PRAGMA user_version")
        if used and self.number("PRAGMA application_id") != self._schema.application_id:
            raise DamagedError(f"{self.path} is not the database that belongs here", hint=self._schema.damaged_hint)
        if self.number("PRAGMA user_version") > len(self._schema.migrations):
            raise StorageError(f"{self.path} was written by a newer p2pd", hint="install that version again")

    def _migrate(self) -> None:
        done, steps = self.number("PRAGMA user_version"), self._schema.migrations
        if done == len(steps):
            return
        self.run("BEGIN EXCLUSIVE")
        for statement in (statement for step in steps[done:] for statement in step):
            self.run(statement)
        self.run(f"PRAGMA application_id={self._schema.application_id}")
        self.run(f"PRAGMA user_version={len(steps)}")
        self.run("COMMIT")

    def _mapped(self, error: sqlite3.Error) -> Exception:
        """Ours for what the disk did; the error itself where it is a bug."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _DAMAGED:
            return DamagedError(f"{self.path} is damaged: {error}", hint=self._schema.damaged_hint)
        if code in _REFUSED:
            return StorageError(f"{self.path}: {error}", hint=_REFUSED[code])
        return error


class Opens(Protocol):
    """What opens a database: `Database` itself, but in the simulator, whose disks can be full and lose power."""

    def __call__(self, path: str, schema: Schema, *, synchronous: str, read_only: bool = False) -> Database:
        """See `Database`."""
        ...


def set_aside(path: Path) -> Path:
    """Renames a damaged database with its log, so that the next start begins an empty one; its new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for ending in ("-shm", "-wal", ""):  # the database last: while it is there, its log is wanted
        with suppress(FileNotFoundError):
            path.with_name(path.name + ending).rename(aside.with_name(aside.name + ending))
    return aside


def _read_only_uri(path: Path) -> str:
    """Without a log nobody has the database open, and SQLite need not make one to read it (sqlite.org, wal.html)."""
    has_log = path.with_name(path.name + "-wal").exists()
    return f"{path.absolute().as_uri()}?mode=ro" + ("" if has_log else "&immutable=1")


def _check_files(path: Path) -> None:
    make_file(path)
    for ending in ("-wal", "-shm"):
        beside = path.with_name(path.name + ending)
        if beside.exists() or beside.is_symlink():
            check_file(beside)
