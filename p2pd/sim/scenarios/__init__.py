"""All scenarios by name; each is a small file that says what happens and what it measures."""

from p2pd.sim.scenarios import (
    absence,
    calm,
    churn,
    crash,
    crowd,
    foul_play,
    full_disk,
    liars,
    mailbox,
    moves,
    nat,
    partition,
    recall,
    rendezvous,
    sleep,
    storm,
)
from p2pd.sim.stage import Scenario

SCENARIOS: dict[str, Scenario] = {
    module.SCENARIO.name: module.SCENARIO
    for module in (
        calm,
        storm,
        mailbox,
        nat,
        moves,
        rendezvous,
        foul_play,
        absence,
        recall,
        churn,
        partition,
        liars,
        crash,
        sleep,
        full_disk,
        crowd,
    )
}
