"""Where this machine is by itself: its addresses on the ports that are bound, and when that changes.

Knows no peers: what routers and others make of these addresses is not seen from here.
Rules: on Linux the kernel tells of changes; elsewhere, or where it may not be asked, the addresses are read every
`limits.ADDRESSES_POLL_S`.  What comes in a burst counts as one change.  A machine that has slept may be anywhere: it is
told anew even if nothing has changed.
A socket that is bound to one address stays bound while that address is gone, and works again when it is back: it needs
nothing, and is told all the time.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv6Address, ip_address

from p2pd import limits
from p2pd.net import netlink
from p2pd.net.clock import Sleeps
from p2pd.net.netlink import MachineAddress
from p2pd.types import Endpoint

_ANY_V4, _ANY_V6 = "0.0.0.0", "::"  # noqa: S104  compared only
_FAR = [(socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")]
"""Addresses that no machine has (RFC 5737, RFC 3849)."""
_logger = logging.getLogger(__name__)

Changed = Callable[[tuple[Endpoint, ...]], None]


def machine_addresses() -> list[MachineAddress]:
    """Every usable address of this machine; none where the system tells nothing."""
    try:
        return netlink.read_addresses()
    except OSError:
        return _addresses_of_adapters()


def _addresses_of_adapters() -> list[MachineAddress]:
    """The same where there is no netlink."""
    import ifaddr

    found: list[MachineAddress] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            host = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            address = ip_address(host)
            is_lan = not address.is_loopback and ip.network_prefix < address.max_prefixlen - 1
            found.append(MachineAddress(str(address), ip.network_prefix, adapter.index or 0, is_lan))
    return found[: limits.MACHINE_ADDRESSES]


def endpoints_of(bound: Sequence[Endpoint], addresses: Sequence[MachineAddress]) -> tuple[Endpoint, ...]:
    """The bound sockets' endpoints, a wildcard standing for each address of its family that others may reach.

    Those of the whole internet come first, then private ones; of each kind first the one that we would send from.
    """
    likely = {_sent_from(family, far) for family, far in _FAR}
    hosts = sorted(
        (address.host for address in addresses if _is_told(address.host)),
        key=lambda host: (not ip_address(host).is_global, host not in likely),
    )
    found: list[Endpoint] = []
    for endpoint in bound:
        if endpoint.host == _ANY_V6:
            found += [Endpoint(host, endpoint.port) for host in hosts]
        elif endpoint.host == _ANY_V4:
            found += [Endpoint(host, endpoint.port) for host in hosts if ":" not in host]
        else:
            found.append(endpoint)
    return tuple(dict.fromkeys(found))


def _is_told(host: str) -> bool:
    """Whether an address means anything to another machine: an IPv6 link-local one does not without a zone."""
    address = ip_address(host)
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return False
    return not (isinstance(address, IPv6Address) and address.is_link_local)


def _sent_from(family: socket.AddressFamily, far: str) -> str:
    """The address that a datagram to a far place would carry; nothing is sent."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((far, 9))
        return str(probe.getsockname()[0])
    return ""


class AddressWatch:
    """The endpoints of the bound sockets as they are now; `run` tells when they change."""

    def __init__(
        self,
        bound: Sequence[Endpoint],
        read: Callable[[], list[MachineAddress]] = machine_addresses,
        sleeps: Sleeps | None = None,
    ) -> None:
        self._bound = tuple(bound)
        self._read = read
        self._sleeps = sleeps or Sleeps()
        self._noticed = asyncio.Event()
        self._interrupted = False
        """Whether an address was away for a moment: the same one may lead into another network now."""
        self.endpoints = endpoints_of(self._bound, read())

    async def run(self, changed: Changed) -> None:
        """Tell of every change, and of every sleep that has ended, until cancelled."""
        with self._notices() as has_notices:
            idle_s = 0.0
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(limits.SLEEP_CHECK_S):
                        await self._noticed.wait()
                idle_s += limits.SLEEP_CHECK_S
                polled = not has_notices and idle_s >= limits.ADDRESSES_POLL_S
                slept_s = self._sleeps.slept_s()
                if not (self._noticed.is_set() or polled or slept_s):
                    continue
                idle_s = 0.0
                await self._settled()
                self._look(changed, slept_s)

    def _look(self, changed: Changed, slept_s: float) -> None:
        endpoints = endpoints_of(self._bound, self._read())
        interrupted, self._interrupted = self._interrupted, False
        if endpoints == self.endpoints and not slept_s and not interrupted:
            return
        if slept_s:
            _logger.info("the machine slept for %.0f s", slept_s)
        else:
            _logger.info("this machine's addresses have changed, or were away: %d of them", len(endpoints))
        self.endpoints = endpoints
        changed(endpoints)

    async def _settled(self) -> None:
        """Wait until a burst of notices is over, or has lasted long enough."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.ADDRESSES_SETTLE_MAX_S):
                while self._noticed.is_set():
                    self._noticed.clear()
                    await asyncio.sleep(limits.ADDRESSES_SETTLE_S)
        self._noticed.clear()

    @contextlib.contextmanager
    def _notices(self) -> Iterator[bool]:
        """Whether the kernel tells of changes, which then set `_noticed`."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as stack:
            try:
                notices = stack.enter_context(netlink.open_notices())
                loop.add_reader(notices, self._on_notice, notices)
                stack.callback(loop.remove_reader, notices)
                is_told = True
            except (OSError, NotImplementedError):  # no netlink, or a loop that cannot watch sockets
                is_told = False
            yield is_told

    def _on_notice(self, notices: socket.socket) -> None:
        self._interrupted |= netlink.drain(notices)
        self._noticed.set()
