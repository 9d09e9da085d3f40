"""A look-up as a value: whom to ask next, and when it is over.

Knows no wire, no clock, no key's meaning: it is told who answered, who is slow, who failed.
Rules (R8):
- first along disjoint paths, each with one question under way and at most six steps: a node belongs to the path that
  first heard of it, so liars spoil their own;
- merged, every second question while paths run, and then alone: the nearest `width` known are asked until each has
  answered, is slow, or failed;
- a growing look-up has one question more under way with every answer and silence that did not end it;
- a slow node loses its slot and may still answer; if most are slow, it is the estimate that is wrong: wait for them;
- who has left others without an answer lately (a suspect) is asked when nobody better is left, and not waited for,
  unless most are slow, or the look-up is thorough;
- a patient look-up waits for every slow node that may be among the nearest so many, until it has failed;
- naming takes credit (`candidates.py`): whom nobody with credit names is believed last, and not at all once half of
  `width` have answered.  A liar costs two questions, and one for each that it tells the truth of; not as many as it
  can name;
- of one network few are looked at (R7).
"""

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter

from p2pd import limits
from p2pd.dht.candidates import Candidate, Claim, State
from p2pd.dht.peers import Diversity, Peer, by_distance
from p2pd.types import NodeKey

_DISTANCE = attrgetter("distance")


@dataclass(slots=True)
class _Path:
    steps: int = 0
    asking: int = 0
    best: int | None = None
    """The distance of the nearest node that answered."""
    members: list[Candidate] = field(default_factory=list)
    """Nearest first."""


class Lookup:
    """The search for the `width` nodes nearest to one place, with `radius` only for those within it (R9).

    `caps` are a result's nodes per /24 and /16; `admit` is asked before a node is; `suspect` tells who is asked last.
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
        suspect: Callable[[Peer], bool] = lambda _: False,
        patient: int = 0,
        thorough: bool = False,
        grows: bool = False,
    ) -> None:
        self._place = int.from_bytes(target, "big")
        self._own = own
        self._width = width
        self._parallel = parallel
        self._caps = caps
        self._admit = admit
        self._suspect = suspect
        self.patient = patient
        self._thorough = thorough
        self._grows = grows
        self._radius = radius
        self._candidates: dict[NodeKey, Candidate] = {}
        self._ranked: list[Candidate] = []
        self._paths = [_Path() for _ in range(paths)]
        self._merged_next = False
        self.in_flight = 0
        """Questions that are neither answered nor slow."""
        self.messages = 0
        self.rounds = 0
        for index, peer in enumerate(sorted(seeds, key=by_distance(self._place))):
            self._add(peer, index % paths, 1, None)

    def next_asks(self) -> list[Peer]:
        """Whom to ask now; each counts as asked from here on."""
        asks: list[Peer] = []
        while self.messages < limits.LOOKUP_MESSAGES and (choice := self._next()) is not None:
            candidate, on_path = choice
            if not self._admit(candidate.peer):
                candidate.fail(candidate.peer)
                continue
            candidate.suspected = self._suspect(candidate.peer)
            candidate.ask()
            candidate.on_path = on_path
            self._paths[candidate.path].asking += on_path
            self._paths[candidate.path].steps += on_path
            self._merged_next = on_path
            self.in_flight += 1
            self.messages += 1
            asks.append(candidate.peer)
        return asks

    def on_answered(self, peer: Peer, told: Sequence[Peer]) -> None:
        """The node answered, and named these others."""
        candidate = self._candidates[peer.key]
        if candidate.state is State.ANSWERED:  # at another endpoint: it has said whom it knows
            told = ()
        self._free(candidate)
        self._grow()
        candidate.answer(peer)
        self.rounds = max(self.rounds, candidate.depth)
        path = self._paths[candidate.path]
        if path.best is None or candidate.distance < path.best:
            path.best = candidate.distance
        for other in {each.key: each for each in told[: limits.CONTACTS_PER_REPLY]}.values():  # each at one endpoint
            self._add(other, candidate.path, candidate.depth + 1, candidate)

    def on_slow(self, peer: Peer) -> None:
        """The node has not answered in its usual time."""
        candidate = self._candidates[peer.key]
        if candidate.state is State.ASKED and candidate.peer == peer:
            self._free(candidate)
            self._grow()
            candidate.be_slow()

    def on_failed(self, peer: Peer) -> None:
        """The node did not answer, or not what it should."""
        candidate = self._candidates[peer.key]
        if candidate.peer == peer:
            self._free(candidate)
        candidate.fail(peer)

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
        if self.in_flight or (self.messages < limits.LOOKUP_MESSAGES and self._next() is not None):
            return False
        slow = [c for c in self._candidates.values() if c.may_yet_answer]
        if len(slow) > self._answered():
            return False
        answered = sorted(c.distance for c in self._candidates.values() if c.state is State.ANSWERED)
        if len(answered) < min(
            self.patient, limits.STORED_RECEIPTS
        ):  # a stall makes suspects of all, not a small network
            return not slow
        awaited = [c for c in slow if self._thorough or not c.suspected] if self.patient else []
        if not awaited:
            return True
        return len(answered) >= self.patient and all(c.distance > answered[self.patient - 1] for c in awaited)

    def settled(self, count: int) -> list[Peer]:
        """Those that have answered of the nearest `count` that may yet answer, nearest first."""
        return [candidate.peer for candidate in self._view(count) if candidate.state is State.ANSWERED]

    def nearest(self, count: int) -> list[Peer]:
        """The nearest that answered, nearest first, few of one network."""
        answered = [c for c in self._view(len(self._ranked)) if c.state is State.ANSWERED]
        return [candidate.peer for candidate in answered[:count]]

    def within(self, radius: int) -> list[Peer]:
        """All that answered within the radius, nearest first."""
        return [peer for peer in self.nearest(len(self._ranked)) if peer.place ^ self._place <= radius]

    def end(self) -> None:
        """Nobody is asked any more: who named and who was named need not know each other, and are freed at once."""
        for candidate in self._ranked:
            candidate.made.clear()

    def depth(self, key: NodeKey) -> int:
        """How many hops away a node was found."""
        return self._candidates[key].depth

    # --- choosing

    def _next(self) -> tuple[Candidate, bool] | None:
        """Whom to ask next, and whether it is its path that asks."""
        most = self._parallel if self._grows else max(self._parallel, limits.LOOKUP_MERGED_PARALLEL)
        if self.in_flight >= most:
            return None
        by_path = self._next_of_paths()
        if self.in_flight >= self._parallel and (by_path or any(path.asking for path in self._paths)):
            return None  # more at once only when the paths have ended
        if by_path is None or self._merged_next:
            merged = self._next_merged()
            if merged is not None:
                return merged, False
        return None if by_path is None else (by_path, True)

    def _next_of_paths(self) -> Candidate | None:
        """The nearest that any path may ask now."""
        free = [candidate for path in self._paths if (candidate := self._next_of_path(path)) is not None]
        return min(free, key=_DISTANCE, default=None)

    def _next_of_path(self, path: _Path) -> Candidate | None:
        if path.asking or path.steps >= limits.LOOKUP_PATH_STEPS:
            return None
        for candidate in path.members:
            if path.best is not None and candidate.distance > path.best:
                break
            if candidate.state is State.KNOWN and not candidate.doubtful and not self._suspect(candidate.peer):
                return candidate
        return None

    def _next_merged(self) -> Candidate | None:
        view = self._view(self._width)
        known = [candidate for candidate in view if candidate.state is State.KNOWN]
        if known and known[-1].doubtful and 2 * sum(c.state is State.ANSWERED for c in view) >= self._width:
            known = [candidate for candidate in known if not candidate.doubtful]
        return next(
            (candidate for candidate in known if not self._suspect(candidate.peer)), known[0] if known else None
        )

    def _view(self, count: int) -> list[Candidate]:
        """The `count` best that have not failed and are not slow, and suspects between them; few of one network.

        Nearest first, and after all others those that are doubtful.  A look-up spends most of its time here.
        """
        diversity = Diversity(*self._caps) if self._caps else None
        radius, ranked = self._radius, len(self._ranked)
        chosen: list[Candidate] = []
        doubtful: list[Candidate] = []
        counted = 0
        for number, candidate in enumerate(chain(self._ranked, doubtful)):  # when the first ends the second is filled
            if counted >= count:
                break
            state = candidate.state
            if state is State.FAILED or state is State.SLOW or (radius and candidate.distance > radius):
                continue
            if number < ranked and not candidate.claim.votes:
                if len(candidate.claims) > 1:
                    candidate.weigh()  # another may have fitted before
                if candidate.doubtful:
                    doubtful.append(candidate)
                    continue
            if diversity:
                if not diversity.admits(candidate.peer):
                    if not candidate.fits(diversity.admits):
                        continue
                    if number < ranked and not candidate.claim.votes:
                        doubtful.append(candidate)
                        continue
                diversity.add(candidate.peer)
            chosen.append(candidate)
            counted += state is not State.KNOWN or not self._suspect(candidate.peer)
        return chosen

    def _answered(self) -> int:
        return sum(candidate.state is State.ANSWERED for candidate in self._candidates.values())

    # --- keeping

    def _add(self, peer: Peer, path: int, depth: int, source: Candidate | None) -> None:
        known = self._candidates.get(peer.key)
        if known is not None:
            if source is not None and known.state is not State.ANSWERED:
                known.hear(peer, source)
            return
        if peer.key == self._own or len(self._candidates) >= limits.LOOKUP_CANDIDATES:
            return
        candidate = Candidate(Claim(peer, is_own=source is None), peer.place ^ self._place, path, depth)
        if source is not None:
            candidate.hear(peer, source)
        self._candidates[peer.key] = candidate
        insort(self._paths[path].members, candidate, key=_DISTANCE)
        insort(self._ranked, candidate, key=_DISTANCE)

    def _free(self, candidate: Candidate) -> None:
        if candidate.state is State.ASKED:
            self.in_flight -= 1
            self._paths[candidate.path].asking -= candidate.on_path

    def _grow(self) -> None:
        if self._grows:
            self._parallel = min(self._parallel + 1, limits.LOOKUP_MERGED_PARALLEL)
