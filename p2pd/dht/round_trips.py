"""How long nodes take to answer: smoothed round trips after RFC 6298, one for each of the nodes used last.

Two times follow from them: after the first a question is slow, and another node is asked beside it, which costs one
message; after the second it is repeated, which says something of the node.
Rules: a repeated request gives no sample (Karn), since one cannot tell which of the two was answered.
Where nobody answers in time, times double until a round trip is measured again (RFC 6298, section 5.5): a line may have
become slow, and repeated requests alone would never tell.
A node not measured yet is taken to be like all others; whether a question is slow is judged by all others too, so that
what was measured of a node in a busy hour costs nobody a wait in a quiet one.
"""

from p2pd import limits
from p2pd.dht.bounded import Recent
from p2pd.types import NodeKey


class RoundTrip:
    """One estimate, in seconds."""

    __slots__ = ("mean_s", "spread_s")

    def __init__(self, sample_s: float) -> None:
        self.mean_s = sample_s
        self.spread_s = sample_s / 2

    def add(self, sample_s: float) -> None:
        self.spread_s += (abs(sample_s - self.mean_s) - self.spread_s) / 4
        self.mean_s += (sample_s - self.mean_s) / 8

    @property
    def slow_s(self) -> float:
        """What 19 of 20 do not reach, where they are spread evenly about the mean."""
        return self.mean_s + max(2 * self.spread_s, limits.REQUEST_MARGIN_S / 2)

    @property
    def timeout_s(self) -> float:
        timeout_s = self.mean_s + max(4 * self.spread_s, limits.REQUEST_MARGIN_S)
        return min(max(timeout_s, limits.REQUEST_TIMEOUT_MIN_S), limits.REQUEST_TIMEOUT_MAX_S)


class RoundTrips:
    """The estimates of all nodes, and of all together, for questions that are never slow before `slow_min_s`."""

    def __init__(self, slow_min_s: float = limits.REQUEST_SLOW_MIN_S) -> None:
        self._slow_min_s = slow_min_s
        self._nodes: Recent[NodeKey, RoundTrip] = Recent(limits.SOURCES)
        self._all: RoundTrip | None = None
        self._silences = 0
        """Questions in a row that nobody answered."""

    def add(self, node: NodeKey, sample_s: float) -> None:
        """One measured round trip."""
        self._silences = 0
        estimate = self._nodes.find(node)
        if estimate is None:
            self._nodes.put(node, RoundTrip(sample_s))
        else:
            estimate.add(sample_s)
        if self._all is None:
            self._all = RoundTrip(sample_s)
        else:
            self._all.add(sample_s)

    def slow_s(self, node: NodeKey) -> float:
        """After this long without an answer another node is asked beside it."""
        if self._all is None:
            return limits.REQUEST_SLOW_START_S
        estimate = self._nodes.find(node) or self._all
        slow_s = max(min(estimate.slow_s, self._all.slow_s), self._slow_min_s)
        return min(slow_s, estimate.timeout_s)

    def timeout_s(self, node: NodeKey) -> float:
        """After this long without an answer the question is repeated."""
        estimate = self._nodes.find(node) or self._all
        timeout_s = estimate.timeout_s if estimate else limits.REQUEST_TIMEOUT_START_S
        return min(timeout_s * (1 << self._silences // limits.SILENCES), limits.REQUEST_TIMEOUT_MAX_S)

    def unanswered(self) -> None:
        """A question has failed or was repeated; where one after the other has, it may be the line that is slow."""
        self._silences = min(self._silences + 1, limits.SILENCES_MAX)

    def mean_ms(self, node: NodeKey) -> float | None:
        """The smoothed round trip of one node; None where none was measured lately."""
        estimate = self._nodes.find(node)
        return round(estimate.mean_s * 1000, 3) if estimate else None

    @property
    def typical_s(self) -> float:
        """The mean round trip to all nodes; 0 before any is known."""
        return self._all.mean_s if self._all else 0.0
