"""The runtime: turns of the engine, each committed before anything of it leaves.

    waiting inputs (up to 64) -> transaction: engine changes state -> commit -> effects -> one timer

It does not know what inputs or effects mean.
Rules: commit, then act.  A turn that breaks is rolled back; then memory disagrees with the disk, so the engine is built
anew from the store and the links it knew are closed.  A disk that refuses, or a peer's bytes that slipped through, do
no more than that; anything else is a bug: three within a minute end the daemon.
Calls of the control API that wait share a turn, each in an attempt of its own: its refusal undoes nobody else's.  Where
such a turn breaks, the calls that did nothing wrong wait for turns of their own.
Receipts wait until the records are durable, and share commits.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Generic, Protocol, TypeVar

from p2pd import limits
from p2pd.effects import Effect, Notify, Respond, SendDatagram
from p2pd.errors import P2pdError, StorageError
from p2pd.net.calls import Call, Calls, EndingError, InternalError
from p2pd.net.inputs import Datagram, Engine, Frame, Input, deliver, summary
from p2pd.net.receipts import Commits, Receipts
from p2pd.types import Now

E = TypeVar("E", bound=Engine)
T = TypeVar("T")
_SPIN_GUARD_S = 0.001
_logger = logging.getLogger(__name__)


class Store(Protocol):
    """What of the user's store a turn needs."""

    def transaction(self) -> AbstractContextManager[None]:
        """Everything changed inside is durable when it ends, or nothing is, where an exception passes."""
        ...

    def attempt(self) -> AbstractContextManager[None]:
        """A part of a transaction: an exception that passes undoes this part alone."""
        ...


class Records(Commits, Protocol):
    """What of the records' store a turn needs."""

    def transaction(self) -> AbstractContextManager[None]:
        """Groups changes; an exception undoes them."""
        ...

    def attempt(self) -> AbstractContextManager[None]:
        """A part of a transaction: an exception that passes undoes this part alone."""
        ...


class World(Protocol):
    """Who performs effects: the network."""

    def perform(self, effect: Effect) -> None:
        """Do what the core asks."""
        ...

    def taken(self, link: int, size: int) -> None:
        """The core has taken a frame of this size."""
        ...

    def flush(self) -> None:
        """Effects end here for now: send."""
        ...

    def forget_core(self) -> None:
        """The core was rebuilt: it knows no link and no exchange."""
        ...


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> Now:
        """This moment."""
        ...


class Driver(Generic[E]):
    """One engine on the running loop; `put` and `call` feed it, `run` lasts until it is stopped or fails."""

    def __init__(
        self,
        make_engine: Callable[[], E],
        store: Store,
        records: Records,
        clock: Clock,
        notify: Callable[[Notify], None] = lambda news: None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._make_engine = make_engine
        self._store = store
        self._records = records
        self._clock = clock
        self._notify = notify
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._engine = make_engine()
        self._world: World | None = None
        self._inputs: deque[Input] = deque()
        self._calls: Calls[E] = Calls()
        self._turn_handle: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        """The engine's, as of the last turn or rebuilding: nothing else changes it."""
        self._strikes: deque[float] = deque(maxlen=limits.REBUILDS)
        self._logged_at = float("-inf")
        self._pause_s = 0.0
        self._pause_until = float("-inf")
        self._receipts = Receipts(records, self._perform_all, self._on_records_error)

    # --- from outside

    async def run(self, world: World) -> None:
        """Take turns until `stop`; InternalError or StorageError where the engine cannot go on."""
        self._world = world
        self._schedule()
        try:
            await self._over
            self._receipts.commit()
        finally:
            self._cancel_handles()

    def stop(self) -> None:
        """End `run`; what is committed stays, calls that wait fail."""
        self._finish(None)

    def put(self, value: Input) -> None:
        """Queue an input for a turn; datagrams are dropped where too many wait."""
        if isinstance(value, Datagram) and len(self._inputs) >= limits.INPUTS_WAITING:
            self.counts["input queue full"] += 1
            return
        self._inputs.append(value)
        self._schedule()

    async def call(self, function: Callable[[E, Now], T]) -> T:
        """Run a function in a turn and return its result; a P2pdError of its undoes it alone, and is raised.

        It may be run again, where the turn that it shared broke: what it does, it does to the engine.
        """
        if self._over.done():
            raise EndingError()
        answer: asyncio.Future[T] = self._loop.create_future()
        self._calls.put(Call(function, answer))
        self._schedule()
        return await answer

    # --- the turn

    def _schedule(self) -> None:
        if self._turn_handle is None and self._world is not None and not self._over.done():
            self._turn_handle = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_handle = None
        now = self._clock.now()
        if self._inputs or not self._calls or self._is_due(self._deadline, now):
            self._turn_of_inputs(now)
        if self._calls and not self._over.done():
            self._turn_of_calls(now)
        if self._over.done():
            return
        if self._inputs or self._calls:
            self._schedule()
        self._arm()

    def _is_due(self, deadline: float | None, now: Now) -> bool:
        """Whether the engine's timer is due: calls without a pause must not put it off."""
        return deadline is not None and deadline <= now.steady and self._loop.time() >= self._pause_until

    def _turn_of_inputs(self, now: Now) -> None:
        batch = [self._inputs.popleft() for _ in range(min(len(self._inputs), limits.INPUTS_PER_TURN))]
        current: Input | None = None
        try:
            with self._records.transaction(), self._store.transaction():
                for current in batch:
                    deliver(self._engine, current, now)
                current = None
                deadline = self._engine.next_deadline()
                # not while it rests, or every packet would start a rebuilt engine at once
                if self._is_due(deadline, now):
                    self._engine.on_timer(now)
                    deadline = self._engine.next_deadline()
        except Exception as error:
            self._broken(error, "the timer or commit" if current is None else summary(current), now)
            return
        self._deadline = deadline
        for value in batch:
            if isinstance(value, Frame) and self._world is not None:
                self._world.taken(value.link, len(value.frame))
        self._act(self._engine.take_effects())

    def _turn_of_calls(self, now: Now) -> None:
        group = self._calls.next_group()
        try:
            with self._records.transaction(), self._store.transaction():
                group.run(self._engine, (self._records.attempt, self._store.attempt), now)
                deadline = self._engine.next_deadline()
        except Exception as error:
            self._calls.put_back(group.broken_by(error))
            self._broken(error, "a call", now)
            return
        self._deadline = deadline
        self._calls.put_back(group.not_run, alone=False)
        for call, refusal in group.refused:
            call.fail(refusal)
        self._act(group.effects)
        if group.is_ahead:
            self._rebuild()
        for call, result in group.done:
            if not call.answer.done():
                call.answer.set_result(result)

    def _act(self, effects: list[Effect]) -> None:
        now_effects: list[Effect] = []
        for effect in effects:
            if isinstance(effect, SendDatagram | Respond) and effect.after_records:
                self._receipts.promise(effect)
            else:
                now_effects.append(effect)
        self._perform_all(now_effects)
        self._receipts.turn_done()

    def _perform_all(self, effects: list[Effect]) -> None:
        for effect in effects:
            self._perform(effect)
        if self._world is not None:
            self._world.flush()

    def _perform(self, effect: Effect) -> None:
        try:
            if isinstance(effect, Notify):
                self._notify(effect)
            elif self._world is not None:
                self._world.perform(effect)
        except Exception:
            # the turn is committed: an effect that cannot be performed is a packet lost, not a reason to stop
            self.counts["effect failed"] += 1
            _logger.exception("an effect failed: %s", type(effect).__name__)

    def _arm(self) -> None:
        """Wake for the deadline; a timer that is set for less stays, since deadlines mostly move away."""
        if self._deadline is None:
            return
        when = max(self._deadline, self._loop.time() + _SPIN_GUARD_S, self._pause_until)
        if self._timer is None or self._timer.when() > when:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._is_due(self._deadline, self._clock.now()):
            self._schedule()
        else:
            self._arm()

    # --- when a turn breaks

    def _broken(self, error: Exception, at: str, now: Now) -> None:
        """The turn is rolled back: build the engine anew, and count what is a bug."""
        if isinstance(error, P2pdError):
            self.counts[f"turn undone: {error.code}"] += 1
            self._log_seldom(error, at, now)
            self._rest(error)
        else:
            self.counts["turn broken"] += 1
            _logger.error("a turn broke at %s", at, exc_info=error)
            self._strikes.append(now.steady)
        if len(self._strikes) == limits.REBUILDS and now.steady - self._strikes[0] <= limits.REBUILD_WINDOW_S:
            self._finish(InternalError(f"{limits.REBUILDS} turns broke within a minute", hint="see the log"))
            return
        self._rebuild()

    def _rest(self, error: P2pdError) -> None:
        """The timer rests, the longer the more often rests have not helped; one that has begun is not put off."""
        time_s = self._loop.time()
        rested_s = time_s - self._pause_until
        if rested_s < 0:
            return
        again = isinstance(error, StorageError) and rested_s < limits.REBUILD_WINDOW_S
        self._pause_s = min(2 * self._pause_s, limits.REBUILD_PAUSE_MOST_S) if again else limits.REBUILD_PAUSE_S
        self._pause_until = time_s + self._pause_s

    def _rebuild(self) -> None:
        try:
            self._engine = self._make_engine()
            self._deadline = self._engine.next_deadline()
        except P2pdError as error:
            self._finish(error)
        except Exception:
            _logger.exception("the engine cannot be built from the store")
            self._finish(InternalError("the engine cannot be built from the store", hint="see the log"))
        else:
            if self._world is not None:
                self._world.forget_core()
            # of what waits, only datagrams mean anything to the new engine
            self._inputs = deque(value for value in self._inputs if isinstance(value, Datagram))

    def _on_records_error(self, error: StorageError) -> None:
        """What others were promised has not left; nobody's links need end for it."""
        now = self._clock.now()
        self.counts["records refused"] += 1
        self._log_seldom(error, "the commit of records", now)
        if self._over.done():
            return
        try:
            self._engine.on_records_refused(now)
        except Exception as broken:  # it reads, and a disk that does not write may not read either
            self._broken(broken, "the commit of records", now)

    def _log_seldom(self, error: P2pdError, at: str, now: Now) -> None:
        if now.steady - self._logged_at >= limits.MINUTE_S:
            self._logged_at = now.steady
            _logger.warning("a turn was undone at %s: %s", at, error)

    # --- the end

    def _finish(self, error: P2pdError | None) -> None:
        if self._over.done():
            return
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)
        self._calls.fail_all(EndingError())

    def _cancel_handles(self) -> None:
        self._receipts.cancel()
        for handle in (self._turn_handle, self._timer):
            if handle is not None:
                handle.cancel()
