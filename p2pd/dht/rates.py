"""How often: token buckets, one for each source, bounded in number.

Knows nothing of what is counted.
"""

from typing import Generic, TypeVar

from p2pd import limits
from p2pd.dht.bounded import Recent

K = TypeVar("K")


class TokenBucket:
    """Fills by `per_s` up to `burst`; starts full."""

    __slots__ = ("_at", "_burst", "_filled", "_per_s")

    def __init__(self, per_s: float, burst: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._filled = burst
        self._at = 0.0

    def take(self, now_s: float, amount: float = 1.0, *, spare: float = 0.0) -> bool:
        """Take so much, or nothing and False if not as much as `spare` would be left."""
        if now_s > self._at:
            self._filled = min(self._burst, self._filled + (now_s - self._at) * self._per_s)
            self._at = now_s
        if self._filled < amount + spare:
            return False
        self._filled -= amount
        return True

    def give(self, amount: float) -> None:
        """Put so much back, as far as there is room."""
        self._filled = min(self._burst, self._filled + amount)


class TokenBuckets(Generic[K]):
    """One bucket for each of the sources seen last."""

    def __init__(self, per_s: float, burst: float, size: int = limits.SOURCES) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: Recent[K, TokenBucket] = Recent(size)

    def take(self, source: K, now_s: float, amount: float = 1.0, *, spare: float = 0.0) -> bool:
        """As `TokenBucket.take`, from this source's."""
        bucket = self._buckets.find(source)
        if bucket is None:
            bucket = TokenBucket(self._per_s, self._burst)
            self._buckets.put(source, bucket)
        return bucket.take(now_s, amount, spare=spare)
