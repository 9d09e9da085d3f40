"""A question of ours too long for a datagram, asked in fragments: what passes where QUIC does not.

Knows no question's meaning.  `docs/protocol.md`, "Where QUIC does not pass".
Rules: each fragment is a question of its own, repeated by `rpc` and asked again by us, after a rest; one is under way
until the other end has said something, at first and after each silence.  It ends by its whole answer, by a refusal, or
by None: after too many silences in a row, after more questions than honest nodes need, or when its time is over.

| phase | on `Taken` | on `Answered` |
|---|---|---|
| asking | on; what is lacking when all were taken is sent again | fetching, if there are more pieces; else the end |
| fetching | ignored | the end, when no piece is missing |
"""

from collections import deque
from collections.abc import Callable

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.alarms import Alarms
from p2pd.dht.counters import Cause
from p2pd.dht.fragments import cut
from p2pd.dht.peers import Peer
from p2pd.dht.rpc import Rpc
from p2pd.types import Now, RandomSource
from p2pd.wire.rpc import Answered, Body, Failed, Fragment, Refusal, Rest, Taken

Then = Callable[[bytes | Body | None, Now], None]
"""Given the encoded answer, or a refusal as it came, or None."""


class Fragmenting:
    """One exchange."""

    def __init__(
        self,
        rpc: Rpc,
        alarms: Alarms,
        random: RandomSource,
        peer: Peer,
        own: SigningKey,
        payload: bytes,
        cause: Cause,
        then: Then,
        now: Now,
    ) -> None:
        self._rpc = rpc
        self._peer = peer
        self._own = own
        self._cause = cause
        self._then = then
        self._exchange = random.bytes(8)
        self._pieces = cut(payload)
        self._answer: dict[int, bytes] = {}
        self._count = 0
        """Pieces of the answer; 0 while we ask."""
        self._waiting = deque(range(len(self._pieces)))
        self._under_way = 0
        self._left = 4 * len(self._pieces) + limits.FRAGMENTS_UNDER_WAY
        """Questions that may still be asked in this phase."""
        self._silences = 0
        self._heard = self._rests = self.is_over = False
        self._alarms = alarms
        self._end_alarm = alarms.at(now.steady + limits.FRAGMENTED_S, lambda later: self._end(None, later))
        self._go_on(now)

    def stop(self) -> None:
        """The answer has come by another way."""
        self.is_over = True
        self._end_alarm.cancel()

    def _go_on(self, now: Now) -> None:
        width = limits.FRAGMENTS_UNDER_WAY if self._heard else 1
        while self._waiting and self._under_way < width and self._left and not self._rests:
            self._ask(self._waiting.popleft(), now)
        if not (self._under_way or self._rests):
            self._end(None, now)

    def _ask(self, at: int, now: Now) -> None:
        self._under_way += 1
        self._left -= 1
        fetching = bool(self._count)
        body: Fragment | Rest
        if fetching:
            body = Rest(self._exchange, at)
        else:
            body = Fragment(self._exchange, at, len(self._pieces), self._pieces[at])

        def then(reply: Body | None, later: Now) -> None:
            self._under_way -= 1
            if not self.is_over:
                self._on_reply(at, fetching, reply, later)

        self._rpc.ask(self._peer, body, then, now, cause=self._cause, own=self._own)

    def _on_reply(self, at: int, fetching: bool, reply: Body | None, now: Now) -> None:
        self._heard = reply is not None
        if reply is not None:
            self._silences, self._rests = 0, False
        elif not self._rests:
            self._rest(now)
        match reply:
            case None | Failed(reason=Refusal.TOKEN):  # whoever refuses so has given one
                if fetching or not self._count:
                    self._waiting.appendleft(at)
            case Answered():
                self._on_answered(at if fetching else 0, reply)
                if len(self._answer) == self._count:
                    return self._end(b"".join(self._answer[place] for place in range(self._count)), now)
            case Taken():
                if not (self._count or self._waiting or self._under_way):
                    self._waiting.extend(place for place in reply.lacking if place < len(self._pieces))
            case _:
                return self._end(reply, now)
        return self._go_on(now)

    def _rest(self, now: Now) -> None:
        """All that is under way may fail together: that is one silence."""
        if self._silences == len(limits.FRAGMENT_AGAIN_S):
            self._left = 0
            return
        self._rests = True
        self._alarms.at(now.steady + limits.FRAGMENT_AGAIN_S[self._silences], self._on_rested)
        self._silences += 1

    def _on_rested(self, now: Now) -> None:
        if self._rests and not self.is_over:
            self._rests = False
            self._go_on(now)

    def _on_answered(self, at: int, reply: Answered) -> None:
        if not self._count:
            self._count = reply.count
            self._waiting = deque(range(1, reply.count))
            self._left = 4 * reply.count + limits.FRAGMENTS_UNDER_WAY
        if at < self._count:
            self._answer.setdefault(at, reply.data)

    def _end(self, answer: bytes | Body | None, now: Now) -> None:
        if not self.is_over:
            self.stop()
            self._then(answer, now)
