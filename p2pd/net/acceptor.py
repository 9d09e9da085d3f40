"""What peers open on connections they dialled: one link at most, and requests; told apart by a stream's first byte.

It does not know what a request means.
Rules: a stream that is neither is refused; requests are limited in number, rate, size, time and in the memory that all
of them hold together, and what is refused costs the peer its stream, not the connection.

    request stream: arriving -> asked (given to the core) -> answered | refused
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.net.connection import Connection
from p2pd.net.exchanges import REQUEST
from p2pd.net.inputs import Input, RequestArrived
from p2pd.net.links import LINK_KINDS, Link, Links
from p2pd.net.quic import QuicEndpoint
from p2pd.net.timers import Timers
from p2pd.net.traffic import Cause


@dataclass(slots=True)
class Arriving:
    """One request of a peer's, from its first byte to our answer."""

    exchange: int
    connection: Connection
    stream: int
    payload: bytearray = field(default_factory=bytearray)
    held: int = 0
    """Bytes counted against `limits.EXCHANGE_MEMORY_BYTES`."""
    asked: bool = False


class Visitor:
    """Owner of one authenticated incoming connection."""

    def __init__(self, acceptor: "Acceptor") -> None:
        self._acceptor = acceptor
        self._link: Link | None = None
        self._requests: dict[int, Arriving] = {}
        self._refused: set[int] = set()
        self._allowance = float(limits.EXCHANGES_BURST)
        self._allowed_at = 0.0

    def on_ready(self, connection: Connection, now: float) -> None:
        self._allowed_at = now

    def on_stream(self, connection: Connection, stream: int, data: bytes, end: bool, now: float) -> None:
        if self._link is not None and stream == self._link.stream:
            self._link.on_stream(connection, stream, data, end, now)
        elif stream in self._requests:
            self._on_request(self._requests[stream], data, end)
        elif stream in self._refused:
            connection.quic.consumed(stream, len(data))
        else:
            self._begin(connection, stream, data, end, now)

    def on_reset(self, connection: Connection, stream: int, now: float) -> None:
        if self._link is not None and stream == self._link.stream:
            self._link.on_reset(connection, stream, now)
        elif stream in self._requests:
            self._acceptor.refuse(self._requests[stream], "request reset")

    def on_progress(self, connection: Connection, now: float) -> None:
        if self._link is not None:
            self._link.on_progress(connection, now)
        self._acceptor.release_sent(connection)

    def on_ended(self, connection: Connection, reason: str, now: float) -> None:
        if self._link is not None:
            self._link.on_ended(connection, reason, now)
        for request in list(self._requests.values()):
            self._acceptor.forget(request)
        self._acceptor.release_sent(connection)

    def over(self, stream: int, refused: bool) -> None:
        """A request of this connection is answered or refused."""
        self._requests.pop(stream, None)
        if refused:
            self._remember_refused(stream)

    def _begin(self, connection: Connection, stream: int, data: bytes, end: bool, now: float) -> None:
        kind, rest = data[:1], data[1:]
        connection.quic.consumed(stream, len(kind))
        if kind in LINK_KINDS and self._link is None and not end:
            self._link = self._acceptor.links.accept(connection, stream, LINK_KINDS[kind], now)
            if rest:
                self._link.on_stream(connection, stream, rest, end, now)
        elif kind == REQUEST and self._may_ask(now):
            if self._link is None:
                connection.purpose = Cause.ANSWER
            request = self._acceptor.arriving(connection, stream, now)
            self._requests[stream] = request
            self._on_request(request, rest, end)
        else:
            self._acceptor.quic.counts["stream refused"] += 1
            self._remember_refused(stream)
            connection.refuse_stream(stream)

    def _may_ask(self, now: float) -> bool:
        elapsed = now - self._allowed_at
        self._allowance = min(limits.EXCHANGES_BURST, self._allowance + elapsed * limits.EXCHANGES_PER_S)
        self._allowed_at = now
        if self._allowance < 1 or len(self._requests) >= limits.EXCHANGES_PER_CONNECTION:
            return False
        self._allowance -= 1
        return True

    def _on_request(self, request: Arriving, data: bytes, end: bool) -> None:
        request.connection.quic.consumed(request.stream, len(data))
        if not self._acceptor.hold(request, data):
            self._acceptor.refuse(request, "request too long or no memory")
        elif end:
            self._acceptor.ask(request)

    def _remember_refused(self, stream: int) -> None:
        # no more than so many streams are open at once, and numbers only grow: older ones are gone
        self._refused.add(stream)
        if len(self._refused) > 2 * limits.STREAMS_PER_CONNECTION:
            self._refused.discard(min(self._refused))


class Acceptor:
    """All requests of peers under way; exchange numbers are negative and never used twice."""

    def __init__(self, links: Links, emit: Callable[[Input], None]) -> None:
        self.links = links
        self.quic: QuicEndpoint = links.quic
        self._emit = emit
        self._requests: dict[int, Arriving] = {}
        self._answering: dict[Connection, dict[int, int]] = {}
        self._held = 0
        self._timers: Timers[int] = Timers()
        self._last = 0

    def __len__(self) -> int:
        return len(self._requests)

    def visitor(self) -> Visitor:
        """The owner of one more incoming connection."""
        return Visitor(self)

    def respond(self, exchange: int, payload: bytes) -> None:
        """Answer a request; it may have been given up meanwhile."""
        if len(payload) > limits.RESPONSE_BYTES:
            raise ValueError(f"a response of {len(payload)} bytes is more than {limits.RESPONSE_BYTES}")
        request = self._requests.get(exchange)
        if request is None or not request.asked:
            self.quic.counts["response too late"] += 1
            return
        connection, stream = request.connection, request.stream
        try:
            connection.quic.send_stream_data(stream, payload, end_stream=True)
        except PeerError:
            self.refuse(request, "response not wanted")
            return
        self.forget(request)
        self._answering.setdefault(connection, {})[stream] = len(payload)
        self._held += len(payload)
        self.quic.touch(connection)

    def refuse_all(self) -> None:
        """Refuse what waits for an answer, as the core that was asked is gone."""
        for request in list(self._requests.values()):
            self.refuse(request, "request given up")

    # --- time

    def next_deadline(self) -> float | None:
        """When `on_timer` has something to do."""
        return self._timers.next()

    def on_timer(self, now: float) -> None:
        """Refuse the requests that took too long to arrive, or that the core did not answer."""
        for exchange in self._timers.due(now):
            if exchange in self._requests:
                self.refuse(self._requests[exchange], "request timed out")

    # --- from visitors

    def arriving(self, connection: Connection, stream: int, now: float) -> Arriving:
        """A request has begun."""
        self._last -= 1
        request = Arriving(self._last, connection, stream)
        self._requests[request.exchange] = request
        self._timers.set(request.exchange, now + self.quic.tuning.exchange_s)
        return request

    def hold(self, request: Arriving, data: bytes) -> bool:
        """Keep more of a request; False where it, or all of them together, would be too large."""
        if len(request.payload) + len(data) > limits.REQUEST_BYTES:
            return False
        if self._held + len(data) > limits.EXCHANGE_MEMORY_BYTES:
            return False
        request.payload += data
        request.held += len(data)
        self._held += len(data)
        return True

    def ask(self, request: Arriving) -> None:
        """A request is whole: give it to the core."""
        connection = request.connection
        if connection.node is None:
            raise PeerError("stream before proof")
        payload, request.payload = bytes(request.payload), bytearray()
        request.asked = True
        self._emit(RequestArrived(request.exchange, connection.node, connection.remote, payload))

    def refuse(self, request: Arriving, reason: str) -> None:
        """Give a request up and tell its peer."""
        self.quic.counts[reason] += 1
        self.forget(request, refused=True)
        request.connection.refuse_stream(request.stream)
        self.quic.touch(request.connection)

    def forget(self, request: Arriving, refused: bool = False) -> None:
        """A request is over."""
        self._requests.pop(request.exchange, None)
        self._timers.forget(request.exchange)
        self._held -= request.held
        request.held = 0
        if isinstance(request.connection.owner, Visitor):
            request.connection.owner.over(request.stream, refused)

    def release_sent(self, connection: Connection) -> None:
        """Stop counting the answers that a peer has acknowledged, or that its connection took with it."""
        answering = self._answering.get(connection)
        if answering is None:
            return
        for stream in list(answering):
            if connection.ended is not None or connection.quic.unsent(stream) == 0:
                self._held -= answering.pop(stream)
        if not answering:
            del self._answering[connection]
