"""One local network and what is announced on it, by multicast DNS (RFC 6762, RFC 6763); sole importer of `zeroconf`.

Knows no meaning of what is announced.
Rules: IPv4 only; the library is imported when the first network is joined; one instance of it for each network, so
that each hears only what concerns it.  Questions ask for multicast answers: another program of this machine may share
the port, and would take those sent to us alone.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeroconf import Zeroconf
    from zeroconf.asyncio import AsyncServiceInfo

TYPE = "_p2pd._udp.local."


@dataclass(frozen=True, slots=True)
class Service:
    """What is announced: a name in our type, a host's name, its IPv4 addresses, a UDP port, and keys with values."""

    name: str
    host: str
    hosts: tuple[str, ...]
    port: int
    text: Mapping[bytes, bytes | None]


OnService = Callable[[str, Service | None], None]
"""Told a name and what is announced under it now; None: nothing any more."""


async def open_segment(own: str, heard: OnService) -> "ZeroconfSegment":
    """Joins the network of this address of ours; OSError or an error of the library's where that is not possible."""
    await asyncio.to_thread(_load)
    segment = ZeroconfSegment(own, heard)
    await segment.start()
    return segment


def _load() -> None:
    """Imports the library aside: the loop goes on meanwhile."""
    import zeroconf.asyncio  # noqa: F401


class ZeroconfSegment:
    """See the module."""

    def __init__(self, own: str, heard: OnService) -> None:
        from zeroconf import IPVersion
        from zeroconf.asyncio import AsyncZeroconf

        self._heard = heard
        self._zeroconf = AsyncZeroconf(interfaces=[own], ip_version=IPVersion.V4Only)
        self._said: AsyncServiceInfo | None = None

    async def start(self) -> None:
        """Begin to ask who is there."""
        from zeroconf import DNSQuestionType
        from zeroconf.asyncio import AsyncServiceBrowser

        try:
            await self._zeroconf.zeroconf.async_wait_for_start()
            self._browser = AsyncServiceBrowser(
                self._zeroconf.zeroconf, TYPE, handlers=[self._on_change], question_type=DNSQuestionType.QM
            )
        except BaseException:
            await self._zeroconf.async_close()
            raise

    async def announce(self, service: Service) -> None:
        """Say that this is here, in place of what was said before; its name is random, so nobody is asked first."""
        from zeroconf.asyncio import AsyncServiceInfo

        info = AsyncServiceInfo(
            TYPE,
            f"{service.name}.{TYPE}",
            port=service.port,
            properties=dict(service.text),
            server=f"{service.host}.local.",
            addresses=[IPv4Address(host).packed for host in service.hosts],
        )
        before, self._said = self._said, info
        sent = await self._zeroconf.async_register_service(info, cooperating_responders=True)
        if before is not None:
            await (await self._zeroconf.async_unregister_service(before))
        await sent

    async def close(self) -> None:
        """Take back what was said, and leave."""
        await self._zeroconf.async_close()

    def _on_change(self, zeroconf: "Zeroconf", service_type: str, name: str, state_change: Any) -> None:
        from zeroconf import Error, ServiceStateChange
        from zeroconf.asyncio import AsyncServiceInfo

        label = name.removesuffix(f".{TYPE}")
        if state_change is ServiceStateChange.Removed:
            self._heard(label, None)
            return
        try:
            info = AsyncServiceInfo(TYPE, name)
            if not info.load_from_cache(zeroconf) or info.port is None:
                return  # the rest comes in a packet of its own, and is a change again
            service = Service(label, info.server or "", tuple(info.parsed_addresses()), info.port, info.properties)
        except (Error, ValueError):  # a name or a text that is none
            return
        self._heard(label, service)
