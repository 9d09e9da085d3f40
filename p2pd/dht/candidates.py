"""What a look-up knows of a node, and of those who named it.

A node is named with an endpoint, and half of those who name it may lie: the endpoints of one key are claims beside each
other, each with those who made it.
Naming takes credit: of the claims that were tried on a node's word, `limits.LOOKUP_CREDIT` more may lack an answer,
whether under way, slow or failed, than have one.  A claim is tried at the charge of the first with credit who made it.
Whoever loses or regains credit takes its votes along, and the best claim of each node that it named is chosen anew.

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
    is_own: bool = False
    """It stands in our own table, which has the first vote and charges nobody."""
    sources: list["Candidate"] = field(default_factory=list)
    """Who else says so."""
    votes: int = 0
    """How many with credit say so."""
    state: State = State.KNOWN
    charged: "Candidate | None" = None
    """On whose word it was tried."""

    def __post_init__(self) -> None:
        self.votes += self.is_own

    @property
    def worth(self) -> int:
        """The node's claim that is worth most is tried first: its votes; where none is left, -1 for a liar's."""
        return self.votes or -all(source.is_false for source in self.sources)

    def turn(self, state: State) -> None:
        """It is in another state now, which is credited or charged."""
        if self.charged is None and not self.is_own:
            self.charged = next((source for source in self.sources if source.has_credit), self.sources[0])
        if self.charged is not None:
            self.charged.charge(self.state, state)
        self.state = state


@dataclass(slots=True, eq=False)
class Candidate:
    """A node that the look-up knows of."""

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
    peer: Peer = field(init=False)
    """The node, at the endpoint of its claim."""
    claims: list[Claim] = field(init=False)
    """As they were heard, at least one; all that is told in a look-up bounds them."""
    has_credit: bool = True
    """Its word is enough to try a claim."""
    is_false: bool = False
    """Most of what it claimed does not answer."""
    made: list[tuple["Candidate", Claim]] = field(default_factory=list)
    """What it claimed, and of whom."""
    _under_way: int = 0
    _silent: int = 0
    _true: int = 0
    """Claims tried on its word: asked; slow or failed; answered."""

    def __post_init__(self) -> None:
        self.peer, self.claims = self.claim.peer, [self.claim]

    @property
    def doubtful(self) -> bool:
        """It has not answered, and nobody's word is enough to try it, or it was tried on a word not worth much."""
        if self.state is State.KNOWN:
            return not self.claim.votes
        return self.state is not State.ANSWERED and self.claim.charged is not None and self.claim.charged.is_false

    @property
    def may_yet_answer(self) -> bool:
        """It is slow, or was where it was looked for before."""
        if self.state is State.ANSWERED:
            return False
        return self.state is State.SLOW or any(claim.state is State.SLOW for claim in self.claims)

    def hear(self, peer: Peer, source: "Candidate") -> None:
        """Somebody names it, at this endpoint; once in a look-up, so each has one vote."""
        claim = self._claim_of(peer)
        if claim is None:
            claim = Claim(peer)
            self.claims.append(claim)
        claim.sources.append(source)
        source.made.append((self, claim))
        claim.votes += source.has_credit
        if len(self.claims) > 1:
            self.weigh()

    def weigh(self) -> None:
        """The best claim is the next, after votes or claims have changed; with one there is no choice."""
        if self.state is State.KNOWN:
            self._look_at(self._best())
        elif self.state is State.FAILED or (self.state is State.SLOW and self._best().votes):
            self._try_another()

    def fits(self, admits: Callable[[Peer], bool]) -> bool:
        """Whether another of its claims is admitted than the best, whose place it takes until they are weighed."""
        left = [claim for claim in self.claims if claim.state is State.KNOWN and admits(claim.peer)]
        if self.state is not State.KNOWN or not left:
            return False
        self._look_at(max(left, key=lambda claim: claim.worth))
        return True

    def ask(self) -> None:
        """Its claim is tried."""
        self.state = State.ASKED  # first: its source may lose its credit, and whom that named is weighed
        self.claim.turn(State.ASKED)

    def answer(self, peer: Peer) -> None:
        """It is there, wherever else it was looked for."""
        claim = self._claim_of(peer)
        self.state = State.ANSWERED
        if claim is not None:
            claim.turn(State.ANSWERED)
            self._look_at(claim)

    def be_slow(self) -> None:
        """The claim has not been answered in the usual time."""
        self.claim.turn(State.SLOW)
        self.state = State.SLOW
        self.weigh()

    def fail(self, peer: Peer) -> None:
        """The claim that it is there will not be answered."""
        claim = self._claim_of(peer)
        if claim is None or claim.state in (State.ANSWERED, State.FAILED):
            return
        claim.turn(State.FAILED)
        if claim is self.claim and self.state is not State.ANSWERED:
            self.state = State.FAILED
            self.weigh()

    def charge(self, before: State, after: State) -> None:
        """A claim on its word has turned."""
        self._count(before, -1)
        self._count(after, 1)
        most = self._true + limits.LOOKUP_CREDIT
        self.is_false = self._silent >= most
        has_credit = self._silent + self._under_way < most
        if has_credit is not self.has_credit:
            self.has_credit = has_credit
            for named, claim in self.made:
                claim.votes += 1 if has_credit else -1
                if len(named.claims) > 1:
                    named.weigh()

    def _count(self, state: State, more: int) -> None:
        if state is State.ASKED:
            self._under_way += more
        elif state is State.ANSWERED:
            self._true += more
        elif state is not State.KNOWN:
            self._silent += more

    def _claim_of(self, peer: Peer) -> Claim | None:
        if self.peer.endpoint == peer.endpoint:
            return self.claim
        return next((claim for claim in self.claims if claim.peer.endpoint == peer.endpoint), None)

    def _best(self) -> Claim:
        """Of the claims not tried, the one worth most; the one that was tried, where there is none."""
        left = [claim for claim in self.claims if claim.state is State.KNOWN]
        return max(left, key=lambda claim: claim.worth, default=self.claim)

    def _try_another(self) -> None:
        best = self._best()
        if best.state is State.KNOWN:
            self._look_at(best)
            self.state, self.on_path = State.KNOWN, False

    def _look_at(self, claim: Claim) -> None:
        self.claim, self.peer = claim, claim.peer
