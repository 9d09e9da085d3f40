"""What a measurement came to: a line of JSON, a row of a table.

Knows no figure.
Rules: a goal is absolute, in the result's unit, or, where there is a floor, a ratio to it; a result is `ok` when all
its goals hold; a result without goals is told for comparison.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

P99_FROM = 100
"""Samples from which on a 99th percentile means something; below it the largest is told."""
_COLUMNS = ("figure", "line", "measured", "goal", "floor", "ratio", "ok")


@dataclass(frozen=True, slots=True)
class Result:
    """One figure on one kind of line; `values` and `goal` by the same names: p50, p99, max, value, ..."""

    figure: str
    unit: str
    values: Mapping[str, float]
    goal: Mapping[str, float] = field(default_factory=dict)
    floor: float | None = None
    """What the values are divided by before they are compared with the goals; in the same unit."""
    more_is_better: bool = False
    line: str = "loopback"
    note: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else was counted: rounds, messages, failures."""

    @property
    def ratio(self) -> dict[str, float]:
        """Each value in floors."""
        return {name: value / self.floor for name, value in self.values.items()} if self.floor else {}

    @property
    def ok(self) -> bool | None:
        """Whether every goal is reached; None without goals."""
        if not self.goal:
            return None
        reached = self.ratio if self.floor else self.values
        pairs = [(reached[name], goal) for name, goal in self.goal.items()]
        return all(value >= goal if self.more_is_better else value <= goal for value, goal in pairs)

    def as_json(self) -> str:
        """One line."""
        row: dict[str, Any] = {"figure": self.figure, "unit": self.unit, "line": self.line}
        row |= {name: _short(value) for name, value in self.values.items()}
        row |= {"goal": dict(self.goal), "floor": self.floor and _short(self.floor)}
        row |= {"ratio": {name: _short(value) for name, value in self.ratio.items()}, "ok": self.ok}
        return json.dumps(row | {"facts": dict(self.facts), "note": self.note})

    def cells(self) -> tuple[str, ...]:
        """One row of the table."""
        times = "x " if self.floor else ""
        return (
            f"{self.figure}, {self.unit}",
            self.line,
            _named(self.values) + "".join(f"; {name} {_shown(value)}" for name, value in self.facts.items()),
            times + _named({name: self.goal[name] for name in self.goal}) if self.goal else "",
            _shown(self.floor) if self.floor else "",
            _named({name: self.ratio[name] for name in self.goal or self.ratio}) if self.floor else "",
            {True: "yes", False: "NO", None: ""}[self.ok],
        )


def trips(figure: str, near_ms: float, far_ms: float, goal: int | None = None) -> Result:
    """Round trips that follow each other: what a line of 60 ms adds to the median on loopback, divided by 60 ms.

    A wait of ours beside which they run hides some; the median at 60 ms by itself, divided, is the most there can be.
    """
    goals = {"value": goal + 0.5} if goal is not None else {}
    name = f"{figure}, round trips one after the other"
    note = "(median at 60 ms - median on loopback) / 60 ms; the goal allows half a trip of noise"
    most = {"at most": float(f"{far_ms / 60:.3g}")}
    return Result(name, "trips", {"value": (far_ms - near_ms) / 60}, goals, line="60 ms", facts=most, note=note)


def spread(samples: Sequence[float]) -> dict[str, float]:
    """The median, and the 99th percentile or, where there are few, the largest."""
    if len(samples) >= P99_FROM:
        return {"p50": median(samples), "p99": quantiles(samples, n=100)[98]}
    return {"p50": median(samples), "max": max(samples)}


def as_text(results: Sequence[Result]) -> str:
    """A table for a terminal."""
    rows = [_COLUMNS, *(result.cells() for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * min(160, sum(widths)), *lines[1:]])


def as_markdown(results: Sequence[Result]) -> str:
    """The same for a document."""
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *(result.cells() for result in results)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def _named(values: Mapping[str, float]) -> str:
    return " / ".join(_shown(value) if name == "value" else f"{name} {_shown(value)}" for name, value in values.items())


def _shown(value: Any) -> str:
    return f"{_short(value):,}" if isinstance(value, int | float) else str(value)


def _short(value: float) -> float | int:
    """Three digits that mean something."""
    if isinstance(value, int) or abs(value) >= 100:
        return round(value)
    return float(f"{value:.3g}")
