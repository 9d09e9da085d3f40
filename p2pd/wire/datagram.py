"""The DHT's datagrams, outermost layer.  `docs/protocol.md`, "Datagrams".

Knows no keys: sealing is done above.
Rules: at most 1,152 bytes; bytes after a fixed format are refused; a hello's padding is not looked at.

Sealed, kind 0x20:

| at | bytes | |
|---|---|---|
| 0 | 1 | kind |
| 1 | 1 | version, 1 |
| 2 | 4 | network |
| 6 | 32 | sender's node key, or its throwaway key |
| 38 | 24 | nonce |
| 62 | rest | box: a `Packet`, XChaCha20-Poly1305; the first 38 bytes are its associated data |
"""

from dataclasses import dataclass

from p2pd import limits
from p2pd.domains import Domain, domain_hash
from p2pd.errors import PeerError
from p2pd.types import Endpoint, NodeKey
from p2pd.wire.rpc import pack_endpoint, unpack_endpoint

SEALED = 0x20
HELLO = 0x21
WELCOME = 0x22
KNOCK = 0x23
VERSION = 1
HEADER_BYTES = 38
BOX_AT = HEADER_BYTES + limits.NONCE_BYTES
PACKET_BYTES = limits.DATAGRAM_BYTES - BOX_AT - limits.BOX_OVERHEAD_BYTES
"""The largest `Packet` that a sealed datagram holds."""


def network_id(name: str) -> bytes:
    """The 4 bytes that keep networks apart: nodes of different names never talk."""
    return domain_hash(Domain.NETWORK, name.encode(errors="surrogateescape"), size=4)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed datagram."""

    network: bytes
    sender: NodeKey
    nonce: bytes
    box: bytes

    @property
    def header(self) -> bytes:
        """The first 38 bytes: the box's associated data."""
        return bytes((SEALED, VERSION)) + self.network + self.sender

    def encode(self) -> bytes:
        """The datagram's bytes."""
        return self.header + self.nonce + self.box


@dataclass(frozen=True, slots=True)
class Hello:
    """The first datagram to a bare host and port; padded to 1,152 bytes, so that its answer is smaller.

    kind 1, version 1, network 4, id 8, zeros.
    """

    network: bytes
    id: bytes

    def encode(self) -> bytes:
        """The datagram's bytes."""
        return (bytes((HELLO, VERSION)) + self.network + self.id).ljust(limits.HELLO_BYTES, b"\0")


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to a hello.  Not authenticated: what it says is proven by the sealed exchange that follows.

    kind 1, version 1, network 4, id 8, node key 32, address token 16, wall clock in milliseconds 8 (below 2^63),
    serves 1 (0 or 1), observed endpoint 6 or 18.
    """

    network: bytes
    id: bytes
    key: NodeKey
    token: bytes
    wall_ms: int
    serves: bool
    observed: Endpoint

    def encode(self) -> bytes:
        """The datagram's bytes."""
        head = bytes((WELCOME, VERSION)) + self.network + self.id + self.key + self.token
        return head + self.wall_ms.to_bytes(8, "big") + bytes([self.serves]) + pack_endpoint(self.observed)


@dataclass(frozen=True, slots=True)
class Knock:
    """What opens the way through two routers.  Says nothing, and is believed only by who made its token.

    kind 1, version 1, network 4, the receiver's token 16, heard 1 (1: something of yours has come to me from here).
    """

    network: bytes
    token: bytes
    heard: bool

    def encode(self) -> bytes:
        """The datagram's bytes."""
        return bytes((KNOCK, VERSION)) + self.network + self.token + bytes([self.heard])


KNOCK_BYTES = 23
Datagram = Sealed | Hello | Welcome | Knock


def decode(data: bytes) -> Datagram:
    """The datagram in these bytes; raises `PeerError`."""
    if not 14 <= len(data) <= limits.DATAGRAM_BYTES:
        raise PeerError("malformed", f"a datagram of {len(data)} bytes")
    kind, version, network = data[0], data[1], data[2:6]
    if version != VERSION:
        raise PeerError("version", f"version {version}")
    if kind == SEALED and len(data) >= BOX_AT + limits.BOX_OVERHEAD_BYTES:
        return Sealed(network, NodeKey(data[6:38]), data[38:BOX_AT], data[BOX_AT:])
    if kind == HELLO and len(data) == limits.HELLO_BYTES:
        return Hello(network, data[6:14])
    if kind == WELCOME and len(data) in (77, 89) and data[62] < 0x80 and data[70] <= 1:
        return Welcome(
            network,
            data[6:14],
            NodeKey(data[14:46]),
            data[46:62],
            int.from_bytes(data[62:70], "big"),
            data[70] == 1,
            unpack_endpoint(data[71:]),
        )
    if kind == KNOCK and len(data) == KNOCK_BYTES and data[22] <= 1:
        return Knock(network, data[6:22], data[22] == 1)
    raise PeerError("malformed", f"kind {kind:#04x}, {len(data)} bytes")
