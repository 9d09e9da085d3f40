"""What lies between hosts: latency, loss and the rest, and what is cut.

Knows hosts by their addresses only.
Rules: conditions can change at any time, and count for what is sent from then on.  The most special ones count: those
of a pair before those of a host, the sender's before the receiver's, and those before the ones for all.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from p2pd import limits


@dataclass(frozen=True, slots=True)
class Conditions:
    """What befalls packets one way; chances are between 0 and 1, per packet."""

    latency_s: tuple[float, float] = (0.005, 0.040)
    """Least and most; each packet draws its own."""
    loss: float = 0.0
    duplication: float = 0.0
    """A datagram that comes twice; QUIC knows a packet again."""
    reordering: float = 0.0
    """A packet that takes up to `reordering_s` longer, so that later ones overtake it."""
    reordering_s: float = 0.2
    corruption: float = 0.0
    """A datagram with one bit flipped; QUIC takes such a packet for lost."""
    mtu_bytes: int = limits.QUIC_DATAGRAM_BYTES
    """The largest payload of a datagram that passes; QUIC begins with full ones, and cannot where they do not."""

    @property
    def quic_loss(self) -> float:
        """The chance that a packet of QUIC's does not arrive as it was sent."""
        if self.mtu_bytes < limits.QUIC_DATAGRAM_BYTES:
            return 1.0
        return 1.0 - (1.0 - self.loss) * (1.0 - self.corruption)


class Cut:
    """Nothing passes from these hosts to those, nor back unless it is one-way; `those` None: all but these."""

    def __init__(self, these: Iterable[str], those: Iterable[str] | None, one_way: bool) -> None:
        self._these = frozenset(these)
        self._those = None if those is None else frozenset(those)
        self._one_way = one_way

    def stops(self, sender: str, receiver: str) -> bool:
        """Whether nothing passes from one to the other."""
        return self._between(sender, receiver) or (not self._one_way and self._between(receiver, sender))

    def _between(self, sender: str, receiver: str) -> bool:
        if sender not in self._these:
            return False
        return receiver not in self._these if self._those is None else receiver in self._those


class Weather:
    """The conditions between all hosts."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        """For all that have none of their own."""
        self.cuts: list[Cut] = []
        self.stops: Callable[[str, str], bool] | None = None
        """What else is cut, from sender to receiver, as a function."""
        self._hosts: dict[str, Conditions] = {}
        self._pairs: dict[tuple[str, str], Conditions] = {}

    def set(self, conditions: Conditions, one: str | None = None, other: str | None = None) -> None:
        """Conditions for all; for what one host sends and is sent; or for a pair, both ways."""
        if one is None:
            self.conditions = conditions
        elif other is None:
            self._hosts[one] = conditions
        else:
            self._pairs[one, other] = self._pairs[other, one] = conditions

    def set_one_way(self, conditions: Conditions, sender: str, receiver: str) -> None:
        """Conditions for what one host sends to another."""
        self._pairs[sender, receiver] = conditions

    def clear(self) -> None:
        """Everybody has the conditions for all, and nothing is cut."""
        self._hosts.clear()
        self._pairs.clear()
        self.cuts.clear()
        self.stops = None

    def between(self, sender: str, receiver: str) -> Conditions:
        """What counts for a packet from one host to another."""
        if self._pairs and (found := self._pairs.get((sender, receiver))) is not None:
            return found
        if self._hosts:
            return self._hosts.get(sender) or self._hosts.get(receiver) or self.conditions
        return self.conditions

    def passes(self, sender: str, receiver: str) -> bool:
        """Whether anything from one host reaches another at all."""
        if self.stops is not None and self.stops(sender, receiver):
            return False
        return not self.cuts or not any(cut.stops(sender, receiver) for cut in self.cuts)
