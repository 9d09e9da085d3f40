"""What did not fit the datagrams of a get: asked for again, of every holder that had more than it could give.

Knows no records: what a holder gives and what we have is its owner's.
Rules:
- of a set, the fullest holder is asked alone, and for all it has, since it most likely has nearly all;
- then all others, nearest first, for what we still lack: that a holder has as many as we do does not say that it has
  the same, as one may have missed what came and another what has ended.  What we have is named in a datagram where it
  fits, so that few mails cost no connections;
- each is asked once before any is asked again, and again at most `FETCHES` times in all: a liar can always have a
  little more, made for the question;
- one that is slow gets another beside it, and is not waited for when `FETCHED_FROM` others have told.

| a holder with more | next |
|---|---|
| known | asked |
| asked | answered; failed; slow after `FETCH_NEXT_S`; known, where it gave something and has more |
| slow | answered; failed |
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from p2pd import limits
from p2pd.dht.alarms import Alarms
from p2pd.dht.peers import Peer
from p2pd.types import NodeKey, Now
from p2pd.wire.rpc import Body, Values

Ask = Callable[[Peer, bool, Callable[[Body | None, Now], None], Now], None]
"""Asks a peer for what we lack; whether a datagram may do."""


class _State(Enum):
    KNOWN = auto()
    ASKED = auto()
    SLOW = auto()
    ANSWERED = auto()
    FAILED = auto()


@dataclass(slots=True)
class _Holder:
    peer: Peer
    total: int
    """Live items that it holds, as far as its answer told."""
    state: _State = _State.KNOWN
    large: bool = False
    """What it has beyond what we have fits no datagram."""
    asked: int = 0
    told: bool = False


class Fetching:
    """The fetches of one get; `ours` says how many items we have, `take` is given what comes."""

    def __init__(
        self,
        alarms: Alarms,
        place: int,
        *,
        ask: Ask,
        ours: Callable[[], int],
        take: Callable[[Peer, Values, Now], None],
        on_end: Callable[[Now], None],
    ) -> None:
        self._alarms = alarms
        self._place = place
        self._ask = ask
        self._ours = ours
        self._take = take
        self._on_end = on_end
        self._holders: dict[NodeKey, _Holder] = {}
        self._is_over = False
        self.count = 0
        """Fetches begun."""

    def on_more(self, peer: Peer, total: int) -> None:
        """A holder has more than it could give, so many in all."""
        known = self._holders.get(peer.key)
        if known is None:
            self._holders[peer.key] = _Holder(peer, total)
        else:
            known.total = max(known.total, total)

    def fetch(self, peer: Peer, now: Now) -> None:
        """Ask this one beside the others, where there are not too many."""
        holder = self._holders[peer.key]
        if holder.state is _State.KNOWN and len(self._in(_State.ASKED)) < limits.FETCHED_FROM:
            self._begin(holder, now)

    def go_on(self, now: Now) -> None:
        """Ask whoever comes next; the end, where there is nobody."""
        if self._is_over:
            return
        while (holder := self._next()) is not None:
            self._begin(holder, now)
        if self._is_done():
            self._on_end(now)

    def stop(self) -> None:
        """What comes from now on comes too late."""
        self._is_over = True

    @property
    def under_way(self) -> bool:
        """Whether anybody may still answer."""
        return bool(self._in(_State.ASKED, _State.SLOW))

    @property
    def complete(self) -> bool:
        """Whether nobody has said to hold more than we have, and given nothing, and most have given all of it.

        How many we have says little alone: in an open set anybody can make them many.
        """
        told = sum(holder.told for holder in self._holders.values())
        return 2 * told >= len(self._holders) and not self._lacking()

    # --- whom to ask

    def _next(self) -> _Holder | None:
        again = self.count - sum(holder.asked > 0 for holder in self._holders.values())
        known = [h for h in self._in(_State.KNOWN) if not h.asked or again < limits.FETCHES]
        asked = self._in(_State.ASKED)
        if not known or len(asked) >= limits.FETCHED_FROM:
            return None
        if self._has_told:
            return min(known, key=lambda holder: (holder.asked, holder.peer.place ^ self._place))
        return None if asked else min(known, key=lambda holder: (holder.asked, -holder.total))

    def _is_done(self) -> bool:
        answered = len(self._in(_State.ANSWERED))
        enough = answered >= limits.FETCHED_FROM or (answered and not self._lacking())
        return not self.under_way or (not self._in(_State.ASKED) and bool(enough))

    def _lacking(self) -> bool:
        ours = self._ours()
        return any(holder.total > ours and holder.state is not _State.ANSWERED for holder in self._holders.values())

    @property
    def _has_told(self) -> bool:
        return any(holder.told for holder in self._holders.values())

    def _in(self, *states: _State) -> list[_Holder]:
        return [holder for holder in self._holders.values() if holder.state in states]

    # --- asking

    def _begin(self, holder: _Holder, now: Now) -> None:
        holder.state, self.count = _State.ASKED, self.count + 1
        holder.asked += 1
        large = holder.large or not self._has_told
        impatience = self._alarms.at(now.steady + limits.FETCH_NEXT_S, lambda later: self._on_slow(holder, later))

        def then(body: Body | None, later: Now) -> None:
            impatience.cancel()
            holder.state = _State.ANSWERED if isinstance(body, Values) else _State.FAILED
            if self._is_over:
                return
            if isinstance(body, Values):
                holder.told = True
                before = self._ours()
                self._take(holder.peer, body, later)
                if body.more and (not large or self._ours() > before):
                    holder.state, holder.large, holder.total = _State.KNOWN, True, self._ours() + body.more
            self.go_on(later)

        self._ask(holder.peer, not large, then, now)

    def _on_slow(self, holder: _Holder, now: Now) -> None:
        holder.state = _State.SLOW
        self.go_on(now)
