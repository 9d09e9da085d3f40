"""Nobody has a direct way to anybody, and packets are lost: all goes by mailbox, in an order that must be put right."""

from p2pd.sim.conditions import Conditions
from p2pd.sim.stage import Scenario, Stage


def play(stage: Stage) -> None:
    """Large and small texts close together, whose puts overtake each other."""
    draw = stage.random
    people = stage.add_people(SCENARIO.people)
    for number, one in enumerate(people):
        stage.world.cut([one.host], [other.host for other in people[number + 1 :]])
    end = stage.world.time_s + stage.options.hours * 3600
    while stage.world.time_s < end:
        conditions = Conditions(loss=draw.choice((0.0, 0.1, 0.3)), reordering=0.2, reordering_s=1.0)
        stage.world.weather.set(conditions)
        sender, recipient = draw.sample(people, 2)
        for _ in range(draw.randint(2, 6)):
            stage.write(sender, recipient, draw.choice((0, 0, 300, 20_000)))
            stage.run(draw.choice((0.05, 0.3, 0.7, 2.0)))
        stage.run(draw.choice((5.0, 30.0, 120.0)))


SCENARIO = Scenario("mailbox", "no direct way, packets are lost: all by mailbox", play, nodes=8, hours=0.3, people=2)
