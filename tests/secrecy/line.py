"""One line of `make secrecy`: what was tried how often, what was measured, and whether it holds.

Rules: every measure has a bound, and a line holds only where all its measures do and something was tried at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measure:
    """A value and the most, or the least, that it may be."""

    what: str
    value: float
    most: float | None = None
    least: float | None = None
    unit: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is within its bounds."""
        assert self.most is not None or self.least is not None, f"{self.what}: nothing could fail"
        above = self.least is None or self.value >= self.least
        return above and (self.most is None or self.value <= self.most)

    @property
    def result(self) -> str:
        """As it is shown."""
        return f"{_number(self.value)}{self.unit} {self.what}"

    @property
    def goal(self) -> str:
        """What it may be, as it is shown."""
        least = f">= {_number(self.least)}" if self.least is not None else ""
        most = f"<= {_number(self.most)}" if self.most is not None else ""
        return f"{least}{' ' if least and most else ''}{most}{self.unit}"


@dataclass(frozen=True, slots=True)
class Line:
    """What came of one promise."""

    name: str
    count: int
    measures: Sequence[Measure]
    notes: Sequence[str] = ()
    """What else was seen, with no bound."""

    @property
    def ok(self) -> bool:
        """Whether the promise held."""
        return self.count > 0 and bool(self.measures) and all(measure.ok for measure in self.measures)

    def __str__(self) -> str:
        results = "; ".join(measure.result for measure in self.measures)
        goals = "; ".join(measure.goal for measure in self.measures)
        line = f"{self.name:9} {self.count:>9,}  {'ok  ' if self.ok else 'FAIL'}  {results}  (goal: {goals})"
        return "\n".join([line, *(f"{'':27}{note}" for note in self.notes)])

    @property
    def failures(self) -> str:
        """The measures that are out of bounds, for an assertion's message."""
        return "; ".join(f"{measure.result} (goal {measure.goal})" for measure in self.measures if not measure.ok)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) or value == int(value) else f"{value:,.3g}"
