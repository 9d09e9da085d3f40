"""Where others say that they are, judged before anything is sent there: an address may be nobody's who asked for it.

Knows no persons.
Rules: to one address go few tries a minute (R5), whatever presences, requests and punches claim; an endpoint at which
the right node has answered lately is no victim and is not counted.  What is of an address family that
this machine does not have is not tried.  Outside private networks no one is sent to places
where no contact's node can be: loopback, multicast, ports of the system, and private networks other than ours.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from p2pd import limits
from p2pd.dht.bounded import Recent
from p2pd.dht.peers import has_family, is_local, source_prefix
from p2pd.types import Endpoint, Now

_NOWHERE = tuple(map(ip_network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/8", "ff00::/8")))
"""No node of anybody is there (RFC 6890): 224.0.0.0/3 is multicast and what is reserved above it, ::/8 is loopback and
IPv4 addresses in the clothes of IPv6."""
_OWN_NETWORK_BITS = {4: 16, 6: 64}
"""What counts as a network of ours: a private address that shares so many bits with one of ours may be beside us."""


class Tries:
    """What may be tried now, for one node."""

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._tried: Recent[bytes, tuple[float, ...]] = Recent(limits.TRIES_REMEMBERED)
        """When each address was tried in the last minute."""
        self._proven: Recent[Endpoint, float] = Recent(limits.TRIES_REMEMBERED)
        self._own: tuple[Endpoint, ...] = ()

    def on_addresses(self, own: tuple[Endpoint, ...]) -> None:
        """This machine's addresses are others."""
        self._own = own

    def proven(self, endpoint: Endpoint, now: Now) -> None:
        """The right node has answered from there."""
        self._proven.put(endpoint, now.steady)

    def is_place(self, endpoint: Endpoint) -> bool:
        """Whether a contact's node can be there at all."""
        if self._private:
            return True
        address = ip_address(endpoint.host)
        if endpoint.port < limits.PORT_MIN or any(_within(address, network) for network in _NOWHERE):
            return False
        return not is_local(endpoint.host) or any(_beside(address, own.host) for own in self._own)

    def is_of_ours(self, endpoint: Endpoint) -> bool:
        """Whether this machine has an address of its family."""
        return has_family(self._own, endpoint)

    def take(self, endpoint: Endpoint, now: Now) -> bool:
        """Whether something may be tried there now; counts it."""
        seen = self._proven.find(endpoint)
        if seen is not None and now.steady - seen < limits.CONTACTED_S:
            return True
        # many nodes of a private network may have one address
        name = str(endpoint).encode() if self._private else source_prefix(endpoint.host)
        lately = tuple(when for when in self._tried.find(name) or () if now.steady - when < limits.MINUTE_S)
        if len(lately) >= limits.TRIES_PER_ADDRESS:
            return False
        self._tried.put(name, (*lately, now.steady))
        return True

    def allowed(self, endpoints: tuple[Endpoint, ...], now: Now) -> tuple[Endpoint, ...]:
        """Those of them that may be tried now."""
        places = (each for each in dict.fromkeys(endpoints) if self.is_of_ours(each) and self.is_place(each))
        return tuple(each for each in places if self.take(each, now))


def _within(address: IPv4Address | IPv6Address, network: IPv4Network | IPv6Network) -> bool:
    return address in network


def _beside(address: IPv4Address | IPv6Address, own: str) -> bool:
    mine = ip_address(own)
    if mine.version != address.version:
        return False
    shift = mine.max_prefixlen - _OWN_NETWORK_BITS[mine.version]
    return int(mine) >> shift == int(address) >> shift
