"""Machines are suspended, processes stall, wall clocks jump either way and steady ones forward, while people write."""

from p2pd.sim.happenings import jump, leap, stall, suspend
from p2pd.sim.stage import Scenario, Stage


def play(stage: Stage) -> None:
    """Something with a clock every few minutes."""
    draw = stage.random
    stage.add_people(SCENARIO.people)
    end = stage.world.time_s + stage.options.hours * 3600
    while stage.world.time_s < end:
        draw.choice((jump, leap, suspend, stall))(stage)
        for _ in range(draw.randint(1, 3)):
            stage.some_letter(draw.choice((0, 300)))
            stage.run(draw.choice((0.1, 2.0, 20.0, 300.0)))


SCENARIO = Scenario("sleep", "machines sleep, clocks jump", play, nodes=10, hours=6.0, people=3)
