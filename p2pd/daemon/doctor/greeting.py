"""Hellos to nodes, and what their welcomes say: that they are there, what time it is, and where they see us.

Knows no settings.  Rules: a hello is asked for at most `TRIES` times and then counts as not answered; a welcome counts
only from the address that was asked, under the id of the question.  It proves nothing, and so decides nothing.
"""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from p2pd import limits
from p2pd.daemon.nodes import resolve_node
from p2pd.errors import P2pdError, PeerError
from p2pd.net.udp import UdpSocket
from p2pd.types import Endpoint
from p2pd.wire.address import parse_node_hint
from p2pd.wire.datagram import Hello, Welcome, decode, network_id

TRIES = 3
AGAIN_S = 1.0
"""Longer than a round trip to the other side of the world."""
NODES = 40
"""Addresses asked, at most."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """One node's welcome."""

    observed: Endpoint
    """Where the node sees us."""
    offset_ms: float
    """What to add to our clock to have the node's."""
    serves: bool


@dataclass(slots=True)
class Asked:
    """One node as the user wrote it, and what came of it."""

    node: str
    endpoints: tuple[Endpoint, ...] = ()
    failure: str = ""
    """Why it could not be asked."""
    answers: list[Answer] = field(default_factory=list)

    @property
    def words(self) -> str:
        """For a line of details."""
        if self.answers:
            return f"{self.node} answers"
        return f"{self.node}: {self.failure or 'no answer'}"


@dataclass(frozen=True, slots=True)
class Greetings:
    """All nodes asked, by whom they were named, and the socket's own endpoints."""

    first: list[Asked]
    known: list[Asked]
    bound: list[Endpoint]

    @property
    def answers(self) -> list[Answer]:
        """Of all who answered."""
        return [answer for asked in (*self.first, *self.known) for answer in asked.answers]


class Greeter:
    """Sends hellos from some sockets and hears the welcomes; to be closed."""

    def __init__(self, network: str) -> None:
        self._network = network_id(network)
        self._sockets: list[UdpSocket] = []
        self._open: dict[bytes, tuple[Endpoint, Asked, float]] = {}
        self._all_answered = asyncio.Event()

    async def listen(self, endpoint: Endpoint) -> Endpoint:
        """Bind one more socket; `AddressError` where it cannot be had."""
        bound = UdpSocket(endpoint, self._on_datagram, lambda: None, Counter())
        self._sockets.append(bound)
        await bound.start()
        return bound.bound

    async def greet(self, first: Sequence[str], known: Sequence[str]) -> Greetings:
        """Asks all of them at once; takes as long as the slowest answer, at most `TRIES` times `AGAIN_S`."""
        asked = [Asked(node) for node in (*first, *known)]
        await asyncio.gather(*map(_resolve, asked))
        pending = [(endpoint, one) for one in asked for endpoint in one.endpoints][:NODES]
        for _ in range(TRIES):
            self._send([(endpoint, one) for endpoint, one in pending if not one.answers])
            try:
                async with asyncio.timeout(AGAIN_S):
                    await self._all_answered.wait()
            except TimeoutError:
                continue
            break
        return Greetings(asked[: len(first)], asked[len(first) :], [bound.bound for bound in self._sockets])

    def close(self) -> None:
        """Give the sockets back."""
        for bound in self._sockets:
            bound.close()

    def _send(self, wanted: list[tuple[Endpoint, Asked]]) -> None:
        for endpoint, asked in wanted:
            id = os.urandom(limits.RPC_ID_BYTES)
            self._open[id] = (endpoint, asked, time.monotonic())
            for bound in self._sockets:
                if bound.reaches(endpoint):
                    bound.send(endpoint, Hello(self._network, id).encode())
                    break
            else:
                asked.failure = "this machine has no address of its kind"
        if not wanted:
            self._all_answered.set()

    def _on_datagram(self, data: bytes, source: Endpoint) -> None:
        try:
            datagram = decode(data)
        except PeerError:
            return
        if not isinstance(datagram, Welcome) or datagram.network != self._network:
            return
        endpoint, asked, sent = self._open.get(datagram.id, (None, None, 0.0))
        if asked is None or endpoint != source:
            return
        del self._open[datagram.id]
        round_trip_ms = (time.monotonic() - sent) * 1000
        offset_ms = datagram.wall_ms + round_trip_ms / 2 - time.time() * 1000
        asked.answers.append(Answer(datagram.observed, offset_ms, datagram.serves))
        if all(one.answers for _, one, _ in self._open.values()):
            self._all_answered.set()


async def _resolve(asked: Asked) -> None:
    try:
        hints = await resolve_node(asked.node)
        asked.endpoints = tuple(parse_node_hint(hint).endpoint for hint in hints)
    except (P2pdError, PeerError) as error:
        asked.failure = error.message
