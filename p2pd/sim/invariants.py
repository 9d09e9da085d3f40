"""What must hold at every moment of a run, whatever befalls the nodes.

Knows what the users' and the records' stores have committed, what leaves each host, and where message keys are made; it
does not ask the engines how they think they do.

| invariant | holds when |
|---|---|
| authentic | what is shown was written by its sender, to that recipient, and committed there |
| shown once | no text is shown twice |
| order | a conversation keeps its sender's order, and nothing overtakes unless it has waited `limits.HOLD_S` |
| delivered | a sender learns `delivered` only once the recipient has committed the text |
| recalled | a sender learns `recalled` only of what was never shown, and it never is after that |
| stored | a sender learns `stored` only once enough others hold every part |
| message keys | no message key seals two different things, across crashes and engines too |
| records | nothing comes back over a tombstone or an newer value; what a receipt was given for survives a crash |
| nearest | an undisturbed look-up reaches the truly nearest |
| bounds | nothing is larger than `p2pd.limits` allows, and no relay carries more than it may |
| tries | nobody is hit because somebody else says that they are there |
| roles | in an open network only who can be reached by strangers serves |
| no bugs | no turn meets an unexpected exception |
| delivered or told | at the end every accepted text is delivered, or its sender was told; none is given up early |
| liveness | all outboxes are empty `LIVELY_S` after everything was healed |

A message key counts when its turn is committed or an effect of it has left: one that was rolled back with nothing sent
may be used again.
"""

from collections.abc import Callable
from dataclasses import dataclass

from p2pd import limits
from p2pd.dht.settings import Role
from p2pd.effects import Effect, Respond, SendDatagram, SendFrame
from p2pd.errors import P2pdError
from p2pd.sim.bounds import exceeded_in_memory, exceeded_in_stores
from p2pd.sim.copies import Copies
from p2pd.sim.crashes import InjectedError
from p2pd.sim.nat import lets_strangers_in
from p2pd.sim.nearest import Nearest, Server
from p2pd.sim.paces import Paces
from p2pd.sim.promises import Promises
from p2pd.sim.resident import Resident
from p2pd.sim.town import Town
from p2pd.sim.watching import Phase

LIVELY_S = 15 * 60.0
VIOLATIONS = 50
"""Kept of one run; what comes after the first seldom says more."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must not be."""

    invariant: str
    time_s: float
    host: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant}: at {self.time_s:.3f} s, {self.host}: {self.text}"


class Judge:
    """All invariants of one run; an `Observer` of the world."""

    def __init__(self, town: Town) -> None:
        self.violations: list[Violation] = []
        self.broken_count = 0
        self._town = town
        self._world = town.world
        self._residents: dict[str, Resident] = {}
        self._keys = MessageKeys(self.broken)
        self._left = False
        self._host = ""
        self.on_violation: Callable[[Violation], None] = lambda violation: None
        self.copies = Copies(self.broken, lambda: town.residents)
        self.promises = Promises(self.broken, lambda: town.world.time_s, self.copies.judge_stored)
        self.nearest = Nearest(self.broken, lambda: town.world.time_s, town.dht.replicas)
        self.paces = Paces(self.broken, lambda: town.world.time_s)
        self._bugs = 0

    @property
    def message_keys(self) -> int:
        """How many were used."""
        return len(self._keys)

    def broken(self, invariant: str, host: str, text: str) -> None:
        """Notes a violation."""
        self.broken_count += 1
        if len(self.violations) < VIOLATIONS:
            violation = Violation(invariant, self._world.time_s, host, text)
            self.violations.append(violation)
            self.on_violation(violation)

    # --- the world's observer

    def on_turn(self, host: str, phase: Phase) -> None:
        """A turn begins or ends."""
        resident = self.resident(host)
        if resident is None:
            return
        match phase:
            case Phase.BEGUN:
                self._look_for_bugs()
                self._host, self._left = host, False
                self._keys.begin(host)
                self.copies.begin(resident)
            case Phase.COMMITTED:
                self._keys.count()
                self.copies.committed(resident)
                self.promises.look(resident)
                self._broken_bounds(host, exceeded_in_memory(resident.engine))
                (self.nearest.up if resident.engine._dht.serves else self.nearest.down)(host)
            case Phase.UNDONE:
                pass

    def on_effect(self, host: str, effect: Effect) -> None:
        """Something leaves."""
        if host == self._host and not self._left and not self._keys.is_empty:
            self._keys.count()  # sent before the commit: it counts, whatever becomes of the turn
        self._left = True
        self.paces.on_effect(host, effect)
        if isinstance(effect, SendDatagram | Respond) and effect.after_records:
            resident = self.resident(host)
            if resident is not None:
                self.copies.promise(resident)
        if isinstance(effect, SendDatagram) and len(effect.data) > limits.DATAGRAM_BYTES:
            self.broken("bounds", host, f"a datagram of {len(effect.data)} bytes")
        elif isinstance(effect, SendFrame) and len(effect.frame) > limits.LINK_FRAME_BYTES:
            self.broken("bounds", host, f"a frame of {len(effect.frame)} bytes")

    def on_down(self, host: str, why: str) -> None:
        """A process has ended."""
        self.nearest.down(host)
        self.paces.on_down(host)
        self.copies.fall(host)
        self._look_for_bugs()

    # --- what is called from outside

    def check_bounds(self) -> None:
        """Measures what every node keeps that is up; what it has in memory is measured at each of its turns."""
        for resident in self._town.residents:
            if resident.is_up:
                self._broken_bounds(resident.host, exceeded_in_stores(resident))
                self._check_role(resident)

    def _broken_bounds(self, host: str, exceeded: list[str]) -> None:
        for text in exceeded:
            self.broken("bounds", host, text)

    def _check_role(self, resident: Resident) -> None:
        found_out = resident.settings.dht.role == Role.AUTO and not self._town.private
        if found_out and resident.engine._dht.serves and not lets_strangers_in(resident.kind):
            self.broken("roles", resident.host, f"it serves, and its router ({resident.kind}) lets no stranger in")

    def judge_liveness(self) -> None:
        """The time after healing is over: who still waits?"""
        for resident in self._town.residents:
            waiting = resident.store.outbox_count()
            if waiting:
                text = f"{waiting} items wait, {LIVELY_S:.0f} s after everything was healed"
                self.broken("liveness", resident.host, text)

    def judge_end(self) -> None:
        """Everything had its time."""
        self._look_for_bugs()
        self.check_bounds()
        self.promises.judge_end()
        if self.nearest.strict and not self.nearest.wanted:
            self.broken("nearest", "-", "no look-up was judged")

    def on_message_key(self, key: bytes, sealed: bytes) -> None:
        """A probe's: a message key was used to seal."""
        self._keys.add(key, sealed)

    def resident(self, host: str) -> Resident | None:
        """Who lives there."""
        known = self._residents.get(host)
        if known is None:
            known = next((resident for resident in self._town.residents if resident.host == host), None)
            if known is not None:
                self._residents[host] = known
                honest = known.behaviour is None
                self.nearest.add(Server(host, known.key, honest))
        return known

    def _look_for_bugs(self) -> None:
        for bug in self._world.bugs[self._bugs :]:
            if not isinstance(bug.error, InjectedError | P2pdError):
                self.broken("no bugs", bug.host, f"{type(bug.error).__name__} at {bug.at}: {bug.error}")
        self._bugs = len(self._world.bugs)


class MessageKeys:
    """All message keys of a run, and what each has sealed."""

    def __init__(self, broken: Callable[[str, str, str], None]) -> None:
        self._broken = broken
        self._host = ""
        self._turn: list[tuple[bytes, bytes]] = []
        self._sealed: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._sealed)

    @property
    def is_empty(self) -> bool:
        """Whether the turn under way has used none."""
        return not self._turn

    def begin(self, host: str) -> None:
        """A turn begins; what the last one did not commit does not count."""
        self._host = host
        self._turn.clear()

    def add(self, key: bytes, sealed: bytes) -> None:
        """A key seals something."""
        self._turn.append((key, sealed))

    def count(self) -> None:
        """The turn is committed, or something of it has left."""
        for key, sealed in self._turn:
            if self._sealed.setdefault(key, sealed) != sealed:
                self._broken("message keys", self._host, "a message key has sealed two different things")
        self._turn.clear()
