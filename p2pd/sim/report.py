"""What a run came to: as text, as JSON, as a picture.

Knows no engine; times are virtual unless a name says otherwise.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from p2pd.sim import picture
from p2pd.sim.invariants import Judge, Violation
from p2pd.sim.measures import Measures, Points, Times, quantile
from p2pd.sim.picture import Panel, Series, number_text

NETWORK_CAUSES = ("links", "requests")


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle and the end of many values, and how many there were."""

    count: int
    p50: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of these values."""
        p50, p99 = (round(quantile(values, share), 3) for share in (0.5, 0.99))
        return cls(len(values), p50, p99, round(max(values, default=0.0), 3))

    def __str__(self) -> str:
        p50, p99, most = (number_text(value) for value in (self.p50, self.p99, self.max))
        return f"p50 {p50}  p99 {p99}  max {most}  of {self.count:,}"


@dataclass(slots=True)
class Report:
    """One run."""

    scenario: str
    seed: int
    nodes: int
    hours: float
    replay: str
    """The command that does it again."""
    virtual_hours: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    node_hours: float = 0.0
    """Virtual hours of all nodes, also of those that were down."""
    messages: dict[str, int] = field(default_factory=dict)
    message_age_s: Spread = field(default_factory=lambda: Spread.of(()))
    look_up_ms: Spread = field(default_factory=lambda: Spread.of(()))
    get_ms: Spread = field(default_factory=lambda: Spread.of(()))
    put_ms: Spread = field(default_factory=lambda: Spread.of(()))
    rounds: dict[str, dict[int, int]] = field(default_factory=dict)
    """Of look-ups, gets and puts: how many took how many rounds."""
    nearest_reached: float = 1.0
    nearest_judged: int = 0
    """Look-ups that this is of."""
    bytes_per_node_hour: dict[str, float] = field(default_factory=dict)
    copies: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)
    """What the scenario itself measured."""
    trace: str = ""
    message_keys: int = 0
    violations: list[Violation] = field(default_factory=list)
    violations_in_all: int = 0
    svg: str = ""

    @property
    def node_hours_per_core_s(self) -> float:
        """How fast it went."""
        return self.node_hours / self.cpu_s if self.cpu_s else 0.0

    def as_json(self) -> str:
        """All but the picture; `violations` are objects."""
        facts = {name: value for name, value in asdict(self).items() if name != "svg"}
        facts["node_hours_per_core_s"] = round(self.node_hours_per_core_s, 3)
        return json.dumps(facts, indent=2) + "\n"

    def as_text(self) -> str:
        """For people: a dozen lines."""
        lines = [
            f"{self.scenario}, seed {self.seed}: {self.nodes} nodes, {self.virtual_hours:.2f} virtual hours",
            f"  took          {self.wall_s:.2f} s, {self.cpu_s:.2f} core-seconds:"
            f" {self.node_hours_per_core_s:.1f} node-hours per core-second",
            f"  messages      {_counts(self.messages)}",
            f"  message age   {self.message_age_s}  (s)",
            f"  look-ups      {self.look_up_ms}  (ms){_rounds(self.rounds.get('look-ups', {}))}",
            f"  gets          {self.get_ms}  (ms){_rounds(self.rounds.get('gets', {}))}",
            f"  puts          {self.put_ms}  (ms){_rounds(self.rounds.get('puts', {}))}",
            f"  nearest       {self.nearest_reached:.4%} of the truly nearest were reached,"
            f" in {self.nearest_judged:,} look-ups",
            f"  traffic       {_counts(self.bytes_per_node_hour)}  (bytes per node and hour)",
            f"  copies        {_counts(self.copies)}",
            f"  faults        {_counts(self.faults)}",
            *([f"  measured      {_counts(self.facts)}"] if self.facts else []),
            f"  message keys  {self.message_keys:,}, none twice" if self._keys_hold() else "  message keys  repeated",
            f"  trace         {self.trace[:32]}",
        ]
        return "\n".join([*lines, *self._verdict()]) + "\n"

    def _keys_hold(self) -> bool:
        return all(violation.invariant != "message keys" for violation in self.violations)

    def _verdict(self) -> list[str]:
        if not self.violations_in_all:
            return ["  violations    none"]
        shown = [f"    {violation}" for violation in self.violations[:10]]
        return [f"  VIOLATIONS    {self.violations_in_all}", *shown, f"  again with    {self.replay}"]


def filled(report: Report, judge: Judge, measures: Measures) -> Report:
    """The report with all that was seen."""
    letters = judge.promises.letters
    shown = [letter for letter in letters if letter.shown_s is not None]
    report.messages = {
        "offered": len(letters),
        "accepted": sum(letter.accepted for letter in letters),
        "shown": len(shown),
        **dict(sorted(judge.promises.states.items())),
    }
    ages = [(letter.shown_s or 0.0, (letter.shown_s or 0.0) - letter.offered_s, letter.via) for letter in shown]
    report.message_age_s = Spread.of([age for _, age, _ in ages])
    for name, times in (("look_up_ms", measures.look_ups), ("get_ms", measures.gets), ("put_ms", measures.puts)):
        setattr(report, name, Spread.of([took for _, took in times.ended]))
    report.rounds = {
        name: dict(sorted(times.rounds.items()))
        for name, times in (("look-ups", measures.look_ups), ("gets", measures.gets), ("puts", measures.puts))
    }
    report.nearest_reached, report.nearest_judged = judge.nearest.reached, judge.nearest.looked
    spent = {**measures.by_cause, "links": measures.links_bytes}
    hours = max(report.node_hours, 1e-9)
    report.bytes_per_node_hour = {cause: round(size / hours) for cause, size in sorted(spent.items()) if size}
    if measures.copies:
        fewest = min(measures.copies, key=lambda sample: sample[1])[1]
        report.copies = {
            "fewest": fewest,
            "median at the end": measures.copies[-1][2],
            "records": measures.copies[-1][3],
        }
    report.message_keys = judge.message_keys
    report.violations, report.violations_in_all = list(judge.violations), judge.broken_count
    by_way = {way: sorted((at, age) for at, age, via in ages if via == way) for way in _WAYS}
    report.svg = _picture(report, by_way, measures)
    return report


_WAYS = ("direct", "relay", "mailbox")


def _picture(report: Report, ages: dict[str, Points], measures: Measures) -> str:
    def times(name: str, values: Times) -> Series:
        return Series(name, values.ended)

    copies = measures.copies
    panels = (
        Panel("Message ages", "seconds", tuple(Series(way, ages[way]) for way in _WAYS), logarithmic=True),
        Panel(
            "Look-ups in the DHT",
            "ms",
            (times("look-up", measures.look_ups), times("get", measures.gets), times("put", measures.puts)),
            logarithmic=True,
        ),
        Panel(
            "Copies of a record on nodes that are up",
            "nodes",
            (
                Series("median", [(at, median) for at, _, median, _ in copies], joined=True),
                Series("fewest", [(at, fewest) for at, fewest, _, _ in copies], joined=True),
            ),
        ),
    )
    title = f"{report.scenario}, seed {report.seed}: {report.nodes} nodes, {report.virtual_hours:.1f} hours"
    return picture.draw(title, panels, report.virtual_hours * 3600)


def _counts(counts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {number_text(value)}" for name, value in counts.items()) or "none"


def _rounds(rounds: dict[int, int]) -> str:
    count = sum(rounds.values())
    if not count:
        return ""
    mean = sum(number * times for number, times in rounds.items()) / count
    return f", {mean:.1f} rounds, {max(rounds)} at most"
