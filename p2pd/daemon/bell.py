"""Tells whoever waits that new events are in the log; knows only the newest cursor."""

import asyncio


class Bell:
    """One for a daemon: `ring` after a commit, `beyond` to wait for the next."""

    def __init__(self) -> None:
        self._cursor = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self, cursor: int) -> None:
        """Events up to and with `cursor` are committed."""
        self._cursor = max(self._cursor, cursor)
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def beyond(self, cursor: int) -> None:
        """Returns once an event after `cursor` is committed."""
        while self._cursor <= cursor:
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)
