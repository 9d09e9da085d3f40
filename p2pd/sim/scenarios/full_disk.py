"""Disks are full for a while: what cannot be kept is refused, and what was accepted stays."""

from p2pd.sim.happenings import full_disk
from p2pd.sim.stage import Scenario, Stage


def play(stage: Stage) -> None:
    """One disk after the other, and texts meanwhile."""
    draw = stage.random
    stage.add_people(SCENARIO.people)
    end = stage.world.time_s + stage.options.hours * 3600
    while stage.world.time_s < end:
        full_disk(stage)
        for _ in range(draw.randint(1, 4)):
            stage.some_letter(draw.choice((0, 300, 20_000)))
            stage.run(draw.choice((0.05, 1.0, 10.0, 200.0)))


SCENARIO = Scenario("full-disk", "disks are full for a while", play, nodes=10, hours=2.0, people=3)
