"""What may be set of one node of the DHT."""

from dataclasses import dataclass
from enum import StrEnum

from p2pd import limits
from p2pd.types import Endpoint


class Role(StrEnum):
    """Whether a node serves others; `auto` finds out whether it can."""

    AUTO = "auto"
    SERVER = "server"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class DhtSettings:
    """A private network trusts its members' number, not their words: no puzzle, no diversity, rates by node key."""

    replicas: int = limits.REPLICAS
    private: bool = False
    role: str = Role.AUTO
    paths: int = limits.LOOKUP_PATHS
    parallel: int = limits.LOOKUP_PARALLEL
    quota_bytes: int = limits.QUOTA_BYTES
    source_per_s: float = limits.SOURCE_PER_S
    source_burst: float = limits.SOURCE_BURST
    network_per_s: float = limits.NETWORK_PER_S
    network_burst: float = limits.NETWORK_BURST
    store_bytes_per_day: int = limits.PER_SOURCE_STORE_BYTES_PER_DAY
    bucket_per_24: int = limits.BUCKET_PER_24
    table_per_24: int = limits.TABLE_PER_24
    table_per_16: int = limits.TABLE_PER_16
    result_per_24: int = limits.RESULT_PER_24
    result_per_16: int = limits.RESULT_PER_16
    node_puzzle_bits: int = limits.NODE_PUZZLE_BITS
    own: tuple[Endpoint, ...] = ()
    """The endpoints that this machine has; none: not known."""

    @property
    def puzzle_bits(self) -> int:
        """What a node key must satisfy here."""
        return 0 if self.private else self.node_puzzle_bits

    @property
    def converge(self) -> int:
        """How many of the nearest known must have answered: 40 at 20 replicas."""
        return limits.LOOKUP_CONVERGE * self.replicas // limits.REPLICAS

    @property
    def get_width(self) -> int:
        """How many of the nearest a get asks before it ends without a value."""
        return max(self.replicas, min(self.converge, limits.GET_WIDTH_MIN))
