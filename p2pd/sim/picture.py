"""A picture of a run as SVG: panels under each other, all over the same hours, readable on light and dark ground.

Knows no simulator: a panel is a title, a unit and series of (seconds, value).
Rules: no library; a series of more than `POINTS` points is thinned evenly and its name says so, so that a picture stays
small; series differ in shape as well as in colour.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, PANEL, LEFT, RIGHT, TOP, GAP, BOTTOM = 760, 150, 64, 16, 58, 46, 40
"""In pixels: the picture, one panel, and what is free round and between them."""
POINTS = 400
TICKS = 6
_MARKS = 3
"""Series that one panel can tell apart."""

_LIGHT = ("#1f6fd1", "#c76a00", "#23875a")
_DARK = ("#6fb1ff", "#f2a94e", "#58cf98")


def _inks(colours: Sequence[str]) -> str:
    # No CSS variables: not every program that shows SVG knows them.
    return " ".join(f".dot.s{n} {{ fill: {c} }} .line.s{n} {{ stroke: {c} }}" for n, c in enumerate(colours))


_STYLE = f"""
text {{ font: 12px system-ui, sans-serif; fill: #333 }}
.title {{ font-size: 15px; font-weight: 600 }}
.name {{ font-weight: 600 }}
.ground {{ fill: #fff }}
.axis {{ stroke: #888; fill: none }}
.grid {{ stroke: #e4e4e4 }}
.dot {{ fill-opacity: .75 }}
.line {{ stroke-width: 1.6; fill: none }}
{_inks(_LIGHT)}
@media (prefers-color-scheme: dark) {{
text {{ fill: #ddd }} .ground {{ fill: #16181c }} .grid {{ stroke: #2c3036 }}
{_inks(_DARK)}
}}
"""


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one kind, in order of time: seconds and values."""

    name: str
    points: Sequence[tuple[float, float]]
    joined: bool = False
    """Drawn as a line instead of marks."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Up to three series over one scale."""

    title: str
    unit: str
    series: tuple[Series, ...]
    logarithmic: bool = False


def draw(title: str, panels: Sequence[Panel], end_s: float) -> str:
    """The SVG; `end_s` is where the time axis ends."""
    height = TOP + len(panels) * (PANEL + GAP) - GAP + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        f' role="img" aria-label="{_attribute(title)}">',
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>',
    ]
    hours = max(end_s / 3600, 1e-9)
    for number, panel in enumerate(panels):
        top = TOP + number * (PANEL + GAP)
        parts += _panel(panel, top, hours, is_last=number == len(panels) - 1)
    return "\n".join([*parts, "</svg>"]) + "\n"


@dataclass(frozen=True, slots=True)
class _Scale:
    """Values to pixels, upwards."""

    low: float
    high: float
    top: float
    logarithmic: bool

    def y(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log10(max(value, low)), math.log10(low), math.log10(high)
        return self.top + PANEL - PANEL * (value - low) / (high - low)

    def ticks(self) -> list[float]:
        if not self.logarithmic:
            return steps(self.high)
        first, last = round(math.log10(self.low)), round(math.log10(self.high))
        stride = -(-(last - first) // TICKS) or 1
        return [10.0**power for power in range(first, last + 1, stride)]


def _scale(panel: Panel, top: float) -> _Scale:
    values = [value for series in panel.series for _, value in series.points]
    if panel.logarithmic:
        seen = [value for value in values if value > 0] or [1.0]
        low, high = math.floor(math.log10(min(seen))), math.ceil(math.log10(max(seen)))
        return _Scale(10.0**low, 10.0 ** max(high, low + 1), top, True)
    return _Scale(0.0, steps(max([*values, 1.0]))[-1], top, False)


def steps(high: float) -> list[float]:
    """Round numbers from 0 to `high` or a little beyond it."""
    rough = high / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    size = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [number * size for number in range(math.ceil(high / size * 0.999) + 1)]


def _panel(panel: Panel, top: float, hours: float, *, is_last: bool) -> list[str]:
    scale, right, bottom = _scale(panel, top), WIDTH - RIGHT, top + PANEL
    parts = ["<g>", f'<text class="name" x="{LEFT}" y="{top - 8}">{escape(panel.title)}, {escape(panel.unit)}</text>']
    for value in scale.ticks():
        y = f"{scale.y(value):.1f}"
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{right}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y}" dy=".35em" text-anchor="end">{number_text(value)}</text>')
    for hour in steps(hours):
        if hour <= hours * 1.0001:
            x = f"{_x(hour * 3600, hours):.1f}"
            parts.append(f'<path class="axis" d="M{x} {bottom}v4"/>')
            label = f"{number_text(hour)}" if is_last else ""
            parts += [f'<text x="{x}" y="{bottom + 17}" text-anchor="middle">{label}</text>'] if label else []
    parts.append(f'<path class="axis" d="M{LEFT} {top}V{bottom}H{right}"/>')
    if is_last:
        middle = (LEFT + right) / 2
        parts.append(f'<text x="{middle}" y="{bottom + 33}" text-anchor="middle">virtual time, hours</text>')
    if not any(series.points for series in panel.series):
        parts.append(f'<text x="{LEFT + 12}" y="{top + PANEL / 2}">nothing of this happened</text>')
    for index, series in enumerate(panel.series[:_MARKS]):
        parts += _series(series, index, scale, hours)
    return [*parts, *_legend(panel, top), "</g>"]


def _x(seconds: float, hours: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * seconds / 3600 / hours


def _series(series: Series, index: int, scale: _Scale, hours: float) -> list[str]:
    places = [(_x(seconds, hours), scale.y(value)) for seconds, value in thinned(series.points)]
    if not places:
        return []
    if series.joined:
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        return [f'<polyline class="line s{index}" points="{line}"/>']
    return [f'<g class="dot s{index}">', *(_mark(index, x, y) for x, y in places), "</g>"]


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `POINTS` of them, evenly, and always the highest: a picture must not hide the worst."""
    if len(points) <= POINTS:
        return list(points)
    chosen = {index * len(points) // (POINTS - 1) for index in range(POINTS - 1)}
    chosen.add(max(range(len(points)), key=lambda index: points[index][1]))
    return [points[index] for index in sorted(chosen)]


def _mark(index: int, x: float, y: float) -> str:
    if index == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4"/>'
    if index == 1:
        return f'<rect x="{x - 2:.1f}" y="{y - 2:.1f}" width="4" height="4"/>'
    return f'<path d="M{x:.1f} {y - 3:.1f}l3 5.2h-6z"/>'


def _legend(panel: Panel, top: float) -> list[str]:
    """From the right, above the panel."""
    parts: list[str] = []
    x = float(WIDTH - RIGHT)
    for index, series in reversed(list(enumerate(panel.series[:_MARKS]))):
        count = len(series.points)
        name = f"{series.name} ({POINTS} of {count:,} shown)" if count > POINTS else series.name
        x -= 6.6 * len(name)
        parts.append(f'<text x="{x:.1f}" y="{top - 8}">{escape(name)}</text>')
        x -= 10
        if series.joined:
            parts.append(f'<path class="line s{index}" d="M{x - 8:.1f} {top - 12}h12"/>')
        else:
            parts.append(f'<g class="dot s{index}">{_mark(index, x, top - 12)}</g>')
        x -= 18
    return parts


def number_text(value: float) -> str:
    """As short as it can be said: 0.05, 7, 1,000."""
    if value and (abs(value) < 0.001 or abs(value) >= 1_000_000):
        return f"{value:.0e}"
    return f"{value:,.0f}" if value == round(value) else f"{value:.3f}".rstrip("0")


def _attribute(text: str) -> str:
    return escape(text, {'"': "&quot;"})
