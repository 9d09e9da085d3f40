"""The way to the default gateway, from the kernel's tables; Linux only, elsewhere there is none to be found."""

import socket
import sys
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from p2pd.net.port_mapping.method import Way

# /proc/self, since a hardened service may see its own process there and nothing else
_V4_TABLE = Path("/proc/self/net/route")
_V6_TABLE = Path("/proc/self/net/ipv6_route")
_UP, _GATEWAY, _REJECT = 0x1, 0x2, 0x200
_FAR_V6 = "2001:db8::1"
"""An address that no machine has (RFC 3849)."""


def find_way(*, v6: bool, bound: str) -> Way | None:
    """From the address that the node's socket is bound to, which may be a wildcard, to the default gateway."""
    try:
        if v6:
            routes = parse_v6_routes(_V6_TABLE.read_text(encoding="ascii"))
        else:
            routes = parse_v4_routes(_V4_TABLE.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError):
        return None
    for gateway, interface in routes:
        own = bound if bound not in ("0.0.0.0", "::") else _sent_from(_FAR_V6 if v6 else gateway, v6=v6)  # noqa: S104  compared only
        if own:
            return Way(own, gateway, interface)
    return None


def parse_v4_routes(table: str) -> list[tuple[str, str]]:
    """Gateway and interface of every default route, the preferred one first; lines of another form are passed over."""
    found: list[tuple[int, str, str]] = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        try:
            interface, destination, gateway, flags, _, _, metric, mask = fields[:8]
            is_default = int(destination, 16) == int(mask, 16) == 0
            if is_default and int(flags, 16) & (_UP | _GATEWAY | _REJECT) == _UP | _GATEWAY:
                # the kernel prints the four bytes as a number of this machine's
                address = IPv4Address(int(gateway, 16).to_bytes(4, sys.byteorder))
                found.append((int(metric), str(address), interface))
        except (ValueError, OverflowError):
            continue
    return [(gateway, interface) for _, gateway, interface in sorted(found)]


def parse_v6_routes(table: str) -> list[tuple[str, str]]:
    """The same of the table for IPv6."""
    found: list[tuple[int, str, str]] = []
    for line in table.splitlines():
        fields = line.split()
        try:
            destination, prefix, _, _, gateway, metric, _, _, flags, interface = fields
            is_default = int(destination, 16) == int(prefix, 16) == 0
            if is_default and int(flags, 16) & (_UP | _GATEWAY | _REJECT) == _UP | _GATEWAY:
                found.append((int(metric, 16), str(IPv6Address(int(gateway, 16))), interface))
        except ValueError:
            continue
    return [(gateway, interface) for _, gateway, interface in sorted(found)]


def _sent_from(far: str, *, v6: bool) -> str:
    """The address that a datagram to a far place would carry; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return ""
