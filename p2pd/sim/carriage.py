"""How packets get from one host to another: what is lost, and how QUIC repeats it until it has arrived.

Knows no link and no protocol; mirrors what RFC 9002 makes of loss: repeated after a time that doubles.
Rules: every packet, also a repetition, is led on its path and asked of the weather at the moment when it is sent; what
is in the air arrives, unless nobody takes it there.  Congestion and bandwidth are not modelled: a packet takes its
latency, whatever its size.
"""

from collections.abc import Callable
from functools import partial
from random import Random

from p2pd import limits
from p2pd.sim.agenda import Agenda
from p2pd.sim.conditions import Conditions, Weather
from p2pd.sim.hosts import Host
from p2pd.sim.routes import Path, Routes

ACKNOWLEDGE_DELAY_S = 0.025
"""A receiver may wait so long with its acknowledgement (RFC 9000 section 18.2)."""


class Carriage:
    """One world's; every draw of chance about packets is made here."""

    def __init__(self, agenda: Agenda, random: Random, weather: Weather, routes: Routes) -> None:
        self.agenda = agenda
        self.weather = weather
        self.random = random
        self.routes = routes

    def latency_s(self, conditions: Conditions) -> float:
        """How long a packet is under way."""
        least, most = conditions.latency_s
        latency_s = least + (most - least) * self.random.random()
        if conditions.reordering and self.random.random() < conditions.reordering:
            latency_s += conditions.reordering_s * self.random.random()
        return latency_s

    def lost(self, path: Path, sender: Host, packets: int) -> int:
        """How many of QUIC's packets do not arrive, when all are sent now."""
        receiver = self.routes.follow(path, sender)
        if receiver is None or not self.weather.passes(sender.name, receiver.name):
            return packets
        loss = self.weather.between(sender.name, receiver.name).quic_loss
        if not loss:
            return 0
        return sum(self.random.random() < loss for _ in range(packets))

    def under_way_s(self, path: Path, sender: Host) -> float:
        """The latency of a packet of QUIC's that is sent now."""
        return self.latency_s(self._conditions(path, sender))

    def patience_s(self, path: Path, sender: Host) -> float:
        """How long QUIC waits for an acknowledgement before it repeats: somewhat more than a round trip."""
        return 2.5 * self._conditions(path, sender).latency_s[1] + ACKNOWLEDGE_DELAY_S

    def _conditions(self, path: Path, sender: Host) -> Conditions:
        receiver = path.beyond(sender)
        return self.weather.between(sender.name, "" if receiver is None else receiver.name)

    def carry(
        self,
        path: Path,
        sender: Host,
        size_bytes: int,
        arrived: Callable[[], object],
        wanted: Callable[[], bool],
    ) -> None:
        """Send it until it has arrived at a process that is run, or is not wanted any more."""
        self._try(path, sender, packets_of(size_bytes), self.patience_s(path, sender), arrived, wanted)

    def _try(
        self,
        path: Path,
        sender: Host,
        packets: int,
        patience_s: float,
        arrived: Callable[[], object],
        wanted: Callable[[], bool],
    ) -> None:
        if not wanted():
            return
        left = self.lost(path, sender, packets) if sender.running else packets
        if left:
            again = partial(self._try, path, sender, left, 2 * patience_s, arrived, wanted)
            self.agenda.after(patience_s, again)
        else:
            land = partial(self._land, path, sender, packets, patience_s, arrived, wanted)
            self.agenda.after(self.under_way_s(path, sender), land)

    def _land(
        self,
        path: Path,
        sender: Host,
        packets: int,
        patience_s: float,
        arrived: Callable[[], object],
        wanted: Callable[[], bool],
    ) -> None:
        receiver = path.beyond(sender)
        if receiver is not None and receiver.running:
            if wanted():
                arrived()
        else:
            again = partial(self._try, path, sender, packets, 2 * patience_s, arrived, wanted)
            self.agenda.after(patience_s, again)


def packets_of(size_bytes: int) -> int:
    """How many datagrams so many bytes of a stream take."""
    return max(1, -(-size_bytes // limits.QUIC_DATAGRAM_BYTES))
