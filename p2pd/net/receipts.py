"""When the records' database is committed, and what must wait for it: a receipt is a promise that survives power loss.

Rules: at most one durable commit per `limits.RECEIPTS_GAP_S`, shared by all receipts that came meanwhile; what nobody
was promised is committed within `limits.RECORDS_COMMIT_S`.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from p2pd import limits
from p2pd.effects import Effect
from p2pd.errors import StorageError


class Commits(Protocol):
    """What of the records' store is needed here."""

    def commit(self, *, durable: bool) -> None:
        """Keep all changes so far; when `durable`, also through a loss of power."""
        ...


class Receipts:
    """Effects that wait for a durable commit; `perform` takes them after it, `failed` hears of a disk that refuses."""

    def __init__(
        self, records: Commits, perform: Callable[[list[Effect]], None], failed: Callable[[StorageError], None]
    ) -> None:
        self._records = records
        self._perform = perform
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._promised: list[Effect] = []
        self._committed_at = float("-inf")
        self._handle: asyncio.TimerHandle | None = None

    def promise(self, effect: Effect) -> None:
        """Perform an effect after the next durable commit."""
        self._promised.append(effect)

    def turn_done(self) -> None:
        """A turn has ended that may have changed records: commit now, or arrange for it."""
        now = self._loop.time()
        wanted = now + limits.RECORDS_COMMIT_S
        if self._promised:
            wanted = max(now, self._committed_at + limits.RECEIPTS_GAP_S)
        if wanted <= now:
            self.commit()
        elif self._handle is None or self._handle.when() > wanted:
            self.cancel()
            self._handle = self._loop.call_at(wanted, self.commit)

    def commit(self) -> None:
        """Commit, and perform what waited for it; where the disk refuses, nothing that was promised leaves."""
        self.cancel()
        promised, self._promised = self._promised, []
        try:
            self._records.commit(durable=bool(promised))
        except StorageError as error:
            self._failed(error)
            return
        if promised:
            self._committed_at = self._loop.time()
            self._perform(promised)

    def cancel(self) -> None:
        """Take the arranged commit back."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
