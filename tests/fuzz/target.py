"""What a target of fuzzing is, and how one is tried.

Rules: an input is refused by the error that the reader promises, or gives a value; anything else that is raised is a
crash.  A value is wrong where `wrong` says so: a forgery that was taken, or a value that its own encoding does not give
back.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from p2pd.errors import PeerError
from p2pd.wire.codec import Wire
from tests.fuzz.mutations import Mutations

KEPT = 20
"""Inputs that are told of one target."""


def not_its_own(data: bytes, value: Any) -> bool:
    """Whether a decoded value does not come back from its own encoding."""
    return isinstance(value, Wire) and type(value).decode(value.encode()) != value


@dataclass(frozen=True, slots=True)
class Target:
    """One reader of foreign bytes, with inputs that it takes."""

    read: Callable[[bytes], Any]
    samples: Sequence[bytes]
    refusals: tuple[type[Exception], ...] = (PeerError,)
    wrong: Callable[[bytes, Any], bool] = not_its_own
    proof: bool = False
    """What it takes holds in this process only, whose keys and nonces it was made with."""


@dataclass(slots=True)
class Outcome:
    """What came of many inputs."""

    tried: int = 0
    refused: int = 0
    crashes: list[tuple[bytes, str]] = field(default_factory=list)
    accepted: list[bytes] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        """Put another's to this one."""
        self.tried += other.tried
        self.refused += other.refused
        self.crashes += other.crashes[: KEPT - len(self.crashes)]
        self.accepted += other.accepted[: KEPT - len(self.accepted)]


def tried(target: Target, data: bytes, outcome: Outcome) -> str:
    """Give one input to a target; what came of it in a few words, by which inputs can be told apart."""
    outcome.tried += 1
    try:
        value = target.read(data)
        wrong = target.wrong(data, value)
    except target.refusals as error:
        outcome.refused += 1
        return f"{type(error).__name__} {getattr(error, 'reason', '')}"
    except Exception as error:
        if len(outcome.crashes) < KEPT:
            outcome.crashes.append((data, traceback.format_exc(limit=-4)))
        return f"crash {type(error).__name__}"
    if wrong:
        if len(outcome.accepted) < KEPT:
            outcome.accepted.append(data)
        return "wrongly accepted"
    return f"accepted {type(value).__name__}"


def fuzzed(target: Target, count: int, seed: object) -> Outcome:
    """So many mutations of a target's samples."""
    outcome = Outcome()
    inputs = Mutations(target.samples, seed)
    for _ in range(count):
        tried(target, inputs.next(), outcome)
    return outcome
