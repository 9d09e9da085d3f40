"""When each of many things is due next, without a look at all of them: a turn touches few of thousands.

Rules: what may be due sooner than before is touched; what moved away is noticed when its old time comes.  Entries of no
meaning are never more than those that count, or a peer could heap up one an hour ahead with every message.
"""

import heapq
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from p2pd.types import Now

K = TypeVar("K", bound=Hashable)
_SPARE = 64
"""Entries of no meaning that are not worth clearing away."""


class Deadlines(Generic[K]):
    """The next times of things that tell them by `due_of`: steady seconds, or None for none."""

    def __init__(self, due_of: Callable[[K], float | None]) -> None:
        self._due_of = due_of
        self._touched: dict[K, None] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._entries: dict[K, tuple[float, int]] = {}
        """Of each thing the entry in the heap that counts; others are of no meaning any more."""
        self._count = 0

    def touch(self, key: K) -> None:
        """It may be due sooner than before, or is new; looked at when the next time is asked for."""
        self._touched[key] = None

    def next(self) -> float | None:
        """When the first of them is due."""
        for key in self._touched:
            when, entry = self._due_of(key), self._entries.get(key)
            if when is not None and (entry is None or when < entry[0]):
                self._enter(key, when)
        self._touched.clear()
        while self._heap:
            when, number, key = self._heap[0]
            due = self._due_of(key) if self._entries.get(key) == (when, number) else None
            if due == when:
                return when
            heapq.heappop(self._heap)
            if self._entries.get(key) == (when, number):
                del self._entries[key]
                if due is not None:
                    self._enter(key, due)
        return None

    def due(self, now: Now) -> list[K]:
        """What is due by now, the first first; each counts as touched."""
        found: list[K] = []
        while (when := self.next()) is not None and when <= now.steady:
            _, _, key = heapq.heappop(self._heap)
            del self._entries[key]
            found.append(key)
        self._touched.update(dict.fromkeys(found))
        return found

    def _enter(self, key: K, when: float) -> None:
        self._count += 1
        self._entries[key] = when, self._count
        heapq.heappush(self._heap, (when, self._count, key))
        if len(self._heap) > 2 * len(self._entries) + _SPARE:
            self._heap = [(*entry, known) for known, entry in self._entries.items()]
            heapq.heapify(self._heap)
