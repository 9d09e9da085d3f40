"""Gateways of every temper on loopback: written from the RFCs with `struct` alone, so that they judge our packets."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address

from p2pd.net.port_mapping.method import Way
from p2pd.types import Endpoint

WAY = Way("127.0.0.1", "127.5.3.51")
ANYWHERE = Endpoint("0.0.0.0", 4040)  # noqa: S104  stands for any address, nothing is bound
NONCE = b"twelve bytes"
SECRET = bytes(32)
Answer = Callable[[bytes], Iterable[bytes]]


class Gateway(asyncio.DatagramProtocol):
    """Answers every packet with what `answer` makes of it."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.port = 0

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(data)
        for reply in self.answer(data):
            self.transport.sendto(reply, addr)


@asynccontextmanager
async def gateway(answer: Answer, host: str = WAY.gateway) -> AsyncIterator[Gateway]:
    """One on a free port."""
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(lambda: Gateway(answer), local_addr=(host, 0))
    try:
        yield made
    finally:
        transport.close()


def silent(data: bytes) -> list[bytes]:
    return []


def mapped(address: str) -> bytes:
    return bytes(10) + b"\xff\xff" + IPv4Address(address).packed


def pcp(
    *,
    external: str = "198.51.100.7",
    port: int | None = None,
    life_s: int | None = None,
    epoch_s: int = 1_000,
    result: int = 0,
    nonce: bytes | None = None,
    internal: int | None = None,
    protocol: int = 17,
    tail: bytes = b"",
) -> Answer:
    """A gateway that speaks PCP; what is given differs from what was asked."""

    def answer(data: bytes) -> list[bytes]:
        if data[:2] != b"\x02\x01":
            return []
        assert len(data) == 60
        lifetime = int.from_bytes(data[4:8], "big")
        assert data[8:24] == mapped(WAY.own)
        granted = lifetime if life_s is None or not lifetime else life_s
        head = bytes([2, 0x81, 0, result]) + struct.pack("!II", granted, epoch_s) + bytes(12)
        asked_internal, asked_external = struct.unpack("!HH", data[40:44])
        body = (data[24:36] if nonce is None else nonce) + bytes([protocol, 0, 0, 0])
        body += struct.pack("!H", asked_internal if internal is None else internal)
        body += struct.pack("!H", asked_external if port is None else port) + mapped(external)
        return [head + body + tail]

    return answer


def nat_pmp(
    *,
    external: str = "198.51.100.7",
    port: int | None = None,
    life_s: int | None = None,
    epoch_s: int = 1_000,
    result: int = 0,
    address_result: int = 0,
    internal: int | None = None,
) -> Answer:
    """A gateway that speaks NAT-PMP, and answers other versions as RFC 6886 section 3.5 says."""

    def answer(data: bytes) -> list[bytes]:
        if data[0] != 0:
            return [struct.pack("!BBHI", 0, 0x80 | data[1], 1, epoch_s)]
        if data == b"\x00\x00":
            head = struct.pack("!BBHI", 0, 128, address_result, epoch_s)
            return [head + IPv4Address(external).packed]
        version, opcode, zero, asked_internal, asked_external, lifetime = struct.unpack("!BBHHHI", data)
        assert (version, opcode, zero) == (0, 1, 0)
        head = struct.pack("!BBHI", 0, 129, result, epoch_s)
        granted = lifetime if life_s is None or not lifetime else life_s
        at = 0 if not lifetime else asked_external if port is None else port
        return [head + struct.pack("!HHI", asked_internal if internal is None else internal, at, granted)]

    return answer


def version_only(version: int) -> Answer:
    """A gateway of PCP's that speaks another version and nothing else."""
    return lambda data: [bytes([version, 0x80 | data[1], 0, 1]) + bytes(20)]


def unmapped(packed: bytes) -> str:
    """The address in a PCP packet, as text."""
    address = IPv6Address(packed)
    return str(address.ipv4_mapped or address)
