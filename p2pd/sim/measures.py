"""What a run is measured by: times and rounds of look-ups, bytes by cause, copies of records.

Knows no promise; times are virtual.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from p2pd.dht.counters import Cause
from p2pd.dht.getting import Found
from p2pd.dht.lookup import Lookup
from p2pd.dht.storing import PutProgress
from p2pd.effects import Effect, Request, Respond, SendDatagram, SendFrame

Points = list[tuple[float, float]]


@dataclass(slots=True)
class Times:
    """How long something took, and how many rounds; each with when it ended."""

    ended: Points = field(default_factory=list)
    """Seconds, and milliseconds that it took."""
    rounds: Counter[int] = field(default_factory=Counter)
    messages: int = 0

    def add(self, at_s: float, took_ms: float, rounds: int, messages: int) -> None:
        """One more."""
        self.ended.append((at_s, took_ms))
        self.rounds[rounds] += 1
        self.messages += messages


@dataclass(slots=True)
class Measures:
    """All of one run."""

    time_s: Callable[[], float]
    look_ups: Times = field(default_factory=Times)
    gets: Times = field(default_factory=Times)
    puts: Times = field(default_factory=Times)
    by_cause: Counter[str] = field(default_factory=Counter)
    """Bytes of the DHT's datagrams and requests, as the nodes count them."""
    links_bytes: int = 0
    quic_bytes: int = 0
    datagrams: int = 0
    copies: list[tuple[float, int, int, int]] = field(default_factory=list)
    """Seconds; then of all records: fewest copies, the median, and how many records."""

    def on_effect(self, host: str, effect: Effect) -> None:
        """Something leaves a host."""
        match effect:
            case SendDatagram():
                self.datagrams += 1
            case SendFrame():
                self.links_bytes += len(effect.frame)
            case Request() | Respond():
                self.quic_bytes += len(effect.payload)
            case _:
                pass

    def on_look_up(self, lookup: Lookup, took_s: float) -> None:
        """A look-up came to its own end."""
        self.look_ups.add(self.time_s(), took_s * 1000, lookup.rounds, lookup.messages)

    def on_found(self, found: Found) -> None:
        """A get is over."""
        self.gets.add(self.time_s(), found.elapsed_ms, found.rounds, found.messages)

    def on_put(self, progress: PutProgress, took_ms: float) -> None:
        """A put is over."""
        self.puts.add(self.time_s(), took_ms, progress.rounds, progress.messages)

    def on_sent(self, cause: Cause, size_bytes: int) -> None:
        """Bytes left for a cause."""
        self.by_cause[cause.value] += size_bytes

    def on_copies(self, counts: Sequence[int]) -> None:
        """How many copies each record has now, ascending."""
        if counts:
            self.copies.append((self.time_s(), counts[0], counts[len(counts) // 2], len(counts)))


def quantile(values: Sequence[float], share: float) -> float:
    """Of these values the one that so large a share does not exceed; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
