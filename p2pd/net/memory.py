"""Memory that a crowd of connections took, given back to the system when the crowd is gone.

glibc keeps whatever is freed below a piece that is still in use: after a flood of thousands of connections that was
half of what stayed.  It gives such pieces back only where it is told to, which costs milliseconds.
Rules: never for a few connections, and never more often than every `limits.GIVE_BACK_S`.
"""

import asyncio
import ctypes
import sys
from collections.abc import Callable

from p2pd import limits


class CrowdMemory:
    """Watches how many connections have ended; `give_back` gives memory back."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._loop = asyncio.get_running_loop()
        self._ended = 0
        """Connections that had ended when memory was last given back."""
        self._handle: asyncio.TimerHandle | None = None

    def on_ended(self, ended: int) -> None:
        """So many connections have ended since the start."""
        if self._handle is None and ended - self._ended >= limits.CROWD_CONNECTIONS:
            self._handle = self._loop.call_later(limits.GIVE_BACK_S, self._give, ended)

    def close(self) -> None:
        """It gives nothing back any more."""
        if self._handle is not None:
            self._handle.cancel()

    def _give(self, ended: int) -> None:
        self._handle = None
        self._ended = ended
        self._give_back()


def trim() -> None:
    """malloc_trim(3); nothing where the system's allocator is not glibc's."""
    if sys.platform == "linux":
        system = ctypes.CDLL(None)
        if hasattr(system, "malloc_trim"):
            system.malloc_trim(0)
