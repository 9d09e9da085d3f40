"""The floor of every round trip: one datagram there and back between two asyncio programs that do nothing else.

`python -m bench.echo` is the far end; it says its port.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from tests.integration.fleet import environment

PAYLOAD = bytes(200)


@contextmanager
def far_end(module: str, *words: str) -> Iterator[list[str]]:
    """A process of ours that says one line when it is ready, and ends when its standard input does."""
    command = [sys.executable, "-m", module, *words]
    with subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().decode().split()
        finally:
            process.stdin.close()
            process.wait()


async def until_told() -> None:
    """Returns when standard input ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


def say(*words: object) -> None:
    """The line that a far end says."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def round_trips_ms(count: int) -> list[float]:
    """Milliseconds of so many round trips, one after the other."""
    with far_end("bench.echo") as (port,):
        return asyncio.run(_ask(int(port), count))


class _Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.DatagramTransport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)


class _Asker(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.answer.set_result(None)


async def _ask(port: int, count: int) -> list[float]:
    loop = asyncio.get_running_loop()
    transport, asker = await loop.create_datagram_endpoint(_Asker, remote_addr=("127.0.0.1", port))
    times: list[float] = []
    for _ in range(count):
        asker.answer = loop.create_future()
        begun = perf_counter()
        transport.sendto(PAYLOAD)
        await asker.answer
        times.append((perf_counter() - begun) * 1000)
    transport.close()
    return times


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(_Echo, local_addr=("127.0.0.1", 0))
    say(transport.get_extra_info("sockname")[1])
    await until_told()
    transport.close()


if __name__ == "__main__":
    asyncio.run(_serve())
