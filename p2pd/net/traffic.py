"""Bytes of whole datagrams by what they were for, as far as the network knows it; the DHT counts its own.

Knows no DHT and no socket.  Rule: the causes are the few below, never a stranger's words, so the counters are bounded.
"""

from collections import Counter
from enum import StrEnum


class Cause(StrEnum):
    """What a datagram of QUIC's was for; each whole datagram has one."""

    HANDSHAKE = "handshake"
    """Up to the proof of the peer's key."""
    USER = "user"
    """A link's: messages between people, and what acknowledges them."""
    KEEP_ALIVE = "keep_alive"
    """A link's while nothing is said."""
    REQUEST = "request"
    """A larger exchange of the DHT's, with QUIC's own bytes."""
    REJECTED = "rejected"
    """What fitted nothing, and what told a stranger to come again."""


class Traffic:
    """Counters of one node's network; they only grow, but for how many connections there are now."""

    def __init__(self) -> None:
        self.sent: Counter[Cause] = Counter()
        self.received: Counter[Cause] = Counter()
        self.connections = 0
