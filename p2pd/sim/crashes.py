"""Where a process can be made to end: at any commit, and at any effect.

Knows no host.
"""

from dataclasses import dataclass
from enum import Enum

from p2pd.errors import P2pdError


class Moment(Enum):
    """Where in a turn; only turns that change something count for commits."""

    BEFORE_COMMIT = "before the commit"
    """The turn is rolled back."""
    AFTER_COMMIT = "after the commit"
    """Nothing of its effects leaves."""
    EFFECT = "after an effect"
    """Those after it do not leave."""
    BEFORE_RECORDS_COMMIT = "before the records' commit"
    AFTER_RECORDS_COMMIT = "after the records' commit"
    """What was promised does not leave."""


@dataclass(slots=True)
class Crash:
    """One that is arranged."""

    moment: Moment
    left: int
    """The so many-th from now; 1 is the next."""
    power: bool
    """Whether the machine goes with the process."""


class CrashNow(Exception):
    """It comes; for the simulator's own use."""

    def __init__(self, crash: Crash) -> None:
        super().__init__(crash.moment.value)
        self.crash = crash


class CrashedError(P2pdError):
    """The process ended within a call; whether what it asked for is committed, its caller cannot know."""

    code = "crashed"

    def __init__(self, moment: Moment) -> None:
        super().__init__(f"the process ended {moment.value}")
        self.moment = moment


class InjectedError(Exception):
    """What `break_turn` raises: stands for any bug."""


class DownError(P2pdError):
    """No process is there, or it is not run: nobody answers calls."""

    code = "down"


class BrokenCallError(P2pdError):
    """A call met a bug and was undone, as `p2pd.net.driver.InternalError` says it."""
