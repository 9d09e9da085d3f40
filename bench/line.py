"""A line as long and as lossy as the internet's, for nodes of ours on one machine.

`python -m bench.line DELAY_MS LOSS p2pd-arguments...` runs the daemon as it ships, but for its UDP socket: every
datagram is read DELAY_MS after it came, and a share of LOSS never.  Where all nodes do so, a round trip takes twice
that.
Chosen over a relay between the daemons because nodes tell each other addresses: none of these can lead round it, and
no process of a relay's takes part in the time that is measured.
Rule: datagrams keep their order, as they do on most lines.
"""

import asyncio
import random
import sys
from collections import deque
from dataclasses import dataclass
from typing import Any

import p2pd.net.network
from p2pd.net.udp import UdpSocket


@dataclass(frozen=True, slots=True)
class Line:
    """What lies between any two nodes."""

    name: str
    delay_s: float = 0.0
    """One way."""
    loss: float = 0.0
    """Of all datagrams, either way."""

    @property
    def words(self) -> list[str]:
        """The arguments of this module that make it so; none where nothing is to be made."""
        return [str(self.delay_s * 1000), str(self.loss)] if self.delay_s or self.loss else []


LOOPBACK = Line("loopback")
LONG = Line("60 ms", delay_s=0.030)
LOSSY = Line("60 ms, 1 % loss", delay_s=0.030, loss=0.01)
LINES = {line.name: line for line in (LOOPBACK, LONG, LOSSY)}


def take(line: Line) -> None:
    """From now on the nodes of this process send over such a line."""
    if line.words:
        setattr(p2pd.net.network, "UdpSocket", _socket_on(line))  # noqa: B010  the name that Network makes sockets by


def _socket_on(line: Line) -> type[UdpSocket]:
    class LineSocket(UdpSocket):
        """The node's socket at the end of such a line."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self._under_way: deque[tuple[float, bytes, tuple[str, int]]] = deque()
            self._arrival: asyncio.TimerHandle | None = None

        def on_datagram(self, data: bytes, address: tuple[str, int]) -> None:
            if random.random() >= line.loss:
                self._under_way.append((self._loop.time() + line.delay_s, data, address))
                self._await_arrival()

        def close(self) -> None:
            if self._arrival is not None:
                self._arrival.cancel()
            self._under_way.clear()
            super().close()

        def _await_arrival(self) -> None:
            if self._arrival is None and self._under_way:
                self._arrival = self._loop.call_at(self._under_way[0][0], self._arrive)

        def _arrive(self) -> None:
            self._arrival = None
            now = self._loop.time()
            while self._under_way and self._under_way[0][0] <= now:
                _, data, address = self._under_way.popleft()
                super().on_datagram(data, address)
            self._batch_done()
            self._await_arrival()

    return LineSocket


def main() -> None:
    """The daemon on a line."""
    from p2pd.daemon.main import main as daemon

    delay_ms, loss = float(sys.argv[1]), float(sys.argv[2])
    take(Line("as asked", delay_ms / 1000, loss))
    sys.argv[:] = ["p2pd", *sys.argv[3:]]
    daemon()


if __name__ == "__main__":
    main()
