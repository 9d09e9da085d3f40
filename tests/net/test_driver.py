"""Turns: committed before anything leaves, undone whole, and rebuilt from what is on the disk."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from p2pd import limits
from p2pd.effects import Effect, EffectQueue, Notify, Respond, SendDatagram, SendFrame
from p2pd.errors import NotFoundError, PeerError, QuotaError, StorageError
from p2pd.net.calls import EndingError, InternalError
from p2pd.net.clock import SystemClock
from p2pd.net.driver import Driver
from p2pd.net.inputs import Datagram, Frame, Input, LinkClosed, RequestArrived, summary
from p2pd.types import Endpoint, NodeKey, Now

SOURCE = Endpoint("192.0.2.1", 4_000)
NODE = NodeKey(bytes(32))


class Log(list[str]):
    """What happened, in order; a test waits for what it wants to see."""

    def __init__(self) -> None:
        super().__init__()
        self._grew = asyncio.Event()

    def append(self, entry: str) -> None:
        super().append(entry)
        self._grew.set()

    async def until(self, entry: str, count: int = 1) -> None:
        while self.count(entry) < count:
            self._grew.clear()
            await asyncio.wait_for(self._grew.wait(), 10)


class Disk:
    """Two stores that note commits and undo, and refuse when told to; the edge of the system."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.kept: list[bytes] = []
        self.full = False
        self.records_full = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        before = list(self.kept)
        try:
            yield
            if self.full:
                raise StorageError("the disk is full")
        except BaseException:
            self.kept[:] = before
            self.log.append("undone")
            raise
        self.log.append("committed")

    @contextmanager
    def attempt(self) -> Iterator[None]:
        before = list(self.kept)
        try:
            yield
        except BaseException:
            self.kept[:] = before
            raise

    def records(self) -> "RecordsDisk":
        return RecordsDisk(self)


class RecordsDisk:
    """The records' half."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    @contextmanager
    def transaction(self) -> Iterator[None]:
        yield

    @contextmanager
    def attempt(self) -> Iterator[None]:
        yield

    def commit(self, *, durable: bool) -> None:
        if self._disk.records_full:
            raise StorageError("the disk is full")
        self._disk.log.append("records durable" if durable else "records")


class Echo:
    """An engine that keeps datagrams and does what their text says."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.memory = list(disk.kept)
        self.deadline: float | None = None
        self.timers = 0
        self.refused = 0
        self.effects = EffectQueue()

    def on_datagram(self, data: bytes, source: Endpoint, now: Now) -> None:
        self.memory.append(data)
        self.disk.kept.append(data)
        if data == b"bug":
            raise KeyError("a bug")
        if data == b"hostile":
            raise PeerError("slipped through")
        self.effects.append(SendDatagram(source, data, after_records=data.startswith(b"receipt")))

    def on_frame(self, link: int, frame: bytes, now: Now) -> None:
        self.effects.append(SendFrame(link, frame))

    def on_request(self, exchange: int, node: NodeKey, endpoint: Endpoint, payload: bytes, now: Now) -> None:
        self.effects.append(Respond(exchange, payload, after_records=True))

    def on_link_closed(self, link: int, reason: str, now: Now) -> None:
        self.effects.append(Notify(link))

    def on_link_opened(
        self, link: int, node: NodeKey, endpoint: Endpoint, binding: bytes, outgoing: bool, now: Now
    ) -> None: ...

    def on_link_failed(self, link: int, reason: str, now: Now) -> None: ...

    def on_link_taken(self, link: int, size_bytes: int, now: Now) -> None: ...

    def on_response(self, exchange: int, payload: bytes | None, now: Now) -> None: ...

    def on_stamp(self, job: int, nonce: bytes | None, now: Now) -> None: ...

    def on_records_refused(self, now: Now) -> None:
        self.refused += 1

    def on_timer(self, now: Now) -> None:
        self.timers += 1
        self.deadline = None
        self.effects.append(Notify(100 + self.timers))

    def next_deadline(self) -> float | None:
        return self.deadline

    def take_effects(self) -> list[Effect]:
        return self.effects.take()


class House:
    """A driver with its disk and a world that notes what is done to it."""

    def __init__(self) -> None:
        self.log = Log()
        self.disk = Disk(self.log)
        self.built = 0
        self.driver = Driver(self._make, self.disk, self.disk.records(), SystemClock(), self._notify)
        self.done: list[Effect] = []
        self.taken_frames: list[tuple[int, int]] = []
        self.engine: Echo

    def _make(self) -> Echo:
        self.built += 1
        self.engine = Echo(self.disk)
        return self.engine

    def _notify(self, news: Notify) -> None:
        self.log.append(f"notify {news.cursor}")

    def perform(self, effect: Effect) -> None:
        self.done.append(effect)
        self.log.append("effect")
        if isinstance(effect, SendFrame) and effect.frame == b"unperformable":
            raise ValueError("a bug of the core's")

    def taken(self, link: int, size: int) -> None:
        self.taken_frames.append((link, size))

    def flush(self) -> None: ...

    def forget_core(self) -> None:
        self.log.append("forget")

    def put(self, *texts: bytes) -> None:
        for text in texts:
            self.driver.put(Datagram(text, SOURCE))

    async def settle(self) -> None:
        """A call has a turn after all inputs that wait."""
        await self.driver.call(lambda engine, now: None)

    def sent(self) -> list[bytes]:
        return [effect.data for effect in self.done if isinstance(effect, SendDatagram)]


@asynccontextmanager
async def running() -> AsyncIterator[House]:
    house = House()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(house.driver.run(house))
        yield house
        house.driver.stop()


async def test_a_turn_is_committed_before_its_effects_leave() -> None:
    async with running() as house:
        house.put(b"a", b"b")
        await house.settle()
        assert house.log[:3] == ["committed", "effect", "effect"]
        assert house.sent() == [b"a", b"b"]


async def test_no_more_than_the_limit_share_a_turn() -> None:
    async with running() as house:
        house.put(*[b"x"] * (limits.INPUTS_PER_TURN + 1))
        while len(house.done) <= limits.INPUTS_PER_TURN:
            await house.settle()
        first = house.log.index("committed")
        assert house.log[first + 1 :].index("committed") == limits.INPUTS_PER_TURN


async def test_the_newest_datagrams_are_dropped_where_too_many_wait() -> None:
    async with running() as house:
        house.put(*[b"x"] * limits.INPUTS_WAITING, b"one too many")
        house.driver.put(LinkClosed(5, "never dropped"))
        assert house.driver.counts["input queue full"] == 1
        while "notify 5" not in house.log:
            await house.settle()
        assert b"one too many" not in house.sent()


async def test_frames_are_taken_after_their_turn() -> None:
    async with running() as house:
        house.driver.put(Frame(7, b"frame"))
        await house.settle()
        assert house.taken_frames == [(7, 5)]
        assert house.done == [SendFrame(7, b"frame")]


async def test_a_bug_undoes_the_turn_and_rebuilds_the_engine() -> None:
    async with running() as house:
        house.put(b"kept")
        await house.settle()
        house.put(b"lost with it", b"bug")
        house.driver.put(LinkClosed(1, "of the same turn"))
        await house.settle()
        assert house.built == 2
        assert house.engine.memory == house.disk.kept == [b"kept"]
        assert house.sent() == [b"kept"]
        assert house.log.count("forget") == 1
        assert "notify 1" not in house.log


async def test_inputs_of_links_that_the_new_engine_does_not_know_are_dropped() -> None:
    async with running() as house:
        house.put(b"bug", *[b"x"] * (limits.INPUTS_PER_TURN - 1), b"still welcome")
        house.driver.put(LinkClosed(1, "of the next turn"))
        while not house.done:
            await house.settle()
        assert house.sent() == [b"still welcome"]
        assert "notify 1" not in house.log


async def test_three_bugs_within_a_minute_end_the_run() -> None:
    house = House()
    house.put(*([b"bug"] * 3 * limits.INPUTS_PER_TURN))
    with pytest.raises(InternalError) as caught:
        await asyncio.wait_for(house.driver.run(house), 10)
    assert caught.value.exit_code == 70
    assert house.built == limits.REBUILDS
    with pytest.raises(EndingError):
        await house.driver.call(lambda engine, now: None)


@pytest.mark.parametrize("text", [b"hostile", b"anything"])
async def test_a_full_disk_or_a_peers_bytes_rebuild_but_are_no_strike(text: bytes) -> None:
    async with running() as house:
        house.disk.full = text == b"anything"
        for number in range(2 * limits.REBUILDS):
            house.put(text)
            await house.log.until("forget", 1 + number)
        house.disk.full = False
        await house.settle()
        assert house.built == 1 + 2 * limits.REBUILDS
        assert house.engine.memory == house.disk.kept == []
        assert house.done == []


async def test_a_call_returns_its_result_after_its_commit_and_effects() -> None:
    async with running() as house:

        def send(engine: Echo, now: Now) -> int:
            engine.on_datagram(b"by call", SOURCE, now)
            return 42

        assert await house.driver.call(send) == 42
        assert house.sent() == [b"by call"]
        assert house.log.index("committed") < house.log.index("effect")


async def test_a_refused_call_is_undone_alone() -> None:
    async with running() as house:

        def refuse(engine: Echo, now: Now) -> None:
            engine.disk.kept.append(b"half done")
            engine.effects.append(Notify(9))
            raise NotFoundError("no such contact")

        house.put(b"of others")
        with pytest.raises(NotFoundError):
            await house.driver.call(refuse)
        await house.settle()
        assert house.disk.kept == [b"of others"]
        assert house.built == 1
        assert "notify 9" not in house.log


async def test_a_call_refused_after_it_wanted_something_of_the_world_has_the_engine_rebuilt() -> None:
    async with running() as house:

        def refuse(engine: Echo, now: Now) -> None:
            engine.effects.append(SendFrame(1, b"sealed by a cipher that has moved on"))
            raise NotFoundError("no such contact")

        with pytest.raises(NotFoundError):
            await house.driver.call(refuse)
        await house.settle()
        assert house.built == 2
        assert not house.done


async def test_a_call_that_meets_a_bug_or_a_full_disk_is_told_so() -> None:
    async with running() as house:

        def bug(engine: Echo, now: Now) -> None:
            raise ZeroDivisionError

        with pytest.raises(InternalError):
            await house.driver.call(bug)
        house.disk.full = True
        with pytest.raises(StorageError):
            await house.driver.call(lambda engine, now: None)
        house.disk.full = False
        await house.settle()
        assert house.built == 3


def says(text: bytes) -> Callable[[Echo, Now], bytes]:
    """A call that does what a datagram of the same text does."""

    def say(engine: Echo, now: Now) -> bytes:
        engine.on_datagram(text, SOURCE, now)
        return text

    return say


def refused(engine: Echo, now: Now) -> None:
    """A call that changes something, wants something of the world, and is refused."""
    engine.on_datagram(b"refused", SOURCE, now)
    raise NotFoundError("no such contact")


async def outcomes(house: House, *calls: Callable[[Echo, Now], object]) -> list[object]:
    """What calls made at once end with."""
    return await asyncio.gather(*(house.driver.call(call) for call in calls), return_exceptions=True)


async def test_calls_that_wait_share_a_commit() -> None:
    async with running() as house:
        assert await outcomes(house, says(b"a"), says(b"b"), says(b"c")) == [b"a", b"b", b"c"]
        assert house.log.index("committed") < house.log.index("effect")
        assert house.log.count("committed") == 1
        assert house.sent() == [b"a", b"b", b"c"]


async def test_no_more_calls_than_the_limit_share_a_commit() -> None:
    async with running() as house:
        await outcomes(house, *[says(b"x")] * (limits.CALLS_PER_TURN + 1))
        assert house.log.count("committed") == 2


async def test_a_refused_call_takes_nothing_from_those_it_shares_a_turn_with() -> None:
    async with running() as house:
        first, second, third = await outcomes(house, says(b"a"), refused, says(b"b"))
        assert (first, third) == (b"a", b"b")
        assert isinstance(second, NotFoundError)
        assert house.disk.kept == [b"a", b"b"]
        assert house.sent() == [b"a", b"b"]
        assert house.built == 2  # between them: memory was ahead


async def test_a_bug_in_a_call_takes_nothing_from_those_it_shares_a_turn_with() -> None:
    async with running() as house:
        first, second, third = await outcomes(house, says(b"a"), says(b"bug"), says(b"b"))
        assert (first, third) == (b"a", b"b")
        assert isinstance(second, InternalError)
        assert house.disk.kept == house.engine.memory == [b"a", b"b"]
        assert house.sent() == [b"a", b"b"]
        assert house.built == 2


async def test_calls_that_share_a_turn_which_the_disk_refuses_are_all_told_so() -> None:
    async with running() as house:
        house.disk.full = True
        assert [type(end) for end in await outcomes(house, says(b"a"), says(b"b"))] == [StorageError, StorageError]
        house.disk.full = False
        assert await outcomes(house, says(b"c"), says(b"d")) == [b"c", b"d"]
        assert house.disk.kept == house.engine.memory == [b"c", b"d"]
        assert house.sent() == [b"c", b"d"]


async def test_a_deadline_that_has_moved_away_takes_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as house:
        loop, engine = asyncio.get_running_loop(), house.engine
        asked: list[float | None] = []

        def next_deadline() -> float | None:
            asked.append(engine.deadline)
            return engine.deadline

        monkeypatch.setattr(engine, "next_deadline", next_deadline)
        begun = loop.time()
        await due_at(house, begun + 0.03)
        await due_at(house, begun + 0.1)
        await house.log.until("notify 101")
        assert loop.time() >= begun + 0.1
        assert len(asked) == 4, "one turn a call asks once, the timer's before and after it"


async def test_a_deadline_that_comes_nearer_is_kept() -> None:
    async with running() as house:
        begun = asyncio.get_running_loop().time()
        await due_at(house, begun + 1_000)
        await due_at(house, begun + 0.01)
        await house.log.until("notify 101")


async def due_at(house: House, when: float) -> None:
    await house.driver.call(lambda engine, now: setattr(engine, "deadline", when))


async def test_the_timer_rests_after_the_disk_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REBUILD_PAUSE_S", 0.2)
    async with running() as house:
        house.disk.full = True
        house.put(b"x")
        await house.log.until("forget")
        house.disk.full = False
        begun = asyncio.get_running_loop().time()
        await house.driver.call(lambda engine, now: setattr(engine, "deadline", begun))
        await house.log.until("notify 101")
        assert asyncio.get_running_loop().time() - begun > 0.1


async def test_a_packet_does_not_wake_the_timer_that_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REBUILD_PAUSE_S", 0.2)
    async with running() as house:
        house.disk.full = True
        house.put(b"x")
        await house.log.until("forget")
        house.disk.full = False
        begun = asyncio.get_running_loop().time()
        house.engine.deadline = begun
        house.put(b"y")
        await house.log.until("notify 101")
        assert asyncio.get_running_loop().time() - begun > 0.1


async def test_rests_that_do_not_help_grow_and_whatever_is_refused_meanwhile_does_not_put_them_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "REBUILD_PAUSE_S", 0.01)
    monkeypatch.setattr(limits, "REBUILD_PAUSE_MOST_S", 0.05)
    monkeypatch.setattr(limits, "REBUILD_WINDOW_S", 3600.0)
    async with running() as house:
        loop, rests = asyncio.get_running_loop(), []
        house.disk.full = True
        for _ in range(5):
            house.put(b"x", b"y")
            await house.log.until("forget")
            rests.append(house.driver._pause_s)
            until = house.driver._pause_until
            house.log.clear()
            house.put(b"z")
            await house.log.until("forget")
            if loop.time() < until:
                assert house.driver._pause_until == until
            house.log.clear()
            await asyncio.sleep(max(0.0, house.driver._pause_until - loop.time()) + 0.01)
        assert rests == [0.01, 0.02, 0.04, 0.05, 0.05]
        monkeypatch.setattr(limits, "REBUILD_WINDOW_S", 0.0)
        house.put(b"x")
        await house.log.until("forget")
        assert house.driver._pause_s == 0.01


async def test_a_refusal_that_is_not_the_disks_rests_no_longer_for_being_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "REBUILD_PAUSE_S", 0.01)
    async with running() as house:
        for _ in range(4):
            house.put(b"hostile")
            await house.log.until("forget")
            house.log.clear()
            assert house.driver._pause_s == 0.01
            await asyncio.sleep(0.02)


async def test_too_many_calls_are_refused_and_those_that_wait_fail_at_the_end() -> None:
    house = House()
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(outcome(house)) for _ in range(limits.CALLS_WAITING + 1)]
        await asyncio.sleep(0)
        house.driver.stop()
    kinds = [task.result() for task in waiting]
    assert kinds.count(QuotaError) == 1
    assert kinds.count(EndingError) == limits.CALLS_WAITING


async def outcome(house: House) -> type[Exception] | None:
    try:
        await house.driver.call(lambda engine, now: None)
    except (QuotaError, EndingError) as error:
        return type(error)
    return None


async def test_a_call_given_up_does_nothing() -> None:
    async with running() as house:
        ran: list[int] = []
        async with asyncio.TaskGroup() as tasks:
            impatient = tasks.create_task(house.driver.call(lambda engine, now: ran.append(1)))
            await asyncio.sleep(0)
            impatient.cancel()
        await house.settle()
        assert ran == []


async def test_the_timer_fires_when_the_engine_wants_it() -> None:
    async with running() as house:

        def soon(engine: Echo, now: Now) -> None:
            engine.deadline = now.steady + 0.01

        await house.driver.call(soon)
        await house.log.until("notify 101")
        assert house.engine.timers == 1


async def test_what_an_input_makes_due_at_once_is_done_in_its_turn() -> None:
    async with running() as house:

        def due_now(link: int, frame: bytes, now: Now) -> None:
            house.engine.deadline = now.steady

        house.engine.on_frame = due_now  # type: ignore[method-assign]
        house.driver.put(Frame(7, b"frame"))
        await house.log.until("notify 101")
        assert house.log == ["committed", "notify 101"]


async def test_calls_without_a_pause_do_not_put_the_timer_off() -> None:
    async with running() as house:

        def at_once(engine: Echo, now: Now) -> None:
            engine.deadline = now.steady

        await house.driver.call(at_once)
        for _ in range(3):
            await house.settle()
        assert house.engine.timers == 1


async def test_receipts_wait_for_a_durable_commit_and_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECEIPTS_GAP_S", 0.2)
    async with running() as house:
        house.put(b"first", b"receipt 1")
        await house.settle()
        durable = house.log.index("records durable")
        assert house.log.index("committed") < durable
        assert house.sent() == [b"first", b"receipt 1"]
        assert house.log[durable + 1] == "effect"
        house.put(b"receipt 2")
        await house.settle()
        house.driver.put(RequestArrived(-1, NODE, SOURCE, b"three"))
        await house.settle()
        assert house.sent()[-1] == b"receipt 1", "the next durable commit comes a little later"
        await house.log.until("effect", 4)
        assert house.done[-2:] == [SendDatagram(SOURCE, b"receipt 2", True), Respond(-1, b"three", True)]
        assert house.log.count("records durable") == 2


async def test_a_receipt_does_not_leave_when_the_disk_refuses() -> None:
    async with running() as house:
        house.disk.records_full = True
        house.put(b"receipt")
        await house.settle()
        assert house.done == []
        assert (house.built, house.engine.refused) == (1, 1), "it is told, and no link ends for it"
        house.disk.records_full = False
        house.put(b"receipt again")
        await house.settle()
        assert house.sent() == [b"receipt again"]


async def test_an_engine_that_cannot_even_read_after_a_refusal_is_built_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(engine: Echo, now: Now) -> None:
        raise StorageError("the disk does not read")

    monkeypatch.setattr(Echo, "on_records_refused", refuse)
    async with running() as house:
        house.disk.records_full = True
        house.put(b"receipt")
        await house.settle()
        assert house.built == 2
        house.disk.records_full = False
        house.put(b"receipt again")
        await house.settle()
        assert house.sent() == [b"receipt again"]


async def test_records_are_committed_without_a_receipt_too() -> None:
    async with running() as house:
        house.put(b"x")
        await house.settle()
        await house.log.until("records")
        assert "records durable" not in house.log


async def test_stopping_commits_the_records() -> None:
    async with running() as house:
        house.put(b"x")
        await house.settle()
    assert house.log[-1] == "records"


@pytest.mark.parametrize(
    "value", [Datagram(b"secret", SOURCE), Frame(3, b"secret"), RequestArrived(-1, NODE, SOURCE, b"secret")]
)
async def test_the_log_names_the_input_and_shows_none_of_it(value: Input, caplog: pytest.LogCaptureFixture) -> None:
    assert type(value).__name__.removesuffix("Arrived") in summary(value)
    assert "secret" not in summary(value)
    async with running() as house:
        house.put(b"bug")
        await house.settle()
    assert "Datagram of 3 bytes" in caplog.text


async def test_an_effect_that_fails_stops_nothing() -> None:
    async with running() as house:
        house.driver.put(Frame(1, b"unperformable"))
        house.put(b"next")
        await house.settle()
        assert house.sent() == [b"next"]
        assert house.driver.counts["effect failed"] == 1
        assert house.built == 1
