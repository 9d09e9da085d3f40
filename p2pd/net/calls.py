"""Calls of the control API on their way through a turn: several share one, each in an attempt of its own.

It does not know what the functions do, nor the turn.
Rules: what one is refused undoes nobody else's.  A call that got so far as to want something of the world before it was
refused ends its group: memory is ahead of what was undone, and the engine must be rebuilt before anything else runs.
Where a group breaks, the call that broke it is told so, and the others wait for turns of their own.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from p2pd import limits
from p2pd.effects import Effect, Notify
from p2pd.errors import P2pdError, QuotaError, StorageError
from p2pd.net.inputs import Engine
from p2pd.types import Now

E = TypeVar("E", bound=Engine)
Attempt = Callable[[], AbstractContextManager[None]]
"""Of a store: what happens inside is undone alone where an exception passes."""


class InternalError(P2pdError):
    """A bug; after too many of them the daemon ends with exit code 70."""


class EndingError(P2pdError):
    """The daemon ends, and has not done what was asked: the same to who asks as if none were running any more."""

    code = "not_running"
    exit_code = 3

    def __init__(self) -> None:
        super().__init__("the daemon is ending", hint="start it again: p2pctl start")


@dataclass(frozen=True, slots=True, eq=False)
class Call(Generic[E]):
    """A function of the control API's, waiting for its turn."""

    function: Callable[[E, Now], object]
    answer: asyncio.Future[Any]

    def fail(self, error: Exception) -> None:
        """Raise at the caller's, if it still waits."""
        if not self.answer.done():
            self.answer.set_exception(error)


class Group(Generic[E]):
    """Calls that share a turn, and how far it is."""

    def __init__(self, calls: list[Call[E]]) -> None:
        self.done: list[tuple[Call[E], object]] = []
        self.refused: list[tuple[Call[E], P2pdError]] = []
        self.effects: list[Effect] = []
        self.is_ahead = False
        """Memory is ahead of what is committed."""
        self.not_run: list[Call[E]] = []
        self._calls = calls
        self._current: Call[E] | None = calls[0] if len(calls) == 1 else None

    def run(self, engine: E, attempts: tuple[Attempt, Attempt], now: Now) -> None:
        """Each call within the group's transaction; an exception that is no refusal passes."""
        for place, call in enumerate(self._calls):
            if call.answer.done():  # its caller has gone
                continue
            self._current = call
            try:
                with attempts[0](), attempts[1]():
                    result = call.function(engine, now)
            except StorageError:
                raise
            except P2pdError as error:
                self.refused.append((call, error))
                if any(not isinstance(effect, Notify) for effect in engine.take_effects()):
                    self.is_ahead, self.not_run = True, self._calls[place + 1 :]
                    break
            else:
                self.done.append((call, result))
                self.effects += engine.take_effects()
        if len(self._calls) > 1:
            self._current = None  # what fails from here on, the commit, is nobody's alone

    def broken_by(self, error: Exception) -> list[Call[E]]:
        """Tells the call that broke the turn so; the others."""
        culprit = self._current
        if culprit is not None:
            bug = InternalError("the request met a bug and was undone", hint="the log says more")
            culprit.fail(error if isinstance(error, P2pdError) else bug)
        return [call for call in self._calls if call is not culprit]


class Calls(Generic[E]):
    """Those that wait, at most `limits.CALLS_WAITING`."""

    def __init__(self) -> None:
        self._waiting: deque[Call[E]] = deque()
        self._alone = 0
        """So many of the first are to have turns of their own: they shared one that broke."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, call: Call[E]) -> None:
        """Behind the others; QuotaError where there is no room."""
        if len(self._waiting) >= limits.CALLS_WAITING:
            raise QuotaError("too many requests wait", hint="try again later")
        self._waiting.append(call)

    def next_group(self) -> Group[E]:
        """Those whose turn it is."""
        most = 1 if self._alone else limits.CALLS_PER_TURN
        self._alone = max(0, self._alone - 1)
        return Group([self._waiting.popleft() for _ in range(min(len(self._waiting), most))])

    def put_back(self, calls: Sequence[Call[E]], *, alone: bool = True) -> None:
        """In front of the others, each to have a turn of its own or not."""
        self._waiting.extendleft(reversed(calls))
        self._alone = max(self._alone, len(calls)) if alone else self._alone

    def fail_all(self, error: Exception) -> None:
        """None of them will run."""
        for call in self._waiting:
            call.fail(error)
        self._waiting.clear()
