"""Calls at a time: the only clock that the parts of this package have.

Rules: a cancelled alarm costs one heap entry until its time; alarms of the same time ring in the order they were set.
"""

import heapq
from collections.abc import Callable

from p2pd.types import Now

Ring = Callable[[Now], None]


class Alarm:
    """One call to come."""

    __slots__ = ("ring",)

    def __init__(self, ring: Ring) -> None:
        self.ring: Ring | None = ring

    def cancel(self) -> None:
        """It will not ring; safe at any time."""
        self.ring = None


class Alarms:
    """All calls to come, in one heap; times in seconds on the steady clock."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._set = 0

    def at(self, when: float, ring: Ring) -> Alarm:
        """Call `ring` in the first turn at or after `when`."""
        alarm = Alarm(ring)
        self._set += 1
        heapq.heappush(self._heap, (when, self._set, alarm))
        return alarm

    def next(self) -> float | None:
        """When the next one rings."""
        while self._heap and self._heap[0][2].ring is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def ring_due(self, now: Now) -> None:
        """Ring all that are due; what they set for this very moment rings in the next turn."""
        last = self._set
        later: list[tuple[float, int, Alarm]] = []
        while (when := self.next()) is not None and when <= now.steady:
            entry = heapq.heappop(self._heap)
            ring = entry[2].ring
            if entry[1] > last:
                later.append(entry)
            elif ring is not None:
                entry[2].ring = None
                ring(now)
        for entry in later:
            heapq.heappush(self._heap, entry)
