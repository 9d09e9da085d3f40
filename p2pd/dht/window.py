"""How many questions may be under way at once: fewer where the line is too narrow for them.

Knows no node.  After LEDBAT (RFC 6817): what tells is the time that answers take, above the shortest ever measured.
Loss says nothing, since nodes die, and a node that answers late on purpose says nothing either: it is the quickest of
the last answers that counts.
Rules: it begins small and grows by one an answer; where even the quickest is late it is halved, once in that time.
"""

from collections import deque

from p2pd import limits


class Window:
    """Of one node."""

    def __init__(self) -> None:
        self._delays_s: deque[float] = deque(maxlen=limits.WINDOW_ANSWERS)
        self.forget()

    def forget(self) -> None:
        """We are somewhere else: another line."""
        self.most = limits.WINDOW_START
        """Questions that may be under way."""
        self._delays_s.clear()
        self._shortest_s = float("inf")
        self._rests_until_s = 0.0

    def add(self, delay_s: float, under_way: int, now_s: float) -> None:
        """An answer took so long, or longer, while so many were under way."""
        self._delays_s.append(delay_s)
        self._shortest_s = min(self._shortest_s, delay_s)
        quickest_s = min(self._delays_s)
        if len(self._delays_s) < limits.WINDOW_ANSWERS or quickest_s <= self._shortest_s + limits.WINDOW_LATE_S:
            self.most = min(self.most + 1, limits.RPCS_OPEN)
        elif now_s >= self._rests_until_s:
            self.most = max(limits.WINDOW_MIN, min(self.most, under_way) // 2)
            self._rests_until_s = now_s + quickest_s
