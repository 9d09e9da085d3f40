"""A line with delay, loss and limits, in user space: IP packets from one TUN device to another.

`python -m tests.nat.line NAMESPACE DEVICE NAMESPACE DEVICE CONDITIONS SEED` makes both devices, prints `ready` and
carries packets until it is killed; the devices go with it.
Chosen since not every kernel has netem.  `Way` is one direction and knows no clock and no device.
Rule: what is dropped is dropped in silence; the same seed and the same packets meet the same fate.
"""

import fcntl
import json
import os
import random
import selectors
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from heapq import heappop, heappush

from tests.nat.namespaces import Namespace

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_PACKET_BYTES = 65_536
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Conditions:
    """Of one line, the same in both directions."""

    delay_s: float = 0.0
    """One way."""
    jitter_s: float = 0.0
    """Up to so much more, each packet by itself: they overtake each other."""
    loss: float = 0.0
    duplication: float = 0.0
    rate_bits_per_s: float = 0.0
    """0: no limit."""
    queue_bytes: int = 32_768
    """What may wait for its turn where there is a rate."""
    mtu_bytes: int = _PACKET_BYTES
    """Larger IP packets vanish, and nobody is told."""


class Way:
    """One direction of a line."""

    def __init__(self, conditions: Conditions, chance: random.Random) -> None:
        self._conditions = conditions
        self._chance = chance
        self._under_way: list[tuple[float, int, bytes]] = []
        self._count = 0
        self._free_s = 0.0

    def take(self, packet: bytes, now: float) -> None:
        """A packet enters."""
        conditions, size = self._conditions, len(packet)
        if size > conditions.mtu_bytes or self._chance.random() < conditions.loss:
            return
        if conditions.rate_bits_per_s:
            waiting_s = max(0.0, self._free_s - now)
            if waiting_s * conditions.rate_bits_per_s > conditions.queue_bytes * 8:
                return
            self._free_s = now + waiting_s + size * 8 / conditions.rate_bits_per_s
        copies = 2 if self._chance.random() < conditions.duplication else 1
        for _ in range(copies):
            arrival = max(now, self._free_s) + conditions.delay_s + self._chance.random() * conditions.jitter_s
            self._count += 1
            heappush(self._under_way, (arrival, self._count, packet))

    def arrived(self, now: float) -> list[bytes]:
        """The packets that leave by now, in their order."""
        packets = []
        while self._under_way and self._under_way[0][0] <= now:
            packets.append(heappop(self._under_way)[2])
        return packets

    def next_deadline(self) -> float | None:
        """When the next one leaves."""
        return self._under_way[0][0] if self._under_way else None


def command(
    one: Namespace, one_end: str, other: Namespace, other_end: str, conditions: Conditions, seed: int
) -> list[str]:
    """The words after `python` that start a line between two namespaces."""
    ends = [one.name, one_end, other.name, other_end]
    return ["-m", "tests.nat.line", *ends, json.dumps(asdict(conditions)), str(seed)]


def _device(name: str) -> int:
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return device


def _read(device: int) -> list[bytes]:
    packets: list[bytes] = []
    while len(packets) < _BATCH:
        try:
            packets.append(os.read(device, _PACKET_BYTES))
        except BlockingIOError:
            break
        except OSError:  # not up yet
            break
    return packets


def _write(device: int, packets: Sequence[bytes]) -> None:
    for packet in packets:
        try:
            os.write(device, packet)
        except OSError:  # full, or not up: lost
            continue


def carry(devices: tuple[int, int], ways: tuple[Way, Way]) -> None:
    """Carries packets for ever."""
    with selectors.DefaultSelector() as selector:
        for way, device in enumerate(devices):
            selector.register(device, selectors.EVENT_READ, way)
        while True:
            deadlines = [deadline for way in ways if (deadline := way.next_deadline()) is not None]
            wait_s = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
            for key, _ in selector.select(wait_s):
                for packet in _read(devices[key.data]):
                    ways[key.data].take(packet, time.monotonic())
            now = time.monotonic()
            _write(devices[1], ways[0].arrived(now))
            _write(devices[0], ways[1].arrived(now))


def main(words: Sequence[str]) -> None:
    """A line between two namespaces."""
    one, one_end, other, other_end, conditions, seed = words
    devices = tuple(
        Namespace(space).inside(partial(_device, end)) for space, end in ((one, one_end), (other, other_end))
    )
    asked = Conditions(**json.loads(conditions))
    ways = tuple(Way(asked, random.Random(f"{seed}/{way}")) for way in range(2))
    print("ready", flush=True)
    carry((devices[0], devices[1]), (ways[0], ways[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
