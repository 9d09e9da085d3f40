"""First nodes: from a user's text to hints with IP addresses, and asked until the node has company.

The only place of the daemon that asks a name server (R48), and only for names that the user gave.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address

from p2pd import limits
from p2pd.daemon.service import Service
from p2pd.errors import NoNetworkError, P2pdError, UsageError

ADDRESSES = 4
"""Addresses of one name that are asked."""
RESOLVE_S = 10.0
AGAIN_S = (5.0, 15.0, limits.MINUTE_S)
"""Between looks at whether there is company yet."""
Resolve = Callable[[str], Awaitable[list[str]]]
_HINT = "write HOST:PORT or KEY@HOST:PORT"
_logger = logging.getLogger(__name__)


def split_node(text: str) -> tuple[str, str, int]:
    """Key (or ""), host and port of a node's text; UsageError where it is not one."""
    key, _, place = text.strip().rpartition("@")
    host, _, port = place.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    number = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
    if not host or not 0 < number < 65_536 or any(letter.isspace() for letter in place):
        raise UsageError(f"not a node: {text.strip()[:80]!r}", hint=_HINT)
    return key, host, number


async def resolve_node(text: str) -> list[str]:
    """The node's hints, an IP address in each.

    Raises:
        UsageError: the text names no node.
        NoNetworkError: its name has no address, or no name server answers.
    """
    key, host, port = split_node(text)
    try:
        addresses = [str(ip_address(host))]
    except ValueError:
        addresses = await _addresses(host, port)
    start = f"{key}@" if key else ""
    return [f"{start}[{address}]:{port}" if ":" in address else f"{start}{address}:{port}" for address in addresses]


async def _addresses(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError, TimeoutError):
        raise NoNetworkError(f"no address is known for {host[:80]}", hint="check the name and the network") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))[:ADDRESSES]


async def find_company(service: Service, nodes: Sequence[str]) -> None:
    """Asks the first nodes for the way at once, and again whenever the table is empty; runs without end."""
    turn = 0
    while True:
        if not await _has_company(service):
            for node in nodes:
                await _ask(service, node)
        await asyncio.sleep(AGAIN_S[min(turn, len(AGAIN_S) - 1)])
        turn += 1


async def _has_company(service: Service) -> bool:
    try:
        return bool(await service.ask(lambda engine, now: engine.peers(now)))
    except P2pdError as error:  # told by the driver; the next look may do better
        _logger.warning("the table cannot be looked at: %s", error.message)
        return False


async def _ask(service: Service, node: str) -> None:
    try:
        for hint in await service.resolve_node(node):
            await service.ask(lambda engine, now, hint=hint: engine.add_node(hint, now))  # type: ignore[misc]
    except P2pdError as error:
        _logger.warning("the first node %s is of no use: %s", node, error.message)
