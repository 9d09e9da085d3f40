"""Questions too large for a datagram, over QUIC: the `Request` effect and its response.

Rules: an answer is a body like any other, and proves no more; one that does not decode is none.
"""

from collections.abc import Callable
from dataclasses import dataclass

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.alarms import Alarms
from p2pd.dht.counters import Cause, Counters
from p2pd.dht.peers import Peer
from p2pd.effects import EffectQueue, Request
from p2pd.errors import PeerError
from p2pd.types import Now
from p2pd.wire.rpc import Body, decode_body


@dataclass(frozen=True, slots=True)
class _Open:
    cause: Cause
    then: Callable[[Body | None, Now], None]


class Exchanges:
    """The requests of one node that wait for a response."""

    def __init__(self, effects: EffectQueue, alarms: Alarms, counters: Counters) -> None:
        self._effects = effects
        self._alarms = alarms
        self._counters = counters
        self._open: dict[int, _Open] = {}
        self._next = 1

    def ask(
        self, peer: Peer, own: SigningKey, body: Body, then: Callable[[Body | None, Now], None], now: Now, cause: Cause
    ) -> None:
        """Ask a node over QUIC; `then` gets its answer, or None."""
        payload = body.encode()
        if len(self._open) >= limits.EXCHANGES_OPEN or len(payload) > limits.REQUEST_BYTES:
            self._alarms.at(now.steady, lambda later: then(None, later))
            return
        exchange, self._next = self._next, self._next + 1
        self._open[exchange] = _Open(cause, then)
        self._counters.sent(cause, len(payload))
        self._effects.append(Request(exchange, peer.key, peer.endpoint, own.seed, payload))

    def on_response(self, exchange: int, payload: bytes | None, now: Now) -> None:
        """The answer to one of them; None where there was no whole one."""
        question = self._open.pop(exchange, None)
        if question is None:
            return
        body: Body | None = None
        if payload is not None:
            self._counters.received(question.cause, len(payload))
            try:
                body = decode_body(payload)
            except PeerError as error:
                self._counters.reject(error.reason, now)
        question.then(body, now)
