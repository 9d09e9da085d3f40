"""A look-up as a value: whom to ask next, and when it is over.

Knows no wire, no clock, no key's meaning: it is told who answered, who is slow, who failed.
Rules (R8):
- first along disjoint paths, each with one question under way and at most six steps: a node belongs to the path that
  first heard of it, so liars spoil their own;
- merged, with what slots these leave, and then alone: the nearest `width` known are asked until each has answered, is
  slow, or failed;
- a slow node loses its slot and may still answer; if most are slow, it is the estimate that is wrong: wait for them;
- whoever named two nodes that did not answer is believed last;
- of one network few are looked at (R7).

| candidate | next |
|---|---|
| known | asked |
| asked | answered, slow, failed |
| slow | answered, failed |
"""

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from p2pd import limits
from p2pd.dht.peers import Diversity, Peer, by_distance
from p2pd.types import NodeKey


class State(Enum):
    KNOWN = auto()
    ASKED = auto()
    SLOW = auto()
    ANSWERED = auto()
    FAILED = auto()


@dataclass(slots=True)
class Candidate:
    """A node that the look-up knows of."""

    peer: Peer
    distance: int
    path: int
    depth: int
    """Hops from our own table: 1 for what stands in it."""
    source: "Candidate | None"
    state: State = State.KNOWN
    dead_claims: int = 0
    elsewhere: list[tuple[Peer, "Candidate"]] = field(default_factory=list)
    """Other endpoints named for this key, and by whom: one liar must not hide a node behind a wrong one."""

    @property
    def doubtful(self) -> bool:
        return self.source is not None and self.source.dead_claims >= limits.LOOKUP_DEAD_CLAIMS


@dataclass(slots=True)
class _Path:
    steps: int = 0
    asking: int = 0
    best: int | None = None
    """The distance of the nearest node that answered."""
    members: list[Candidate] = field(default_factory=list)


class Lookup:
    """The search for the `width` nodes nearest to one place, with `radius` only for those within it (R9).

    `caps` are a result's nodes per /24 and /16; `admit` is asked before a node is.
    """

    def __init__(
        self,
        target: bytes,
        seeds: Sequence[Peer],
        *,
        own: NodeKey,
        width: int,
        radius: int = 0,
        paths: int = limits.LOOKUP_PATHS,
        parallel: int = limits.LOOKUP_PARALLEL,
        caps: tuple[int, int] | None = None,
        admit: Callable[[Peer], bool] = lambda _: True,
    ) -> None:
        self._place = int.from_bytes(target, "big")
        self._own = own
        self._width = width
        self._parallel = parallel
        self._caps = caps
        self._admit = admit
        self._radius = radius
        self._candidates: dict[NodeKey, Candidate] = {}
        self._ranked: list[Candidate] = []
        self._paths = [_Path() for _ in range(paths)]
        self._turn = 0
        self.messages = 0
        self.rounds = 0
        for index, peer in enumerate(sorted(seeds, key=by_distance(self._place))):
            self._add(peer, index % paths, 1, None)

    def next_asks(self) -> list[Peer]:
        """Whom to ask now; each counts as asked from here on."""
        asks: list[Peer] = []
        while self.messages < limits.LOOKUP_MESSAGES and (candidate := self._next()) is not None:
            if not self._admit(candidate.peer):
                self._fail(candidate)
                continue
            candidate.state = State.ASKED
            self._paths[candidate.path].asking += 1
            self._paths[candidate.path].steps += 1
            self.messages += 1
            asks.append(candidate.peer)
        return asks

    def on_answered(self, peer: Peer, told: Sequence[Peer]) -> None:
        """The node answered, and named these others."""
        candidate = self._candidates[peer.key]
        self._free(candidate)
        candidate.state = State.ANSWERED
        candidate.peer = peer  # it is there, wherever else it was looked for
        self.rounds = max(self.rounds, candidate.depth)
        path = self._paths[candidate.path]
        if path.best is None or candidate.distance < path.best:
            path.best = candidate.distance
        for other in told[: limits.CONTACTS_PER_REPLY]:
            self._add(other, candidate.path, candidate.depth + 1, candidate)

    def on_slow(self, peer: Peer) -> None:
        """The node has not answered in its usual time."""
        candidate = self._candidates[peer.key]
        if candidate.state is State.ASKED and candidate.peer == peer:
            self._free(candidate)
            candidate.state = State.SLOW
            self._try_elsewhere(candidate)

    def on_failed(self, peer: Peer) -> None:
        """The node did not answer, or not what it should."""
        candidate = self._candidates[peer.key]
        if candidate.state is not State.FAILED and candidate.peer == peer:
            self._free(candidate)
            self._fail(candidate)

    def further(self, count: int) -> list[Peer]:
        """The nearest that nobody has asked yet: for when those that answered do not do what they should."""
        return [c.peer for c in self._view(len(self._ranked)) if c.state is State.KNOWN][:count]

    @property
    def converged(self) -> list[Peer]:
        """Of the nearest, as many as were looked for."""
        return self.nearest(self._width)

    @property
    def is_over(self) -> bool:
        """Nothing under way, nothing left to ask that matters."""
        if self._in_flight() or (self.messages < limits.LOOKUP_MESSAGES and self._next() is not None):
            return False
        slow = sum(candidate.state is State.SLOW for candidate in self._candidates.values())
        return slow == 0 or slow <= self._answered()

    def nearest(self, count: int) -> list[Peer]:
        """The nearest that answered, nearest first, few of one network."""
        answered = [c for c in self._view(len(self._ranked)) if c.state is State.ANSWERED]
        return [candidate.peer for candidate in answered[:count]]

    def within(self, radius: int) -> list[Peer]:
        """All that answered within the radius, nearest first."""
        return [peer for peer in self.nearest(len(self._ranked)) if peer.place ^ self._place <= radius]

    def depth(self, key: NodeKey) -> int:
        """How many hops away a node was found."""
        return self._candidates[key].depth

    # --- choosing

    def _next(self) -> Candidate | None:
        if self._in_flight() < self._parallel:
            for _ in self._paths:
                path = self._paths[self._turn % len(self._paths)]
                self._turn += 1
                candidate = self._next_of_path(path)
                if candidate is not None:
                    return candidate
        # Slots that the paths leave free ask what is nearest of all; more at once when the paths have ended.
        paths_run = any(path.asking for path in self._paths)
        return self._next_merged(self._parallel if paths_run else limits.LOOKUP_MERGED_PARALLEL)

    def _next_of_path(self, path: _Path) -> Candidate | None:
        if path.asking or path.steps >= limits.LOOKUP_PATH_STEPS:
            return None
        unasked = [c for c in path.members if c.state is State.KNOWN and not c.doubtful]
        nearest = min(unasked, key=lambda c: c.distance, default=None)
        if nearest is None or (path.best is not None and nearest.distance > path.best):
            return None
        return nearest

    def _next_merged(self, at_once: int) -> Candidate | None:
        if self._in_flight() >= at_once:
            return None
        return next((c for c in self._view(self._width) if c.state is State.KNOWN), None)

    def _view(self, count: int) -> list[Candidate]:
        """The `count` best that have not failed and are not slow, few of one network."""
        diversity = Diversity(*self._caps) if self._caps else None
        chosen: list[Candidate] = []
        for candidate in self._by_rank():
            if len(chosen) >= count:
                break
            if self._radius and candidate.distance > self._radius:
                continue
            if candidate.state in (State.FAILED, State.SLOW) or (diversity and not diversity.admits(candidate.peer)):
                continue
            if diversity:
                diversity.add(candidate.peer)
            chosen.append(candidate)
        return chosen

    def _by_rank(self) -> list[Candidate]:
        believed = [candidate for candidate in self._ranked if not candidate.doubtful]
        if len(believed) == len(self._ranked):
            return believed
        return believed + [candidate for candidate in self._ranked if candidate.doubtful]

    def _in_flight(self) -> int:
        return sum(path.asking for path in self._paths)

    def _answered(self) -> int:
        return sum(candidate.state is State.ANSWERED for candidate in self._candidates.values())

    # --- keeping

    def _add(self, peer: Peer, path: int, depth: int, source: Candidate | None) -> None:
        known = self._candidates.get(peer.key)
        if known is not None:
            self._hear_again(known, peer, source)
            return
        if peer.key == self._own or len(self._candidates) >= limits.LOOKUP_CANDIDATES:
            return
        candidate = Candidate(peer, peer.place ^ self._place, path, depth, source)
        self._candidates[peer.key] = candidate
        self._paths[path].members.append(candidate)
        insort(self._ranked, candidate, key=lambda c: c.distance)

    def _hear_again(self, known: Candidate, peer: Peer, source: Candidate | None) -> None:
        if source is None or known.state is State.ANSWERED:
            return
        if peer.endpoint == known.peer.endpoint:
            if known.doubtful:
                known.source = source
        elif len(known.elsewhere) < limits.LOOKUP_ENDPOINTS:
            known.elsewhere.append((peer, source))
            if known.state in (State.FAILED, State.SLOW):
                self._try_elsewhere(known)

    def _try_elsewhere(self, candidate: Candidate) -> None:
        if candidate.elsewhere:
            candidate.peer, candidate.source = candidate.elsewhere.pop(0)
            candidate.state = State.KNOWN

    def _free(self, candidate: Candidate) -> None:
        if candidate.state is State.ASKED:
            self._paths[candidate.path].asking -= 1

    def _fail(self, candidate: Candidate) -> None:
        candidate.state = State.FAILED
        if candidate.source is not None:
            candidate.source.dead_claims += 1
        self._try_elsewhere(candidate)
