"""What the methods of the control API work with: the engine in its turns, the log's bell, and facts of this process.

Knows no method and no socket.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from p2pd import __version__
from p2pd.daemon.bell import Bell
from p2pd.daemon.locked import Locked
from p2pd.engine import Engine
from p2pd.errors import NoNetworkError
from p2pd.net.port_mapping.status import PortMappingStatus
from p2pd.net.traffic import Traffic
from p2pd.settings import Settings
from p2pd.types import Endpoint, Now

T = TypeVar("T")


class Ask(Protocol):
    """The driver's `call`: a function of the engine in a turn of its own."""

    async def __call__(self, function: Callable[[Engine, Now], T]) -> T:
        """Its result; the P2pdError that it raised undoes it."""
        ...


@dataclass(slots=True, kw_only=True)
class Service:
    """One daemon, as its methods see it."""

    ask: Ask
    bell: Bell
    home: Path
    settings: Settings
    stop: Callable[[], None]
    """Begins a clean stop of the daemon; returns at once."""
    lock: Callable[[], None] = lambda: None
    """Begins to forget everything until the passphrase comes again; returns at once."""
    locked: Locked | None = None
    """Where the passphrase is waited for; None while the daemon has its keys."""
    resolve_node: Callable[[str], Awaitable[list[str]]]
    """The node hints, with IP addresses, that a text with a name or an address gives."""
    listen: list[Endpoint] = field(default_factory=list)
    counts: Callable[[], Mapping[str, int]] = dict
    """What the network counted, by reason."""
    traffic: Traffic = field(default_factory=Traffic)
    """What the network counted, by cause."""
    port_mapping: Callable[[], list[PortMappingStatus]] = list
    """How it stands, by address family; empty where nothing is to be mapped."""
    lan_networks: Callable[[], list[str]] = list
    """Our addresses in the local networks that discovery has joined."""
    started: float = field(default_factory=time.monotonic)

    async def wait_for(
        self, start: Callable[[Engine, Now, Callable[[T | NoNetworkError], None]], object], within_s: float
    ) -> T:
        """What the engine gives to the callback of an operation that takes several turns.

        Raises:
            NoNetworkError: it has given that, or nothing within `within_s`.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def then(value: T | NoNetworkError) -> None:
            if answer.done():
                return
            if isinstance(value, NoNetworkError):
                answer.set_exception(value)
            else:
                answer.set_result(value)

        await self.ask(lambda engine, now: start(engine, now, then))
        try:
            async with asyncio.timeout(within_s):
                return await answer
        except TimeoutError:
            raise NoNetworkError(
                f"no answer from the network within {within_s:g} s", hint="see: p2pctl status, and dht.nodes there"
            ) from None

    def process_facts(self) -> dict[str, Any]:
        """Version, age and memory of this process."""
        return {
            "version": __version__,
            "pid": os.getpid(),
            "home": str(self.home),
            "uptime_s": round(time.monotonic() - self.started, 3),
            "rss_bytes": resident_bytes(),
        }


def resident_bytes() -> int:
    """Memory of this process that is in RAM; its highest so far where the system tells no more."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except (OSError, IndexError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
