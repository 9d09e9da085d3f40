"""What nodes ask and answer, in sealed datagrams and over QUIC.  `docs/protocol.md`, "Questions and answers".

Knows no keys, no addresses of its own, no state.
Rules: a reply repeats its request's id; a request without a valid address token is padded to the full datagram, and its
reply is never larger than it was (R5).
"""

from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, ClassVar

import msgspec

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.types import Endpoint
from p2pd.wire.codec import U8, U16, U32, U63, Address, Bytes8, Bytes32, Item, Key, Node, Signature, Wire, decode

PackedEndpoint = Annotated[bytes, msgspec.Meta(min_length=6, max_length=18)]
RecordBytes = Annotated[bytes, msgspec.Meta(max_length=limits.RECORD_BYTES)]
Count = Annotated[int, msgspec.Meta(ge=0, le=limits.FRAGMENTS)]
Piece = Annotated[bytes, msgspec.Meta(max_length=limits.FRAGMENT_BYTES)]
Token = Annotated[bytes, msgspec.Meta(max_length=limits.TOKEN_BYTES)]


@lru_cache(limits.CONTACTS_REMEMBERED)  # every datagram names one, and mostly one of a few hundred
def pack_endpoint(endpoint: Endpoint) -> bytes:
    """4 or 16 bytes of address, 2 of port, big-endian."""
    return ip_address(endpoint.host).packed + endpoint.port.to_bytes(2, "big")


def check_endpoint(data: bytes) -> None:
    """ValueError for what `unpack_endpoint` refuses; a class with an endpoint asks it of each value."""
    if len(data) not in (6, 18):
        raise ValueError("an endpoint of no known family")
    if data[-2:] == b"\0\0":
        raise ValueError("port 0")


def unpack_endpoint(data: bytes) -> Endpoint:
    """The endpoint of 6 or 18 bytes, an IPv4-mapped address as IPv4; raises `PeerError`."""
    try:
        check_endpoint(data)
    except ValueError as error:
        raise PeerError("malformed", str(error)) from None
    if len(data) == 6:
        host: IPv4Address | IPv6Address = IPv4Address(data[:4])
    else:
        address = IPv6Address(data[:16])
        host = address.ipv4_mapped or address
    return Endpoint(str(host), int.from_bytes(data[-2:], "big"))


class Refusal(IntEnum):
    """Why a record was not kept, or a question not answered."""

    KEPT = 0
    INVALID = 1
    EXPIRED = 2
    TOO_LONG = 3
    """It would expire later than any record may."""
    OLDER = 4
    """A newer one is held."""
    CONFLICT = 5
    """Another value with the same sequence, or under the same item, is or was held."""
    DELETED = 6
    """A tombstone is held."""
    FULL = 7
    """Its set is."""
    QUOTA = 8
    """The holder's, or the asker's with it."""
    CLIENT = 9
    """The asked node does not serve."""
    TOKEN = 10
    """This needs an address token; the answer brings one."""
    BUSY = 11
    UNSUPPORTED = 12


class Contact(Wire, frozen=True):
    """A node as others tell of it: its key and where it answers."""

    LIMIT: ClassVar[int] = 64
    key: Node
    endpoint: PackedEndpoint

    def __post_init__(self) -> None:
        check_endpoint(self.endpoint)


Contacts = Annotated[list[Contact], msgspec.Meta(max_length=limits.CONTACTS_PER_REPLY)]
FewRecords = Annotated[list[RecordBytes], msgspec.Meta(max_length=limits.RECORDS_PER_REQUEST)]


class Ping(Wire, frozen=True, tag=1):
    """Are you there?  The challenge that must be answered before a node enters a table."""


class Pong(Wire, frozen=True, tag=2):
    """Yes: my wall clock in milliseconds, and the endpoint that I see you at."""

    wall_ms: U63
    observed: PackedEndpoint

    def __post_init__(self) -> None:
        check_endpoint(self.observed)


class Find(Wire, frozen=True, tag=3):
    """Which servers that you know are nearest to this place?  Answered by `Nodes`."""

    target: Bytes32


class Nodes(Wire, frozen=True, tag=4):
    """The nearest servers known, nearest first."""

    contacts: Contacts


class Get(Wire, frozen=True, tag=5):
    """What do you hold under this key, but these items and single values up to `sequence`?  Answered by `Values`."""

    key: Key
    known: Annotated[list[Item], msgspec.Meta(max_length=limits.SET_ITEMS)] = []
    sequence: U63 = 0


class Values(Wire, frozen=True, tag=6):
    """Records that fit, how many more there are (fetched over QUIC), and nodes nearer to the key while they fit."""

    records: FewRecords
    more: U16
    contacts: Contacts


class Store(Wire, frozen=True, tag=7):
    """Keep these records.  Answered by `Stored`."""

    records: FewRecords


class Stored(Wire, frozen=True, tag=8):
    """For each record in order: 0 kept, else why not (`Refusal`); and a receipt for each one kept, tombstones apart."""

    results: Annotated[list[U8], msgspec.Meta(max_length=limits.RECORDS_PER_REQUEST)]
    receipts: Annotated[
        list[Annotated[bytes, msgspec.Meta(max_length=300)]], msgspec.Meta(max_length=limits.RECORDS_PER_REQUEST)
    ]


class Listen(Wire, frozen=True, tag=9):
    """Push to me what arrives under this open set until then; signed by the set's address key (see `listen_bytes`)."""

    address: Address
    until_s: U32
    signature: Signature


class Listening(Wire, frozen=True, tag=10):
    """I push until then; 0: I do not, since I hold too many listeners already."""

    until_s: U32


class Push(Wire, frozen=True, tag=11):
    """This arrived under what you listen to; answered by `Pushed`."""

    record: RecordBytes


class Pushed(Wire, frozen=True, tag=12):
    """I have it."""


class Digest(Wire, frozen=True, tag=13):
    """Between servers, over QUIC or in a datagram: 8 bytes of the digest of each record that I hold and you should."""

    digests: Annotated[list[Bytes8], msgspec.Meta(max_length=65_536)]


class Missing(Wire, frozen=True, tag=14):
    """The positions in your `Digest` of records that I do not hold; please store them with me."""

    positions: Annotated[list[U32], msgspec.Meta(max_length=65_536)]


class Probe(Wire, frozen=True, tag=15):
    """Please have some other server try to reach me at the endpoint that you see me at.  Answered by `Probing`."""


class Probing(Wire, frozen=True, tag=16):
    """I asked one."""


class Reach(Wire, frozen=True, tag=17):
    """Between servers: send `Reached` to this endpoint, unless you have talked to it before.  Answered by `Probing`."""

    key: Node
    endpoint: PackedEndpoint

    def __post_init__(self) -> None:
        check_endpoint(self.endpoint)


class Reached(Wire, frozen=True, tag=18):
    """You can be reached from where you had not written to.  Not answered."""


class Failed(Wire, frozen=True, tag=19):
    """I cannot answer: the reason as a number (`Refusal`)."""

    reason: U8


class Fragment(Wire, frozen=True, tag=20):
    """A piece of a question too long for a datagram.  Answered by `Taken`, or by `Answered` when none is lacking."""

    exchange: Bytes8
    at: U8
    count: Count
    data: Piece


class Taken(Wire, frozen=True, tag=21):
    """I have it; these of the exchange I lack."""

    lacking: Annotated[list[U8], msgspec.Meta(max_length=limits.FRAGMENTS)]


class Rest(Wire, frozen=True, tag=22):
    """Which is the further piece of the answer at this place?  Answered by `Answered`."""

    exchange: Bytes8
    at: U8


class Answered(Wire, frozen=True, tag=23):
    """The answer to what came in fragments has so many pieces, and this is one: the first, or the one asked for."""

    count: Count
    data: Piece


Body = (
    Ping
    | Pong
    | Find
    | Nodes
    | Get
    | Values
    | Store
    | Stored
    | Listen
    | Listening
    | Push
    | Pushed
    | Digest
    | Missing
    | Probe
    | Probing
    | Reach
    | Reached
    | Failed
    | Fragment
    | Taken
    | Rest
    | Answered
)
Request = Ping | Find | Get | Store | Listen | Push | Digest | Probe | Reach | Fragment | Rest
Reply = Pong | Nodes | Values | Stored | Listening | Pushed | Missing | Probing | Failed | Taken | Answered


class Packet(Wire, frozen=True):
    """What a sealed datagram's box holds.

    | field | bytes | |
    |---|---|---|
    | id | 8 | of the request; a reply repeats it |
    | token | 0 or 16 | in a request the one that the other gave us, in a reply one that we give |
    | serves | bool | the sender is a server and may be tabled |
    | body | | see `Body` |
    | padding | | zeros; ignored |
    """

    LIMIT: ClassVar[int] = limits.DATAGRAM_BYTES
    id: Bytes8
    token: Token
    serves: bool
    body: Body
    padding: bytes = b""

    def __post_init__(self) -> None:
        if len(self.token) not in (0, limits.TOKEN_BYTES):
            raise ValueError("a token is whole or not there")


def decode_body(data: bytes) -> Body:
    """The body of a request or response over QUIC; raises `PeerError`."""
    body: Body = decode(Body, data, limits.REQUEST_BYTES)  # type: ignore[arg-type]
    return body


def listen_bytes(listen_address: bytes, listener: bytes, until_s: int) -> bytes:
    """What a `Listen` signature covers: the address, the listener's node key, the time."""
    return listen_address + listener + until_s.to_bytes(4, "big")
