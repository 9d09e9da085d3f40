"""Whether a node key has cost its maker enough (R6).

Rules: a check takes 0.65 ms, so results are kept and checks rationed; a key that cannot be checked now fails.
"""

from p2pd import limits
from p2pd.crypto.stamp import node_key_bits
from p2pd.dht.bounded import Recent
from p2pd.dht.rates import TokenBucket
from p2pd.types import NodeKey


class Puzzles:
    """The checks of one node; with 0 bits every key will do."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._found: Recent[NodeKey, int] = Recent(limits.SOURCES)
        self._budget = TokenBucket(limits.PUZZLES_PER_S, limits.PUZZLES_BURST)
        self.now_s = 0.0
        """The moment of this turn, for the ration."""

    def satisfied(self, key: NodeKey) -> bool:
        """Whether the key satisfies the puzzle."""
        if self._bits == 0:
            return True
        bits = self._found.find(key)
        if bits is None:
            if not self._budget.take(self.now_s):
                return False
            bits = node_key_bits(key)
            self._found.put(key, bits)
        return bits >= self._bits
