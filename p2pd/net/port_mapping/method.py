"""What the ways of asking a gateway have in common: whom they ask, what they are granted, how they fail."""

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol

from p2pd.errors import PeerError
from p2pd.types import Endpoint

UDP = 17
"""The protocol's number at IANA."""


@dataclass(frozen=True, slots=True)
class Way:
    """Between this machine and its default gateway, one address family; addresses as text."""

    own: str
    """Where our packets come from, and where the gateway is to send what arrives."""
    gateway: str
    interface: str = ""
    """Needed to reach an IPv6 gateway, whose address is link-local."""

    @property
    def is_v6(self) -> bool:
        return ":" in self.own


@dataclass(frozen=True, slots=True)
class Lease:
    """A mapping, as the gateway says; nothing here is believed yet."""

    external: Endpoint
    lifetime_s: int | None
    """None: until it is removed."""
    epoch_s: int | None = None
    """How long the gateway has kept its mappings; falls behind where it lost them."""


class UnansweredError(PeerError):
    """Nothing that fits came back."""


class DeclinedError(PeerError):
    """The gateway understands, and does not want or cannot; `again_s` is how long it says that this holds."""

    def __init__(self, reason: str, again_s: int = 0) -> None:
        super().__init__(reason)
        self.again_s = again_s


class Method(Protocol):
    """One protocol; PeerError or OSError where it leads to nothing."""

    @property
    def name(self) -> str:
        """For people and for the engine."""
        ...

    async def open(self, way: Way, port: int, wanted: Endpoint) -> Lease:
        """Map our UDP port, or renew its mapping; another external port than the one wanted may be granted."""
        ...

    async def close(self, way: Way, port: int, external: Endpoint) -> None:
        """Take the mapping back."""
        ...


def checked_port(port: int) -> int:
    """An external port that can be used; PeerError for 0."""
    if not 0 < port < 65_536:
        raise PeerError("gateway_port", "the gateway granted no port")
    return port


def result_words(kind: type[IntEnum], result: int) -> str:
    """A result code as a person may read it."""
    try:
        return kind(result).name.lower().replace("_", " ")
    except ValueError:
        return f"result {result}"


def is_reachable_from(address: str, *, private: bool) -> bool:
    """Whether others can reach an external address: the internet, or in a private network whoever is in it.

    Private, shared (100.64/10), link-local, loopback, multicast, reserved and documentation addresses are not on the
    internet (RFC 6890); a gateway that has one of them stands behind another.
    """
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if parsed.is_multicast or parsed.is_unspecified or parsed.is_loopback or parsed.is_link_local:
        return False
    if isinstance(parsed, IPv4Address) and parsed == IPv4Address("255.255.255.255"):
        return False
    return private or parsed.is_global
