"""How a node of the DHT does, in numbers."""

from dataclasses import dataclass

from p2pd.types import Endpoint


@dataclass(frozen=True, slots=True)
class DhtStatus:
    """How a node does."""

    nodes: int
    """In the table."""
    network_size: int
    """Servers there seem to be, ours included."""
    serves: bool
    records: int
    record_bytes: int
    listeners: int
    endpoint: Endpoint | None
    """Where most others see us."""
    clock_offset_ms: int
    round_trip_ms: float
    """The mean to all nodes asked lately."""
    sent_bytes: dict[str, int]
    """By cause, see `counters.Cause`."""
    received_bytes: dict[str, int]
    over_quic_bytes: dict[str, int]
    """What of the received came as payloads over QUIC, whose datagrams the network counts."""
    rejected: dict[str, int]
    """What came and was not right, by reason."""
