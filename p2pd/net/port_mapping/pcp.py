"""PCP, the Port Control Protocol, opcode MAP (RFC 6887): its packets, and asking by it.

A request, 60 bytes, big-endian (sections 7.1 and 11.1):

    0   1  version 2          24  12  nonce
    1   1  opcode 1           36   1  protocol, 17 for UDP
    2   2  0                  37   3  0
    4   4  lifetime, s        40   2  internal port
    8  16  our address        42   2  external port wanted, 0 for any
                              44  16  external address wanted, ::ffff:0:0 or :: for any

An answer is the same but for: byte 1 has bit 0x80, byte 3 is the result, 8 to 11 the epoch in seconds, 12 to 23 are 0,
and the external port and address are those granted.  Options may follow; none is asked for, and all are ignored.
IPv4 addresses are written as IPv4-mapped IPv6.  The same packets open a firewall for IPv6.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address

from p2pd import limits
from p2pd.domains import Domain, derive_key
from p2pd.errors import PeerError
from p2pd.net.port_mapping.asking import ask
from p2pd.net.port_mapping.method import UDP, DeclinedError, Lease, Way, checked_port, result_words
from p2pd.types import Endpoint

VERSION = 2
NONCE_BYTES = 12
_MAP = 1
_ANSWER = 0x80
_HEAD = struct.Struct("!BBHI16s")
_ANSWER_HEAD = struct.Struct("!BBxBII12x")
_MAPPING = struct.Struct("!12sB3xHH16s")
_BYTES = _HEAD.size + _MAPPING.size


class Result(IntEnum):
    """RFC 6887 section 7.4."""

    SUCCESS = 0
    UNSUPPORTED_VERSION = 1
    NOT_AUTHORIZED = 2
    MALFORMED_REQUEST = 3
    UNSUPPORTED_OPCODE = 4
    UNSUPPORTED_OPTION = 5
    MALFORMED_OPTION = 6
    NETWORK_FAILURE = 7
    NO_RESOURCES = 8
    UNSUPPORTED_PROTOCOL = 9
    USER_EXCEEDS_QUOTA = 10
    CANNOT_PROVIDE_EXTERNAL = 11
    ADDRESS_MISMATCH = 12
    EXCESSIVE_REMOTE_PEERS = 13


@dataclass(frozen=True, slots=True)
class MapRequest:
    """Asks for a mapping, or with a lifetime of 0 takes it back."""

    own: str
    nonce: bytes
    internal_port: int
    external: Endpoint
    lifetime_s: int

    def encode(self) -> bytes:
        """The 60 bytes."""
        mapping = _MAPPING.pack(
            self.nonce, UDP, self.internal_port, self.external.port, _packed_address(self.external.host)
        )
        return _HEAD.pack(VERSION, _MAP, 0, self.lifetime_s, _packed_address(self.own)) + mapping


@dataclass(frozen=True, slots=True)
class MapAnswer:
    """What the gateway has done; all but `result`, `lifetime_s` and `epoch_s` repeats or grants."""

    result: int
    lifetime_s: int
    """Of the mapping, or of the error."""
    epoch_s: int
    nonce: bytes
    protocol: int
    internal_port: int
    external: Endpoint

    @classmethod
    def decode(cls, data: bytes) -> "MapAnswer":
        """Reads an answer; PeerError for anything else, DeclinedError where the gateway speaks another version."""
        if not 4 <= len(data) <= limits.GATEWAY_PACKET_BYTES:
            raise PeerError("gateway_size")
        if not data[1] & _ANSWER:
            raise PeerError("gateway_opcode", "a question, not an answer")
        # of NAT-PMP's gateway, whose answer is shorter (RFC 6887 appendix A), or of another PCP's (section 9)
        if data[0] != VERSION or data[3] == Result.UNSUPPORTED_VERSION:
            raise DeclinedError("it does not speak this version")
        if len(data) < _BYTES or len(data) % 4 or data[1] != _ANSWER | _MAP:
            raise PeerError("gateway_form")
        _, _, result, lifetime_s, epoch_s = _ANSWER_HEAD.unpack_from(data)
        nonce, protocol, internal_port, external_port, address = _MAPPING.unpack_from(data, _HEAD.size)
        external = Endpoint(_address(address), external_port)
        return cls(result, lifetime_s, epoch_s, nonce, protocol, internal_port, external)


class Pcp:
    """Asks by PCP; the nonce says that a mapping is ours.

    It follows from a secret, the same in every run: a gateway refuses a restarted node that comes with another (section
    11.3).  And from the way, so that gateways of two networks do not know a node again by it.
    """

    name = "PCP"

    def __init__(self, secret: bytes, port: int = limits.GATEWAY_PORT) -> None:
        self._secret = secret
        self._port = port

    async def open(self, way: Way, port: int, wanted: Endpoint) -> Lease:
        """Map or renew."""
        answer = await self._ask(way, port, wanted, limits.MAPPING_LIFE_S)
        if not answer.lifetime_s:
            raise PeerError("gateway_lifetime", "the gateway granted no time")
        checked_port(answer.external.port)
        return Lease(answer.external, answer.lifetime_s, answer.epoch_s)

    async def close(self, way: Way, port: int, external: Endpoint) -> None:
        """Take it back (section 15.1)."""
        await self._ask(way, port, _anything(way), 0)

    async def _ask(self, way: Way, port: int, external: Endpoint, lifetime_s: int) -> MapAnswer:
        parts = (way.own.encode(), way.gateway.encode())
        nonce = derive_key(Domain.MAPPING_NONCE, self._secret, *parts, size=NONCE_BYTES)

        def read(data: bytes) -> MapAnswer:
            answer = MapAnswer.decode(data)
            if (answer.nonce, answer.protocol, answer.internal_port) != (nonce, UDP, port):
                raise PeerError("gateway_other", "an answer to another question")
            if answer.result:
                raise DeclinedError(result_words(Result, answer.result), answer.lifetime_s)
            return answer

        request = MapRequest(way.own, nonce, port, external, lifetime_s)
        return await ask(way, self._port, request.encode(), read)


def _anything(way: Way) -> Endpoint:
    return Endpoint("::" if way.is_v6 else "0.0.0.0", 0)  # noqa: S104  stands for any address, nothing is bound


def _packed_address(host: str) -> bytes:
    address = ip_address(host)
    return bytes(10) + b"\xff\xff" + address.packed if isinstance(address, IPv4Address) else address.packed


def _address(packed: bytes) -> str:
    address = IPv6Address(packed)
    return str(address.ipv4_mapped or address)
