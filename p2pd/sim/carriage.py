"""How packets get from one host to another: what is lost, and how QUIC repeats it until it has arrived.

Knows no link and no protocol; mirrors what RFC 9002 makes of loss: repeated after a time that doubles.
Rules: whatever is sent is asked of `reaches` at that moment, packet or repetition; what is in the air arrives, unless
nobody takes it there.  Congestion and bandwidth are not modelled: a packet takes its latency, whatever its size.
"""

from collections.abc import Callable
from functools import partial
from random import Random

from p2pd import limits
from p2pd.sim.agenda import Agenda
from p2pd.sim.conditions import Conditions, Weather
from p2pd.sim.hosts import Host

ACKNOWLEDGE_DELAY_S = 0.025
"""A receiver may wait so long with its acknowledgement (RFC 9000 section 18.2)."""


class Carriage:
    """One world's; every draw of chance about packets is made here."""

    def __init__(self, agenda: Agenda, random: Random, weather: Weather, reaches: Callable[[Host, Host], bool]) -> None:
        self.agenda = agenda
        self.weather = weather
        self.random = random
        self.reaches = reaches

    def latency_s(self, conditions: Conditions) -> float:
        """How long a packet is under way."""
        least, most = conditions.latency_s
        latency_s = least + (most - least) * self.random.random()
        if conditions.reordering and self.random.random() < conditions.reordering:
            latency_s += conditions.reordering_s * self.random.random()
        return latency_s

    def lost(self, sender: Host, receiver: Host, packets: int) -> int:
        """How many of QUIC's packets do not arrive, when all are sent now."""
        if not self.reaches(sender, receiver):
            return packets
        loss = self.weather.between(sender.name, receiver.name).quic_loss
        if not loss:
            return 0
        return sum(self.random.random() < loss for _ in range(packets))

    def under_way_s(self, sender: Host, receiver: Host) -> float:
        """The latency of a packet of QUIC's that is sent now."""
        return self.latency_s(self.weather.between(sender.name, receiver.name))

    def patience_s(self, one: Host, other: Host) -> float:
        """How long QUIC waits for an acknowledgement before it repeats: somewhat more than a round trip."""
        return 2.5 * self.weather.between(one.name, other.name).latency_s[1] + ACKNOWLEDGE_DELAY_S

    def carry(
        self,
        sender: Host,
        receiver: Host,
        size_bytes: int,
        arrived: Callable[[], object],
        wanted: Callable[[], bool],
    ) -> None:
        """Send it until it has arrived at a process that is run, or is not wanted any more."""
        self._try(sender, receiver, packets_of(size_bytes), self.patience_s(sender, receiver), arrived, wanted)

    def _try(
        self,
        sender: Host,
        receiver: Host,
        packets: int,
        patience_s: float,
        arrived: Callable[[], object],
        wanted: Callable[[], bool],
    ) -> None:
        if not wanted():
            return
        left = self.lost(sender, receiver, packets) if sender.running else packets
        if left:
            again = partial(self._try, sender, receiver, left, 2 * patience_s, arrived, wanted)
            self.agenda.after(patience_s, again)
        else:
            land = partial(self._land, sender, receiver, packets, patience_s, arrived, wanted)
            self.agenda.after(self.under_way_s(sender, receiver), land)

    def _land(
        self,
        sender: Host,
        receiver: Host,
        packets: int,
        patience_s: float,
        arrived: Callable[[], object],
        wanted: Callable[[], bool],
    ) -> None:
        if receiver.running:
            if wanted():
                arrived()
        else:
            again = partial(self._try, sender, receiver, packets, 2 * patience_s, arrived, wanted)
            self.agenda.after(patience_s, again)


def packets_of(size_bytes: int) -> int:
    """How many datagrams so many bytes of a stream take."""
    return max(1, -(-size_bytes // limits.DATAGRAM_BYTES))
