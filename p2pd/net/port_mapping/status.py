"""How port mapping stands, for people and for `doctor`."""

from dataclasses import dataclass
from typing import Any

from p2pd.types import Endpoint


@dataclass(frozen=True, slots=True)
class PortMappingStatus:
    """Of one address family."""

    family: str
    """IPv4 or IPv6."""
    method: str = ""
    """PCP, NAT-PMP or UPnP; empty while nothing is mapped."""
    gateway: str = ""
    """The router asked; empty where none is known."""
    endpoint: Endpoint | None = None
    """Where others can reach this node by the mapping."""
    lifetime_left_s: int | None = None
    failure: str = ""
    """Why others cannot, in words; empty also while the first answer is out."""
    is_needed: bool = True
    """False where the machine has a public address of its own, so that no router is asked."""

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "family": self.family,
            "method": self.method,
            "gateway": self.gateway,
            "endpoint": None if self.endpoint is None else str(self.endpoint),
            "lifetime_left_s": self.lifetime_left_s,
            "failure": self.failure,
            "is_needed": self.is_needed,
        }
