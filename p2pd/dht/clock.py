"""The wall clock corrected by what others say, and our endpoint as others see it: both by majority.

Rules: below five peers our own clock stands; the median of them bears two liars.  Where our clock was set, or the
machine slept, what peers said of it before is of another clock, and they are to be asked anew.
Inside this package `Now` is corrected; the application's is where our clock is off by `limits.CLOCK_WRONG_MS` or more,
so that a good clock's milliseconds stay its own.
"""

from collections import Counter
from statistics import median

from p2pd import limits
from p2pd.dht.bounded import Recent
from p2pd.dht.rates import TokenBucket
from p2pd.types import Endpoint, NodeKey, Now


class Clock:
    """One node's idea of the time and of itself."""

    def __init__(self) -> None:
        self.raw = Now(-1.0, 0)
        """The moment of this turn, uncorrected."""
        self._offsets: Recent[NodeKey, float] = Recent(limits.CLOCK_PEERS)
        self._observed: Recent[tuple[NodeKey, bool], Endpoint] = Recent(limits.OBSERVERS)
        """By node and by whether it was IPv6: where we are by one family says nothing of the other."""
        self.offset_ms = 0
        """What to add to our wall clock; 0 below five peers."""
        self.was_set = False
        """Our clock was set since this was put back: peers are to be asked."""
        self._has_moved = False
        """What is taken for the time has become another, and nobody was told."""
        self._moves = TokenBucket(1 / limits.TIME_MOVES_S, limits.TIME_MOVES)
        self.endpoint: Endpoint | None = None
        """Where most see us."""

    @property
    def voices(self) -> list[Endpoint]:
        """Where each of the nodes asked last sees us."""
        return self._observed.values()

    def forget_voices(self) -> None:
        """We may be somewhere else: what was seen of us counts no more."""
        self._observed.clear()

    def enter(self, now: Now) -> Now:
        """A turn begins at this moment; the same, corrected."""
        moved_ms = now.wall_ms - self.raw.wall_ms - (now.steady - self.raw.steady) * 1000
        if len(self._offsets) and abs(moved_ms) >= limits.CLOCK_WRONG_MS:
            self._offsets.clear()
            self.offset_ms, self.was_set, self._has_moved = 0, True, True
        self.raw = now
        return self.current

    def take_move(self) -> bool:
        """Whether what is taken for the time has become another, told once; often only a few times."""
        if not self._has_moved or not self._moves.take(self.raw.steady):
            return False
        self._has_moved = False
        return True

    def within(self, now: Now) -> Now:
        """Corrected, for an application that may have been told this turn's moment already."""
        return self.current if now.steady == self.raw.steady else self.enter(now)

    @property
    def current(self) -> Now:
        """The moment of this turn, corrected."""
        return Now(self.raw.steady, self.raw.wall_ms + self.offset_ms)

    @property
    def told(self) -> Now:
        """The moment of this turn for the application."""
        return self.current if abs(self.offset_ms) >= limits.CLOCK_WRONG_MS else self.raw

    def add(self, peer: NodeKey, wall_ms: int, round_trip_s: float, observed: Endpoint) -> None:
        """A peer said what time it is, and where it sees us; half a round trip ago."""
        self._offsets.put(peer, wall_ms + round_trip_s * 500 - self.raw.wall_ms)
        self._observed.put((peer, observed.is_v6), observed)
        offsets = self._offsets.values()
        offset_ms = int(median(offsets)) if len(offsets) >= limits.CLOCK_PEERS_MIN else 0
        self._has_moved = self._has_moved or abs(offset_ms - self.offset_ms) >= limits.CLOCK_WRONG_MS
        self.offset_ms = offset_ms
        self.endpoint = Counter(self._observed.values()).most_common(1)[0][0]
