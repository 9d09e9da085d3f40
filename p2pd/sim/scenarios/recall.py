"""Texts to people who are away are taken back; what was under way reaches them by and by, in any order."""

from p2pd import limits
from p2pd.sim.resident import Resident
from p2pd.sim.stage import Scenario, Stage

_ANSWERED_S = 30.0


def play(stage: Stage) -> None:
    """Somebody writes to somebody who is away, and recalls it; the reader hears all of it before the network."""
    draw = stage.random
    people = stage.add_people(SCENARIO.people)
    end = stage.world.time_s + stage.options.hours * 3600
    while stage.world.time_s < end:
        writer, reader = draw.sample(people, 2)
        reader.stop()
        stage.run(draw.choice((1.0, 30.0)))
        stage.write(writer, reader, draw.choice((0, 0, 300, 30_000)))
        stage.run(draw.choice((0.1, 5.0, 60.0)))
        under_way = _under_way(writer, reader)
        stage.some_recall()
        stage.run(draw.choice((1.0, 30.0)))
        under_way += _under_way(writer, reader)
        if draw.random() < 0.5:
            draw.shuffle(under_way)
        else:
            under_way = [*under_way[-1:], *under_way[:-1]]  # who asks first must remember what they asked for
        reader.up()
        apart = stage.world.cut([reader.host])
        for envelope in under_way:
            _bring(writer, reader, envelope)
            stage.run(draw.choice((0.0, limits.HOLD_S + 1)))
        stage.world.heal(apart)
        stage.run(_ANSWERED_S)


def _under_way(writer: Resident, reader: Resident) -> list[bytes]:
    return [item.envelope for item in writer.store.outbox(reader.identity) if item.envelope]


def _bring(writer: Resident, reader: Resident, envelope: bytes) -> None:
    """By the one entrance that all paths lead to, past tombstones: a storer may have kept what it was to drop."""
    reader.do(lambda engine, now: engine._on_envelope(writer.identity, envelope, now))


SCENARIO = Scenario("recall", "texts are taken back; all of it arrives later, in any order", play, 7, 0.5, people=3)
