"""People write to each other, and nothing is in their way: everything must be found, at once and exactly."""

from p2pd.sim.nearest import KNOWN_S
from p2pd.sim.stage import Scenario, Stage

_SIZES = (0, 0, 200, 2_000, 40_000)


def play(stage: Stage) -> None:
    """Texts of all sizes, one every half minute or so."""
    stage.add_people(SCENARIO.people)
    stage.run(KNOWN_S)
    stage.judge.nearest.strict = stage.judge.copies.strict = True
    end = stage.options.hours * 3600
    while stage.world.time_s < end:
        stage.some_letter(stage.random.choice(_SIZES))
        stage.run(stage.random.expovariate(1 / 30))


SCENARIO = Scenario(
    "calm", "people write to each other, and nothing is in their way", play, nodes=12, hours=1.0, people=3
)
