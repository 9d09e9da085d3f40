"""The disk of one host: the shipped databases in memory, which can be full, and lose what was not on the disk yet.

Knows no table.
Rules: the user's commits are on the disk when they end; the records' only when they are flushed, so that a process that
ends loses what was not committed, and a loss of power all since the last flush (`p2pd.storage.transactions`).
"""

from collections.abc import Callable

from p2pd.errors import StorageError
from p2pd.storage.database import MEMORY, Database, Parameters, Schema
from p2pd.storage.records import SqliteRecordStore
from p2pd.storage.user import SqliteUserStore

_MASTER_KEY = bytes(32)
_COMMITTED = "committed"
_PAGE_BYTES = 1_024
"""Small pages, so that a thousand nodes fit into memory: an empty table takes one."""


class FragileDatabase(Database):
    """A database in memory; while its disk is `full` every commit is refused, and undone, as SQLite does it."""

    full = False
    commits = 0
    before_commit: Callable[[], None] | None = None
    """Called before each; what it raises is as if the process ended there."""

    def run(self, sql: str, parameters: Parameters = ()) -> int:
        if sql == "COMMIT":
            self._begin_commit()
        return super().run(sql, parameters)

    def _prepare(self, synchronous: str) -> None:
        self.rows(f"PRAGMA page_size={_PAGE_BYTES}")
        super()._prepare(synchronous)

    def _begin_commit(self) -> None:
        if self.before_commit is not None:
            self.before_commit()
        if self.full:
            self.run("ROLLBACK")
            raise StorageError(f"{self.path}: database or disk is full", hint="make room on the disk")
        self.commits += 1

    def crash(self) -> None:
        """The process has ended: what was not committed is gone."""
        if self.in_transaction:
            self.run("ROLLBACK")

    def copy_to(self, other: "FragileDatabase") -> None:
        """Make another database the same as this one."""
        self._connection.backup(other._connection)


class UnflushedDatabase(FragileDatabase):
    """One whose commits can be lost until `flush`: a commit is a savepoint in a transaction that a flush ends."""

    _begun = False
    """Whether its user believes to be in a transaction."""
    _kept = False
    """Whether there is a commit that is not flushed."""

    @property
    def in_transaction(self) -> bool:
        return self._begun

    def run(self, sql: str, parameters: Parameters = ()) -> int:
        if sql.startswith("BEGIN"):
            self._begun = True
            return 0 if self._connection.in_transaction else super().run(sql, parameters)
        if sql == "ROLLBACK":
            self._begun = False
            return super().run(f"ROLLBACK TO {_COMMITTED}" if self._kept else sql)
        if sql == "COMMIT":
            self._begin_commit()
            self._begun = False
            if self._kept:
                super().run(f"RELEASE {_COMMITTED}")
            self._kept = True
            return super().run(f"SAVEPOINT {_COMMITTED}")
        return super().run(sql, parameters)

    def flush(self) -> None:
        """What is committed is on the disk."""
        if self._kept:
            Database.run(self, "COMMIT")  # no commit of its user's: what it flushes has its place, also on a full disk
            self._kept = False

    def lose_power(self) -> None:
        """What was not flushed is gone."""
        self._begun = self._kept = False
        if self._connection.in_transaction:
            super().run("ROLLBACK")


class Disk:
    """Both stores of one host; each process opens them anew."""

    def __init__(self) -> None:
        self._user_database: FragileDatabase | None = None
        self._records_database: UnflushedDatabase | None = None
        self.user = SqliteUserStore(MEMORY, own_identity=None, master_key=_MASTER_KEY, database=self._open_user)
        self.records = SqliteRecordStore(MEMORY, database=self._open_records)
        self.flush()

    def set_full(self, full: bool) -> None:
        """From now on commits are refused, or not any more."""
        self._users.full = self._held.full = full

    @property
    def commits(self) -> int:
        """How often the user's store has been committed with changes."""
        return self._users.commits

    def before_commit(self, action: Callable[[], None]) -> None:
        """Have this called before each commit of the user's store; what it raises undoes the turn."""
        self._users.before_commit = action

    @property
    def records_changed(self) -> bool:
        """Whether the records have changes that are not committed."""
        return self._held.in_transaction

    def flush(self) -> None:
        """The records' commits are on the disk."""
        self._held.flush()

    def end(self, *, power: bool = False) -> None:
        """The process has ended, or with `power` the machine: what was not kept is gone."""
        self._users.crash()
        self._held.crash()
        if power:
            self._held.lose_power()
        self._own(self.user.own_identity)
        self.records = SqliteRecordStore(MEMORY, database=self._open_records)

    def copy(self) -> "Disk":
        """What a copy of the home holds now; other people's records are no part of it."""
        copied = Disk()
        self._users.copy_to(copied._users)
        copied._own(self.user.own_identity)
        return copied

    def restore(self, copied: "Disk") -> None:
        """The user's database is replaced by that of a copy made before."""
        self._user_database = copied._user_database
        self.user = copied.user

    def _own(self, identity: bytes | None) -> None:
        """Open the user's database as that identity's."""
        self.user = SqliteUserStore(MEMORY, own_identity=identity, master_key=_MASTER_KEY, database=self._open_user)

    @property
    def _users(self) -> FragileDatabase:
        if self._user_database is None:
            raise RuntimeError("the user's database is not open yet")
        return self._user_database

    @property
    def _held(self) -> UnflushedDatabase:
        if self._records_database is None:
            raise RuntimeError("the records' database is not open yet")
        return self._records_database

    def _open_user(self, path: str, schema: Schema, *, synchronous: str, read_only: bool = False) -> Database:
        if self._user_database is None:
            self._user_database = FragileDatabase(path, schema, synchronous=synchronous)
        return self._user_database

    def _open_records(self, path: str, schema: Schema, *, synchronous: str, read_only: bool = False) -> Database:
        if self._records_database is None:
            self._records_database = UnflushedDatabase(path, schema, synchronous=synchronous)
        return self._records_database
