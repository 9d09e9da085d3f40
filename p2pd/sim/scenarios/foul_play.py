"""Friends whom only relays connect, relays that cheat, and a contact who names somebody else's address as theirs."""

from p2pd.sim.foul import Denouncer, FoulRelay
from p2pd.sim.promises import Letter
from p2pd.sim.resident import Resident
from p2pd.sim.stage import Scenario, Stage

_KINDS = ("symmetric", "symmetric", "double-nat")
_SERVERS_S = 60.0
_GOES = 0.1
"""How often somebody goes, of the texts."""
_ABSENCES_S = (1.0, 1.0, 1.0, 60.0)
_SOON_S = 60.0
"""By then a text is shown, by whatever relay or by mail, of the time that its reader is there."""
_AT_ONCE_S = 5.0
"""Who goes so soon after writing has left the text nowhere: it waits until they are back."""
_Absences = list[tuple[Resident, float, float]]
"""Who was away, from when until when."""


def play(stage: Stage) -> None:
    """The friends write all the time; the denouncer says where they are not, and begins to punch, again and again."""
    draw = stage.random
    for _ in range(stage.options.nodes - SCENARIO.people - len(stage.town.servers)):
        stage.town.server(FoulRelay)
    stage.run(_SERVERS_S)
    friends = [*stage.add_people(len(_KINDS), *_KINDS)]
    denouncer = stage.town.person(Denouncer, kind="symmetric")
    stage.people.append(denouncer)
    stage.acquaint([pair for one in friends for pair in ((one, denouncer), (denouncer, one))])
    letters: list[Letter] = []
    absences: _Absences = []
    end = stage.world.time_s + stage.options.hours * 3600
    while stage.world.time_s < end:
        writer, reader = draw.sample([*friends, denouncer], 2)
        letter = stage.write(writer, reader, draw.choice((0, 0, 900, 9_000)))
        letters += [letter] if letter is not None else []
        stage.run(draw.expovariate(1 / 8))
        if denouncer.is_up:
            _insist(denouncer)
        if draw.random() < _GOES:
            goer = draw.choice((*friends, denouncer))
            went_s = stage.world.time_s
            goer.stop()  # a denouncer who has gone is looked for where they said that they are
            stage.run(draw.choice(_ABSENCES_S))
            goer.up()  # and waits at other relays
            absences.append((goer, went_s, stage.world.time_s))
    stage.run(_SOON_S)
    _judge(stage, letters, absences, denouncer)


def _insist(denouncer: Resident) -> None:
    adversary = denouncer.adversary
    if isinstance(adversary, Denouncer):
        denouncer.do(lambda _, now: adversary.insist(now))


def _judge(stage: Stage, letters: list[Letter], absences: _Absences, denouncer: Resident) -> None:
    """What the denouncer is to have may wait while they are away."""
    took = [0.0]
    for letter in letters:
        if letter.recipient is denouncer:
            continue
        took.append(_took_s(letter, absences))
        if letter.sender is not denouncer and took[-1] > _SOON_S:
            stage.judge.broken("soon", letter.recipient.host, f"{letter} took {took[-1]:.0f} s")
    relays = [server.adversary for server in stage.town.servers if isinstance(server.adversary, FoulRelay)]
    stage.facts["fouls"] = sum(relay.fouls for relay in relays)
    stage.facts["carried, bytes"] = stage.judge.paces.carried_bytes
    stage.facts["slowest text, seconds"] = round(max(took), 3)
    stage.facts["tries at the victim's"] = round(stage.judge.paces.tries, 1)
    stage.facts["by relay"] = sum(letter.via == "relay" for letter in letters)


def _took_s(letter: Letter, absences: _Absences) -> float:
    """How long a text took, less its reader's absences, and its sender's that began at once; one goes at a time."""
    if letter.shown_s is None:
        return float("inf")
    away_s = sum(
        max(0.0, min(until_s, letter.shown_s) - max(since_s, letter.offered_s))
        for who, since_s, until_s in absences
        if who is letter.recipient or (who is letter.sender and since_s <= letter.offered_s + _AT_ONCE_S)
    )
    return letter.shown_s - letter.offered_s - away_s


SCENARIO = Scenario(
    "foul-play",
    "relays cheat, and a contact names somebody else's address",
    play,
    nodes=14,
    hours=0.5,
    people=4,
    private=False,
    hostile=True,
)
