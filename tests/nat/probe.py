"""Small UDP sockets on the lab's machines: what a NAT maps to what, and whom it lets in.

A socket is made inside a namespace and stays there, so that a test holds both ends in one process.
"""

import socket
from contextlib import ExitStack, suppress
from types import TracebackType

from tests.nat.namespaces import Namespace

ARRIVES_S = 2.0
"""Within this a packet has come; the lab takes well below a millisecond."""
STAYS_AWAY_S = 0.15
"""A packet that has not come by then was dropped."""
Address = tuple[str, int]


class Probe:
    """One UDP socket on one machine."""

    def __init__(self, machine: Namespace, port: int, host: str = "") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = machine.inside(lambda: socket.socket(family, socket.SOCK_DGRAM))
        self._socket.bind((host, port))

    def send(self, to: Address, data: bytes = b"\x14probe") -> None:
        """A packet leaves."""
        with suppress(OSError):  # an ICMP error that an earlier packet caused, or no route: nothing arrives
            self._socket.sendto(data, to)

    def source(self, within_s: float = ARRIVES_S) -> Address | None:
        """Where the next packet came from; None where none comes."""
        self._socket.settimeout(within_s)
        try:
            return self._socket.recvfrom(2_048)[1]  # type: ignore[no-any-return]
        except TimeoutError:
            return None

    def close(self) -> None:
        self._socket.close()


class Probes:
    """Those of a test."""

    def __init__(self) -> None:
        self._open = ExitStack()

    def __enter__(self) -> "Probes":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def at(self, machine: Namespace, port: int, host: str = "") -> Probe:
        """One more; without `host` on all of the machine's addresses."""
        probe = Probe(machine, port, host)
        self._open.callback(probe.close)
        return probe


def seen(sender: Probe, to: Address, receiver: Probe, data: bytes = b"\x14probe") -> Address | None:
    """Where the receiver sees the sender; None where the packet does not come."""
    sender.send(to, data)
    return receiver.source()


def passes(sender: Probe, to: Address, receiver: Probe, data: bytes = b"\x14probe") -> bool:
    """Whether a packet arrives."""
    sender.send(to, data)
    return receiver.source(STAYS_AWAY_S) is not None
