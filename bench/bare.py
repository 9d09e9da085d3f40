"""The floor of all links: aioquic's connection as it comes, on our socket and its reader, nothing of ours above it.

`python -m bench.bare` is the far end: it says its port, sends back what comes on a stream that begins with `E`, does
the same after a commit where it begins with `D`, and answers the end of one that begins with `S` with one byte.
It has neither our windows nor our checks of the peer, and the same certificates and sizes of packets.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from time import perf_counter

from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import StreamDataReceived

from bench.disk import disk
from bench.echo import PAYLOAD, far_end, say, until_told
from bench.result import spread
from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.net.clock import SystemRandom
from p2pd.net.connection import Credentials, client_configuration, server_configuration
from p2pd.net.tuning import QuicTuning
from p2pd.net.udp import UdpSocket
from p2pd.types import Endpoint

ECHO, DURABLE, SINK = b"E", b"D", b"S"
CHUNK = bytes(16 * limits.KIB)
UNSENT_HIGH_BYTES, UNSENT_LOW_BYTES = 256 * limits.KIB, 64 * limits.KIB
"""Bulk waits while more than the first is unsent, until no more than the second is."""


class Bare:
    """One end: a socket, and the one connection on it."""

    def __init__(self, quic: QuicConnection | None = None, commit: Callable[[], None] = lambda: None) -> None:
        self.quic = quic
        self._commit = commit
        self.arrived: dict[int, int] = {}
        self._kinds: dict[int, bytes] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Future[None] | None = None
        self.socket = UdpSocket(Endpoint("127.0.0.1", 0), self._receive, self._turn, Counter())

    async def progress(self) -> None:
        """Wait until something has come."""
        if self._waiting is None or self._waiting.done():
            self._waiting = self._loop.create_future()
        await self._waiting

    def unsent(self, stream: int) -> int:
        """Bytes that the far end has not acknowledged."""
        assert self.quic is not None
        found = self.quic._streams.get(stream)  # gone once it is finished
        return 0 if found is None else found.sender._buffer_stop - found.sender._buffer_start

    def flush(self) -> None:
        """Send what is to be sent, and set the timer."""
        assert self.quic is not None
        for data, address in self.quic.datagrams_to_send(self._loop.time()):
            self.socket.send(address, data)
        if self._timer is not None:
            self._timer.cancel()
        due = self.quic.get_timer()
        self._timer = None if due is None else self._loop.call_at(due, self._on_timer)

    def close(self) -> None:
        """Give the socket back."""
        if self._timer is not None:
            self._timer.cancel()
        self.socket.close()

    def _receive(self, data: bytes, source: Endpoint) -> None:
        if self.quic is None:
            credentials = Credentials.of(SigningKey(bytes(32)), SystemRandom())
            configuration = server_configuration(credentials, QuicTuning())
            self.quic = QuicConnection(
                configuration=configuration, original_destination_connection_id=data[6 : 6 + data[5]]
            )
        self.quic.receive_datagram(data, source, self._loop.time())

    def _on_timer(self) -> None:
        assert self.quic is not None
        self._timer = None
        self.quic.handle_timer(self._loop.time())
        self._turn()

    def _turn(self) -> None:
        if self.quic is None:
            return
        while (event := self.quic.next_event()) is not None:
            if isinstance(event, StreamDataReceived):
                self._take(event)
        self.flush()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _take(self, event: StreamDataReceived) -> None:
        assert self.quic is not None
        stream = event.stream_id
        self.arrived[stream] = self.arrived.get(stream, 0) + len(event.data)
        if self.quic.configuration.is_client:
            return
        kind = self._kinds.setdefault(stream, event.data[:1])
        if kind == DURABLE:
            self._commit()
        if kind in (ECHO, DURABLE):
            self.quic.send_stream_data(stream, event.data)
        elif event.end_stream:
            self.quic.send_stream_data(stream, SINK, end_stream=True)


async def _dialled(port: int) -> Bare:
    credentials = Credentials.of(SigningKey(bytes(32)), SystemRandom())
    bare = Bare(QuicConnection(configuration=client_configuration(credentials, QuicTuning())))
    assert bare.quic is not None
    await bare.socket.start()
    bare.quic.connect(Endpoint("127.0.0.1", port), now=asyncio.get_running_loop().time())
    bare.flush()
    return bare


async def _echo(port: int, count: int, kind: bytes, commit: Callable[[], None]) -> dict[str, float]:
    bare = await _dialled(port)
    assert bare.quic is not None
    stream = bare.quic.get_next_available_stream_id()
    times: list[float] = []
    for number in range(count):
        begun = perf_counter()
        commit()
        bare.quic.send_stream_data(stream, kind + PAYLOAD[1:])
        bare.flush()
        while bare.arrived.get(stream, 0) < len(PAYLOAD) * (number + 1):
            await bare.progress()
        commit()
        times.append((perf_counter() - begun) * 1000)
    bare.close()
    return spread(times[count // 10 :])


async def _bulk(port: int, size: int) -> float:
    bare = await _dialled(port)
    assert bare.quic is not None
    stream = bare.quic.get_next_available_stream_id()
    bare.quic.send_stream_data(stream, SINK)
    bare.flush()
    begun = perf_counter()
    for left in range(size // len(CHUNK), 0, -1):
        bare.quic.send_stream_data(stream, CHUNK, end_stream=left == 1)
        if bare.unsent(stream) > UNSENT_HIGH_BYTES:
            bare.flush()
            while bare.unsent(stream) > UNSENT_LOW_BYTES:
                await bare.progress()
    bare.flush()
    while not bare.arrived.get(stream):
        await bare.progress()
    taken = perf_counter() - begun
    bare.close()
    return size / taken / 1e6


def echo_ms(count: int) -> dict[str, float]:
    """Round trips of 200 bytes on one stream, in milliseconds."""
    with far_end("bench.bare") as (port,):
        return asyncio.run(_echo(int(port), count, ECHO, lambda: None))


def durable_echo_ms(count: int) -> dict[str, float]:
    """The same with the three commits of a text: before it leaves, before its answer leaves, and of the answer."""
    with far_end("bench.bare") as (port,), disk() as one:
        return asyncio.run(_echo(int(port), count, DURABLE, one.commit))


def bulk_mb_per_s(size: int) -> float:
    """Megabytes a second of one stream, as much unacknowledged at a time as a link of ours has."""
    with far_end("bench.bare") as (port,):
        return asyncio.run(_bulk(int(port), size))


async def _serve() -> None:
    with disk() as one:
        bare = Bare(commit=one.commit)
        await bare.socket.start()
        say(bare.socket.bound.port)
        await until_told()
        bare.close()


if __name__ == "__main__":
    asyncio.run(_serve())
