"""IPv6 beside the lab's IPv4: public nodes with an address of each, and accesses of a cable of their own.

A machine has its IPv4 access at `eth0`, as ever, and its IPv6 access at `eth6`; either may be missing.

| access | what it is |
|---|---|
| `open` | a global address, and everybody gets through |
| `firewalled` | a global address behind a router that lets only answers in, as most home routers do |
| `broken` | a global address and a default route, and nothing gets through, either way |

Rule: addresses are of 3ffe::/16, which is nobody's since 2006 (RFC 3701): those for documentation count as private, and
p2pd would see a machine without IPv6.
"""

from dataclasses import dataclass

from tests.nat.lab import Lab
from tests.nat.namespaces import Namespace, wire

NODE_ADDRESSES_V6 = tuple(f"3ffe:{network}::10" for network in ("1", "2", "3", "4", "5", "4:1", "5:1", "4:2"))
"""Of the same machine as the IPv4 ones, in as many networks."""
_TRANSIT = "3ffe:ff::"
_RULES = {
    "firewalled": 'iifname "lan" accept; ct state established,related accept;',
    "broken": "",
}
"""Of what a router forwards; the rest is dropped in silence."""


@dataclass(slots=True)
class AccessV6:
    """One machine's way into the internet by IPv6."""

    port: str
    host: Namespace
    address: str
    router: Namespace | None = None


def begin(lab: Lab) -> None:
    """The internet and its public nodes have IPv6 too."""
    lab.internet.set(ipv6__conf__all__forwarding=1)
    lab.internet.ip(f"address add {_TRANSIT}1/64 dev nodes nodad")
    lab.nodes.ip(f"address add {_TRANSIT}2/64 dev eth0 nodad", f"route add default via {_TRANSIT}1")
    for address in NODE_ADDRESSES_V6:
        lab.nodes.ip(f"address add {address}/128 dev lo nodad")
        lab.internet.ip(f"route add {address}/128 via {_TRANSIT}2")


def plug(lab: Lab, kind: str, host: Namespace, number: int) -> AccessV6:
    """An access of that kind for a machine that has none by IPv6; the number says which network is used."""
    outer, inner, port = f"3ffe:{0x1000 + number:x}::", f"3ffe:{0x1000 + number:x}:1::", f"b{number}"
    if kind == "open":
        _connect(lab.internet, port, host, "eth6", outer)
        return AccessV6(port, host, f"{outer}2")
    router = lab.host("router6")
    router.set(ipv6__conf__all__forwarding=1)
    _connect(lab.internet, port, router, "wan", outer)
    lab.internet.ip(f"route add {inner}/64 via {outer}2")
    _connect(router, "lan", host, "eth6", inner)
    forward = f"type filter hook forward priority filter; policy drop; {_RULES[kind]}"
    router.nft(f"table ip6 lab {{ chain forward {{ {forward} }}\n}}")
    return AccessV6(port, host, f"{inner}2", router)


def unplug(lab: Lab, access: AccessV6) -> None:
    """Takes an access away."""
    access.host.ip("link delete eth6")
    if access.router is not None:
        lab.internet.ip(f"link delete {access.port}")
        lab.remove(access.router)


def _connect(upper: Namespace, port: str, lower: Namespace, end: str, prefix: str) -> None:
    wire(upper, port, lower, end)
    upper.ip(f"address add {prefix}1/64 dev {port} nodad")
    lower.ip(f"address add {prefix}2/64 dev {end} nodad", f"route add default via {prefix}1 dev {end}")
