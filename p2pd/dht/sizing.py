"""How large the network is, judged by how dense it stands around us and around what we looked up.

With n nodes spread evenly, the k-th nearest to a place is about k/n of the key space away, so n is about
(k - 1) / distance of the k-th: the minus one takes the bias out.
"""

from collections import deque
from collections.abc import Sequence
from statistics import median_low

from p2pd import limits
from p2pd.dht.peers import SPACE_BITS, Peer
from p2pd.dht.routing import Table
from p2pd.types import NodeId

_SPACE = 1 << SPACE_BITS
_GROWN = 1.5
_FEWEST = 4
"""Nodes whose distances tell anything."""


class NetworkSize:
    """An estimate of the number of servers, ours included."""

    def __init__(self, table: Table, own: NodeId) -> None:
        self._table = table
        self._own = own
        self._samples: deque[tuple[int, int]] = deque(maxlen=limits.SIZE_SAMPLES)
        """Estimates, and how many nodes the table held at the time."""
        self._estimate = 1
        self._estimated: int | None = None
        """The changes of the table that the estimate knows of; None: there are new samples."""

    def add(self, nearest: Sequence[Peer], target: bytes) -> None:
        """The true nearest to a place, nearest first."""
        if len(nearest) >= _FEWEST:
            self._samples.append((_density(nearest, target), len(self._table)))
            self._estimated = None

    def estimate(self) -> int:
        """At least 1."""
        if self._estimated != self._table.changes:
            self._estimated = self._table.changes
            self._estimate = self._estimated_anew()
        return self._estimate

    def _estimated_anew(self) -> int:
        known = len(self._table)
        if known < limits.BUCKET_SIZE:
            return known + 1
        own = _density(self._table.nearest(self._own, limits.BUCKET_SIZE), self._own)
        # What was seen while we knew half as many tells of a smaller network.
        fresh = [size for size, held in self._samples if known < _GROWN * held]
        return max(median_low([*fresh, own]), limits.BUCKET_SIZE)

    def radius(self, nodes: float) -> int:
        """The distance within which so many nodes should lie."""
        return min(_SPACE, int(_SPACE * nodes / self.estimate()))


def _density(nearest: Sequence[Peer], target: bytes) -> int:
    farthest = max(nearest[-1].place ^ int.from_bytes(target, "big"), 1)
    return max(1, (len(nearest) - 1) * _SPACE // farthest)
