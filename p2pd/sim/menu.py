"""`python -m p2pd.sim.menu`: the whole menu on all cores: storms with many seeds, and every other scenario.

Rules: each failing run is printed as the command that replays it, as soon as it is known; interrupted, what has been
found is told all the same.  With `--mutants` each mutant is played until something catches it.
Exit status: 0 nothing found, 1 a violation or a mutant that lives, 130 interrupted.
"""

import gc
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import TextIO

import click

from p2pd.sim.mutants import MUTANTS, SIZES, Mutant
from p2pd.sim.scenarios import SCENARIOS
from p2pd.sim.stage import Options, perform, replay_of

_WAITING = 4
"""Runs handed to each worker beforehand."""
_COLLECT_AFTER = 50_000
"""So many objects more than were freed before Python looks for cycles: looking cost a twentieth of a run."""
_NOTE_S = 30.0
"""Between two progress lines where there is no terminal."""


@dataclass(frozen=True, slots=True)
class Course:
    """One run to be done."""

    scenario: str
    options: Options

    @property
    def replay(self) -> str:
        """The command for it."""
        return replay_of(SCENARIOS[self.scenario], self.options)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it."""

    course: Course
    violations: tuple[str, ...]
    """By invariant and text, the first few."""
    invariants: tuple[str, ...]
    node_hours: float
    cpu_s: float


def run(course: Course) -> Outcome:
    """Does it; an exception of the simulator's own counts as a violation."""
    cpu = time.process_time()
    try:
        report = perform(SCENARIOS[course.scenario], course.options)
    except KeyboardInterrupt:  # every process of the group has it; the first one says so
        return Outcome(course, (), ("interrupted",), 0.0, 0.0)
    except Exception as error:
        text = f"the simulator broke: {type(error).__name__}: {error}"
        return Outcome(course, (text,), ("simulator",), 0.0, time.process_time() - cpu)
    texts = tuple(str(violation) for violation in report.violations[:3])
    invariants = tuple(dict.fromkeys(violation.invariant for violation in report.violations))
    return Outcome(course, texts, invariants, report.node_hours, report.cpu_s)


def courses(seeds: int, first: int, only: str) -> Iterator[Course]:
    """The dear scenarios first, each with a hundredth of the seeds or fewer, then the storms."""
    for scenario in reversed(list(SCENARIOS.values())):
        if only and scenario.name != only:
            continue
        count = seeds if scenario.name == "storm" or only else max(1, seeds // scenario.rarity)
        for seed in range(first, first + count):
            yield Course(scenario.name, Options(seed, scenario.nodes, scenario.hours))


@dataclass(slots=True)
class Tally:
    """How far the menu is."""

    whole: int
    stream: TextIO
    done: int = 0
    failed: list[Outcome] = field(default_factory=list)
    node_hours: float = 0.0
    cpu_s: float = 0.0
    began: float = field(default_factory=time.monotonic)
    _noted: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """One more is done."""
        self.done += 1
        self.node_hours += outcome.node_hours
        self.cpu_s += outcome.cpu_s
        if outcome.violations:
            self.failed.append(outcome)
            self.clear()
            click.echo(f"{outcome.course.replay}\n" + "\n".join(f"    {text}" for text in outcome.violations))
        self.show()

    def show(self) -> None:
        """The progress line."""
        took = time.monotonic() - self.began
        rate = self.done / took if took else 0.0
        left = (self.whole - self.done) / rate if rate else 0.0
        line = f"{self.done:,} of {self.whole:,} runs, {len(self.failed)} failed, {self.node_hours:,.0f} node-hours,"
        line += f" {left / 60:.0f} min left"
        if self.stream.isatty():
            self.stream.write(f"\r{line}\x1b[K")
        elif took - self._noted >= _NOTE_S:
            self._noted = took
            self.stream.write(f"{line}\n")
        self.stream.flush()

    def clear(self) -> None:
        """The terminal's line is free again."""
        if self.stream.isatty():
            self.stream.write("\r\x1b[K")

    def verdict(self) -> str:
        """The last line."""
        speed = self.node_hours / self.cpu_s if self.cpu_s else 0.0
        took = time.monotonic() - self.began
        return (
            f"{self.done:,} of {self.whole:,} runs in {took:,.0f} s, {len(self.failed)} failed;"
            f" {self.node_hours:,.0f} node-hours, {speed:.1f} per core-second"
        )


def spread(work: Iterable[Course], jobs: int, tell: Callable[[Outcome], bool]) -> None:
    """Do it all on so many processes; ends early where `tell` says so."""
    waiting = iter(work)
    with ProcessPoolExecutor(jobs, initializer=gc.set_threshold, initargs=(_COLLECT_AFTER,)) as pool:
        try:
            under_way: set[Future[Outcome]] = {pool.submit(run, one) for one in islice(waiting, jobs * _WAITING)}
            while under_way:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    if not tell(future.result()):
                        return
                under_way |= {pool.submit(run, one) for one in islice(waiting, len(done))}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def play(seeds: int, first: int, only: str, jobs: int) -> bool:
    """The menu; whether nothing was found."""
    tally = Tally(sum(1 for _ in courses(seeds, first, only)), sys.stderr)

    def tell(outcome: Outcome) -> bool:
        tally.add(outcome)
        return True

    try:
        spread(courses(seeds, first, only), jobs, tell)
    finally:
        tally.clear()
        click.echo(tally.verdict())
    return not tally.failed


# --- mutants


def mutant_courses(mutant: Mutant, seeds: int, first: int) -> Iterator[Course]:
    """Its scenarios, taking turns."""
    each = [
        [Course(name, Options(seed, *SIZES[name], mutant=mutant.name)) for seed in range(first, first + seeds)]
        for name in mutant.scenarios
    ]
    for row in zip_longest(*each):
        yield from (course for course in row if course is not None)


def play_mutants(seeds: int, first: int, jobs: int) -> bool:
    """Each mutant until it is caught; whether none lives."""
    click.echo(f"{'mutant':<20}{'caught by':<24}{'runs':>5}  with")
    alive = []
    for mutant in MUTANTS.values():
        caught, runs = _hunt(mutant, seeds, first, jobs)
        if caught is None:
            alive.append(mutant.name)
            click.echo(f"{mutant.name:<20}{'NOTHING':<24}{runs:>5}  {mutant.line}")
        else:
            words = caught.course.replay.removeprefix("python -m p2pd.sim ")
            click.echo(f"{mutant.name:<20}{caught.invariants[0]:<24}{runs:>5}  {words.partition(' --mutant')[0]}")
    click.echo(f"{len(MUTANTS) - len(alive)} of {len(MUTANTS)} mutants were caught")
    return not alive


def _hunt(mutant: Mutant, seeds: int, first: int, jobs: int) -> tuple[Outcome | None, int]:
    outcomes: list[Outcome] = []

    def tell(outcome: Outcome) -> bool:
        outcomes.append(outcome)
        return not outcome.violations

    spread(mutant_courses(mutant, seeds, first), jobs, tell)
    return next((outcome for outcome in outcomes if outcome.violations), None), len(outcomes)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seeds", type=click.IntRange(min=1), default=1_000, show_default=True, help="Storms to play.")
@click.option("--first", type=click.IntRange(min=0), default=1, show_default=True, help="The first seed.")
@click.option("--only", type=click.Choice(list(SCENARIOS)), default=None, help="One scenario instead of all.")
@click.option(
    "--jobs", type=click.IntRange(min=1), default=os.cpu_count() or 1, help="Processes.  [default: all cores]"
)
@click.option("--mutants", is_flag=True, help="Play each mutant until it is caught, with at most so many seeds.")
def main(seeds: int, first: int, only: str | None, jobs: int, mutants: bool) -> None:
    """Play the whole menu: storms with many seeds, and every other scenario with some."""
    try:
        well = play_mutants(seeds, first, jobs) if mutants else play(seeds, first, only or "", jobs)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(130)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main(prog_name="python -m p2pd.sim.menu")
