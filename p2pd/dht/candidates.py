"""What a look-up knows of a node, and of those who named it.

A node is named with an endpoint, and half of those who name it may lie: the endpoints of one key are claims beside each
other, each with those who made it.
Naming takes credit: of the claims that were tried on a node's word, `limits.LOOKUP_CREDIT` more may lack an answer,
whether under way, slow or failed, than have one.  A claim is tried at the charge of the first with credit who made it.

| candidate | next |
|---|---|
| known | asked |
| asked | answered; slow or failed, or known where another claim is left that somebody with credit made |
| slow | answered; failed, or known where another claim is left |
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from p2pd import limits
from p2pd.dht.peers import Peer


class State(Enum):
    KNOWN = auto()
    ASKED = auto()
    SLOW = auto()
    ANSWERED = auto()
    FAILED = auto()


@dataclass(slots=True, eq=False)
class Claim:
    """That a node is at one endpoint."""

    peer: Peer
    sources: list["Candidate"]
    """Who says so; nobody: our own table."""
    state: State = State.KNOWN
    charged: "Candidate | None" = None
    """On whose word it was tried."""

    @property
    def votes(self) -> int:
        """How many with credit say so; our own table always has."""
        return sum(source.has_credit for source in self.sources) if self.sources else 1

    @property
    def has_credit(self) -> bool:
        """Whether anybody's word is still enough to try it."""
        return not self.sources or any(source.has_credit for source in self.sources)

    def turn(self, state: State) -> None:
        """It is in another state now, which is credited or charged."""
        if self.charged is None:
            self.charged = next((source for source in self.sources if source.has_credit), None)
            if self.charged is None and self.sources:
                self.charged = self.sources[0]
        if self.charged is not None:
            self.charged.charge(self.state, state)
        self.state = state


@dataclass(slots=True, eq=False)
class Candidate:
    """A node that the look-up knows of."""

    claims: list[Claim]
    """As they were heard, at least one; all that is told in a look-up bounds them."""
    claim: Claim
    """The one that is, or will be, tried; once it has answered, where it is."""
    distance: int
    path: int
    depth: int
    """Hops from our own table: 1 for what stands in it."""
    state: State = State.KNOWN
    on_path: bool = False
    """It is its path that asks it."""
    suspected: bool = False
    """It was a suspect when it was asked."""
    has_credit: bool = True
    """Its word is enough to try a claim."""
    is_false: bool = False
    """Most of what it claimed does not answer."""
    _tried: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    """Claims tried on its word, by state."""

    @property
    def peer(self) -> Peer:
        """The node, where it is looked for."""
        return self.claim.peer

    @property
    def doubtful(self) -> bool:
        """It has not answered, and nobody's word is enough to try it, or it was tried on a word not worth much."""
        if self.state is State.KNOWN:
            return not self.claim.has_credit and not any(
                claim.has_credit for claim in self.claims if claim.state is State.KNOWN
            )
        return self.state is not State.ANSWERED and self.claim.charged is not None and self.claim.charged.is_false

    def hear(self, peer: Peer, source: "Candidate") -> None:
        """Somebody names it, at this endpoint."""
        claim = self._claim_of(peer)
        if claim is None:
            self.claims.append(Claim(peer, [source]))
        elif claim.sources and claim.sources[-1] is not source:  # an answer that names it twice is one voice
            claim.sources.append(source)
        if self.state is State.FAILED or (self.state is State.SLOW and self._best().has_credit):
            self._try_another()
        elif self.state is State.KNOWN and len(self.claims) > 1:
            self.claim = self._best()

    def fits(self, admits: Callable[[Peer], bool]) -> bool:
        """Whether it may be looked at where it is said to be; of claims not tried, the best that may is tried next."""
        if self.state is not State.KNOWN or len(self.claims) == 1:
            return admits(self.peer)
        left = [claim for claim in self.claims if claim.state is State.KNOWN and admits(claim.peer)]
        self.claim = max(left, key=lambda claim: claim.votes, default=self.claim)
        return bool(left)

    def ask(self) -> None:
        """Its claim is tried."""
        self.claim.turn(State.ASKED)
        self.state = State.ASKED

    def answer(self, peer: Peer) -> None:
        """It is there, wherever else it was looked for."""
        claim = self._claim_of(peer)
        if claim is not None:
            claim.turn(State.ANSWERED)
            self.claim = claim
        self.state = State.ANSWERED

    def be_slow(self) -> None:
        """The claim has not been answered in the usual time."""
        self.claim.turn(State.SLOW)
        self.state = State.SLOW
        if self._best().has_credit:
            self._try_another()

    def fail(self, peer: Peer) -> None:
        """The claim that it is there will not be answered."""
        claim = self._claim_of(peer)
        if claim is None or claim.state in (State.ANSWERED, State.FAILED):
            return
        claim.turn(State.FAILED)
        if claim is self.claim and self.state is not State.ANSWERED:
            self.state = State.FAILED
            self._try_another()

    def charge(self, before: State, after: State) -> None:
        """A claim on its word has turned."""
        self._tried[before] -= 1
        self._tried[after] += 1
        silent = self._tried[State.SLOW] + self._tried[State.FAILED]
        most = self._tried[State.ANSWERED] + limits.LOOKUP_CREDIT
        self.has_credit = silent + self._tried[State.ASKED] < most
        self.is_false = silent >= most

    def _claim_of(self, peer: Peer) -> Claim | None:
        return next((claim for claim in self.claims if claim.peer.endpoint == peer.endpoint), None)

    def _best(self) -> Claim:
        """Of the claims not tried, the one with the most votes; the one that was tried, where there is none."""
        left = [claim for claim in self.claims if claim.state is State.KNOWN]
        return max(left, key=lambda claim: claim.votes, default=self.claim)

    def _try_another(self) -> None:
        best = self._best()
        if best.state is State.KNOWN:
            self.claim, self.state, self.on_path = best, State.KNOWN, False
