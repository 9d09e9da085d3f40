"""`make nat`: the matrix of accesses, or chosen cells of it, or an experiment; exit code 0 where all was as it must be.

make nat                                                    all of it
make nat ARGS='--cell symmetric,symmetric --repeat 100'     one cell, often
make nat ARGS='move lines --json results.jsonl'             experiments by name
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.nat import families
from tests.nat.cell import Outcome
from tests.nat.experiments import EXPERIMENTS, Finding
from tests.nat.kinds import KINDS
from tests.nat.matrix import (
    HAIRPIN_OFF,
    Job,
    complaints,
    failed,
    hairpin_jobs,
    pair_job,
    play,
    repeated,
    shown,
    table,
    whole_matrix,
)
from tests.nat.namespaces import missing, missing_ipv6
from tests.nat.people import Town

MATRIX = "matrix"
IPV6 = "ipv6"
"""On an internet that has it, while the other parts have none."""
_EXPERIMENTS = {**EXPERIMENTS, IPV6: families.ipv6}
PARTS = (MATRIX, *_EXPERIMENTS)
BUSY = 2
"""Cells at work at a time: a small machine has two cores."""


def main(words: Sequence[str]) -> int:
    """Runs what was asked for; the exit code."""
    parser = _arguments()
    asked = parser.parse_args(words)
    if unknown := [part for part in asked.part if part not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}")
    if reason := missing():
        print(f"make nat: skipped: {reason}")
        return 0
    signal.signal(signal.SIGTERM, lambda number, frame: _interrupt())
    try:
        return _run(asked)
    except KeyboardInterrupt:
        print("interrupted; everything is removed", file=sys.stderr)
        return 130


def _interrupt() -> None:
    raise KeyboardInterrupt


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make nat ARGS=", description="The NAT lab; docs/nat.md says what it does.")
    parser.add_argument("part", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)}; all, where none is named")
    parser.add_argument(
        "--cell", action="append", metavar="FROM,TO", type=_cell, help=f"of: {', '.join(KINDS)}; or {HAIRPIN_OFF}"
    )
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="each cell so often")
    parser.add_argument("--busy", type=int, default=BUSY, metavar="N", help=f"cells at work at a time; {BUSY}")
    parser.add_argument("--no-minute", action="store_true", help="do not look again after a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="add a line of JSON a result to FILE")
    return parser


def _cell(text: str) -> Callable[[int], list[Job]]:
    """The jobs of a cell, given the number of the run."""
    sender, _, recipient = text.partition(",")
    if text == HAIRPIN_OFF:
        return hairpin_jobs
    if sender in KINDS and recipient in KINDS:
        return lambda run: [pair_job(KINDS[sender], KINDS[recipient], run)]
    raise argparse.ArgumentTypeError(f"neither two kinds with a comma between, nor {HAIRPIN_OFF}: {text}")


def _jobs(asked: argparse.Namespace) -> list[Job]:
    if not asked.cell:
        return whole_matrix()
    return [job for jobs in asked.cell for run in range(1, asked.repeat + 1) for job in jobs(run)]


def _run(asked: argparse.Namespace) -> int:
    """Plays the parts asked for, each on a town of its own."""
    all_held = True
    for part in asked.part or ([MATRIX] if asked.cell else PARTS):
        if part == IPV6 and (lacks := missing_ipv6()):
            print(f"{part}: skipped: {lacks}")
            continue
        with Town(ipv6=part == IPV6) as town:
            held = _matrix(town, asked) if part == MATRIX else _experiment(town, part, asked.json)
            bugs = town.bugs()
        for bug in bugs:
            print(f"a bug in the log of a node:\n{bug}", flush=True)
        all_held = all_held and held and not bugs
    return 0 if all_held else 1


def _matrix(town: Town, asked: argparse.Namespace) -> bool:
    """Plays cells and prints them; whether all were as they must be."""
    outcomes: list[Outcome] = []
    jobs = _jobs(asked)
    for outcome in play(town, jobs, busy=asked.busy, minute=not asked.no_minute):
        outcomes.append(outcome)
        place = f"{len(outcomes)}/{len(jobs)}"
        print(f"{place:>7} {outcome.sender} to {outcome.recipient}: {shown(outcome)}", file=sys.stderr, flush=True)
        _keep(asked.json, outcome.row())
    wrong = complaints(outcomes)
    told = [f"{len(outcomes) - len(wrong)} of {len(outcomes)} as expected", *wrong, *repeated(outcomes)]
    print(table(outcomes), "", *told, sep="\n", flush=True)
    return not failed(outcomes)


def _experiment(town: Town, name: str, path: Path | None) -> bool:
    """The same for an experiment."""
    held = True
    for finding in _findings(town, name):
        print(finding.text(), flush=True)
        _keep(path, finding.row())
        held = held and not finding.complaints
    return held


def _findings(town: Town, name: str) -> Iterator[Finding]:
    """What an experiment finds, also where it breaks."""
    try:
        yield from _EXPERIMENTS[name](town)
    except Exception as error:
        yield Finding(name, "the experiment broke", complaints=[f"{type(error).__name__}: {str(error)[:2_000]}"])


def _keep(path: Path | None, row: dict[str, Any]) -> None:
    if path is not None:
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
