"""Our own requests over QUIC: one bidirectional stream each, `R` and the payload one way, the answer the other.

It does not know what is asked.
Rules: a connection serves one pair of node and signer and is closed shortly after its last request, so that throwaway
keys stay apart; every request is answered exactly once, by its whole answer or by None.  Until the first node is
proven, only a few of those dialled are told more than once: where QUIC is blocked, all that would be in vain.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.effects import Request
from p2pd.errors import PeerError, QuotaError
from p2pd.net.connection import CLOSED_BY_CHOICE, Connection, Credentials
from p2pd.net.inputs import Input, ResponseArrived
from p2pd.net.quic import QuicEndpoint
from p2pd.net.timers import Timers
from p2pd.types import NodeKey, RandomSource

REQUEST = b"R"
PoolKey = tuple[NodeKey, bytes]


@dataclass(slots=True)
class Asked:
    """One request of ours under way."""

    exchange: int
    payload: bytes
    cause: str
    deadline: float
    stream: int | None = None
    answer: bytearray = field(default_factory=bytearray)


class PooledConnection:
    """A connection to one node under one signer, with the requests on it; its owner."""

    def __init__(self, key: PoolKey, exchanges: "Exchanges") -> None:
        self.key = key
        self.asked: dict[int, Asked] = {}
        self.connection: Connection | None = None
        self.idle_since: float | None = None
        self._exchanges = exchanges
        self._ready = False

    def ask(self, asked: Asked, now: float) -> None:
        """Send a request now, or as soon as the node is proven."""
        self.asked[asked.exchange] = asked
        self.idle_since = None
        self.send_waiting()

    def send_waiting(self) -> None:
        """Send what waits, oldest first, as far as the peer lets one connection ask at once."""
        if not self._ready:
            return
        room = limits.EXCHANGES_PER_CONNECTION - sum(asked.stream is not None for asked in self.asked.values())
        for asked in [asked for asked in self.asked.values() if asked.stream is None][:room]:
            self._send(asked)

    def drop(self, exchange: int) -> None:
        """Give one request up."""
        asked = self.asked.pop(exchange)
        if asked.stream is not None and self.connection is not None:
            self.connection.refuse_stream(asked.stream)

    def _send(self, asked: Asked) -> None:
        connection = self.connection
        if connection is None:
            raise AssertionError("no connection yet")
        asked.stream = connection.quic.get_next_available_stream_id()
        connection.quic.send_stream_data(asked.stream, REQUEST + asked.payload, end_stream=True)
        connection.purpose = asked.cause
        asked.payload = b""
        self._exchanges.quic.touch(connection)

    def _on_stream(self, stream: int) -> Asked | None:
        return next((asked for asked in self.asked.values() if asked.stream == stream), None)

    # --- as owner

    def on_ready(self, connection: Connection, now: float) -> None:
        self._ready = True
        self._exchanges.passed()
        self.send_waiting()

    def on_stream(self, connection: Connection, stream: int, data: bytes, end: bool, now: float) -> None:
        connection.quic.consumed(stream, len(data))
        asked = self._on_stream(stream)
        if asked is None:
            return
        asked.answer += data
        if len(asked.answer) > limits.RESPONSE_BYTES:
            raise PeerError("response too long")
        if end:
            self._exchanges.answered(self, asked.exchange, bytes(asked.answer), now)

    def on_reset(self, connection: Connection, stream: int, now: float) -> None:
        asked = self._on_stream(stream)
        if asked is not None:
            self.drop(asked.exchange)
            self._exchanges.answered(self, asked.exchange, None, now)

    def on_progress(self, connection: Connection, now: float) -> None:
        pass

    def on_ended(self, connection: Connection, reason: str, now: float) -> None:
        self._exchanges.lost(self, now)


class Exchanges:
    """All requests of ours under way, and the connections they use."""

    def __init__(self, quic: QuicEndpoint, random: RandomSource, emit: Callable[[Input], None]) -> None:
        self.quic = quic
        self._random = random
        self._emit = emit
        self._pool: dict[PoolKey, PooledConnection] = {}
        self._under_way: dict[int, PooledConnection] = {}
        self._has_passed = False
        """Whether any node was ever proven."""
        self._timers: Timers[int | PoolKey] = Timers()

    def __len__(self) -> int:
        return len(self._under_way)

    def ask(self, wish: Request, now: float) -> None:
        """Make a request; `ResponseArrived` will answer."""
        try:
            if len(wish.payload) > limits.REQUEST_BYTES:
                raise ValueError(f"a request of {len(wish.payload)} bytes is more than {limits.REQUEST_BYTES}")
            if len(self) >= limits.EXCHANGES_WAITING:
                raise QuotaError("too many requests under way")
            pooled = self._connected(wish, now)
        except QuotaError:
            self.quic.counts["request without room"] += 1
            self._emit(ResponseArrived(wish.exchange, None))
            return
        self._under_way[wish.exchange] = pooled
        deadline = now + self.quic.tuning.exchange_s
        self._timers.set(wish.exchange, deadline)
        pooled.ask(Asked(wish.exchange, wish.payload, wish.cause, deadline), now)

    def answered(self, pooled: PooledConnection, exchange: int, answer: bytes | None, now: float) -> None:
        """One request is over; None where there is no whole answer."""
        pooled.asked.pop(exchange, None)
        if self._under_way.pop(exchange, None) is not None:
            self._timers.forget(exchange)
            self._emit(ResponseArrived(exchange, answer))
        pooled.send_waiting()
        if not pooled.asked:
            pooled.idle_since = now
            self._timers.set(pooled.key, now + self.quic.tuning.pool_idle_s)

    def passed(self) -> None:
        """QUIC reaches a node: so it may reach the others, and what they were told may have been lost."""
        if not self._has_passed:
            self._has_passed = True
            for pooled in self._pool.values():
                if pooled.connection is not None:
                    pooled.connection.repeats = True
                    self.quic.touch(pooled.connection)

    def lost(self, pooled: PooledConnection, now: float) -> None:
        """A connection is over, and with it what was asked on it."""
        if self._pool.get(pooled.key) is pooled:
            del self._pool[pooled.key]
            self._timers.forget(pooled.key)
        for exchange in list(pooled.asked):
            pooled.asked.pop(exchange)
            if self._under_way.pop(exchange, None) is not None:
                self._timers.forget(exchange)
                self._emit(ResponseArrived(exchange, None))

    def forget_all(self) -> None:
        """Give every request up without an answer, as the core that asked is gone."""
        for exchange, pooled in self._under_way.items():
            pooled.drop(exchange)
            self._timers.forget(exchange)
        self._under_way.clear()
        for pooled in list(self._pool.values()):
            self._close(pooled)

    def next_deadline(self) -> float | None:
        """When `on_timer` has something to do."""
        return self._timers.next()

    def on_timer(self, now: float) -> None:
        """Give up what took too long, and close connections that are not used any more."""
        for key in self._timers.due(now):
            if isinstance(key, tuple):
                self._close_idle(key, now)
            elif (pooled := self._under_way.get(key)) is not None:
                pooled.drop(key)
                if pooled.connection is not None:
                    self.quic.touch(pooled.connection)
                self.answered(pooled, key, None, now)

    def _connected(self, wish: Request, now: float) -> PooledConnection:
        key = (wish.node, hashlib.sha256(wish.signer_seed).digest())
        pooled = self._pool.get(key)
        if pooled is None or pooled.connection is None or pooled.connection.ended is not None:
            signer = SigningKey(wish.signer_seed)
            own = self.quic.credentials
            credentials = own if signer.public == own.node else Credentials.of(signer, self._random)
            pooled = PooledConnection(key, self)
            pooled.connection = self.quic.dial(wish.endpoint, wish.node, pooled, now, credentials)
            pooled.connection.repeats = self._has_passed or len(self._pool) < limits.EXCHANGES_UNHEARD
            self._pool[key] = pooled
        return pooled

    def _close_idle(self, key: PoolKey, now: float) -> None:
        pooled = self._pool.get(key)
        if pooled is None or pooled.idle_since is None:
            return
        closes_at = pooled.idle_since + self.quic.tuning.pool_idle_s
        if now >= closes_at:
            self._close(pooled)
        else:
            self._timers.set(key, closes_at)

    def _close(self, pooled: PooledConnection) -> None:
        if pooled.connection is not None:
            pooled.connection.close(CLOSED_BY_CHOICE, "not used any more")
            self.quic.touch(pooled.connection)
