"""Two hundred short storms: every choice from the seed, every invariant judged all the time."""

import pytest

from p2pd.sim.scenarios import SCENARIOS
from p2pd.sim.stage import Options, perform

SEEDS, CHUNK = 200, 5
NODES, HOURS = 5, 0.12


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, SEEDS + 1, CHUNK))
def test_no_storm_breaks_a_promise(first: int) -> None:
    accepted = 0
    for seed in range(first, first + CHUNK):
        report = perform(SCENARIOS["storm"], Options(seed, NODES, HOURS))
        assert not report.violations, report.as_text()
        accepted += report.messages["accepted"]
    assert accepted > 0
