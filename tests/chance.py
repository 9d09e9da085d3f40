"""Chance for tests: the same in every run."""

from random import Random


class SeededRandom:
    """A `RandomSource` from a seed."""

    def __init__(self, seed: object = 0) -> None:
        self._random = Random(repr(seed))

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)
