"""Questions too large for a datagram: over QUIC, the `Request` effect and its response, or in fragments.

Rules: an answer is a body like any other, and proves no more; one that does not decode is none.  Where QUIC is late
fragments go beside it, and the first answer counts; what is asked may be asked twice without harm.

| an exchange | next |
|---|---|
| over QUIC | answered; failed, if it is too long for fragments; both ways, when QUIC is late or has failed |
| both ways | answered over QUIC; answered in fragments, and then QUIC is only listened to; failed, when both have |
| in fragments alone, where QUIC does not pass | answered; failed |
"""

from collections.abc import Callable
from dataclasses import dataclass

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.alarms import Alarm, Alarms
from p2pd.dht.counters import Cause, Counters
from p2pd.dht.fragmenting import Fragmenting
from p2pd.dht.passage import Passage
from p2pd.dht.peers import Peer
from p2pd.dht.rpc import Rpc
from p2pd.effects import EffectQueue, Request
from p2pd.errors import PeerError
from p2pd.types import Now, RandomSource
from p2pd.wire.rpc import Body, decode_body

Then = Callable[[Body | None, Now], None]


@dataclass(slots=True)
class _Open:
    peer: Peer
    own: SigningKey
    payload: bytes
    cause: Cause
    then: Then | None
    """None: it has its answer, and only shows whether QUIC passes."""
    over_quic: bool = True
    """QUIC may still answer."""
    late: Alarm | None = None
    fragments: Fragmenting | None = None


class Exchanges:
    """The requests of one node that wait for a response."""

    def __init__(
        self, rpc: Rpc, effects: EffectQueue, alarms: Alarms, counters: Counters, random: RandomSource
    ) -> None:
        self.passage = Passage()
        self._rpc = rpc
        self._effects = effects
        self._alarms = alarms
        self._counters = counters
        self._random = random
        self._open: dict[int, _Open] = {}
        self._next = 1

    def ask(self, peer: Peer, own: SigningKey, body: Body, then: Then, now: Now, cause: Cause) -> None:
        """Ask a node what a datagram does not hold; `then` gets its answer, or None."""
        payload = body.encode()
        if len(self._open) >= limits.EXCHANGES_OPEN or len(payload) > limits.REQUEST_BYTES:
            self._alarms.at(now.steady, lambda later: then(None, later))
            return
        number, self._next = self._next, self._next + 1
        exchange = self._open[number] = _Open(peer, own, payload, cause, then)
        short = len(payload) <= limits.FRAGMENTED_BYTES
        if short and not self.passage.tries(peer, now):
            exchange.over_quic = False
            self._begin_fragments(number, now, outrun=False)
            return
        if short:
            late_s = now.steady + self._patience_s(peer, now)
            exchange.late = self._alarms.at(late_s, lambda later: self._begin_fragments(number, later, outrun=True))
        self._counters.sent(cause, len(payload))
        self._effects.append(Request(number, peer.key, peer.endpoint, own.seed, payload, cause))

    def on_response(self, number: int, payload: bytes | None, now: Now) -> None:
        """The answer over QUIC to one of them; None where there was no whole one."""
        exchange = self._open.get(number)
        if exchange is None or not exchange.over_quic:
            return
        exchange.over_quic = False
        if payload is not None:
            self._counters.received(exchange.cause, len(payload), over_quic=True)
            self.passage.on_passed(now, exchange.peer)
            self._end(number, self._decoded(payload, now), now)
        elif exchange.then is None:
            del self._open[number]
        elif exchange.fragments is None and exchange.late is not None:
            exchange.late.cancel()
            self._begin_fragments(number, now, outrun=True)
        elif exchange.fragments is None or exchange.fragments.is_over:
            self._end(number, None, now)

    def _begin_fragments(self, number: int, now: Now, *, outrun: bool) -> None:
        """An answer says that QUIC was `outrun`, where it was tried."""
        exchange = self._open[number]

        def then(answer: bytes | Body | None, later: Now) -> None:
            had_its_chance = self._rpc.round_trips.typical_s < limits.QUIC_FAIR_S
            if answer is not None and outrun and had_its_chance:
                self.passage.on_outrun(exchange.peer, later)
            if answer is not None or not exchange.over_quic:
                self._end(number, self._decoded(answer, later) if isinstance(answer, bytes) else answer, later)

        exchange.fragments = Fragmenting(
            self._rpc,
            self._alarms,
            self._random,
            exchange.peer,
            exchange.own,
            exchange.payload,
            exchange.cause,
            then,
            now,
        )

    def _end(self, number: int, body: Body | None, now: Now) -> None:
        """It is over for who asked; while QUIC may still answer, that is worth knowing."""
        exchange = self._open[number]
        then, exchange.then, exchange.payload = exchange.then, None, b""
        if exchange.late:
            exchange.late.cancel()
        if exchange.fragments:
            exchange.fragments.stop()
        if not exchange.over_quic:
            del self._open[number]
        if then:
            then(body, now)

    def _decoded(self, payload: bytes, now: Now) -> Body | None:
        try:
            return decode_body(payload)
        except PeerError as error:
            self._counters.reject(error.reason, now)
            return None

    def _patience_s(self, peer: Peer, now: Now) -> float:
        """So long QUIC is given, which needs three round trips and more where something is lost."""
        times = self._rpc.round_trips
        known_ms = times.mean_ms(peer.key)
        round_trip_s = times.typical_s if known_ms is None else known_ms / 1000
        by_round_trip_s = limits.FRAGMENTS_AFTER_ROUND_TRIPS * round_trip_s
        least_s = limits.FRAGMENTS_AFTER_TRUSTED_S if self.passage.trusted(now) else limits.FRAGMENTS_AFTER_S
        return max(least_s, by_round_trip_s, 2 * times.timeout_s(peer.key))
