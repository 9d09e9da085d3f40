"""Processes end at commits and between effects, one after the other, while people write."""

from p2pd.sim.happenings import bug, crash, kill
from p2pd.sim.stage import Scenario, Stage


def play(stage: Stage) -> None:
    """Crashes and texts, a few seconds apart."""
    draw = stage.random
    stage.add_people(SCENARIO.people)
    end = stage.world.time_s + stage.options.hours * 3600
    while stage.world.time_s < end:
        draw.choices((crash, kill, bug), (6, 1, 1))[0](stage)
        for _ in range(draw.randint(1, 3)):
            stage.some_letter(draw.choice((0, 0, 300, 20_000)))
            stage.run(draw.choice((0.01, 0.05, 0.2, 1.0)))
        stage.run(draw.choice((1.0, 8.0, 60.0, 240.0)))


SCENARIO = Scenario("crash", "processes end at commits and effects", play, nodes=8, hours=2.0, people=3)
