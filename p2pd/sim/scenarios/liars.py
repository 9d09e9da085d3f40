"""A share of the servers drop what they promised to keep, lie about what they hold, or invent nodes."""

from p2pd.sim.adversaries import Dropper, Inventor, Liar
from p2pd.sim.stage import Scenario, Stage

REACHED = 0.99
"""Of the nodes nearest to a key, what look-ups must come to of the honest ones (R8); the summary says what they did."""


def play(stage: Stage) -> None:
    """The liars come among the honest; people who are there write to people who are away."""
    draw = stage.random
    for number in range(stage.options.nodes - SCENARIO.people - len(stage.town.servers)):
        stage.town.server((Dropper, Liar, Inventor)[number % 3])
    stage.run(60)
    people = stage.add_people(SCENARIO.people)
    end = stage.world.time_s + stage.options.hours * 3600
    while stage.world.time_s < end:
        away = draw.choice(people)
        away.stop()
        for _ in range(draw.randint(2, 6)):
            writer = draw.choice([person for person in people if person is not away])
            stage.write(writer, away, draw.choice((0, 300)))
            stage.run(draw.expovariate(1 / 60))
        stage.run(draw.uniform(60, 1_200))
        away.up()
        stage.run(120)
    if stage.judge.nearest.reached < REACHED:
        text = f"look-ups came to {stage.judge.nearest.reached:.2%} of the honest nearest, {REACHED:.0%} are the least"
        stage.judge.broken("nearest", people[0].host, text)


SCENARIO = Scenario(
    "liars",
    "a share of the servers drop, lie and invent (--share 0.5)",
    play,
    nodes=43,
    hours=2.0,
    people=3,
    replicas=8,
    hostile=True,
)
