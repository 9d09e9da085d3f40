"""Many cells at once: which of them, played on one lab, and how they are printed.

Rule: at most `busy` cells work at a time, so that none is judged by the others' hunger for the processor; those that
wait out their minute are not counted.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.nat import cell
from tests.nat.cell import Outcome
from tests.nat.expected import HAIRPIN, Expectation, expected
from tests.nat.kinds import INSIDE_PORT, MATRIX, PORT_RESTRICTED, Kind
from tests.nat.people import Person, Town

HAIRPIN_OFF = "hairpin-off"
_OTHER_PORT = INSIDE_PORT + 1
TOLERATED = 0.01
THREADS = 14
"""Cells under way, most of them waiting out their minute."""


@dataclass(frozen=True, slots=True)
class Job:
    """One cell to be played once."""

    sender: str
    recipient: str
    wanted: Expectation
    plug: Callable[[Person, Person], None]
    flags: tuple[str, ...] = ()
    ports: tuple[int, int] = (INSIDE_PORT, INSIDE_PORT)
    run: int = 1


def pair_job(sender: Kind, recipient: Kind, run: int = 1) -> Job:
    """Two ends with an access each."""

    def plug(alice: Person, bob: Person) -> None:
        alice.plug(sender)
        bob.plug(recipient)

    return Job(sender.name, recipient.name, expected(sender, recipient), plug, run=run)


def hairpin_jobs(run: int = 1) -> list[Job]:
    """Both ends behind one router."""

    def plug(alice: Person, bob: Person) -> None:
        alice.access = alice.lab.plug(PORT_RESTRICTED, alice.machine, bob.machine)

    flags = {"without LAN discovery": ("--no-lan",), "with LAN discovery": ()}
    ports = (INSIDE_PORT, _OTHER_PORT)
    return [Job(HAIRPIN_OFF, name, HAIRPIN[name], plug, flags[name], ports, run) for name in HAIRPIN]


def whole_matrix() -> list[Job]:
    """Every kind with every kind, both ways, and the hairpin."""
    return [pair_job(sender, recipient) for sender in MATRIX for recipient in MATRIX] + hairpin_jobs()


def play(town: Town, jobs: Sequence[Job], *, busy: int, minute: bool) -> Iterator[Outcome]:
    """Plays the cells; their outcomes as they come."""
    waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    turns = threading.Semaphore(busy)

    def work() -> None:
        while (job := waiting.get()) is not None:
            done.put(_play(town, job, turns, minute))

    workers = min(THREADS, len(jobs))
    for item in (*jobs, *[None] * workers):
        waiting.put(item)
    for _ in range(workers):
        threading.Thread(target=work, daemon=True).start()  # an interruption waits for nobody
    for _ in jobs:
        yield done.get()


def _play(town: Town, job: Job, turns: threading.Semaphore, minute: bool) -> Outcome:
    """One cell with two new people; what breaks it is a complaint, and the others go on."""
    outcome = Outcome(job.sender, job.recipient, job.run)
    people: tuple[Person, ...] = ()
    with turns:
        try:
            people = alice, bob = town.friends(*job.flags, ports=job.ports)
            job.plug(alice, bob)
            cell.play(alice, bob, outcome, job.wanted, turns, minute)
        except Exception as error:
            outcome.breaks(f"the cell broke: {type(error).__name__}: {str(error)[:2_000]}")
        for person in people:
            if "Traceback" in person.log:
                outcome.breaks(f"a bug in the log of {person.home.name}:\n{person.log_tail()}")
            try:
                person.leave()
            except Exception as error:
                outcome.breaks(f"{person.home.name} cannot be removed: {type(error).__name__}: {error}")
    return outcome


# --- in print


def shown(outcome: Outcome) -> str:
    """A cell: the path, seconds to the first delivery, and the path a minute later where it is another."""
    took = "never" if outcome.delivered_s is None else f"{outcome.delivered_s:.1f}"
    after = f">{outcome.path_after}" if outcome.path_after not in (None, outcome.path) else ""
    return f"{outcome.path} {took}{after}{' !' if outcome.complaints else ''}"


def table(outcomes: Sequence[Outcome]) -> str:
    """The matrix: a row a sender, a column a recipient; of repeated cells the worst run."""
    cells: dict[tuple[str, str], Outcome] = {}
    for outcome in sorted(outcomes, key=lambda outcome: (len(outcome.complaints), outcome.delivered_s or 0.0)):
        cells[outcome.sender, outcome.recipient] = outcome
    pairs = [pair for pair in cells if pair[0] != HAIRPIN_OFF]
    names = [kind.name for kind in MATRIX] + sorted(
        {name for pair in pairs for name in pair} - {k.name for k in MATRIX}
    )
    rows = [name for name in names if any(pair[0] == name for pair in pairs)]
    columns = [name for name in names if any(pair[1] == name for pair in pairs)]
    grid = [["from \\ to", *columns]]
    grid += [[row, *(shown(cells[row, to]) if (row, to) in cells else "" for to in columns)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in grid]
    lines = lines if pairs else []
    lines += [f"{HAIRPIN_OFF}, {to}: {shown(found)}" for (row, to), found in cells.items() if row == HAIRPIN_OFF]
    return "\n".join(lines)


def complaints(outcomes: Sequence[Outcome]) -> list[str]:
    """What was not as it must be, a line a cell."""
    return [
        f"{outcome.sender} to {outcome.recipient}{f', run {outcome.run}' if outcome.run > 1 else ''}: "
        + "; ".join(outcome.complaints)
        for outcome in outcomes
        if outcome.complaints
    ]


def repeated(outcomes: Sequence[Outcome]) -> list[str]:
    """Of each cell that was played more than once: how often it went well, and how long it took."""
    lines = []
    for (sender, recipient), runs in _by_pair(outcomes).items():
        took = sorted(run.delivered_s for run in runs if run.delivered_s is not None)
        if len(runs) > 1 and took:
            well = sum(not run.complaints for run in runs)
            times = f"delivered in {took[len(took) // 2]:.1f} s in the middle, {took[-1]:.1f} s at most"
            lines.append(f"{sender} to {recipient}: {well} of {len(runs)} as expected, {times}")
    return lines


def failed(outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    """The cells that did not hold: in one of a hundred runs a path may be late or another, but all is delivered."""
    return [
        pair
        for pair, runs in _by_pair(outcomes).items()
        if any(run.broken or run.delivered_s is None for run in runs)
        or sum(bool(run.complaints) for run in runs) > TOLERATED * len(runs)
    ]


def _by_pair(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], list[Outcome]]:
    pairs: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        pairs.setdefault((outcome.sender, outcome.recipient), []).append(outcome)
    return pairs
