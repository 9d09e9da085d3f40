"""What systemd wants to hear: ready, alive, stopping (sd_notify(3)).

Rule: without `NOTIFY_SOCKET` nothing happens; an error here never stops the daemon.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress


class Systemd:
    """The service manager that started this process, if one did."""

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        found = os.environ if environment is None else environment
        # Taken out, so that no child of ours speaks for us.
        self._address = found.pop("NOTIFY_SOCKET", "")
        interval_us = found.pop("WATCHDOG_USEC", "")
        is_for_us = found.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(interval_us) / 1e6 if self._address and is_for_us and interval_us.isdigit() else None

    def tell(self, state: str) -> None:
        """Send a state such as `READY=1`."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.connect(address)
            out.send(state.encode())

    async def feed_watchdog(self, is_alive: Callable[[], Awaitable[object]]) -> None:
        """Twice an interval, once `is_alive` has returned: a daemon that turns no more is restarted."""
        while self.watchdog_s is not None:
            await is_alive()
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / 2)
