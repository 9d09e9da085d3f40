"""Links being dialled: endpoints tried one a little after the other, until a node proves that it is the right one.

Knows nothing of what becomes of a link; mirrors `p2pd.net.links.Dial`.

    hello, certificate, proof and `L`, `K`: the acceptor's end opens at the third, the dialler's at the fourth
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.effects import OpenLink
from p2pd.sim.carriage import Carriage
from p2pd.sim.hosts import Host, Inputs
from p2pd.sim.routes import Path
from p2pd.types import Endpoint, NodeKey

_CERTIFICATE_BYTES = 2 * limits.QUIC_DATAGRAM_BYTES


@dataclass(slots=True, eq=False)
class Dial:
    """One link being dialled."""

    host: Host
    wish: OpenLink
    core: int
    waiting: deque[Endpoint]
    deadline: float
    under_way: int = 0
    """Attempts that have neither succeeded nor failed."""
    over: bool = False

    @property
    def known_as(self) -> NodeKey:
        """The key under which the dialler appears."""
        seed = self.wish.signer_seed
        return NodeKey(SigningKey(seed).public) if seed else self.host.occupant.key

    def wanted(self) -> bool:
        """Whether the core still waits."""
        return not self.over and self.host.core == self.core


class Dials:
    """All dials of the world; `reached` goes on with a node that was proven, `given_up` hears of what failed."""

    def __init__(
        self,
        carriage: Carriage,
        give: Inputs,
        reached: Callable[[Dial, Path, int], None],
        given_up: Callable[[Host, int], None],
    ) -> None:
        self._carriage = carriage
        self._agenda = carriage.agenda
        self._give = give
        self._reached = reached
        self._given_up = given_up
        self._dials: dict[str, dict[int, Dial]] = {}

    def begin(self, host: Host, wish: OpenLink) -> None:
        """Dial; `on_link_opened` or `on_link_failed` will answer."""
        dials = self._dials.setdefault(host.name, {})
        if len(dials) >= limits.DIALS or not wish.endpoints:
            reason = "no endpoint" if not wish.endpoints else "too many dials"
            self._agenda.after(0, partial(self._tell, host, host.core, wish.link, reason))
            return
        deadline = self._agenda.time_s + limits.DIAL_S
        dial = Dial(host, wish, host.core, deque(wish.endpoints[: limits.DIAL_ENDPOINTS]), deadline)
        dials[wish.link] = dial
        self._agenda.after(limits.DIAL_S, partial(self.fail, dial, "no answer"))
        self._try_next(dial)

    def of(self, host: Host) -> list[Dial]:
        """Those of a host."""
        return list(self._dials.get(host.name, {}).values())

    def find(self, host: Host, link: int) -> Dial | None:
        """The one for that link."""
        return self._dials.get(host.name, {}).get(link)

    def end(self, dial: Dial) -> None:
        """It has succeeded, or is not wanted any more."""
        dial.over = True
        self._dials.get(dial.host.name, {}).pop(dial.wish.link, None)

    def fail(self, dial: Dial, reason: str) -> None:
        """It has not succeeded; a process that is not run finds out when it is."""
        if dial.wanted() and dial.host.running:
            self.end(dial)
            self._given_up(dial.host, dial.wish.link)
            self._tell(dial.host, dial.core, dial.wish.link, reason)

    def resume(self, host: Host) -> None:
        """The process is run again: what has taken too long has failed."""
        for dial in self.of(host):
            if self._agenda.time_s >= dial.deadline:
                self.fail(dial, "no answer")

    def _try_next(self, dial: Dial) -> None:
        if dial.over or not dial.waiting:
            return
        endpoint = dial.waiting.popleft()
        dial.under_way += 1
        if dial.waiting:
            self._agenda.after(limits.DIAL_STAGGER_S, partial(self._try_next, dial))
        path = Path(dial.host, endpoint)

        def hello() -> None:
            there = path.acceptor
            if there is not None and there.node is not None:
                certificate = partial(self._proven, dial, path, there.node.key, there.life)
                self._carriage.carry(path, there, _CERTIFICATE_BYTES, certificate, dial.wanted)

        self._carriage.carry(path, dial.host, limits.QUIC_DATAGRAM_BYTES, hello, dial.wanted)

    def _proven(self, dial: Dial, path: Path, key: NodeKey, life: int) -> None:
        if key == dial.wish.node:
            dial.waiting.clear()
            self._reached(dial, path, life)
            return
        dial.under_way -= 1
        if dial.waiting:
            self._try_next(dial)
        elif not dial.under_way:
            self.fail(dial, "other node key")

    def _tell(self, host: Host, core: int, link: int, reason: str) -> None:
        if host.core == core:
            self._give(host, "on_link_failed", link, reason)
