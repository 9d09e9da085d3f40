"""Questions that come in fragments, and their answers that go so: the serving side of what QUIC does not carry.

Knows no question's meaning.  `docs/protocol.md`, "Where QUIC does not pass".
Rules: only who has proven its address is held anything for; each datagram brings one at most; the first fragment says
how many there are; a whole question is answered once, and that answer kept for who asks again.  What is held is bounded
by number, in all and for each source, and by time: the oldest goes first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from p2pd import limits
from p2pd.dht.peers import Peer, source_prefix
from p2pd.dht.questions import Answer, Question
from p2pd.errors import PeerError
from p2pd.types import Now
from p2pd.wire.rpc import Answered, Failed, Fragment, Refusal, Rest, Taken

Whole = Callable[[Peer, bytes, Now], Answer]
"""Answers a whole question of someone at a proven address."""
_Name = tuple[Peer, bytes]


def cut(data: bytes) -> list[bytes]:
    """The pieces of an encoded body; of none, one empty piece."""
    return [data[at : at + limits.FRAGMENT_BYTES] for at in range(0, len(data), limits.FRAGMENT_BYTES)] or [b""]


@dataclass(slots=True)
class _Held:
    """One exchange: fragments until all are there, then the answer."""

    source: bytes
    count: int
    since_s: float
    came: dict[int, bytes] = field(default_factory=dict)
    answer: Sequence[bytes] = ()
    after_records: bool = False

    @property
    def lacking(self) -> list[int]:
        return [at for at in range(self.count) if at not in self.came]


class Fragments:
    """All exchanges that one server holds."""

    def __init__(self, whole: Whole, *, private: bool) -> None:
        self._whole = whole
        self._private = private
        self._held: dict[_Name, _Held] = {}

    def answer(self, question: Question, body: Fragment | Rest, now: Now) -> Answer:
        """The answer to one fragment, or to the wish for the rest of an answer; raises `PeerError` for nonsense."""
        if not question.proven:
            return Answer(Failed(Refusal.TOKEN))
        self.expire(now)
        name = (question.asker, body.exchange)
        if isinstance(body, Rest):
            return self._piece(self._held.get(name), body.at)
        held = self._held.get(name)
        if body.at >= body.count or (held is not None and body.count != held.count):
            raise PeerError("fragment")
        held = held or self._hold(name, body, now)
        held.came.setdefault(body.at, body.data)
        if lacking := held.lacking:
            return Answer(Taken(lacking))
        if not held.answer:
            said = self._whole(question.asker, b"".join(held.came[at] for at in range(held.count)), now)
            held.answer, held.after_records = cut(said.body.encode()), said.after_records
            held.came = dict.fromkeys(held.came, b"")
        return self._piece(held, 0)

    def expire(self, now: Now) -> None:
        """Forget what has taken too long."""
        for name, held in list(self._held.items()):
            if now.steady < held.since_s + limits.FRAGMENTED_S:
                break
            del self._held[name]

    def _hold(self, name: _Name, first: Fragment, now: Now) -> _Held:
        asker = name[0]
        source = asker.key if self._private else source_prefix(asker.endpoint.host)
        of_source = [other for other, held in self._held.items() if held.source == source]
        if len(of_source) >= limits.FRAGMENTED_OF_SOURCE:
            del self._held[of_source[0]]
        elif len(self._held) >= limits.FRAGMENTED_OPEN:
            del self._held[next(iter(self._held))]
        held = self._held[name] = _Held(source, first.count, now.steady)
        return held

    @staticmethod
    def _piece(held: _Held | None, at: int) -> Answer:
        if held is None or at >= len(held.answer):
            return Answer(Failed(Refusal.BUSY))
        return Answer(Answered(len(held.answer), held.answer[at]), held.after_records)
