"""What is going to happen, on one clock and one heap.

Knows no node.
Rules: what is due at the same moment happens in the order it was arranged; time stands still while something happens.
"""

import heapq
from collections.abc import Callable

Action = Callable[[], object]


class Agenda:
    """The time of the virtual world, in seconds since it began, and what is arranged."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self._heap: list[tuple[float, int, Action]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def after(self, wait_s: float, action: Action) -> None:
        """Arrange something."""
        self._count += 1
        heapq.heappush(self._heap, (self.time_s + wait_s, self._count, action))

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        heap, end = self._heap, self.time_s + seconds
        while heap and heap[0][0] <= end:
            self._step()
        self.time_s = end

    def run_until(self, predicate: Callable[[], bool], limit_s: float) -> bool:
        """Let time pass until the predicate holds; whether it did in time."""
        end = self.time_s + limit_s
        while not predicate():
            if not self._heap or self._heap[0][0] > end:
                self.time_s = end
                return predicate()
            self._step()
        return True

    def _step(self) -> None:
        when, _, action = heapq.heappop(self._heap)
        if when > self.time_s:
            self.time_s = when
        action()
