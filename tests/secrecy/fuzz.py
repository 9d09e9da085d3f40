"""Fuzzing of everything that reads foreign bytes: nothing crashes, and nothing forged is taken (`tests/fuzz/`).

Each target is tried so often, spread over the processors; what fails is shown as a line of `tests/fuzz/corpus/`, where
it belongs once it is mended.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.fuzz.target import Outcome, fuzzed
from tests.fuzz.targets import TARGETS
from tests.secrecy.line import Line, Measure

CHUNK = 50_000
"""Inputs of one target that a process tries in a row."""


def run(count: int, seed: int) -> Line:
    """`count` inputs for each target."""
    jobs = [
        (name, min(CHUNK, count - start), f"{seed} {name} {start}")
        for name in TARGETS
        for start in range(0, count, CHUNK)
    ]
    outcomes = {name: Outcome() for name in TARGETS}
    for name, outcome in _results(jobs):
        outcomes[name].add(outcome)
    return Line(
        "fuzz",
        sum(outcome.tried for outcome in outcomes.values()),
        [
            Measure("crashes", sum(len(outcome.crashes) for outcome in outcomes.values()), most=0),
            Measure("wrongly accepted", sum(len(outcome.accepted) for outcome in outcomes.values()), most=0),
            Measure("targets", len(outcomes), least=80),
            Measure("targets tried too little", sum(each.tried < count for each in outcomes.values()), most=0),
            Measure("targets that refused nothing", sum(map(_refused_nothing, outcomes, outcomes.values())), most=0),
        ],
        [line for name, outcome in outcomes.items() for line in _failures(name, outcome)],
    )


def _refused_nothing(name: str, outcome: Outcome) -> bool:
    """Whether hostile bytes never met a refusal, although the target has one."""
    return bool(TARGETS[name].refusals) and not outcome.refused


def _results(jobs: list[tuple[str, int, str]]) -> list[tuple[str, Outcome]]:
    """What came of each; in this process where there is little to do."""
    if sum(count for _, count, _ in jobs) <= CHUNK:
        return [_tried(job) for job in jobs]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(_tried, jobs))


def _tried(job: tuple[str, int, str]) -> tuple[str, Outcome]:
    name, count, seed = job
    return name, fuzzed(TARGETS[name], count, seed)


def _failures(name: str, outcome: Outcome) -> list[str]:
    crashes = [f"{name} crash {data.hex()}\n{told}" for data, told in outcome.crashes]
    return crashes + [f"{name} accepted {data.hex()}" for data in outcome.accepted]
