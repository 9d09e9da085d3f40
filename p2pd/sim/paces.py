"""What a node may do only so often, counted from outside: by what leaves it, never by its own books.

| pace | of what | at most |
|---|---|---|
| tries | dials and rounds of knocks at the address that adversaries name | `limits.TRIES_PER_ADDRESS` a minute |
| relay | bytes that a relay carries from one link | `limits.RELAY_BYTES_PER_S`, and `RELAY_BYTES_BURST` at once |

Knows no engine.
"""

from collections.abc import Callable, Hashable

from p2pd import limits
from p2pd.effects import Effect, OpenLink, SendDatagram
from p2pd.sim.adversaries import VICTIM
from p2pd.wire.datagram import KNOCK

_ROUNDING = 1e-6


class Pace:
    """So much a second, and so much at once; each key by itself."""

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s, self._burst = per_s, burst
        self._levels: dict[Hashable, tuple[float, float]] = {}

    def holds(self, key: Hashable, amount: float, time_s: float) -> bool:
        """Counts, and says whether it was not too much."""
        level, at_s = self._levels.get(key, (0.0, time_s))
        level = max(0.0, level - self._per_s * (time_s - at_s)) + amount
        self._levels[key] = (level, time_s)
        return level <= self._burst + _ROUNDING

    def forget(self, key: Hashable) -> None:
        """It begins anew."""
        self._levels.pop(key, None)


class Paces:
    """All paces of a run; `broken` is told of an invariant, a host and what happened."""

    def __init__(self, broken: Callable[[str, str, str], None], time_s: Callable[[], float]) -> None:
        self.tries = 0.0
        """At the victim's address, by all nodes."""
        self.carried_bytes = 0
        self._broken = broken
        self._time_s = time_s
        self._tries = Pace(limits.TRIES_PER_ADDRESS / limits.MINUTE_S, limits.TRIES_PER_ADDRESS)
        self._carried = Pace(limits.RELAY_BYTES_PER_S, limits.RELAY_BYTES_BURST)

    def on_effect(self, host: str, effect: Effect) -> None:
        """Something leaves a host."""
        tries = _tries(effect)
        if tries:
            self.tries += tries
            if not self._tries.holds(host, tries, self._time_s()):
                text = f"more than {limits.TRIES_PER_ADDRESS} tries a minute at {VICTIM.host}, who is nobody's"
                self._broken("tries", host, text)

    def on_down(self, host: str) -> None:
        """A process has ended, and with it what it remembered of its tries."""
        self._tries.forget(host)

    def on_carried(self, relay: object, link: int, size_bytes: int) -> None:
        """A relay has passed on what came over one of its links."""
        self.carried_bytes += size_bytes
        if not self._carried.holds((id(relay), link), size_bytes, self._time_s()):
            text = f"more than {limits.RELAY_BYTES_BURST} bytes at once, or {limits.RELAY_BYTES_PER_S} a second"
            self._broken("bounds", "a relay", f"it carries {text} from one link")


def _tries(effect: Effect) -> float:
    """How many it is; a round of knocks is one try at each place."""
    match effect:
        case OpenLink(endpoints=endpoints):
            return sum(endpoint.host == VICTIM.host for endpoint in endpoints)
        case SendDatagram(to, data) if to.host == VICTIM.host and data[:1] == bytes([KNOCK]):
            return 1 / len(limits.KNOCKS_S)
        case _:
            return 0.0
