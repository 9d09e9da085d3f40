"""One end of a link, as the process there sees it.

Knows no network.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from p2pd.sim.hosts import Host
from p2pd.sim.routes import Path
from p2pd.types import NodeKey


@dataclass(slots=True)
class Sending:
    """A frame that has not arrived, and how many of its packets have not."""

    number: int
    frame: bytes
    packets: int


@dataclass(slots=True, eq=False)
class End:
    """See the module; times in seconds of the world's."""

    host: Host
    number: int
    node: NodeKey
    """Who is at the other end."""
    path: Path
    heard_at: float
    pinged_at: float
    patience_s: float
    other: End | None = None
    open: bool = True
    up: bool = False
    """Whether the core knows of it."""
    asked_at: float | None = None
    """When something was sent that nothing has been heard since."""
    heard_meanwhile: bool = False
    """Something came while the process was not run, and waits in its socket."""
    sending: deque[Sending] = field(default_factory=deque)
    """What has not arrived, in order."""
    sent: int = 0
    arrived: int = 0
    """Frames so far."""
    unsent_bytes: int = 0
    """Given to the link and not arrived."""
    untold_bytes: int = 0
    """Arrived, and not yet said to be taken."""
    unacknowledged: bool = False
    repeating: bool = False
    lands_at: float = 0.0
    """When the last packet in the air arrives: none overtakes another."""
    watched_until: float | None = None

    def put(self, frame: bytes, packets: int) -> None:
        """One frame more."""
        self.sending.append(Sending(self.sent, frame, packets))
        self.sent += 1
        self.unsent_bytes += len(frame)

    def put_back(self, flying: list[Sending]) -> None:
        """These did not arrive after all."""
        self.sending = deque(sorted([*flying, *self.sending], key=lambda sending: sending.number))

    def hear(self, time_s: float) -> None:
        """Something has come: whoever is at the other end is there."""
        self.heard_at = time_s
        self.asked_at = None
        self.heard_meanwhile = False
