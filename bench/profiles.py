"""Where daemons spend their time: what `python -m bench --profile FOLDER FIGURE` has left, as a table.

`python -m bench.profiles FOLDER/alice13.prof` names our functions, and the libraries' calls that they make, by their
share of all that the event loop ran, what they call included; starting up is left out.
"""

import pstats
import signal
import sys
from pathlib import Path

from tests.integration.fleet import ROOT

LOOP = ("~", 0, "<method 'run' of '_contextvars.Context' objects>")
LEAST = 0.02
"""Of the time; smaller shares are noise."""
_STARTING = ("<module>", "<built-in method builtins.", "<method 'poll'", "<frozen")
"""What loads modules, and waiting."""
_LIBRARIES = ("site-packages", "lib/python3")
_Place = tuple[str, int, str]


def shares(file: Path) -> list[tuple[float, int, str]]:
    """Share, calls and name of each function that had enough of the time, the largest first."""
    stats: dict[_Place, tuple[int, int, float, float, object]] = pstats.Stats(str(file)).stats  # type: ignore[attr-defined]
    whole_s = stats[LOOP][3]
    rows = [(cumulative_s / whole_s, calls, _name(place)) for place, (_, calls, _, cumulative_s, _) in stats.items()]
    return sorted((row for row in rows if LEAST <= row[0] < 1 and row[2]), reverse=True)


def _name(place: _Place) -> str:
    """Module and function; nothing for what is not ours and stands in no library's name."""
    file, line, function = place
    if f"{file}{function}".removeprefix("~").startswith(_STARTING) or function == "<module>":
        return ""
    if file.startswith(str(ROOT / "p2pd")):
        return f"{Path(file).relative_to(ROOT)}:{line} {function}"
    for library in _LIBRARIES:
        _, found, rest = file.partition(f"{library}/")
        if found and not rest.startswith("asyncio"):
            return f"{rest}:{line} {function}"
    return function if file == "~" and place != LOOP else ""


def main() -> None:
    """One table a file."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # for `| head`
    for name in sys.argv[1:]:
        sys.stdout.write(f"{name}\n")
        for share, calls, function in shares(Path(name)):
            sys.stdout.write(f"{share:7.1%}  {calls:9,}  {function}\n")


if __name__ == "__main__":
    main()
