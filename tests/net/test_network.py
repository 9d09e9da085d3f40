"""Everything together on real sockets: effects in, inputs out."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from p2pd import limits
from p2pd.crypto.stamp import stamp_bits
from p2pd.domains import Domain
from p2pd.effects import CloseLink, Effect, OpenLink, Request, Respond, SendDatagram, SendFrame, SolveStamp
from p2pd.net.inputs import (
    Datagram,
    Frame,
    Input,
    LinkClosed,
    LinkFailed,
    LinkOpened,
    RequestArrived,
    ResponseArrived,
    StampSolved,
)
from p2pd.net.network import Network
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint, NodeKey
from tests.net.pair import SeededRandom, signing_key

LOOPBACK = Endpoint("127.0.0.1", 0)
SIGNER = signing_key(50)


class Node:
    """A network whose inputs are taken as they come."""

    def __init__(self, number: int, tuning: QuicTuning) -> None:
        key = signing_key(number)
        self.node = NodeKey(key.public)
        self.inputs: asyncio.Queue[Input] = asyncio.Queue()
        self.network = Network(key, SeededRandom(number), self._emit, tuning)
        self.endpoint = LOOPBACK

    def _emit(self, value: Input) -> None:
        if isinstance(value, Frame):
            self.network.taken(value.link, len(value.frame))
        self.inputs.put_nowait(value)

    def do(self, *effects: Effect) -> None:
        for effect in effects:
            self.network.perform(effect)
        self.network.flush()

    async def next(self) -> Input:
        return await asyncio.wait_for(self.inputs.get(), 10)


@pytest.fixture
async def node() -> AsyncIterator[Callable]:
    async with AsyncExitStack() as stack:

        async def make(number: int, tuning: QuicTuning | None = None) -> Node:
            made = Node(number, tuning or QuicTuning())
            stack.callback(made.network.close)
            (made.endpoint,) = await made.network.open([LOOPBACK])
            return made

        yield make


async def test_one_socket_serves_both_roles_and_the_dht(node: Callable) -> None:
    a, b = await node(1), await node(2)
    a.do(OpenLink(1, b.node, (b.endpoint,)))
    b.do(OpenLink(1, a.node, (a.endpoint,)))
    opened = [await a.next(), await a.next(), await b.next(), await b.next()]
    assert all(isinstance(value, LinkOpened) for value in opened)
    assert {value.endpoint for value in opened} == {a.endpoint, b.endpoint}, "each saw the other's one port"
    a.do(SendFrame(1, b"frame"), SendDatagram(b.endpoint, b"\x21datagram"))
    assert {await b.next(), await b.next()} == {Frame(-1, b"frame"), Datagram(b"\x21datagram", a.endpoint)}
    a.do(CloseLink(1, "done"))
    closed = await b.next()
    assert isinstance(closed, LinkClosed)
    assert closed.link == -1


async def test_a_request_is_answered_with_64_kib(node: Callable) -> None:
    a, b = await node(1), await node(2)
    a.do(Request(5, b.node, b.endpoint, SIGNER.seed, b"what"))
    request = await b.next()
    assert isinstance(request, RequestArrived)
    assert (request.node, request.payload) == (SIGNER.public, b"what")
    b.do(Respond(request.exchange, bytes(64 * limits.KIB)))
    assert await a.next() == ResponseArrived(5, bytes(64 * limits.KIB))


async def test_every_byte_that_left_has_one_cause(node: Callable) -> None:
    a, b = await node(1), await node(2)
    a.do(Request(5, b.node, b.endpoint, SIGNER.seed, bytes(9_000), "put"))
    a.do(SendDatagram(b.endpoint, b"\x21datagram", cause="get"))
    a.do(SendDatagram(Endpoint("2001:db8::1", 4_040), b"\x21no way", cause="get"))
    a.do(Request(6, b.node, Endpoint("2001:db8::1", 4_040), signing_key(51).seed, bytes(9_000), "refresh"))
    while not isinstance(request := await b.next(), RequestArrived):
        pass
    b.do(Respond(request.exchange, bytes(3_000)))
    while not isinstance(await a.next(), ResponseArrived):
        pass
    sent = a.network.traffic.sent
    assert sum(sent.values()) == a.network.counts()["bytes out"]
    assert (sent["get"], sent["put"] > 9_000, sent["refresh"]) == (len(b"\x21datagram"), True, 0)
    assert sum(a.network.traffic.received.values()) == a.network.counts()["bytes in"]


async def test_a_dial_to_a_dead_port_fails(node: Callable) -> None:
    a, b = await node(1, QuicTuning(dial_s=0.1)), await node(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        a.do(OpenLink(1, b.node, (Endpoint(*silent.getsockname()),)))
        assert await a.next() == LinkFailed(1, "no answer")


async def test_garbage_is_counted_and_dropped(node: Callable) -> None:
    a = await node(1)
    garbage = [b"", b"\x00", b"\x13x", b"\x80x", b"\x21" + bytes(limits.DATAGRAM_BYTES), b"\x40", b"\xc0" * 50]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        for data in [*garbage, b"\x3f"]:
            stranger.sendto(data, (a.endpoint.host, a.endpoint.port))
        assert await a.next() == Datagram(b"\x3f", Endpoint(*stranger.getsockname()))
    counts = a.network.counts()
    assert counts["datagram of no kind"] == 5
    assert counts["bad header"] + counts["no such connection"] == 2


async def test_stamps_are_solved_aside(node: Callable) -> None:
    a = await node(1)
    a.do(SolveStamp(3, b"challenge", 2), SolveStamp(4, b"challenge", 1_000))
    solved = await a.next()
    assert isinstance(solved, StampSolved)
    assert solved.job == 3
    assert solved.nonce is not None
    assert stamp_bits(Domain.STAMP, b"challenge", solved.nonce) >= 2
    assert await a.next() == StampSolved(4, None)


async def test_a_rebuilt_core_has_no_links(node: Callable) -> None:
    a, b = await node(1), await node(2)
    a.do(OpenLink(1, b.node, (b.endpoint,)))
    await a.next()
    await b.next()
    a.network.forget_core()
    assert isinstance(await b.next(), LinkClosed)
    assert a.inputs.empty()


async def test_closing_tells_the_peers(node: Callable) -> None:
    a, b = await node(1), await node(2)
    a.do(OpenLink(1, b.node, (b.endpoint,)))
    await a.next()
    await b.next()
    b.network.close()
    closed = await a.next()
    assert isinstance(closed, LinkClosed)
    assert closed.link == 1


async def test_a_family_without_a_socket_is_counted(node: Callable) -> None:
    a = await node(1)
    a.do(SendDatagram(Endpoint("2001:db8::1", 9), b"\x21"))
    assert a.network.counts()["send: no socket"] == 1


async def test_a_quiet_link_is_served_before_a_flood(node: Callable) -> None:
    a, b = await node(1), await node(2)
    a.do(OpenLink(1, b.node, (b.endpoint,)))
    assert isinstance(await a.next(), LinkOpened)
    assert isinstance(await b.next(), LinkOpened)
    flood = [SendDatagram(b.endpoint, b"\x21%d" % number) for number in range(300)]
    a.do(*flood, SendFrame(1, b"a word"))  # the kernel keeps this order
    came = [await b.next() for _ in range(len(flood) + 1)]
    assert came.index(Frame(-1, b"a word")) < len(flood) / 2
    assert [value.data for value in came if isinstance(value, Datagram)] == [effect.data for effect in flood]
