"""UPnP IGD, versions 1 and 2: finds the router and has a process of its own speak with it. IPv4 only.

`ssdp` has the search, `igd_process` the conversation.
Rules: one process at a time, killed after `limits.UPNP_S`; what it prints is checked like a packet.
"""

import asyncio
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated

import msgspec

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.net.port_mapping.method import DeclinedError, Lease, UnansweredError, Way, checked_port
from p2pd.net.port_mapping.ssdp import SEARCH_AT, description_url, searches
from p2pd.types import Endpoint, RandomSource

_SCRIPT = Path(__file__).with_name("igd_process.py")
_TAKE_BACK = -1
_PORTS = (49_152, 65_536)
"""Where other external ports are drawn from (RFC 6335 section 6)."""


class Printed(msgspec.Struct, forbid_unknown_fields=True):
    """What the process prints."""

    external: Annotated[str, msgspec.Meta(max_length=39)] = ""
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    lifetime_s: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] = 0
    error: Annotated[str, msgspec.Meta(max_length=200)] = ""


class Upnp:
    """Asks by UPnP; remembers where the router describes itself."""

    name = "UPnP"

    def __init__(self, random: RandomSource, search_at: Endpoint = SEARCH_AT) -> None:
        self._random = random
        self._search_at = search_at
        self._found: tuple[str, str] | None = None
        """Gateway, and its description's URL."""

    async def open(self, way: Way, port: int, wanted: Endpoint) -> Lease:
        """Map or renew."""
        others = [int(self._random.uniform(*_PORTS)) for _ in range(limits.UPNP_PORTS)]
        printed = await self._do(way, port, (wanted.port, *others), limits.MAPPING_LIFE_S)
        try:
            external = str(IPv4Address(printed.external))
        except ValueError:
            raise PeerError("gateway_address", "the router has no outside address") from None
        return Lease(Endpoint(external, checked_port(printed.port)), printed.lifetime_s or None)

    async def close(self, way: Way, port: int, external: Endpoint) -> None:
        """Take it back."""
        await self._do(way, port, (external.port,), _TAKE_BACK)

    async def _do(self, way: Way, port: int, external_ports: Sequence[int], lifetime_s: int) -> Printed:
        if self._found is None or self._found[0] != way.gateway:
            self._found = way.gateway, await search(way, self._search_at)
        task = {
            "url": self._found[1],
            "gateway": way.gateway,
            "own": way.own,
            "port": port,
            "external_ports": external_ports,
            "lifetime_s": lifetime_s,
        }
        try:
            printed = read_printed(await _run(msgspec.json.encode(task).decode()))
        except PeerError:
            self._found = None  # routers describe themselves elsewhere after a restart
            raise
        return printed


async def search(way: Way, search_at: Endpoint) -> str:
    """Where the gateway describes itself; UnansweredError where it does not say so."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.setblocking(False)
        line.bind((way.own, 0))
        line.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, IPv4Address(way.own).packed)
        for question in searches():
            await loop.sock_sendto(line, question, (search_at.host, search_at.port))
        with suppress(TimeoutError):
            async with asyncio.timeout(limits.UPNP_SEARCH_S):
                for _ in range(limits.GATEWAY_ANSWERS):
                    data, source = await loop.sock_recvfrom(line, limits.UDP_READ_BYTES + 1)
                    with suppress(PeerError):
                        if source[0] == way.gateway:
                            return description_url(data, way.gateway)
    raise UnansweredError("no answer")


def read_printed(data: bytes) -> Printed:
    """What the process printed; PeerError where it broke, DeclinedError where the router would not."""
    try:
        printed = msgspec.json.decode(data, type=Printed)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise PeerError("upnp_process", "the router's answer cannot be read") from None
    if printed.error:
        raise DeclinedError(printed.error)
    return printed


async def _run(task: str) -> bytes:
    """The process's line; a session of its own keeps a terminal's Ctrl-C from it while a mapping is taken back."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        str(_SCRIPT),
        task,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
        limit=limits.UPNP_ANSWER_BYTES,
    )
    assert process.stdout is not None  # noqa: S101  it is a pipe
    try:
        async with asyncio.timeout(limits.UPNP_S):
            return await process.stdout.readline()
    except (TimeoutError, ValueError):  # too slow, or a line too long
        raise UnansweredError("the router takes too long") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
