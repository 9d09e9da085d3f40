"""Keeps the node's UDP port mapped at the default gateway, from the daemon's start to its clean stop.

    no way       -- a default gateway is found ------------------------> due
    due          -- a method maps, the first that can -----------------> mapped
    due          -- none does: told why, again after MAPPING_AGAIN_S --> due
    mapped       -- half of the lifetime, or MAPPING_RENEW_MAX_S ------> due, the same method first
    mapped, due  -- the lifetime is over, nothing renewed it ----------> told, due
    any          -- gateway or own address changed --------------------> told, due at once, or no way

Knows no packet.  Rules: an external address that others cannot reach is mapped and never told (a gateway behind another
still lets in what comes to it); a failure of the mapping never ends the daemon.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.net.inputs import Mapped
from p2pd.net.port_mapping.method import DeclinedError, Lease, Method, Way, is_reachable_from
from p2pd.net.port_mapping.status import PortMappingStatus
from p2pd.types import Endpoint

_RESTART_SLACK_S = 2
_EPOCH_SHARE = 7 / 8
"""A gateway's clock may be so much slower than ours before it counts as restarted (RFC 6886 section 3.6)."""
_logger = logging.getLogger(__name__)


def elapsed_s() -> float:
    """Seconds that also count while the machine sleeps, where the system has such a clock: gateways do not sleep."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class _Held:
    """A mapping that we have."""

    method: Method
    lease: Lease
    at: float
    """When it was granted, on the keeper's clock."""
    expires_at: float


class Keeper:
    """Of one address family: one port, one gateway, the ways to ask it, the best first."""

    def __init__(
        self,
        *,
        family: str,
        port: int,
        methods: Sequence[Method],
        find_way: Callable[[], Way | None],
        private: bool,
        tell: Callable[[Mapped], None],
        clock: Callable[[], float] = elapsed_s,
    ) -> None:
        self._family = family
        self._port = port
        self._methods = methods
        self._find_way = find_way
        self._private = private
        self._tell = tell
        self._clock = clock
        self._way: Way | None = None
        self._held: _Held | None = None
        self._due = 0.0
        self._failures = 0
        self._failure = ""
        self._is_told = False

    def status(self) -> PortMappingStatus:
        """How it stands."""
        way, held = self._way, self._held
        return PortMappingStatus(
            family=self._family,
            method=held.method.name if held else "",
            gateway=way.gateway if way else "",
            endpoint=held.lease.external if held and self._is_reachable(held.lease) else None,
            lifetime_left_s=None if held is None else max(0, int(held.expires_at - self._clock())),
            failure=self._failure,
            is_needed=way is None or self._asks_at(way),
        )

    async def turn(self) -> float:
        """Does what is due; seconds until the next turn."""
        way = self._find_way()
        if way != self._way or way is None:
            self._moved(way)
        if self._held is not None and self._held.expires_at <= self._clock():
            self._lost(self._failure)
        if way is not None and self._asks_at(way) and self._due <= self._clock():
            await self._map(way)
        # no less than a second, whatever a gateway grants: a turn reads the routing table
        return min(limits.MAPPING_LOOK_S, max(1.0, self._due - self._clock()))

    async def end(self) -> None:
        """Take the mapping back; the gateway may not answer any more, and then its lifetime ends it."""
        held, way = self._held, self._way
        self._held = None
        if held is not None and way is not None:
            try:
                await held.method.close(way, self._port, held.lease.external)
            except (PeerError, OSError) as error:
                _logger.info("the %s mapping may stay for a while: %s", self._family, error)

    def _asks_at(self, way: Way) -> bool:
        """A public IPv4 address needs no mapping, and its gateway is a provider's; IPv6 has firewalls in front."""
        return way.is_v6 or self._private or not ip_address(way.own).is_global

    def _is_reachable(self, lease: Lease) -> bool:
        return is_reachable_from(lease.external.host, private=self._private)

    def _moved(self, way: Way | None) -> None:
        """Another gateway, another address of ours, or none: what the old gateway maps leads here no more."""
        self._way = way
        self._failures, self._due, self._failure = 0, self._clock(), ""
        if self._held is not None:
            self._lost("")
        if way is None:
            self._failure = "no default gateway is known"
        elif not self._asks_at(way):
            self._failure = "this machine has a public address itself"

    def _lost(self, why: str) -> None:
        self._held, self._failure = None, why
        if self._is_told:
            self._is_told = False
            self._tell(Mapped(None, ""))

    async def _map(self, way: Way) -> None:
        """Ask, the method that has the mapping first."""
        held = self._held
        wanted = held.lease.external if held else Endpoint("::" if way.is_v6 else "0.0.0.0", self._port)  # noqa: S104  any address, nothing is bound
        words, again_s = [], 0
        for method in sorted(self._methods, key=lambda method: held is None or method is not held.method):
            try:
                lease = await method.open(way, self._port, wanted)
            except (PeerError, OSError) as error:
                words.append(f"{method.name}: {error}")
                again_s = max(again_s, error.again_s if isinstance(error, DeclinedError) else 0)
            else:
                self._mapped(way, method, lease)
                return
        self._not_mapped("; ".join(words), again_s)

    def _mapped(self, way: Way, method: Method, lease: Lease) -> None:
        now, before = self._clock(), self._held
        granted_s = limits.MAPPING_LIFE_MAX_S if lease.lifetime_s is None else lease.lifetime_s
        life_s = min(max(granted_s, limits.MAPPING_LIFE_MIN_S), limits.MAPPING_LIFE_MAX_S)
        self._held = _Held(method, lease, now, now + life_s)
        self._due = now + min(life_s / 2, limits.MAPPING_RENEW_MAX_S)
        self._failures = 0
        if before is not None and before.method is method and _restarted(before, lease, now):
            _logger.info("the gateway has restarted, and maps anew by %s", method.name)
        if before is None or before.lease.external != lease.external:
            _logger.info("%s: the gateway maps port %d by %s", self._family, self._port, method.name)
        if self._is_reachable(lease):
            self._failure, self._is_told = "", True
            self._tell(Mapped(lease.external, method.name))
            return
        self._failure = f"the router's outside address, {lease.external.host}, is not public itself (double NAT)"
        if self._is_told:
            self._is_told = False
            self._tell(Mapped(None, ""))

    def _not_mapped(self, words: str, again_s: int) -> None:
        now, held = self._clock(), self._held
        if not self._failures and held is None:
            _logger.info("%s: no port mapping: %s", self._family, words)
        self._failure = words
        wait_s = max(
            limits.MAPPING_AGAIN_S[min(self._failures, len(limits.MAPPING_AGAIN_S) - 1)],
            min(again_s, limits.MAPPING_DECLINED_MAX_S),
        )
        self._failures += 1
        # what is still mapped is tried again before it ends, as in RFC 6887 section 11.2.1
        left_s = (held.expires_at - now) / 2 if held else wait_s
        self._due = now + min(wait_s, max(left_s, limits.MAPPING_LOOK_S))


class Mapper:
    """All keepers of a daemon; none of them where nothing is to be mapped."""

    def __init__(self, keepers: Sequence[Keeper], pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._keepers = keepers
        self._pause = pause

    def status(self) -> list[PortMappingStatus]:
        """How it stands, by family."""
        return [keeper.status() for keeper in self._keepers]

    async def run(self) -> None:
        """Runs until it is cancelled, and then takes the mappings back."""
        try:
            async with asyncio.TaskGroup() as family:
                for keeper in self._keepers:
                    family.create_task(self._keep(keeper))
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(limits.MAPPING_END_S):
                    await asyncio.gather(*(keeper.end() for keeper in self._keepers))

    async def _keep(self, keeper: Keeper) -> None:
        while True:
            try:
                wait_s = await keeper.turn()
            except Exception:  # a bug here must not end the daemon, which works without a mapping
                _logger.exception("port mapping failed")
                wait_s = float(limits.MAPPING_AGAIN_S[-1])
            await self._pause(wait_s)


def _restarted(before: _Held, lease: Lease, now: float) -> bool:
    """Whether the gateway's epoch is behind where it should be by now."""
    if before.lease.epoch_s is None or lease.epoch_s is None:
        return False
    return lease.epoch_s + _RESTART_SLACK_S < before.lease.epoch_s + (now - before.at) * _EPOCH_SHARE
