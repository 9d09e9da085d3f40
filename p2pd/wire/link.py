"""What two persons' devices say on a link.  `docs/protocol.md`, "Links".

Knows no keys.  The first frame each way is a Noise IK handshake message, whose payload is an `Introduction`; every
later frame is one `LinkMessage`, padded to a size class and sealed by the link's cipher.
"""

from typing import Annotated, ClassVar

import msgspec

from p2pd import limits
from p2pd.wire.codec import U8, U16, U32, Bytes16, Wire, decode
from p2pd.wire.padding import pad_for_seal, unpad
from p2pd.wire.person import DeviceCertificate
from p2pd.wire.rpc import PackedEndpoint, check_endpoint

LINK_MESSAGE_BYTES = limits.LINK_FRAME_BYTES - limits.BOX_OVERHEAD_BYTES


class Introduction(Wire, frozen=True):
    """Who speaks: the certificate of the device whose key the handshake proves."""

    LIMIT: ClassVar[int] = 512
    certificate: DeviceCertificate


class Carry(Wire, frozen=True, tag=1):
    """An encoded `Envelope`."""

    envelope: Annotated[bytes, msgspec.Meta(max_length=limits.ENVELOPE_BYTES)]


class Ready(Wire, frozen=True, tag=2):
    """The caller's first message: its arrival proves the caller."""


class Typing(Wire, frozen=True, tag=3):
    """The other user is writing; until this many milliseconds from now, a minute at most."""

    for_ms: U16


class Punch(Wire, frozen=True, tag=4):
    """Let us make a way of our own: send to me at these endpoints, and put `token` into what you send.

    The one that dialled the link asks, the other answers with the same round.  `nat` is what the sender knows of the
    router in front of it (`NatKind`).
    """

    round: U32
    token: Bytes16
    endpoints: Annotated[list[PackedEndpoint], msgspec.Meta(max_length=limits.ENDPOINTS)]
    nat: U8 = 0

    def __post_init__(self) -> None:
        for endpoint in self.endpoints:
            check_endpoint(endpoint)


class PunchNow(Wire, frozen=True, tag=5):
    """Begin to send now, as I shall when this has arrived."""

    round: U32


LinkMessage = Carry | Ready | Typing | Punch | PunchNow


def decode_link_message(data: bytes) -> LinkMessage:
    """The message; raises `PeerError`."""
    message: LinkMessage = decode(LinkMessage, data, LINK_MESSAGE_BYTES)  # type: ignore[arg-type]
    return message


def pack_link_message(message: LinkMessage) -> bytes:
    """What is sealed: padded so that who sees the line learns a size class, and no length."""
    return pad_for_seal(message.encode(), seal_bytes=limits.BOX_OVERHEAD_BYTES)


def unpack_link_message(data: bytes) -> LinkMessage:
    """The message in what was sealed; raises `PeerError`."""
    return decode_link_message(unpad(data))
