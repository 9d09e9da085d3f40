"""People are away for days, and those who wrote to them are gone when they return: the mail must be there."""

from p2pd.sim.invariants import LIVELY_S
from p2pd.sim.promises import Letter
from p2pd.sim.stage import Scenario, Stage

_STORED_S = 600.0


def play(stage: Stage) -> None:
    """One writes to the other, who is away; the writer goes; the reader comes back to an empty house."""
    draw = stage.random
    people = stage.add_people(SCENARIO.people)
    end = stage.world.time_s + stage.options.hours * 3600
    away_s: list[float] = []
    while stage.world.time_s < end:
        writer, reader = draw.sample(people, 2)
        reader.stop()
        stage.run(draw.choice((1.0, 30.0, 900.0)))
        letters = [stage.write(writer, reader, draw.choice((0, 300, 5_000))) for _ in range(draw.randint(1, 5))]
        stage.run(_STORED_S)
        writer.stop()
        away_s.append(draw.uniform(6, 84) * 3600)
        stage.run(away_s[-1])
        reader.up()
        _await(stage, [letter for letter in letters if letter is not None])
        writer.up()
        stage.run(300)
    stage.facts["longest absence, hours"] = round(max(away_s) / 3600, 1)


def _await(stage: Stage, letters: list[Letter]) -> None:
    began_s = stage.world.time_s
    while any(letter.shown_s is None for letter in letters) and stage.world.time_s < began_s + LIVELY_S:
        stage.run(5)
    for letter in letters:
        if letter.shown_s is None:
            text = f"{letter} is not there, {LIVELY_S:.0f} s after its reader's return, and its writer is gone"
            stage.judge.broken("absence", letter.recipient.host, text)


SCENARIO = Scenario(
    "absence", "recipients are away for days, senders gone when they return", play, nodes=12, hours=96.0, people=2
)
