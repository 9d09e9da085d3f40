"""People go elsewhere in the middle of a conversation: another address, another router; texts go on within seconds."""

from p2pd.sim.happenings import some_kind
from p2pd.sim.invariants import LIVELY_S
from p2pd.sim.promises import Letter
from p2pd.sim.resident import Resident
from p2pd.sim.stage import Scenario, Stage

_PAUSES_S = (0.0, 0.0, 0.05, 0.5, 5.0, 200.0)
"""Between a move and the next text."""
_SOON_S = 30.0
"""By then a text is shown, however its reader or its writer has moved."""


def play(stage: Stage) -> None:
    """One of them moves, or sleeps and wakes elsewhere; then either writes."""
    draw = stage.random
    one, other = stage.add_people(SCENARIO.people, some_kind(draw), some_kind(draw))
    end = stage.world.time_s + stage.options.hours * 3600
    letters: list[Letter] = []
    while stage.world.time_s < end:
        mover = draw.choice((one, other))
        _go(stage, mover)
        stage.run(draw.choice(_PAUSES_S) * draw.uniform(0.5, 1.5))
        for _ in range(draw.choice((1, 2, 5))):
            writer, reader = draw.sample((one, other), 2)
            letter = stage.write(writer, reader, draw.choice((0, 0, 900)))
            letters += [letter] if letter is not None else []
            stage.run(draw.uniform(0.0, 2.0))
        stage.run(_SOON_S)
        _judge(stage, letters)
    shown = [letter.shown_s - letter.offered_s for letter in letters if letter.shown_s is not None]
    stage.facts["moves"] = stage.world.counts["moved"]
    stage.facts["slowest text, seconds"] = round(max(shown, default=LIVELY_S), 3)


def _go(stage: Stage, mover: Resident) -> None:
    draw = stage.random
    asleep_s = draw.choice((0.0, 0.0, 20.0, 900.0))
    if asleep_s:
        stage.world.sleep(mover.host)
        stage.run(asleep_s)
    stage.town.move(mover, some_kind(draw))
    stage.world.wake(mover.host)


def _judge(stage: Stage, letters: list[Letter]) -> None:
    for letter in letters:
        if letter.shown_s is None or letter.shown_s - letter.offered_s > _SOON_S:
            where = f"{letter.sender.kind} to {letter.recipient.kind}"
            stage.judge.broken("soon", letter.recipient.host, f"{letter}, {where}, is not shown {_SOON_S:.0f} s later")
    letters[:] = [letter for letter in letters if letter.shown_s is not None]


SCENARIO = Scenario(
    "moves", "people go elsewhere in the middle of conversations", play, nodes=12, hours=2.0, people=2, private=False
)
