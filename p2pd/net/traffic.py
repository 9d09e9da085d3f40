"""Bytes of whole datagrams by what they were for: all that left, and of what came QUIC's and what fits nothing.

Knows no DHT, whose datagrams that came the core sorts, and no socket.
Rules: each whole datagram has one cause, given by who sends it and counted when the system has taken it, so that all
causes together are what the sockets counted; causes are the few below and the DHT's, never a stranger's words, so the
counters are bounded.
"""

from collections import Counter
from enum import StrEnum


class Cause(StrEnum):
    """What a datagram of QUIC's was for, besides the DHT's own causes, which a request of ours has."""

    HANDSHAKE = "handshake"
    """Up to the proof of the peer's key, and until something is asked or a link is up."""
    USER = "user"
    """A link's: messages between people, and what acknowledges them."""
    RELAY = "relay"
    """A link's to a relay, or ours as one."""
    KEEP_ALIVE = "keep_alive"
    """A link's while nothing is said."""
    ANSWER = "answer"
    """What others asked over QUIC, as the DHT's of that name."""
    REJECTED = "rejected"
    """What fitted nothing, and what told a stranger to come again."""


class Traffic:
    """Counters of one node's network; they only grow, but for how many connections there are now."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.connections = 0
