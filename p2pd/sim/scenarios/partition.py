"""The network falls apart, heals, and falls apart elsewhere; people on both sides go on writing."""

from p2pd.sim.stage import Scenario, Stage


def play(stage: Stage) -> None:
    """Halves for ten minutes to two hours, together for a while in between."""
    draw = stage.random
    stage.add_people(SCENARIO.people)
    end = stage.world.time_s + stage.options.hours * 3600
    while stage.world.time_s < end:
        hosts = stage.world.hosts()
        cut = stage.world.cut(draw.sample(hosts, len(hosts) // 2), one_way=draw.random() < 0.2)
        _write_for(stage, draw.uniform(600, 7_200))
        stage.world.heal(cut)
        _write_for(stage, draw.uniform(60, 1_800))


def _write_for(stage: Stage, seconds: float) -> None:
    end = stage.world.time_s + seconds
    while stage.world.time_s < end:
        stage.some_letter(stage.random.choice((0, 300, 5_000)))
        stage.run(stage.random.expovariate(1 / 400))


SCENARIO = Scenario("partition", "the network falls apart and heals", play, nodes=14, hours=8.0, people=4)
