"""How long things took: counts for ever, times of the last few hundred.

Knows no clock and no network.  Rule: what is kept is bounded, so that a node that runs for years stays as it is.
"""

from collections import deque
from typing import Any

from p2pd import limits


class Timings:
    """One kind of work."""

    def __init__(self) -> None:
        self.count = 0
        self.failed = 0
        self._last: deque[tuple[float, int]] = deque(maxlen=limits.TIMINGS_KEPT)
        """Milliseconds and rounds of those that went well."""

    def add(self, elapsed_ms: float, rounds: int, *, went_well: bool = True) -> None:
        """One is done; the times are of those that went well."""
        self.count += 1
        if went_well:
            self._last.append((elapsed_ms, rounds))
        else:
            self.failed += 1

    def facts(self) -> dict[str, Any]:
        """For people and scripts; None where nothing has been measured."""
        times = sorted(elapsed_ms for elapsed_ms, _ in self._last)
        rounds = [count for _, count in self._last]
        return {
            "count": self.count,
            "failed": self.failed,
            "p50_ms": _share(times, 0.50),
            "p99_ms": _share(times, 0.99),
            "rounds": round(sum(rounds) / len(rounds), 2) if rounds else None,
        }


def _share(ordered: list[float], share: float) -> float | None:
    """The time within which that share of them was done."""
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)
