"""Where output goes: lines for a person, or one JSON object a line for a script.

Knows no command.  Rules: everything shown passes `harmless`; colour only on a terminal and never with NO_COLOR;
columns stay aligned whatever a name holds; JSON is exact once parsed and holds no character that a terminal obeys.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from p2pctl.harmless import harmless, harmless_line

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
_COLOUR = re.compile(r"(\x1b\[\d+m)")
CELL_COLUMNS = 60
"""A cell of a table is cut here: a name or a path of any length must not push the others away."""


def prepare() -> None:
    """Makes the standard streams print what their encoding lacks as escapes, rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def is_drawn_on(stream: TextIO) -> bool:
    """Whether this stream is a terminal on which lines can be drawn anew; a dumb one shows the codes for it."""
    return stream.isatty() and os.environ.get("TERM", "") != "dumb"


def has_colour(stream: TextIO) -> bool:
    """Whether colour belongs on this stream (no-color.org)."""
    return is_drawn_on(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, colour: str, stream: TextIO | None = None) -> str:
    """`text`, coloured where the stream, standard output unless given, shows it."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if colour and has_colour(stream or sys.stdout) else text


def as_json(value: Any) -> str:
    """One line of JSON, ASCII only, DEL written as an escape too."""
    return json.dumps(value, ensure_ascii=True, separators=(", ", ": ")).replace("\x7f", "\\u007f")


def show(line: str = "") -> None:
    """One line on standard output, at once."""
    print(line, flush=True)


def show_json(value: Any) -> None:
    """One JSON object on standard output, at once."""
    show(as_json(value))


def columns(text: str) -> int:
    """How many columns of a terminal harmless text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """Harmless text of at most `width` columns, its end marked where something is missing."""
    if columns(text) <= width:
        return text
    from rich.cells import set_cell_size

    return set_cell_size(text, max(0, width - 1)).rstrip() + "…"


def fitted(line: str, width: int) -> str:
    """A line, painted or not, of at most `width` columns; its colours end where they did."""
    parts = _COLOUR.split(line)  # every other one is a colour
    room = width
    for place in range(0, len(parts), 2):
        parts[place] = cut(parts[place], room) if room > 0 else ""
        room -= columns(parts[place])
    return "".join(parts)


def pad(text: str, width: int) -> str:
    """`text` with spaces up to `width` columns."""
    return text + " " * (width - columns(text))


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table with aligned columns; its cells are made harmless, and cut at `CELL_COLUMNS`."""
    shown = [[cut(harmless_line(_word(cell)), CELL_COLUMNS) for cell in row] for row in rows]
    widths = [max(map(columns, column)) for column in zip(titles, *shown, strict=True)]
    lines = [_aligned(titles, widths), *(_aligned(row, widths) for row in shown)]
    return [paint(lines[0], "dim"), *lines[1:]]


def pairs(values: Mapping[str, object]) -> list[str]:
    """Lines of `name  value`, the values aligned; a long value is not cut."""
    width = max(map(len, values), default=0) + 2
    return [f"{paint(pad(name, width), 'dim')}{harmless_line(_word(value))}" for name, value in values.items()]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(map(pad, cells, widths)).rstrip()


def _word(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(_word, value)) or "-"
        case dict():
            return ", ".join(f"{key} {_word(part)}" for key, part in value.items()) or "-"
        case _:
            return str(value) if value != "" else "-"


def message_lines(text: str, *, indent: int) -> str:
    """A text as it is shown after other words: its further lines are indented, and so cannot pose as messages."""
    return harmless(text).replace("\n", "\n" + " " * indent)


def clock(moment: str | None) -> str:
    """An RFC 3339 time as `YYYY-MM-DD HH:MM:SS` in the local zone; "-" for none."""
    if not moment:
        return "-"
    from datetime import datetime

    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return harmless_line(moment)


def size(count: object) -> str:
    """A number of bytes for a person: `1.2 MB`."""
    if not isinstance(count, int | float):
        return "-"
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def duration(seconds: object) -> str:
    """A number of seconds for a person: `2d 3h`, `3h 5m`, `4m 10s`, `12s`."""
    if not isinstance(seconds, int | float):
        return "-"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"
