"""The kinds of access to the internet that people have, and the nftables rules that make each of them.

Knows no namespaces.  What each kind is, in the words of RFC 4787, stands in docs/nat.md; tests/nat/test_kinds.py
measures that the rules are what the table says.
Rules: a router's outer interface is `wan`, its inner one `lan`; whatever is not let through is dropped in silence, as
routers do; no unasked packet reaches the router itself, because Linux would remember it and then give the host behind
it another port towards that sender.
"""

from collections.abc import Callable
from dataclasses import dataclass

INSIDE_PORT = 4242
"""Where the one person behind a router listens."""
OUTSIDE_PORT = 40_404
"""What the cones that translate ports make of it, so that nobody gets by with the port that they know themselves."""
KNOWN_S = 120
"""How long an address-restricted cone lets somebody in who was written to (RFC 4787 section 4.3)."""


@dataclass(frozen=True, slots=True)
class Router:
    """Where a rule set is to hold."""

    outside: str
    """The router's own address on the internet."""
    host: str
    """The address behind it."""


Rules = Callable[[Router], str]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of access: the rules of its routers, from the host outwards."""

    name: str
    routers: tuple[Rules, ...]
    translates: bool = True
    """Whether the host has a private address."""


def _table(*chains: str) -> str:
    return "\n".join(["table ip lab {", _INPUT, *chains, "}"])


_INPUT = 'chain input { type filter hook input priority filter; iifname "wan" meta l4proto udp drop; }'
_ANSWERS = """chain forward {
    type filter hook forward priority filter; policy drop;
    iifname "lan" accept
    ct state established,related accept
}"""


def full_cone(router: Router) -> str:
    """One outside port for the host's port, and everybody may use it."""
    return _table(_way_in(router, ""), _way_out(router))


def address_restricted(router: Router) -> str:
    """The same, for the addresses that the host has written to."""
    known = f"set known {{ type ipv4_addr; size 65535; flags dynamic,timeout; timeout {KNOWN_S}s; }}"
    learn = 'chain learn { type filter hook forward priority filter; oifname "wan" update @known { ip daddr }; }'
    return _table(known, learn, _way_in(router, "ip saddr @known"), _way_out(router))


def port_restricted(_router: Router) -> str:
    """What Linux does by itself: one outside port, the same as inside where it is free, and answers only."""
    return _table(_ANSWERS, _postrouting('oifname "wan" masquerade'))


def symmetric(_router: Router) -> str:
    """Another outside port for each destination, and answers only."""
    return _table(_ANSWERS, _postrouting('oifname "wan" meta l4proto udp masquerade to :20000-60000 fully-random'))


def port_restricted_open(router: Router) -> str:
    """`port_restricted` without the input drop: an early packet from outside costs the host its port."""
    return port_restricted(router).replace(_INPUT, "")


def firewall(_router: Router) -> str:
    """No translation; answers only."""
    return _table(_ANSWERS)


def without_quic(_router: Router) -> str:
    """No translation; answers only, and no packet of QUIC's either way: the bit 0x40 of the first byte (RFC 9000
    section 17, RFC 9287)."""
    return _table(_drops("udp length > 8 @th,64,8 & 0x40 == 0x40"), _ANSWERS)


def without_udp(_router: Router) -> str:
    """No translation; no UDP either way."""
    return _table(_drops("meta l4proto udp"), _ANSWERS)


def _drops(what: str) -> str:
    return f"chain blocked {{ type filter hook forward priority filter - 1; {what} drop; }}"


def _way_in(router: Router, who: str) -> str:
    rule = f'iifname "wan" {who} udp dport {OUTSIDE_PORT} dnat to {router.host}:{INSIDE_PORT}'
    return f"chain prerouting {{ type nat hook prerouting priority dstnat; {rule}; }}"


def _way_out(router: Router) -> str:
    one = f'oifname "wan" ip saddr {router.host} udp sport {INSIDE_PORT} snat to {router.outside}:{OUTSIDE_PORT}'
    return _postrouting(one, 'oifname "wan" masquerade')


def _postrouting(*rules: str) -> str:
    return f"chain postrouting {{ type nat hook postrouting priority srcnat; {'; '.join(rules)}; }}"


PUBLIC = Kind("public", (), translates=False)
FULL_CONE = Kind("full-cone", (full_cone,))
ADDRESS_RESTRICTED = Kind("address-restricted", (address_restricted,))
PORT_RESTRICTED = Kind("port-restricted", (port_restricted,))
SYMMETRIC = Kind("symmetric", (symmetric,))
DOUBLE_NAT = Kind("double-nat", (port_restricted, port_restricted))
FIREWALLED = Kind("firewalled", (firewall,), translates=False)
QUIC_BLOCKED = Kind("quic-blocked", (without_quic,), translates=False)
UDP_BLOCKED = Kind("udp-blocked", (without_udp,), translates=False)
CLASHING = Kind("clashing", (port_restricted_open,))

MATRIX = (
    PUBLIC,
    FULL_CONE,
    ADDRESS_RESTRICTED,
    PORT_RESTRICTED,
    SYMMETRIC,
    DOUBLE_NAT,
    FIREWALLED,
    QUIC_BLOCKED,
    UDP_BLOCKED,
)
KINDS = {kind.name: kind for kind in (*MATRIX, CLASHING)}
