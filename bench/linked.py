"""A link of ours with nothing above it: what `p2pd.net` adds to the bare connection.

`python -m bench.linked` is the far end: it says its port, node key and process, sends back frames that begin with `E`,
and answers a frame that begins with `D` once it has taken it.
It takes inputs in turns as the driver does, and commits nothing.
"""

import asyncio
import os
from collections import Counter, deque
from collections.abc import Sequence
from time import perf_counter

from bench.bare import CHUNK, ECHO, UNSENT_HIGH_BYTES, UNSENT_LOW_BYTES
from bench.echo import PAYLOAD, far_end, say, until_told
from bench.processes import resident_bytes
from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.effects import OpenLink, SendFrame
from p2pd.net.clock import SystemRandom
from p2pd.net.inputs import Frame, Input, LinkFailed, LinkOpened, LinkTaken
from p2pd.net.network import Network
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint, NodeKey

DONE = b"D"
TALK, BULK = 1, 2
DIALS = 32
"""Links dialled at once: fewer than a node takes before it asks for proof of an address."""


class End:
    """One node's network, and what its links have brought."""

    def __init__(self, echo: bool) -> None:
        self.echo = echo
        random = SystemRandom()
        self.key = SigningKey(random.bytes(32))
        tuning = QuicTuning(private=True, per_source=limits.CONNECTIONS_AUTHENTICATED)
        self.network = Network(self.key, random, self._put, tuning)
        self.up: set[int] = set()
        self.frames: Counter[int] = Counter()
        self.drained = asyncio.Event()
        self._inputs: deque[Input] = deque()
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None

    async def progress(self) -> None:
        """Wait until something has come."""
        if self._waiting is None or self._waiting.done():
            self._waiting = self._loop.create_future()
        await self._waiting

    def send(self, link: int, frame: bytes) -> None:
        """Send a frame; `flush` must follow."""
        self.network.perform(SendFrame(link, frame))

    def _put(self, value: Input) -> None:
        if not self._inputs:
            self._loop.call_soon(self._turn)
        self._inputs.append(value)

    def _turn(self) -> None:
        batch = [self._inputs.popleft() for _ in range(min(len(self._inputs), limits.INPUTS_PER_TURN))]
        for value in batch:
            self._take(value)
        if self._inputs:
            self._loop.call_soon(self._turn)
        self.network.flush()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _take(self, value: Input) -> None:
        match value:
            case LinkOpened():
                self.up.add(value.link)
            case LinkFailed():
                raise AssertionError(value.reason)
            case LinkTaken(link, _):
                if self.network.unsent(link) <= UNSENT_LOW_BYTES:
                    self.drained.set()
            case Frame(link, frame):
                if not self.echo:
                    self.frames[link] += 1
                elif frame[:1] in (ECHO, DONE):
                    self.send(link, frame)
                self.network.taken(link, len(frame))
            case _:
                pass


class Near:
    """The near end, with links to the far one."""

    def __init__(self, end: End, port: str, key: str) -> None:
        self._end = end
        self._node = NodeKey(bytes.fromhex(key))
        self._where = (Endpoint("127.0.0.1", int(port)),)

    @classmethod
    async def to(cls, port: str, key: str, _pid: str) -> "Near":
        """Dial a link for talk and one for bulk."""
        end = End(echo=False)
        await end.network.open([Endpoint("127.0.0.1", 0)])
        near = cls(end, port, key)
        await near.dial([TALK, BULK])
        return near

    async def dial(self, links: Sequence[int]) -> None:
        """Open links of these numbers."""
        for link in links:
            self._end.network.perform(OpenLink(link, self._node, self._where))
        self._end.network.flush()
        while not self._end.up.issuperset(links):
            await self._end.progress()

    async def talk_ms(self, count: int, link: int = TALK) -> list[float]:
        """Round trips of 200 bytes, one after the other."""
        end, times = self._end, []
        for _ in range(count):
            before, begun = end.frames[link], perf_counter()
            end.send(link, ECHO + PAYLOAD[1:])
            end.network.flush()
            while end.frames[link] == before:
                await end.progress()
            times.append((perf_counter() - begun) * 1000)
        return times

    async def bulk_mb_per_s(self, size: int) -> float:
        """Megabytes a second in frames of 16 KiB."""
        end, begun = self._end, perf_counter()
        before = end.frames[BULK]
        for _ in range(size // len(CHUNK)):
            end.send(BULK, CHUNK)
            if end.network.unsent(BULK) > UNSENT_HIGH_BYTES:
                end.drained.clear()
                end.network.flush()
                await end.drained.wait()
        end.send(BULK, DONE)
        end.network.flush()
        while end.frames[BULK] == before:
            await end.progress()
        return size / (perf_counter() - begun) / 1e6

    async def talk_meanwhile_ms(self, size: int) -> list[float]:
        """Round trips on the one link for as long as the other is busy with so many bytes."""
        times: list[float] = []
        async with asyncio.TaskGroup() as tasks:
            bulk = tasks.create_task(self.bulk_mb_per_s(size))
            while not bulk.done():
                times += await self.talk_ms(1)
        return times

    def close(self) -> None:
        """Give the socket back."""
        self._end.network.close()


def bulk_mb_per_s(size: int) -> float:
    """Megabytes a second over one link."""

    async def run(*words: str) -> float:
        near = await Near.to(*words)
        rate = await near.bulk_mb_per_s(size)
        near.close()
        return rate

    with far_end("bench.linked") as words:
        return asyncio.run(run(*words))


def talk_ms(count: int, size: int) -> tuple[list[float], list[float]]:
    """Round trips of frames of 200 bytes: alone, and with so many bytes under way on another link."""

    async def run(*words: str) -> tuple[list[float], list[float]]:
        near = await Near.to(*words)
        await near.talk_ms(count // 10)
        alone = await near.talk_ms(count)
        meanwhile = await near.talk_meanwhile_ms(size)
        near.close()
        return alone, meanwhile

    with far_end("bench.linked") as words:
        return asyncio.run(run(*words))


def held_bytes(count: int) -> float:
    """What each of so many links costs the far end in memory, all of them having said something."""

    async def run(*words: str) -> float:
        near = await Near.to(*words)
        await near.talk_ms(100)
        before = resident_bytes(words[-1])
        for first in range(BULK + 1, BULK + 1 + count, DIALS):
            await near.dial(range(first, min(first + DIALS, BULK + 1 + count)))
        for link in range(BULK + 1, BULK + 1 + count):
            await near.talk_ms(1, link)
        after = resident_bytes(words[-1])
        near.close()
        return (after - before) / count

    with far_end("bench.linked") as words:
        return asyncio.run(run(*words))


async def _serve() -> None:
    end = End(echo=True)
    (bound,) = await end.network.open([Endpoint("127.0.0.1", 0)])
    say(bound.port, end.key.public.hex(), os.getpid())
    await until_told()
    end.network.close()


if __name__ == "__main__":
    asyncio.run(_serve())
