"""What a node says to a relay, and a relay to it.  `docs/protocol.md`, "Relays".

Knows no keys: a relay link's frames are these, sealed by nothing but QUIC, and what `Through` holds is sealed by the
two at its ends.

| tag | name | from | says |
|---|---|---|---|
| 1 | Reserve | a node that waits | whoever names the key of this connection may call me here |
| 2 | Reserved | the relay | so be it, for as long as this link is up; and where the relay is, by each address family |
| 3 | Call | a caller | connect this channel with the node that waits under this key |
| 4 | Called | the relay, to who waits | someone under this key has called, on this channel |
| 5 | Through | either end, and the relay | the next frame of a channel |
| 6 | HangUp | anybody | the channel is over |
"""

from enum import IntEnum
from typing import Annotated

import msgspec

from p2pd import limits
from p2pd.wire.codec import U8, U32, Node, Wire, decode
from p2pd.wire.rpc import PackedEndpoint, check_endpoint


class Over(IntEnum):
    """Why a channel, or a reservation, is no more."""

    BY_CHOICE = 0
    NOBODY = 1
    """Nobody waits there under that key."""
    FULL = 2
    """The relay carries as much as it will."""
    BUDGET = 3
    """More was sent than the relay carries for one in this time."""
    GONE = 4
    """The other end's link with the relay is down."""


class Reserve(Wire, frozen=True, tag=1):
    """Whoever names the key under which I am here may call me, as long as this link is up."""


class Reserved(Wire, frozen=True, tag=2):
    """The relay agrees, and says where it is besides: who waits may know it by one address family only."""

    endpoints: Annotated[list[PackedEndpoint], msgspec.Meta(max_length=limits.RELAY_ENDPOINTS)] = []

    def __post_init__(self) -> None:
        for endpoint in self.endpoints:
            check_endpoint(endpoint)


class Call(Wire, frozen=True, tag=3):
    """Opens a channel to who waits under `callee`; the caller numbers its channels, from 1, and uses none twice."""

    channel: U32
    callee: Node


class Called(Wire, frozen=True, tag=4):
    """The same for the called end, numbered by the relay; `caller` is the key of the caller's connection."""

    channel: U32
    caller: Node


class Through(Wire, frozen=True, tag=5):
    """The next frame of a channel, in order."""

    channel: U32
    frame: Annotated[bytes, msgspec.Meta(min_length=1, max_length=limits.RELAYED_FRAME_BYTES)]


class HangUp(Wire, frozen=True, tag=6):
    """The channel is over; channel 0: there is no reservation."""

    channel: U32
    reason: U8 = Over.BY_CHOICE


RelayMessage = Reserve | Reserved | Call | Called | Through | HangUp


def decode_relay_message(data: bytes) -> RelayMessage:
    """The message; raises `PeerError`."""
    message: RelayMessage = decode(RelayMessage, data, limits.LINK_FRAME_BYTES)  # type: ignore[arg-type]
    return message
