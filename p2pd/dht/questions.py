"""What stands between the wire and those who know what questions mean: a question, an answer, their sizes.

Knows no bytes but their number.
"""

from dataclasses import dataclass
from typing import Protocol

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.peers import Peer
from p2pd.types import Endpoint, Now
from p2pd.wire.datagram import BOX_AT
from p2pd.wire.rpc import Body

PACKET_OVERHEAD_BYTES = 1 + 10 + 18 + 1 + 2
"""A packet but its body: the array, the id, a token, `serves`, the padding's head."""
SEALED_OVERHEAD_BYTES = BOX_AT + limits.BOX_OVERHEAD_BYTES + PACKET_OVERHEAD_BYTES
BODY_ROOM_BYTES = limits.DATAGRAM_BYTES - SEALED_OVERHEAD_BYTES
"""The largest body that a datagram holds."""


@dataclass(frozen=True, slots=True)
class Question:
    """What someone asks of us."""

    asker: Peer
    body: Body
    serves: bool
    """The asker says that it is a server."""
    proven: bool
    """Its address is."""
    own: SigningKey
    """The key of ours that it wrote to."""
    room_bytes: int
    """What the answer's body may measure."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What we say; `after_records` when it promises that something is kept."""

    body: Body
    after_records: bool = False


class Handler(Protocol):
    """Who knows what questions mean."""

    def serves_to(self, peer: Endpoint) -> bool:
        """Whether this node is a server for those there."""
        ...

    def on_question(self, question: Question, now: Now) -> Answer | None:
        """The answer, None for silence."""
        ...

    def on_answered(self, peer: Peer, serves: bool, now: Now) -> None:
        """The peer answered a question of ours: it is there."""
        ...

    def on_unanswered(self, peer: Peer, now: Now) -> None:
        """It did not."""
        ...

    def on_welcome(self, peer: Peer, now: Now) -> None:
        """Someone at an endpoint that we said hello to claims this key."""
        ...
