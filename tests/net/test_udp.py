"""Sockets: addresses come in one form, nothing that arrives stops the reader, and the port is given back."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from p2pd import limits
from p2pd.net.traffic import Cause, Traffic
from p2pd.net.udp import AddressError, UdpSocket
from p2pd.types import Endpoint


class Box:
    """A socket with what it received."""

    def __init__(self, listen: Endpoint) -> None:
        self.counts: Counter[str] = Counter()
        self.received: asyncio.Queue[tuple[bytes, Endpoint]] = asyncio.Queue()
        self.batches = 0
        self.traffic = Traffic()
        self.socket = UdpSocket(listen, self._receive, self._batch_done, self.counts, traffic=self.traffic)

    def _receive(self, data: bytes, source: Endpoint) -> None:
        self.received.put_nowait((data, source))

    def _batch_done(self) -> None:
        self.batches += 1

    async def next(self) -> tuple[bytes, Endpoint]:
        return await asyncio.wait_for(self.received.get(), 5)


@pytest.fixture
async def boxes() -> AsyncIterator[list[Box]]:
    made: list[Box] = []
    yield made
    for box in made:
        box.socket.close()
    await asyncio.sleep(0)


async def opened(boxes: list[Box], host: str, with_transport: bool = False) -> Box:
    try:
        box = Box(Endpoint(host, 0))
    except AddressError:
        if ":" not in host:
            raise
        pytest.skip("no IPv6 here")
    boxes.append(box)
    await (box.socket.start_with_transport() if with_transport else box.socket.start())
    return box


@pytest.mark.parametrize("with_transport", [False, True])
async def test_datagrams_pass_both_ways(boxes: list[Box], with_transport: bool) -> None:
    a, b = await opened(boxes, "127.0.0.1", with_transport), await opened(boxes, "127.0.0.1")
    a.socket.send(b.socket.bound, b"there")
    assert await b.next() == (b"there", a.socket.bound)
    b.socket.send(a.socket.bound, b"back")
    assert await a.next() == (b"back", b.socket.bound)
    await asyncio.sleep(0)
    assert a.batches == b.batches == 1


async def test_mapped_addresses_become_ipv4_and_back(boxes: list[Box]) -> None:
    dual, plain = await opened(boxes, "::"), await opened(boxes, "127.0.0.1")
    plain.socket.send(Endpoint("127.0.0.1", dual.socket.bound.port), b"there")
    data, source = await dual.next()
    assert (data, source) == (b"there", plain.socket.bound)
    dual.socket.send(source, b"back")
    assert (await plain.next())[0] == b"back"


async def test_ipv6_works_and_families_are_kept_apart(boxes: list[Box]) -> None:
    a, b = await opened(boxes, "::1"), await opened(boxes, "::1")
    a.socket.send(b.socket.bound, b"there")
    assert await b.next() == (b"there", a.socket.bound)
    assert a.socket.reaches(Endpoint("2001:db8::1", 1))
    assert not a.socket.reaches(Endpoint("192.0.2.1", 1))


async def test_a_batch_is_bounded_and_leaves_nothing_behind(boxes: list[Box]) -> None:
    box = await opened(boxes, "127.0.0.1")
    count = 2 * limits.INPUTS_PER_TURN + 5
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for number in range(count):
            stranger.sendto(number.to_bytes(2, "big"), (box.socket.bound.host, box.socket.bound.port))
    received = [(await box.next())[0] for _ in range(count)]
    assert received == [number.to_bytes(2, "big") for number in range(count)]
    await asyncio.sleep(0)
    assert box.batches >= 3


async def test_a_datagram_too_long_is_counted(boxes: list[Box]) -> None:
    a, b = await opened(boxes, "127.0.0.1"), await opened(boxes, "127.0.0.1")
    a.socket.send(b.socket.bound, bytes(limits.UDP_READ_BYTES))
    a.socket.send(b.socket.bound, b"short")
    assert (await b.next())[0] == b"short"
    assert b.counts["datagram too long"] == 1
    assert b.traffic.received[Cause.REJECTED] == limits.UDP_READ_BYTES


async def test_what_did_not_leave_counts_under_no_cause(boxes: list[Box]) -> None:
    a, b = await opened(boxes, "127.0.0.1"), await opened(boxes, "127.0.0.1")
    a.socket.send(b.socket.bound, b"there", "put")
    a.socket.send(Endpoint("127.0.0.1", 0), b"nowhere", "put")
    a.socket.send(Endpoint("host.example", 1), b"nowhere", "get")
    assert (a.traffic.sent, a.counts["bytes out"]) == ({"put": 5}, 5)


async def test_names_are_not_looked_up_and_errors_are_counted(boxes: list[Box]) -> None:
    box = await opened(boxes, "127.0.0.1")
    box.socket.send(Endpoint("host.example", 1), b"x")
    box.socket.send(Endpoint("127.0.0.1", 0), b"x")
    assert box.counts["send: no IP address"] == 1
    assert sum(box.counts.values()) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "host.example"])
async def test_an_address_that_cannot_be_had_is_an_error(boxes: list[Box], host: str) -> None:
    taken = await opened(boxes, "127.0.0.1")
    with pytest.raises(AddressError):
        Box(Endpoint(host, taken.socket.bound.port))


async def test_what_the_kernel_does_not_take_waits_bounded(boxes: list[Box], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SOCKET_BUFFER_BYTES", 4_096)
    # a Unix pair refuses at once when it is full, as a slow interface would
    box = await opened(boxes, "127.0.0.1")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    box.socket._socket.close()
    box.socket._loop.remove_reader(box.socket._socket)
    box.socket._socket = Unaddressed(ours)  # type: ignore[assignment]
    sent = 3 * limits.SEND_WAITING
    for number in range(sent):
        box.socket.send(Endpoint("127.0.0.1", 1), number.to_bytes(4, "big"))
    refused = box.counts["send queue full"]
    assert refused > 0
    assert len(box.socket._waiting) == limits.SEND_WAITING
    theirs.settimeout(5)
    received = 0
    while received < sent - refused:
        assert int.from_bytes(theirs.recv(16), "big") == received
        received += 1
        await asyncio.sleep(0)
    assert not box.socket._waiting
    theirs.close()


class Unaddressed:
    """A connected socket behind the two calls that name an address."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:
        return self._inner.send(data)

    def fileno(self) -> int:
        return self._inner.fileno()

    def close(self) -> None:
        self._inner.close()
