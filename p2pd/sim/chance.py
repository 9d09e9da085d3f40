"""Chance from a seed.

Rules: the same seed gives the same course, whatever the interpreter's hash seed is.
"""

from random import Random


class SeededRandom:
    """A `RandomSource` from a seed: anything whose `repr` says all of it."""

    def __init__(self, seed: object) -> None:
        self._random = Random(repr(seed))

    def bytes(self, count: int) -> bytes:
        """`count` random bytes."""
        return self._random.randbytes(count)

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return self._random.uniform(low, high)
