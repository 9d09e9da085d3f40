"""A database that commits as every message is committed: a row of 500 bytes, with a full sync.

It lies where the homes of the daemons measured do.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ROW = bytes(500)


class Disk:
    """One database."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(folder / "floor.db", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("CREATE TABLE floor (row BLOB)")

    def commit(self) -> None:
        """One row more, durable when this returns."""
        self._database.execute("INSERT INTO floor VALUES (?)", (ROW,))

    def close(self) -> None:
        """Give the file back."""
        self._database.close()


@contextmanager
def disk() -> Iterator[Disk]:
    """One that is gone afterwards."""
    with TemporaryDirectory(prefix="p2p-", dir="/tmp") as folder:
        one = Disk(Path(folder))
        try:
            yield one
        finally:
            one.close()
