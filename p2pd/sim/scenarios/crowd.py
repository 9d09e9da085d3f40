"""A thousand nodes: whatever is looked up from wherever, the truly nearest are found."""

from p2pd.sim.readings import Readings
from p2pd.sim.stage import Scenario, Stage

_SETTLE_S = 180.0


def play(stage: Stage) -> None:
    """Once the crowd has settled, records are put by some and read by others, two a minute."""
    draw = stage.random
    stage.run(_SETTLE_S)
    stage.judge.nearest.strict = True
    readings = Readings(stage, stage.town.servers)
    end = stage.world.time_s + stage.options.hours * 3600
    while stage.world.time_s < end:
        readings.put()
        stage.run(draw.uniform(5, 25))
        readings.get()
        stage.run(draw.uniform(5, 25))
    readings.judge("crowd")


SCENARIO = Scenario(
    "crowd",
    "a thousand nodes; look-ups reach the truly nearest",
    play,
    nodes=1_000,
    hours=0.2,
    replicas=20,
    rarity=1_000,
)
