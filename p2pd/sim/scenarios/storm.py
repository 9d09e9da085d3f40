"""Everything at once, in a small network: the scenario that is played with thousands of seeds."""

from p2pd.sim.happenings import anything, some_kind
from p2pd.sim.stage import Scenario, Stage

_PAUSES_S = (0.02, 0.3, 2.0, 8.0, 40.0, 120.0, 400.0)
_SIZES = (0, 0, 0, 300, 5_000, 30_000)


def play(stage: Stage) -> None:
    """Texts and happenings take turns, with pauses from a blink to several minutes."""
    draw = stage.random
    count = SCENARIO.people + (draw.random() < 0.2)
    stage.add_people(count, *(some_kind(draw) for _ in range(count)))
    end = stage.world.time_s + stage.options.hours * 3600
    while stage.world.time_s < end:
        if draw.random() < 0.5:
            for _ in range(draw.choice((1, 1, 2, 4))):
                stage.some_letter(draw.choice(_SIZES))
                stage.run(draw.choice((0.0, 0.0, 0.4, 2.0)))
            if draw.random() < 0.25:
                stage.some_recall()
        else:
            anything(stage)
        stage.run(draw.choice(_PAUSES_S) * draw.uniform(0.5, 1.5))


SCENARIO = Scenario("storm", "every fault at once, in a small network", play, nodes=6, hours=0.5, people=2)
