"""The system's clocks and chance, in the form the core takes them."""

import logging
import os
import random
import time

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


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _steady_ms() -> int:
    return int(time.monotonic() * 1000)
