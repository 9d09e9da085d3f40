"""What one check found, and what all of them look at."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from p2pd.daemon.doctor.greeting import Greetings
from p2pd.settings import Settings


class State(StrEnum):
    """How a check ended: `warning` works, but not as well as it could; `problem` does not work, or soon will not."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """The end of one check."""

    state: State
    message: str
    hint: str = ""
    """What to do next; never empty unless all is well."""
    details: tuple[str, ...] = ()

    def shown(self, check: str) -> dict[str, Any]:
        """As one line of JSON."""
        return {
            "check": check,
            "state": self.state.value,
            "message": self.message,
            "hint": self.hint,
            "details": list(self.details),
        }


def ok(message: str, *details: str) -> Finding:
    """All is well."""
    return Finding(State.OK, message, details=details)


def warning(message: str, hint: str, *details: str) -> Finding:
    """It works, but not as well as it could."""
    return Finding(State.WARNING, message, hint, details)


def problem(message: str, hint: str, *details: str) -> Finding:
    """It does not work."""
    return Finding(State.PROBLEM, message, hint, details)


@dataclass(slots=True)
class Case:
    """One home under examination; checks add to it what later ones need."""

    home: Path
    owner: int
    """Whose home it should be: ours; root may look at anyone's."""
    running: dict[str, Any] | None = None
    """What the daemon says of itself, where one answers."""
    holder: str | None = None
    """Who had the home at the beginning."""
    settings: Settings = field(default_factory=Settings)
    """Of the running daemon as far as they matter here, else of the files."""
    first_nodes: tuple[str, ...] = ()
    known_nodes: tuple[str, ...] = ()
    """From before, the last seen first."""
    ports: dict[str, int] = field(default_factory=dict)
    """Remembered by the home."""
    is_readable: bool = True
    """Whether the files of the home may be opened."""
    greetings: Greetings | None = None
    """What other nodes answered."""


Check = Callable[[Case], Finding]
