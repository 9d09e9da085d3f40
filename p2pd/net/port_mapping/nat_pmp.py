"""NAT-PMP (RFC 6886): its packets, and asking by it.  IPv4 only.

    what is your address?   0  0                                       2 bytes, section 3.2
    answer                  0  128  result/2  epoch/4  address/4       12 bytes
    map a UDP port          0  1  0/2  internal/2  external/2  life/4  12 bytes, section 3.3
    answer                  0  129  result/2  epoch/4  internal/2  external/2  life/4   16 bytes

All big-endian, the epoch and the life in seconds.  An answer with a result other than 0 may be cut after the epoch.
An answer of another length is refused.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.net.port_mapping.asking import ask
from p2pd.net.port_mapping.method import DeclinedError, Lease, Way, checked_port, result_words
from p2pd.types import Endpoint

ADDRESS_QUESTION = bytes(2)
_ADDRESS, _MAP_UDP, _ANSWER = 0, 1, 128
_REQUEST = struct.Struct("!BBHHHI")
_HEAD = struct.Struct("!BBHI")
_ADDRESS_ANSWER = struct.Struct("!8x4s")
_MAP_ANSWER = struct.Struct("!8xHHI")


class Result(IntEnum):
    """RFC 6886 section 3.5."""

    SUCCESS = 0
    UNSUPPORTED_VERSION = 1
    NOT_AUTHORIZED = 2
    NETWORK_FAILURE = 3
    OUT_OF_RESOURCES = 4
    UNSUPPORTED_OPCODE = 5


@dataclass(frozen=True, slots=True)
class MapRequest:
    """Asks for a mapping of a UDP port, or with a lifetime of 0 takes it back."""

    internal_port: int
    external_port: int
    lifetime_s: int

    def encode(self) -> bytes:
        """The 12 bytes."""
        return _REQUEST.pack(0, _MAP_UDP, 0, self.internal_port, self.external_port, self.lifetime_s)


@dataclass(frozen=True, slots=True)
class AddressAnswer:
    """The gateway's outside address."""

    epoch_s: int
    address: str

    @classmethod
    def decode(cls, data: bytes) -> "AddressAnswer":
        """Reads an answer; PeerError for anything else, DeclinedError for a result other than 0."""
        epoch_s = _read_head(data, _ADDRESS, 12)
        return cls(epoch_s, str(IPv4Address(_ADDRESS_ANSWER.unpack(data)[0])))


@dataclass(frozen=True, slots=True)
class MapAnswer:
    """What the gateway has mapped; all but the internal port is 0 after it was taken back."""

    epoch_s: int
    internal_port: int
    external_port: int
    lifetime_s: int

    @classmethod
    def decode(cls, data: bytes) -> "MapAnswer":
        """Reads an answer; PeerError for anything else, DeclinedError for a result other than 0."""
        epoch_s = _read_head(data, _MAP_UDP, 16)
        return cls(epoch_s, *_MAP_ANSWER.unpack(data))


class NatPmp:
    """Asks by NAT-PMP."""

    name = "NAT-PMP"

    def __init__(self, port: int = limits.GATEWAY_PORT) -> None:
        self._port = port

    async def open(self, way: Way, port: int, wanted: Endpoint) -> Lease:
        """Map or renew."""
        at = await ask(way, self._port, ADDRESS_QUESTION, AddressAnswer.decode)
        answer = await self._ask(way, MapRequest(port, wanted.port, limits.MAPPING_LIFE_S))
        if not answer.lifetime_s:
            raise PeerError("gateway_lifetime", "the gateway granted no time")
        return Lease(Endpoint(at.address, checked_port(answer.external_port)), answer.lifetime_s, answer.epoch_s)

    async def close(self, way: Way, port: int, external: Endpoint) -> None:
        """Take it back (section 3.4)."""
        await self._ask(way, MapRequest(port, 0, 0))

    async def _ask(self, way: Way, request: MapRequest) -> MapAnswer:
        return await ask(way, self._port, request.encode(), _reader(request.internal_port))


def _reader(port: int) -> Callable[[bytes], MapAnswer]:
    def read(data: bytes) -> MapAnswer:
        answer = MapAnswer.decode(data)
        if answer.internal_port != port:
            raise PeerError("gateway_other", "an answer to another question")
        return answer

    return read


def _read_head(data: bytes, opcode: int, size: int) -> int:
    """The epoch of an answer that is to have `size` bytes."""
    if not _HEAD.size <= len(data) <= size:
        raise PeerError("gateway_size")
    version, answered, result, epoch_s = _HEAD.unpack_from(data)
    # a gateway of PCP's alone answers with its own version (RFC 6887 section 9)
    if version or result == Result.UNSUPPORTED_VERSION:
        raise DeclinedError("it does not speak this version")
    if answered != opcode | _ANSWER:
        raise PeerError("gateway_opcode")
    if result:
        raise DeclinedError(result_words(Result, result))
    if len(data) != size:
        raise PeerError("gateway_size")
    return int(epoch_s)
