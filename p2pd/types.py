"""Names for the kinds of bytes and numbers, so that a type checker tells one key from another."""

from dataclasses import dataclass
from typing import NewType, Protocol

IdentityKey = NewType("IdentityKey", bytes)
"""32 bytes, Ed25519: a person."""

DeviceKey = NewType("DeviceKey", bytes)
"""32 bytes, Ed25519: one installation of a person, certified by the identity."""

NodeKey = NewType("NodeKey", bytes)
"""32 bytes, Ed25519: one node of the DHT; also a throwaway key that stands in for one."""

NodeId = NewType("NodeId", bytes)
"""32 bytes: the hash of a node key; a place in the DHT's key space."""

AddressKey = NewType("AddressKey", bytes)
"""32 bytes, Ed25519: what a record is signed under; blinded, or derived from a pair secret."""

RecordKey = NewType("RecordKey", bytes)
"""32 bytes: the hash of a record's kind and address key; where the DHT keeps it."""

ItemId = NewType("ItemId", bytes)
"""16 bytes: one item of a set."""

MessageId = NewType("MessageId", bytes)
"""16 bytes: one message, the same on both ends."""

Day = NewType("Day", int)
"""Whole days since 1970-01-01 UTC."""


@dataclass(frozen=True, slots=True)
class Now:
    """The two clocks of one moment.

    `steady` never jumps, in seconds from an arbitrary start: for timers.
    `wall_ms` is the wall's, in milliseconds since 1970 UTC: for days, expiries and what people see.
    """

    steady: float
    wall_ms: int

    @property
    def wall_s(self) -> int:
        return self.wall_ms // 1000

    @property
    def day(self) -> Day:
        return Day(self.wall_ms // 86_400_000)


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """An IP address as text without a zone, IPv4-mapped IPv6 written as IPv4, and a UDP port."""

    host: str
    port: int

    @property
    def is_v6(self) -> bool:
        """Its address family: IPv6, or IPv4."""
        return ":" in self.host

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.is_v6 else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class NodeHint:
    """A node someone told us of: where it is and, if known, its key."""

    endpoint: Endpoint
    key: NodeKey | None = None


class RandomSource(Protocol):
    """Where the core draws chance from: the system's in a daemon, a seed's in the simulator."""

    def bytes(self, count: int) -> bytes:
        """`count` random bytes."""
        ...

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        ...
