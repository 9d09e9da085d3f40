"""The node's UDP sockets: one per listen address, drained by our own reader, for everything that the node says.

It does not know what datagrams mean beyond their first byte, which the network looks at.
Rules: a socket is read up to `limits.INPUTS_PER_TURN` times, and no more than there is room, then the batch is handed
on, then the loop may go on; what the kernel does not take waits in a bounded queue; an error of one datagram is counted
and stops nothing.
Addresses are `Endpoint`s: IPv4-mapped ones as IPv4, without a zone.
"""

import asyncio
import errno
import socket
from collections import Counter, deque
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from p2pd import limits
from p2pd.effects import OTHER
from p2pd.errors import P2pdError
from p2pd.net.traffic import Cause, Traffic
from p2pd.types import Endpoint

_ANY_V6 = "::"
Receive = Callable[[bytes, Endpoint], None]


class AddressError(P2pdError):
    """The address or port to listen on is taken, or not this machine's."""

    code = "address"
    exit_code = 11


class UdpSocket:
    """One bound, non-blocking socket on the running loop; `receive` per datagram, `batch_done` after each batch."""

    def __init__(
        self,
        listen: Endpoint,
        receive: Receive,
        batch_done: Callable[[], None],
        counts: Counter[str],
        room: Callable[[], int] = lambda: limits.INPUTS_PER_TURN,
        traffic: Traffic | None = None,
    ) -> None:
        self._receive = receive
        self._batch_done = batch_done
        self._counts = counts
        self._room = room
        self._traffic = traffic or Traffic()
        self._waiting: deque[tuple[bytes, tuple[str, int], str]] = deque()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._socket = _bound_socket(listen)
        self._is_v6 = self._socket.family == socket.AF_INET6
        self._is_dual = self._is_v6 and listen.host == _ANY_V6
        host, port = self._socket.getsockname()[:2]
        self.bound = Endpoint(host, port)

    async def start(self) -> None:
        """Begin to read; with a plain asyncio transport where the loop cannot watch sockets (Windows)."""
        try:
            self._loop.add_reader(self._socket, self._on_readable)
        except NotImplementedError:
            await self.start_with_transport()

    async def start_with_transport(self) -> None:
        """Begin to read by asyncio's own reader, which costs twice the time per datagram."""
        self._transport, _ = await self._loop.create_datagram_endpoint(
            lambda: _TransportReader(self.on_datagram, self._batch_done, self._counts), sock=self._socket
        )

    def reaches(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint is of this socket's address family."""
        return (":" in endpoint.host) == self._is_v6 or self._is_dual

    def send(self, endpoint: Endpoint, data: bytes, cause: str = OTHER) -> None:
        """Send one datagram, now or when the kernel takes it; only then it counts, under its cause."""
        try:
            address = _socket_address(endpoint, self._is_v6)
        except ValueError:
            self._counts["send: no IP address"] += 1
            return
        if self._transport is not None:
            self._transport.sendto(data, address)
            self._count_sent(len(data), cause)
        elif self._waiting:
            self._wait(data, address, cause)
        elif not self._send_now(data, address, cause):
            self._wait(data, address, cause)
            self._loop.add_writer(self._socket, self._on_writable)

    def close(self) -> None:
        """Stop reading and give the port back."""
        if self._transport is not None:
            self._transport.close()
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()

    def on_datagram(self, data: bytes, address: tuple[str, int]) -> None:
        """Hand one datagram on."""
        self._counts["bytes in"] += len(data)
        self._counts["packets in"] += 1
        if len(data) >= limits.UDP_READ_BYTES:
            self._counts["datagram too long"] += 1
            self._traffic.received[Cause.REJECTED] += len(data)
        else:
            self._receive(data, _endpoint(address[0], address[1]))

    def _on_readable(self) -> None:
        self.read()
        self._batch_done()

    def read(self) -> None:
        """Hand on what has come by now, without `batch_done`; nothing where asyncio reads."""
        if self._transport is not None:
            return
        receive_from = self._socket.recvfrom
        for _ in range(min(self._room(), limits.INPUTS_PER_TURN)):
            try:
                data, address = receive_from(limits.UDP_READ_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # an ICMP error of something sent before
                self._counts["receive error"] += 1
                continue
            self.on_datagram(data, address)

    def _on_writable(self) -> None:
        while self._waiting and self._send_now(*self._waiting[0]):
            self._waiting.popleft()
        if not self._waiting:
            self._loop.remove_writer(self._socket)

    def _send_now(self, data: bytes, address: tuple[str, int], cause: str) -> bool:
        """False where the kernel has no room at present."""
        try:
            self._count_sent(self._socket.sendto(data, address), cause)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._counts[f"send error {error.errno}"] += 1
        return True

    def _count_sent(self, size: int, cause: str) -> None:
        self._counts["bytes out"] += size
        self._counts["packets out"] += 1
        self._traffic.sent[cause] += size

    def _wait(self, data: bytes, address: tuple[str, int], cause: str) -> None:
        if len(self._waiting) >= limits.SEND_WAITING:
            self._counts["send queue full"] += 1
        else:
            self._waiting.append((data, address, cause))


class _TransportReader(asyncio.DatagramProtocol):
    """asyncio's transport, where our own reader is not possible."""

    def __init__(
        self,
        on_datagram: Callable[[bytes, tuple[str, int]], None],
        batch_done: Callable[[], None],
        counts: Counter[str],
    ) -> None:
        self._on_datagram = on_datagram
        self._batch_done = batch_done
        self._counts = counts

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._on_datagram(data, addr)
        self._batch_done()

    def error_received(self, exc: Exception) -> None:
        self._counts["receive error"] += 1


_REMEDIES = {
    errno.EADDRINUSE: "end the program that has it, which `ss -lunp` shows, or choose another port",
    errno.EADDRNOTAVAIL: "choose an address of this machine, which `ip address` shows",
    errno.EACCES: "choose another port: those below 1024 are root's",
}


def _bound_socket(listen: Endpoint) -> socket.socket:
    try:
        is_v6 = isinstance(ip_address(listen.host), IPv6Address)
    except ValueError as error:
        raise AddressError(f"{listen.host} is no IP address", hint="listen on an address of this machine") from error
    bound = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if is_v6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, listen.host != _ANY_V6)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            bound.setsockopt(socket.SOL_SOCKET, option, limits.SOCKET_BUFFER_BYTES)
        bound.bind((listen.host, listen.port))
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        hint = _REMEDIES.get(error.errno or 0, "choose another")
        raise AddressError(f"cannot listen on {listen}: {error.strerror}", hint=hint) from error
    return bound


@lru_cache(maxsize=4_096)
def _endpoint(host: str, port: int) -> Endpoint:
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return Endpoint(str(address), port)


@lru_cache(maxsize=4_096)
def _socket_address(endpoint: Endpoint, is_v6: bool) -> tuple[str, int]:
    """As the socket wants it; ValueError for a name, which would make it ask a name server."""
    address = ip_address(endpoint.host)
    mapped = is_v6 and isinstance(address, IPv4Address)
    return (f"::ffff:{address}" if mapped else str(address)), endpoint.port
