"""People write to each other, and nothing is in their way: everything must be found, at once and exactly."""

from p2pd.sim.nearest import KNOWN_S
from p2pd.sim.readings import Readings
from p2pd.sim.stage import Scenario, Stage

_SIZES = (0, 0, 200, 2_000, 40_000)
_AWAY = 0.1
"""How often somebody is away for a minute, of the texts: else none is ever stored."""
_AWAY_S = 60.0


def play(stage: Stage) -> None:
    """Texts of all sizes, one every half minute or so; records are put and read meanwhile."""
    draw = stage.random
    people = stage.add_people(SCENARIO.people)
    stage.run(KNOWN_S)
    stage.judge.nearest.strict = stage.judge.copies.strict = True
    readings = Readings(stage, stage.town.servers)
    end = stage.world.time_s + stage.options.hours * 3600
    away_s = float("-inf")
    while away_s < 0 or stage.world.time_s < end:
        stage.some_letter(draw.choice(_SIZES))
        readings.put()
        stage.run(draw.expovariate(1 / 30))
        readings.get()
        if away_s < 0 or draw.random() < _AWAY:
            away_s = stage.world.time_s
            writer, reader = draw.sample(people, 2)
            reader.stop()
            stage.write(writer, reader, draw.choice(_SIZES))
            stage.run(_AWAY_S)
            reader.up()
    stage.run(_AWAY_S)
    readings.judge("calm")


SCENARIO = Scenario(
    "calm", "people write to each other, and nothing is in their way", play, nodes=12, hours=1.0, people=3
)
