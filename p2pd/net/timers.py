"""Deadlines of many things in one heap.

Rules: moving a deadline later, or taking it back, costs nothing now: the old one still comes due once, too early, and
its owner must look again.  So a connection that lives from packet to packet does not fill the heap.
"""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Timers(Generic[Key]):
    """What is due, and when the next thing is; times in seconds on the steady clock."""

    def __init__(self) -> None:
        self._at: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._pushed = 0

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: Key, when: float) -> None:
        """Make the key come due at `when`, or before that where an earlier time was set already."""
        if self._at.get(key, float("inf")) <= when:
            return
        self._at[key] = when
        self._pushed += 1
        heapq.heappush(self._heap, (when, self._pushed, key))
        if len(self._heap) > 64 + 4 * len(self._at):
            self._heap = [entry for entry in self._heap if self._at.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def forget(self, key: Key) -> None:
        """Take the key's deadline back."""
        self._at.pop(key, None)

    def next(self) -> float | None:
        """When something is due next."""
        while self._heap and self._at.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[Key]:
        """All keys that are due, which have no deadline any more."""
        keys = []
        while (when := self.next()) is not None and when <= now:
            key = heapq.heappop(self._heap)[2]
            del self._at[key]
            keys.append(key)
        return keys
