"""Nodes as look-ups and tables see them: a key, where it answers, and its place in the key space.

Distances are Kademlia's: the exclusive or of two places as a number (Maymounkov and Mazières 2002, section 2.1).
What follows from a contact's bytes alone is remembered, bounded: the same few hundred nodes are named in every answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from p2pd import limits
from p2pd.domains import Domain, domain_hash
from p2pd.errors import PeerError
from p2pd.types import Endpoint, NodeId, NodeKey, RandomSource
from p2pd.wire.rpc import Contact, pack_endpoint, unpack_endpoint

SPACE_BITS = 256
_LOCAL_V4 = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "127.0.0.0/8")
_LOCAL = tuple(map(ip_network, (*_LOCAL_V4, "fc00::/7", "fe80::/10", "::1/128")))
"""RFC 1918, 3927, 6598, 1122; 4193 and 4291."""


def node_id(key: NodeKey) -> NodeId:
    """The place of a node: the hash of its key, so that nobody chooses it."""
    return NodeId(domain_hash(Domain.NODE_ID, key))


@dataclass(frozen=True, slots=True)
class Peer:
    """One node at one endpoint."""

    key: NodeKey
    endpoint: Endpoint
    place: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", int.from_bytes(node_id(self.key), "big"))

    def __hash__(self) -> int:
        return hash(self.key)  # look-ups hash peers by the hundred; few keys have two endpoints

    @property
    def id(self) -> NodeId:
        return NodeId(self.place.to_bytes(SPACE_BITS // 8, "big"))


@lru_cache(limits.CONTACTS_REMEMBERED)
def peer_of(contact: Contact) -> Peer:
    """The peer that someone told of; raises `PeerError`."""
    return Peer(contact.key, unpack_endpoint(contact.endpoint))


def peers_of(contacts: list[Contact]) -> list[Peer]:
    """Those of them that are well formed."""
    peers = []
    for contact in contacts:
        try:
            peers.append(peer_of(contact))
        except PeerError:
            continue
    return peers


@lru_cache(limits.CONTACTS_REMEMBERED)
def contact_of(peer: Peer) -> Contact:
    """How we tell others of it."""
    return Contact(peer.key, pack_endpoint(peer.endpoint))


@lru_cache(limits.CONTACTS_REMEMBERED)
def is_local(host: str) -> bool:
    """Whether an address means something only where it is: private, shared by a provider, link-local, loopback."""
    address = ip_address(host)
    return any(address in network for network in _LOCAL)


def has_family(own: Sequence[Endpoint], endpoint: Endpoint) -> bool:
    """Whether a machine with these addresses can write there; none: its addresses are not known."""
    return not own or any(each.is_v6 == endpoint.is_v6 for each in own)


def may_tell(peer: Peer, other: Peer) -> bool:
    """Whether one node may be named to, or by, the other in an open network: a local one only among local ones."""
    return not is_local(peer.endpoint.host) or is_local(other.endpoint.host)


@lru_cache(limits.CONTACTS_REMEMBERED)
def networks(host: str) -> tuple[bytes, bytes]:
    """The /24 and /16 of an IPv4 address, the /48 and /32 of an IPv6 one: what one operator gets cheaply.

    A local address stands for itself, or all who share a local network would count as one.
    """
    address = ip_address(host)
    packed = address.packed
    if is_local(host) and not address.is_loopback:
        return packed, packed
    return (packed[:6], packed[:4]) if isinstance(address, IPv6Address) else (packed[:3], packed[:2])


@lru_cache(limits.CONTACTS_REMEMBERED)
def source_prefix(host: str) -> bytes:
    """An IPv4 address, or the /64 of an IPv6 one: what one machine has."""
    packed = ip_address(host).packed
    return packed[:8] if len(packed) == 16 else packed


class Diversity:
    """Counts peers by network, and says whether one more is too many (R7)."""

    def __init__(self, per_24: int, per_16: int) -> None:
        self._caps = (per_24, per_16)
        self._counts: dict[bytes, int] = {}

    def admits(self, peer: Peer) -> bool:
        """Whether it may be added."""
        small, large = networks(peer.endpoint.host)  # look-ups ask by the hundred
        counts, (per_24, per_16) = self._counts, self._caps
        return counts.get(small, 0) < per_24 and counts.get(large, 0) < per_16

    def add(self, peer: Peer) -> None:
        for network in networks(peer.endpoint.host):
            self._counts[network] = self._counts.get(network, 0) + 1

    def remove(self, peer: Peer) -> None:
        for network in networks(peer.endpoint.host):
            left = self._counts[network] - 1
            if left:
                self._counts[network] = left
            else:
                del self._counts[network]


def masked(target: bytes, bits: int, random: RandomSource) -> bytes:
    """The target with all after its first `bits` bits random: what those see who need not know it (R14)."""
    if bits >= SPACE_BITS:
        return target
    tail = (1 << (SPACE_BITS - bits)) - 1
    noise = int.from_bytes(random.bytes(SPACE_BITS // 8), "big")
    return ((int.from_bytes(target, "big") & ~tail) | (noise & tail)).to_bytes(SPACE_BITS // 8, "big")


def by_distance(place: int) -> Callable[[Peer], int]:
    """A sorting key: nearest to `place` first."""
    return lambda peer: peer.place ^ place
