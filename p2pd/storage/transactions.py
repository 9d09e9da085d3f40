"""When changes become one: a turn of the user's, committed at its end; turns of the records', committed together later.

Knows no table.
Rules: a transaction begins with its first change, so a turn without one costs nothing.  A change that failed dooms its
transaction, even where the caller swallowed the error.  A transaction within a transaction is a bug; an attempt within
one is what can be undone alone.  What tables keep back until the commit is written before it, and forgotten with it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from p2pd.errors import StorageError
from p2pd.storage.database import MEMORY, Database, Parameters
from p2pd.storage.files import refusal, sync_folder


class Table(Protocol):
    """What keeps rows in memory and their changes back until the commit."""

    def write_out(self) -> None:
        """Change the database as far as it was kept back."""
        ...

    def begin_attempt(self) -> None:
        """Be ready to undo what follows."""
        ...

    def undo_attempt(self) -> None:
        """Keep back what was kept back when the attempt began, and forget everything else."""
        ...

    def forget(self) -> None:
        """Forget all that was read or changed."""
        ...


class Turns:
    """Transactions that are durable when they end, and the only way to change."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._tables: list[Table] = []
        self._inside = False
        self.attempting = False
        self._saved = False
        self._failure: StorageError | None = None
        self._wipes = False

    def join(self, table: Table) -> None:
        """A table that keeps changes back takes part in every transaction."""
        self._tables.append(table)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `UserStore.transaction`."""
        if self._inside:
            raise RuntimeError("a transaction within a transaction")
        self._roll_back()
        self._inside, self._failure = True, None
        try:
            yield
            self._commit()
        except BaseException:
            for table in self._tables:
                table.forget()
            self._roll_back()
            raise
        finally:
            self._inside = False

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """See `UserStore.attempt`."""
        if not self._inside or self.attempting:
            raise RuntimeError("an attempt outside a transaction, or within an attempt")
        for table in self._tables:
            table.begin_attempt()
        self.attempting, self._saved = True, False
        try:
            yield
        except BaseException:
            for table in self._tables:
                table.undo_attempt()
            if self._saved and self.database.in_transaction:  # on some errors SQLite has undone everything
                self.database.run("ROLLBACK TO attempt")
            raise
        finally:
            if self._saved and self.database.in_transaction:
                self.database.run("RELEASE attempt")
            self.attempting = False

    def check(self) -> None:
        """Refuses (StorageError, or RuntimeError for a bug) where nothing can be changed now."""
        if not self._inside:
            raise RuntimeError("a change outside a transaction")
        if self._failure is not None:
            raise self._failure

    def change(self, sql: str, parameters: Parameters = ()) -> int:
        """Runs a statement within the transaction; how many rows it changed."""
        self.check()
        try:
            if not self.database.in_transaction:
                self.database.run("BEGIN IMMEDIATE")
            if self.attempting and not self._saved:
                self.database.run("SAVEPOINT attempt")
                self._saved = True
            return self.database.run(sql, parameters)
        except StorageError as error:
            self._failure = error
            raise

    def wipe_deleted(self) -> None:
        """Once this transaction is committed, the log holds nothing of what was deleted (see `UserStore`)."""
        self.check()
        self._wipes = True

    def _commit(self) -> None:
        for table in self._tables:
            table.write_out()
        if self._failure is not None:
            raise self._failure
        if self.database.in_transaction:
            self.database.run("COMMIT")
        if self._wipes:  # where somebody reads the log, the next commit tries again
            self._wipes = not self.database.empty_log()

    def _roll_back(self) -> None:
        if self.database.in_transaction:
            self.database.run("ROLLBACK")


class SharedCommit:
    """Turns that can each be undone, and share one commit.

    Durable means that the write-ahead log has been flushed to the disk, as SQLite itself does in synchronous=FULL.
    SQLite refuses to change that pragma within a transaction, so we flush the log's file: all commits up to then are in
    it, or in the database, which SQLite flushes before it begins the log again.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._inside = False
        self._saved = False
        self._attempting = False
        self._attempted = False
        self._failure: StorageError | None = None
        self._flushed = True
        self._log_named = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `RecordStore.transaction`."""
        if self._inside:
            raise RuntimeError("a transaction within a transaction")
        self._inside, self._saved, self._failure = True, False, None
        try:
            yield
            self._end_turn()
        except BaseException:
            self._undo_turn()
            raise
        finally:
            self._inside = False

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """See `RecordStore.attempt`."""
        if not self._inside or self._attempting:
            raise RuntimeError("an attempt outside a transaction, or within an attempt")
        self._attempting, self._attempted = True, False
        try:
            yield
        except BaseException:
            if self._attempted and self.database.in_transaction:
                self.database.run("ROLLBACK TO attempt")
            raise
        finally:
            if self._attempted and self.database.in_transaction:
                self.database.run("RELEASE attempt")
            self._attempting = False

    def change(self, sql: str, parameters: Parameters = ()) -> int:
        """Runs a statement, which the next commit keeps; how many rows it changed."""
        if self._failure is not None:
            raise self._failure
        try:
            self._begin()
            return self.database.run(sql, parameters)
        except StorageError as error:
            self._failure = error if self._inside else None
            raise

    def commit(self, *, durable: bool) -> None:
        """See `RecordStore.commit`.

        Raises:
            StorageError: the disk refuses; all changes since the last commit are gone.
        """
        if self._inside:
            raise RuntimeError("a commit within a transaction")
        if self.database.in_transaction:
            self._flushed = False
            self.database.run("COMMIT")  # SQLite undoes by itself what the disk refuses here
        if durable and not self._flushed:
            self._flush()

    def _begin(self) -> None:
        if not self.database.in_transaction:
            self.database.run("BEGIN IMMEDIATE")
        if self._inside and not self._saved:
            self.database.run("SAVEPOINT turn")
            self._saved = True
        if self._attempting and not self._attempted:
            self.database.run("SAVEPOINT attempt")
            self._attempted = True

    def _end_turn(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._saved:
            self.database.run("RELEASE turn")

    def _undo_turn(self) -> None:
        self._failure = None
        # On some errors SQLite has undone everything, the savepoint too.
        if self._saved and self.database.in_transaction:
            self.database.run("ROLLBACK TO turn")
            self.database.run("RELEASE turn")

    def _flush(self) -> None:
        if self.database.path != MEMORY:
            log = Path(self.database.path + "-wal")
            try:
                _flush_file(log)
                if not self._log_named:
                    sync_folder(log.parent)
            except OSError as error:
                raise refusal(error, log) from error
        self._flushed = self._log_named = True


def _flush_file(path: Path) -> None:
    # SQLite's locks are on the database and `-shm`, never on the log: closing this drops none.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
