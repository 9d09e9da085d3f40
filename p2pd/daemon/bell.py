"""Tells whoever waits that new events are in the log, or that one message got further; knows no event."""

import asyncio

from p2pd.effects import Notify


class Bell:
    """One for a daemon: `ring` after a commit, `beyond` to wait for the next event, `News` for one message's."""

    def __init__(self) -> None:
        self._cursor = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._expected: dict[bytes, set[News]] = {}

    def ring(self, news: Notify) -> None:
        """Something is committed."""
        self._cursor = max(self._cursor, news.cursor)
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)
        for expecting in self._expected.get(news.message, ()) if news.state else ():
            expecting.hear(news.state)

    async def beyond(self, cursor: int) -> None:
        """Returns once an event after `cursor` is committed."""
        while self._cursor <= cursor:
            future = asyncio.get_running_loop().create_future()
            self._waiting.add(future)
            try:
                await future
            finally:
                self._waiting.discard(future)

    def expect(self, message: bytes, news: "News") -> None:
        """Gives it every state of this message from now on."""
        self._expected.setdefault(message, set()).add(news)

    def expect_no_more(self, message: bytes, news: "News") -> None:
        """Takes `expect` back."""
        expecting = self._expected.get(message, set())
        expecting.discard(news)
        if not expecting:
            self._expected.pop(message, None)


class News:
    """What becomes of one message; `with News(bell) as news` ends it."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._message = b""
        self._state = ""
        self._heard = asyncio.get_running_loop().create_future()

    def __enter__(self) -> "News":
        return self

    def __exit__(self, *error: object) -> None:
        self._bell.expect_no_more(self._message, self)

    def of(self, message: bytes) -> None:
        """It is about this message, from now on: said in the turn that sends it, nothing is missed."""
        self._bell.expect_no_more(self._message, self)
        self._message = message
        self._bell.expect(message, self)

    def hear(self, state: str) -> None:
        """The message is that far."""
        self._state = state
        if not self._heard.done():
            self._heard.set_result(None)

    async def next(self) -> str:
        """The newest state that was not given yet, as soon as there is one."""
        await self._heard
        self._heard = asyncio.get_running_loop().create_future()
        return self._state
