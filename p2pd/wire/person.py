"""What a person publishes: devices, prekeys, profile, presence.  `docs/protocol.md`, "People".

Knows no keys: whoever holds one signs, seals, verifies.
Rules: what a key signs is kept and checked as received bytes; nothing here is signed by the identity but certificates
of devices (and the records that carry these values, under blinded keys): content stays deniable (R29).
"""

from enum import IntEnum
from typing import Annotated, ClassVar

import msgspec

from p2pd import limits
from p2pd.wire.codec import U8, U32, U63, Bytes32, Device, Identity, Name, Node, Signature, Wire
from p2pd.wire.rpc import PackedEndpoint, check_endpoint


class DeviceContent(Wire, frozen=True):
    """This device speaks for this identity."""

    LIMIT: ClassVar[int] = 128
    identity: Identity
    device: Device
    made_s: U32


class DeviceCertificate(Wire, frozen=True):
    """A `DeviceContent` signed by the identity."""

    LIMIT: ClassVar[int] = 256
    content: Annotated[bytes, msgspec.Meta(max_length=128)]
    signature: Signature


class PrekeyContent(Wire, frozen=True):
    """A device's signed prekey: X25519 and ML-KEM-768 together."""

    LIMIT: ClassVar[int] = 1_400
    id: U32
    exchange: Bytes32
    kem: Annotated[bytes, msgspec.Meta(min_length=1_184, max_length=1_184)]
    made_s: U32


class SignedPrekey(Wire, frozen=True):
    """A `PrekeyContent` signed by the device."""

    LIMIT: ClassVar[int] = 1_500
    content: Annotated[bytes, msgspec.Meta(max_length=1_400)]
    signature: Signature


class ProfileDevice(Wire, frozen=True):
    """One device in a profile."""

    LIMIT: ClassVar[int] = 2_000
    certificate: DeviceCertificate
    prekey: SignedPrekey


class Profile(Wire, frozen=True):
    """What anyone who knows a person's address may know: how to write to them.  No network address in it."""

    LIMIT: ClassVar[int] = limits.BODY_BYTES
    name: Name
    made_ms: U63
    inbox_bits: U8
    """Leading zero bits of the stamp that the public inbox asks for; 0: none."""
    devices: Annotated[list[ProfileDevice], msgspec.Meta(max_length=limits.DEVICES)]


class NatKind(IntEnum):
    """What a node knows of the router in front of it, in the words of RFC 4787.

    A number that is not here reads as UNKNOWN.
    """

    UNKNOWN = 0
    OPEN = 1
    """No translation, and strangers get through."""
    FIREWALLED = 2
    """No translation, but only answers get through."""
    FULL_CONE = 3
    """Endpoint-independent mapping, and strangers get through: also where a port is mapped."""
    RESTRICTED = 4
    """Endpoint-independent mapping; only answers get through."""
    SYMMETRIC = 5
    """Another mapping for each destination."""
    NO_QUIC = 6
    """Whatever stands there, it lets no QUIC through: the DHT's datagrams are all that pass."""


def nat_kind(number: int) -> NatKind:
    """What a number in a presence or a punch means."""
    try:
        return NatKind(number)
    except ValueError:
        return NatKind.UNKNOWN


class Waiting(Wire, frozen=True):
    """Where a person's node waits to be called: a relay, and the key under which it is known there."""

    LIMIT: ClassVar[int] = 256
    relay: Node
    endpoints: Annotated[list[PackedEndpoint], msgspec.Meta(max_length=limits.RELAY_ENDPOINTS)]
    callee: Node

    def __post_init__(self) -> None:
        for endpoint in self.endpoints:
            check_endpoint(endpoint)


class Presence(Wire, frozen=True):
    """Where a person's node can be reached now; only accepted contacts can find and open it."""

    LIMIT: ClassVar[int] = limits.BODY_INLINE_BYTES
    made_ms: U63
    node: Node
    endpoints: Annotated[list[PackedEndpoint], msgspec.Meta(max_length=limits.ENDPOINTS)]
    relays: Annotated[list[Waiting], msgspec.Meta(max_length=limits.RELAYS)] = []
    nat: U8 = 0
    """`NatKind`: why a link may not come about."""

    def __post_init__(self) -> None:
        for endpoint in self.endpoints:
            check_endpoint(endpoint)
