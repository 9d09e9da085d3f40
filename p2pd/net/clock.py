"""The system's clocks and chance, in the form the core takes them."""

import logging
import os
import random
import time
from collections.abc import Callable

from p2pd import limits
from p2pd.types import Now

_JUMP_MS = 5_000
_logger = logging.getLogger(__name__)


class SystemClock:
    """Both clocks of the machine; a jump of the wall clock is logged and otherwise believed."""

    def __init__(self) -> None:
        self._offset_ms = _wall_ms() - _steady_ms()

    def now(self) -> Now:
        """This moment."""
        now = Now(time.monotonic(), _wall_ms())
        offset_ms = now.wall_ms - int(now.steady * 1000)
        if abs(offset_ms - self._offset_ms) > _JUMP_MS:
            _logger.warning("the wall clock jumped by %.1f s", (offset_ms - self._offset_ms) / 1000)
            self._offset_ms = offset_ms
        return now


class Sleeps:
    """Whether the machine has slept; where no clock counts sleep, a jump of the wall clock passes for one."""

    def __init__(self, clock: Callable[[], tuple[float, float]] | None = None) -> None:
        self._clock = clock or _waking_and_all
        self._asleep_s = self._asleep()

    def slept_s(self) -> float:
        """How long since the last call, in seconds; 0 below `limits.SLEPT_S`."""
        asleep_s = self._asleep()
        slept_s, self._asleep_s = asleep_s - self._asleep_s, asleep_s
        return slept_s if slept_s >= limits.SLEPT_S else 0.0

    def _asleep(self) -> float:
        waking, all_of_it = self._clock()
        return all_of_it - waking


class SystemRandom:
    """The operating system's random source."""

    def __init__(self) -> None:
        self._random = random.SystemRandom()

    def bytes(self, count: int) -> bytes:
        """`count` random bytes."""
        return os.urandom(count)

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self._random.random()


def _waking_and_all() -> tuple[float, float]:
    """A clock that stands while the machine sleeps, and one that goes on, in seconds."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic(), time.time() if boot is None else time.clock_gettime(boot)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _steady_ms() -> int:
    return int(time.monotonic() * 1000)
