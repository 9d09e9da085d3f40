"""A share of the servers drop what they promised to keep, lie about what they hold, or about who is where."""

from functools import partial
from statistics import median

from p2pd.sim.adversaries import Dropper, Inventor, Liar, Lie, Usurper
from p2pd.sim.readings import Readings
from p2pd.sim.resident import Behaviour
from p2pd.sim.stage import Scenario, Stage

KINDS: tuple[Behaviour, ...] = (Dropper, Liar, Inventor, partial(Liar, lie=Lie.WRONG_ENDPOINTS), Usurper)
REACHED = 0.99
"""Of the nodes nearest to a key, what look-ups must come to of the honest ones (R8); the summary says what they did."""
USUAL_S = 1.0
"""By then half of the look-ups have ended: a question to nobody takes seconds, and few are asked."""
_SETTLE_S = 60.0
_FEWEST = 10
"""Readings; the first of fewer may be a slow one."""
_GAP_S = 20.0
"""Between two records."""


def play(stage: Stage) -> None:
    """The liars come among the honest; people who are there write to people who are away; servers put and read."""
    draw = stage.random
    readings = Readings(stage, list(stage.town.servers))
    for number in range(stage.options.nodes - SCENARIO.people - len(stage.town.servers)):
        stage.town.server(KINDS[number % len(KINDS)])
    stage.run(_SETTLE_S)
    people = stage.add_people(SCENARIO.people)
    end = stage.world.time_s + stage.options.hours * 3600
    while stage.world.time_s < end:
        away = draw.choice(people)
        away.stop()
        for _ in range(draw.randint(2, 6)):
            writer = draw.choice([person for person in people if person is not away])
            stage.write(writer, away, draw.choice((0, 300)))
            stage.run(draw.expovariate(1 / 60))
        until_s = stage.world.time_s + draw.uniform(60, 1_200)
        while stage.world.time_s < until_s and (stage.world.time_s < end or readings.asked < _FEWEST):
            readings.put()
            stage.run(draw.uniform(0, _GAP_S))
            readings.get()
            stage.run(draw.uniform(0, _GAP_S))
        away.up()
        stage.run(120)
    readings.judge("liars", REACHED)
    _judge_look_ups(stage)


def _judge_look_ups(stage: Stage) -> None:
    """They came to the honest, and did not follow the others for long."""
    nearest, host = stage.judge.nearest, stage.people[0].host
    if not nearest.wanted or nearest.reached < REACHED:
        text = f"{nearest.looked} look-ups came to {nearest.reached:.2%} of the honest nearest"
        stage.judge.broken("nearest", host, f"{text}, {REACHED:.0%} are the least")
    if nearest.took_s and median(nearest.took_s) > USUAL_S:
        text = f"half of the look-ups took more than {median(nearest.took_s):.1f} s, {USUAL_S} s are usual"
        stage.judge.broken("nearest", host, text)


SCENARIO = Scenario(
    "liars",
    "a share of the servers drop, lie and invent (--share 0.5)",
    play,
    nodes=63,
    hours=1.0,
    people=3,
    replicas=8,
    hostile=True,
    private=False,
)
