"""How many questions may be under way at once: fewer where the line is too narrow for them.

Knows no node.  After LEDBAT (RFC 6817): what tells is the time that answers take, above the shortest measured lately;
lately, since a line may become longer, and would be taken for a narrow one ever after.
Loss says nothing, since nodes die, and a node that answers late on purpose says nothing either: it is the quickest of
the last answers that counts.
Rules: it begins small and grows by one an answer; where even the quickest is late it is halved, once in that time, and
from then on grows by one in as many answers as it holds: the line's width has been met, and twice as many each round
trip would keep it full.
"""

from collections import deque

from p2pd import limits

_UNKNOWN_S = float("inf")


class Window:
    """Of one node."""

    def __init__(self) -> None:
        self._delays_s: deque[float] = deque(maxlen=limits.WINDOW_ANSWERS)
        self.forget()

    def forget(self) -> None:
        """We are somewhere else: another line."""
        self.most = limits.WINDOW_START
        """Questions that may be under way."""
        self._is_met = False
        """Whether the line's width has been."""
        self._answers = 0
        """Since it grew last."""
        self._delays_s.clear()
        self._before_s = self._shortest_s = _UNKNOWN_S
        """The shortest of the time before, and of this one."""
        self._turns_at_s = 0.0
        self._rests_until_s = 0.0

    def add(self, least_s: float, most_s: float, under_way: int, now_s: float) -> None:
        """An answer took between so long and so long, while so many were under way."""
        if now_s >= self._turns_at_s:
            self._before_s, self._shortest_s = self._shortest_s, _UNKNOWN_S
            self._turns_at_s = now_s + limits.WINDOW_SHORTEST_S
        self._delays_s.append(least_s)
        self._shortest_s = min(self._shortest_s, most_s)
        quickest_s, shortest_s = min(self._delays_s), min(self._before_s, self._shortest_s)
        if len(self._delays_s) < limits.WINDOW_ANSWERS or quickest_s <= shortest_s + limits.WINDOW_LATE_S:
            self._answers += 1
            if self._answers >= self.most or not self._is_met:
                self.most, self._answers = min(self.most + 1, limits.RPCS_OPEN), 0
        elif now_s >= self._rests_until_s:
            self.most, self._answers = max(limits.WINDOW_MIN, min(self.most, under_way) // 2), 0
            self._is_met = True
            self._rests_until_s = now_s + quickest_s
