"""Nodes' QUIC in one process: packets on a virtual wire, time that a test moves, no sockets."""

from collections import deque
from collections.abc import Callable
from random import Random

from p2pd.crypto.keys import SigningKey
from p2pd.effects import OpenLink
from p2pd.net.acceptor import Acceptor
from p2pd.net.connection import Credentials
from p2pd.net.exchanges import Exchanges
from p2pd.net.inputs import Frame, Input, LinkOpened
from p2pd.net.links import Links
from p2pd.net.quic import QuicEndpoint
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint, NodeKey

Packet = tuple[Endpoint, Endpoint, bytes]


class SeededRandom:
    """A `RandomSource` from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


def signing_key(seed: int) -> SigningKey:
    return SigningKey(seed.to_bytes(32, "big"))


class Wire:
    """Carries packets at once and moves the clock from deadline to deadline."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.packets: deque[Packet] = deque()
        self.receivers: dict[Endpoint, Callable[[bytes, Endpoint, float], None]] = {}
        self.nodes: list[Node] = []
        self.loses: Callable[[Packet], bool] = lambda packet: False
        self.carried = 0

    def carry(self) -> None:
        """Deliver until nothing is under way at this moment."""
        while self.packets:
            packet = self.packets.popleft()
            source, to, data = packet
            self.carried += 1
            if to in self.receivers and not self.loses(packet):
                self.receivers[to](data, source, self.now)

    def run(self, seconds: float, done: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, at most so much, until `done`."""
        end = self.now + seconds
        while True:
            self.carry()
            deadlines = [deadline for node in self.nodes if (deadline := node.next_deadline()) is not None]
            if done() or not deadlines or min(deadlines) > end:
                break
            self.now = max(self.now, min(deadlines))
            for node in self.nodes:
                node.on_timer(self.now)
        if not done():
            self.now = end


class Node:
    """One node's connections, links and exchanges on a wire; inputs for the core gather in `inputs`."""

    def __init__(self, wire: Wire, number: int, tuning: QuicTuning | None = None, takes: bool = True) -> None:
        self.wire = wire
        self.key = signing_key(number)
        self.node = NodeKey(self.key.public)
        self.endpoint = Endpoint(f"192.0.2.{number}", 4_000)
        self.inputs: list[Input] = []
        self.takes = takes
        self.answers: Callable[[Node, Input], None] = lambda node, value: None
        random = SeededRandom(number)
        self.quic = QuicEndpoint(
            Credentials.of(self.key, random), tuning or QuicTuning(), self._send, lambda: self.acceptor.visitor()
        )
        self.links = Links(self.quic, random, self._emit)
        self.exchanges = Exchanges(self.quic, random, self._emit)
        self.acceptor = Acceptor(self.links, self._emit)
        self._parts = (self.quic, self.links, self.exchanges, self.acceptor)
        wire.receivers[self.endpoint] = self._receive
        wire.nodes.append(self)

    def open(self, number: int, to: "Node", *endpoints: Endpoint) -> None:
        self.links.open(OpenLink(number, to.node, endpoints or (to.endpoint,)), self.wire.now)
        self.flush()

    def send(self, link: int, frame: bytes) -> None:
        self.links.send(link, frame, self.wire.now)

    def of(self, kind: type[Input]) -> list[Input]:
        """The inputs of one kind so far."""
        return [value for value in self.inputs if isinstance(value, kind)]

    def frames(self) -> list[bytes]:
        return [value.frame for value in self.inputs if isinstance(value, Frame)]

    def flush(self) -> None:
        self.quic.flush(self.wire.now)

    def next_deadline(self) -> float | None:
        return min((time for part in self._parts if (time := part.next_deadline()) is not None), default=None)

    def on_timer(self, now: float) -> None:
        for part in self._parts:
            part.on_timer(now)
        self.flush()

    def _emit(self, value: Input) -> None:
        self.inputs.append(value)
        if isinstance(value, Frame) and self.takes:
            self.links.taken(value.link, len(value.frame))
        self.answers(self, value)

    def _send(self, to: Endpoint, data: bytes, cause: str) -> None:
        self.quic.traffic.sent[cause] += len(data)
        self.wire.packets.append((self.endpoint, to, data))

    def _receive(self, data: bytes, source: Endpoint, now: float) -> None:
        self.quic.on_datagram(data, source, now)
        self.flush()


def linked(wire: Wire, a: Node, b: Node) -> tuple[int, int]:
    """A link from a to b, by the numbers it has on either side."""
    a.open(1, b)
    wire.run(1.0, lambda: bool(a.of(LinkOpened)))
    (ours,) = [value for value in a.inputs if isinstance(value, LinkOpened)]
    (theirs,) = [value for value in b.inputs if isinstance(value, LinkOpened)]
    return ours.link, theirs.link
