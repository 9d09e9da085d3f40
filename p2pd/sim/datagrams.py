"""Datagrams between the hosts: each is one packet, which may be lost, doubled, delayed, spoiled or too large.

Knows no packet's meaning; as the daemon's socket, it tells the DHT's datagrams from others by their first byte.
Rules: a process that is not run has a socket's buffer full of them waiting, and no more.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial

from p2pd import limits
from p2pd.sim.carriage import Carriage
from p2pd.sim.conditions import Conditions
from p2pd.sim.hosts import Host, Inputs
from p2pd.sim.nat import Carried
from p2pd.types import Endpoint

_DHT_FIRST = 0x14
_DHT_LAST = 0x3F


class Datagrams:
    """All datagrams of the world."""

    def __init__(self, carriage: Carriage, give: Inputs, counts: Counter[str]) -> None:
        self.taps: list[Callable[[str, Endpoint, bytes], None]] = []
        self._carriage = carriage
        self._agenda = carriage.agenda
        self._give = give
        self._counts = counts

    def send(self, host: Host, to: Endpoint, data: bytes) -> None:
        """One packet, which may get there."""
        for tap in self.taps:
            tap(host.name, to, data)
        size = len(data)
        self._counts["datagram"] += 1
        led = self._carriage.routes.lead(host, to, Carried.DATAGRAM)
        if led is None:
            self._counts["datagram to nobody"] += 1
            return
        there, source = led
        conditions = self._carriage.weather.between(host.name, there.name)
        if not self._carriage.weather.passes(host.name, there.name):
            self._counts["datagram cut off"] += 1
        elif size > conditions.mtu_bytes or size > limits.DATAGRAM_BYTES:
            self._counts["datagram too large"] += 1
        elif conditions.loss and self._carriage.random.random() < conditions.loss:
            self._counts["datagram lost"] += 1
        else:
            self._fly(there, data, source, conditions)

    def arrive(self, host: Host, data: bytes, source: Endpoint) -> None:
        """One packet comes to a socket."""
        size = len(data)
        if not host.running:
            if host.stalled and host.waiting_bytes + size <= limits.SOCKET_BUFFER_BYTES:
                host.waiting.append((data, source))
                host.waiting_bytes += size
            else:
                self._counts["datagram to nobody"] += 1
            return
        host.received_bytes += size
        if data and _DHT_FIRST <= data[0] <= _DHT_LAST:
            self._give(host, "on_datagram", data, source)

    def resume(self, host: Host) -> None:
        """The process is run again: it finds what waits in its socket."""
        waiting = list(host.waiting)
        host.waiting.clear()
        host.waiting_bytes = 0
        for data, source in waiting:
            self.arrive(host, data, source)

    def _fly(self, there: Host, data: bytes, source: Endpoint, conditions: Conditions) -> None:
        copies = 1
        if conditions.duplication and self._carriage.random.random() < conditions.duplication:
            self._counts["datagram doubled"] += 1
            copies = 2
        for _ in range(copies):
            sent = data
            if conditions.corruption and self._carriage.random.random() < conditions.corruption:
                self._counts["datagram spoiled"] += 1
                sent = self._spoiled(data)
            latency_s = self._carriage.latency_s(conditions)
            self._agenda.after(latency_s, partial(self.arrive, there, sent, source))

    def _spoiled(self, data: bytes) -> bytes:
        """With one bit flipped."""
        bit = self._carriage.random.randrange(8 * len(data))
        spoiled = bytearray(data)
        spoiled[bit // 8] ^= 1 << bit % 8
        return bytes(spoiled)
