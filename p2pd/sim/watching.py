"""What those who watch the virtual world are told.

Knows nothing of what they look for.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from p2pd.effects import Effect


class Phase(Enum):
    """How far a turn has come."""

    BEGUN = "begun"
    COMMITTED = "committed"
    """The user's store has it; the records commit later."""
    UNDONE = "undone"


class Observer(Protocol):
    """Who watches; called in the order of what happens, never within a turn's own code."""

    def on_turn(self, host: str, phase: Phase) -> None:
        """A turn begins, is committed, or is undone; the host's engine is at rest."""
        ...

    def on_effect(self, host: str, effect: Effect) -> None:
        """An effect leaves the host, before anything comes of it."""
        ...

    def on_down(self, host: str, why: str) -> None:
        """The process there has ended: "stopped", "killed", "power", a crash's moment, or an error."""
        ...


@dataclass(frozen=True, slots=True)
class Bug:
    """An unexpected exception in a turn."""

    time_s: float
    host: str
    at: str
    error: Exception
