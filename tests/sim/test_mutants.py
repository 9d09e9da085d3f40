"""Each rule that can be switched off is missed by some invariant: the proof that the storms bite."""

import pytest

from p2pd.chat.inbox import Inbox
from p2pd.sim.mutants import MUTANTS, SIZES, applied
from p2pd.sim.scenarios import SCENARIOS
from p2pd.sim.stage import Options, perform
from p2pd.sim.turns import Turns

SEEDS = 12
"""Tried from the known one on, since a change elsewhere makes other courses of the same seeds."""

FIRST = {"commit-before-send": 3, "tombstone-rank": 3, "deduplication": 3, "receipt-count": 7, "record-sequence": 4}
"""A seed known to do; 1 for the others."""


def test_every_mutant_has_a_place_where_it_is_looked_for() -> None:
    for name, mutant in MUTANTS.items():
        assert mutant.name == name
        assert all(scenario in SCENARIOS and scenario in SIZES for scenario in mutant.scenarios)
        assert mutant.scenarios


def test_a_mutant_is_gone_when_its_run_is_over() -> None:
    before = Inbox._complete_below, Turns._act
    with applied("sequence-check"), applied("durable-receipts"):
        assert (Inbox._complete_below, Turns._act) != before
    assert (Inbox._complete_below, Turns._act) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_it_is_caught(name: str) -> None:
    scenario = MUTANTS[name].scenarios[0]
    first = FIRST.get(name, 1)
    for seed in range(first, first + SEEDS):
        report = perform(SCENARIOS[scenario], Options(seed, *SIZES[scenario], mutant=name))
        if report.violations:
            assert f"--mutant {name}" in report.replay
            return
    pytest.fail(f"{SEEDS} runs of {scenario} did not notice that {MUTANTS[name].line}")
