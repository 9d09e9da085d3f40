"""The kept inputs: `corpus/NAME.hex`, one a line, for each target.

Rules: an input is kept because its outcome was new when it was found, or because it once failed; the shortest of an
outcome is kept, none longer than `LONGEST_BYTES` and no more than `MOST` of a target, so that a replay takes a second.
Of proofs only what is refused is kept: what is good is made anew in each process.
"""

from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.mutations import Mutations
from tests.fuzz.target import Outcome, Target, tried

FOLDER = Path(__file__).parent / "corpus"
LONGEST_BYTES = 1_500
MOST = 24


def file_of(name: str) -> Path:
    """Where a target's inputs are kept."""
    return FOLDER / f"{name.replace(' ', '_')}.hex"


def kept(name: str) -> Iterator[bytes]:
    """The inputs of a target."""
    file = file_of(name)
    if file.exists():
        yield from (bytes.fromhex(line) for line in file.read_text(encoding="ascii").splitlines())


def grown(name: str, target: Target, count: int, seed: object) -> list[bytes]:
    """What is kept, the samples, and of so many mutations the shortest of each new outcome."""
    found: dict[str, bytes] = {}
    before = list(kept(name))
    inputs = Mutations([*target.samples, *before], seed)
    for data in [*before, *target.samples, *(inputs.next() for _ in range(count))]:
        outcome = f"{tried(target, data, Outcome())} {min(len(data), 256).bit_length()}"
        if len(data) > LONGEST_BYTES or (target.proof and outcome.startswith("accepted")):
            continue
        if outcome not in found or len(data) < len(found[outcome]):
            found[outcome] = data
    return sorted({*before, *found.values()}, key=lambda data: (len(data), data))[:MOST]
