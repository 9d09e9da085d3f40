"""Finding nodes on the local networks that this machine is in: when what is announced, and what is believed.

Knows no persons: salt and tag are the core's.  How it is said, in multicast DNS, is `segment`'s affair.
Rules: each network is spoken to apart and hears of nothing but our address in it.  What others announce is a stranger's
word: of it counts what has the right form, is of our version and network, and names a port above the system's at
another address of the same network.  Few are remembered, and handed to the core at a bounded rate; names are random and
change with every announcement.
"""

import asyncio
import logging
from base64 import b32encode
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Interface
from typing import Protocol

from p2pd import limits
from p2pd.dht.bounded import Recent
from p2pd.dht.rates import TokenBucket
from p2pd.effects import Announce
from p2pd.errors import PeerError
from p2pd.net.addresses import machine_addresses
from p2pd.net.inputs import Neighbour
from p2pd.net.netlink import MachineAddress
from p2pd.net.segment import OnService, Service, open_segment
from p2pd.types import Endpoint, RandomSource

VERSION = b"1"
_ANY = ("0.0.0.0", "::")  # noqa: S104  compared only
_logger = logging.getLogger(__name__)


class Segment(Protocol):
    """One local network, joined."""

    async def announce(self, service: Service) -> None:
        """Say that this is here, in place of what was said before."""
        ...

    async def close(self) -> None:
        """Take back what was said, and leave."""
        ...


OpenSegment = Callable[[str, OnService], Awaitable[Segment]]


class Lan:
    """Discovery on all local networks of the sockets that are bound; `run` lasts until cancelled."""

    def __init__(
        self,
        bound: Sequence[Endpoint],
        network: bytes,
        random: RandomSource,
        emit: Callable[[Neighbour], None],
        *,
        addresses: Callable[[], list[MachineAddress]] = machine_addresses,
        open_segment: OpenSegment = open_segment,
    ) -> None:
        self.counts: Counter[str] = Counter()
        """What was not believed, by reason."""
        self._bound = tuple(bound)
        self._network = network
        self._random = random
        self._emit = emit
        self._addresses = addresses
        self._open_segment = open_segment
        self._segments: dict[MachineAddress, Segment] = {}
        self._changed = asyncio.Event()
        self._announcement: Announce | None = None
        self._announced: dict[MachineAddress, Announce] = {}
        self._own_names: Recent[str, bool] = Recent(limits.NEIGHBOURS)
        self._known: Recent[tuple[MachineAddress, str], Neighbour] = Recent(limits.NEIGHBOURS)
        self._rate = TokenBucket(limits.LAN_HEARD_PER_S, limits.NEIGHBOURS)

    @property
    def networks(self) -> list[str]:
        """Our addresses in the networks that are joined."""
        return [address.host for address in self._segments]

    def announce(self, announcement: Announce) -> None:
        """From now on say this; what is known of others is told again."""
        self._announcement = announcement
        self._changed.set()
        for neighbour in self._known.values():
            self._emit(neighbour)

    def look(self) -> None:
        """This machine's addresses are others, or it was asleep."""
        self._announced.clear()
        self._changed.set()

    async def run(self) -> None:
        """Join and leave networks and announce on them, as long as it is not cancelled."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                if self._announcement is not None and not await self._follow(self._announcement):
                    asyncio.get_running_loop().call_later(limits.LAN_RETRY_S, self._changed.set)
        finally:
            await asyncio.gather(*map(self._leave, list(self._segments)))

    async def _follow(self, announcement: Announce) -> bool:
        """Be where this machine is and say what is to be said; whether all of it was possible."""
        wanted = lan_addresses(self._bound, self._addresses())
        await asyncio.gather(*(self._leave(address) for address in list(self._segments) if address not in wanted))
        joined = [address for address in wanted if address not in self._segments and await self._join(address)]
        if joined:
            await asyncio.sleep(limits.LAN_LISTEN_FIRST_S)
        said = [address for address in self._segments if self._announced.get(address) != announcement]
        results = await asyncio.gather(*(self._say(address, wanted[address], announcement) for address in said))
        return len(self._segments) == len(wanted) and all(results)

    async def _join(self, address: MachineAddress) -> bool:
        def heard(name: str, service: Service | None) -> None:
            self._on_service(address, name, service)

        try:
            self._segments[address] = await self._open_segment(address.host, heard)
        except Exception as error:  # whatever a library makes of a network: discovery goes without it
            self.counts["lan: not joined"] += 1
            _logger.warning("there is no discovery on one local network: %s: %s", type(error).__name__, error)
            return False
        return True

    async def _say(self, address: MachineAddress, port: int, announcement: Announce) -> bool:
        name, host = self._name(), self._name()
        self._own_names.put(name, True)
        text = {
            b"v": VERSION,
            b"n": self._network.hex().encode(),
            b"s": announcement.salt.hex().encode(),
            b"t": announcement.tag.hex().encode(),
        }
        try:
            await self._segments[address].announce(Service(name, host, (address.host,), port, text))
        except Exception as error:  # as above
            self.counts["lan: not announced"] += 1
            _logger.warning("nothing can be announced on one local network: %s: %s", type(error).__name__, error)
            await self._leave(address)
            return False
        self._announced[address] = announcement
        return True

    async def _leave(self, address: MachineAddress) -> None:
        segment = self._segments.pop(address)
        self._announced.pop(address, None)
        for key in [key for key in self._known if key[0] == address]:
            self._known.pop(key)
        try:
            async with asyncio.timeout(limits.LAN_CLOSE_S):
                await segment.close()
        except Exception as error:  # as above; and nobody waits longer for a goodbye
            _logger.info("a local network was left without a goodbye: %s: %s", type(error).__name__, error)

    def _name(self) -> str:
        return b32encode(self._random.bytes(limits.LAN_NAME_BYTES)).decode().lower()

    # --- what others say ---

    def _on_service(self, address: MachineAddress, name: str, service: Service | None) -> None:
        """Somebody announces something, or takes it back."""
        if name in self._own_names:
            return
        if service is None:
            self._known.pop((address, name))
            return
        try:
            neighbour = self._believed(address, service)
        except PeerError as error:
            self.counts[f"lan: {error.reason}"] += 1
            return
        if self._known.find((address, name)) == neighbour:
            return
        if not self._rate.take(asyncio.get_running_loop().time()):
            self.counts["lan: too many"] += 1
            return
        self._known.put((address, name), neighbour)
        self._emit(neighbour)

    def _believed(self, address: MachineAddress, service: Service) -> Neighbour:
        if service.text.get(b"v") != VERSION or service.text.get(b"n") != self._network.hex().encode():
            raise PeerError("network")
        salt = _hexed(service.text.get(b"s"), limits.LAN_SALT_BYTES)
        tag = _hexed(service.text.get(b"t"), limits.LAN_TAG_BYTES)
        if not limits.PORT_MIN <= service.port <= 0xFFFF:
            raise PeerError("port")
        for host in service.hosts[: limits.LAN_WAYS]:
            if _is_beside(host, address):
                return Neighbour(Endpoint(str(IPv4Address(host)), service.port), salt, tag)
        raise PeerError("elsewhere")


def lan_addresses(bound: Sequence[Endpoint], addresses: Sequence[MachineAddress]) -> dict[MachineAddress, int]:
    """Our IPv4 address in each local network in which a socket can be reached, and its port."""
    found: dict[MachineAddress, int] = {}
    for address in addresses:
        ports = [endpoint.port for endpoint in bound if endpoint.host in (address.host, *_ANY)]
        usable = address.is_lan and ":" not in address.host and address.prefix <= limits.LAN_PREFIX_MAX
        if ports and usable and len(found) < limits.LAN_SEGMENTS:
            found[address] = ports[0]
    return found


def is_possible(bound: Sequence[Endpoint]) -> bool:
    """Whether any socket may be reached by another machine."""
    return any(endpoint.host != "::1" and not endpoint.host.startswith("127.") for endpoint in bound)


def _hexed(value: bytes | None, size: int) -> bytes:
    try:
        found = bytes.fromhex((value or b"").decode("ascii"))
    except ValueError:
        raise PeerError("text") from None
    if len(found) != size:
        raise PeerError("text")
    return found


def _is_beside(host: str, own: MachineAddress) -> bool:
    """Whether it is another machine's address in the same network."""
    network = IPv4Interface(f"{own.host}/{own.prefix}").network
    try:
        address = IPv4Address(host)
    except ValueError:
        return False
    return address in network and host != own.host and address not in (network[0], network[-1])
