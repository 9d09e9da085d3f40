"""Every kind of router against every other: what can be direct is, else a relay carries it, else it is mail."""

from itertools import combinations_with_replacement

from p2pd.sim.nat import KINDS
from p2pd.sim.promises import Letter
from p2pd.sim.resident import Resident
from p2pd.sim.stage import Scenario, Stage

_SETTLE_S = 60.0
"""By then dials have failed, punches have come through, and the mail has come."""
_SERVING_S = 60.0
"""By then those who can be reached serve."""
_AT_ONCE = 6
_HOUSEMATE = "housemate"
_SHARED = ("port-restricted", "hairpin-off")
_NARROW = ("port-restricted", "double-nat", "hairpin-off", "firewalled")
"""Kinds that need to know the port from which the other comes."""


def play(stage: Stage) -> None:
    """A few couples at a time, in an order drawn from the seed, as long as there is time."""
    stage.run(_SERVING_S)
    pairs = [*combinations_with_replacement(KINDS, 2), *((kind, _HOUSEMATE) for kind in _SHARED)]
    stage.random.shuffle(pairs)
    paths: list[str] = []
    while pairs and (not paths or stage.world.time_s < stage.options.hours * 3600):
        couples = [_couple(stage, *pairs.pop()) for _ in range(min(_AT_ONCE, len(pairs)))]
        paths += _meet(stage, couples)
        for person in (person for couple in couples for person in couple):
            person.stop()
    for path in ("direct", "relay", "mailbox", "none"):
        stage.facts[f"paths: {path}"] = paths.count(path)


def _couple(stage: Stage, kind: str, others: str) -> tuple[Resident, Resident]:
    one = stage.town.person(kind=kind)
    housemate = others == _HOUSEMATE
    other = stage.town.person(housemate=one) if housemate else stage.town.person(kind=others)
    return one, other


def _meet(stage: Stage, couples: list[tuple[Resident, Resident]]) -> list[str]:
    """Couples meet; then networks begin to block what they block; all write, and paths are looked at."""
    people = [person for couple in couples for person in couple]
    stage.people += people
    for person in people:
        person.block()
    stage.acquaint([pair for one, other in couples for pair in ((one, other), (other, one))])
    for person in people:
        for router in KINDS[person.kind]:
            person.block(*router.stops)
    stage.run(_SETTLE_S)
    letters = [letter for one, other in couples for letter in (stage.write(one, other), stage.write(other, one))]
    stage.run(_SETTLE_S)
    paths = [judge_path(stage, one, other) for couple in couples for one, other in (couple, couple[::-1])]
    for letter in letters:
        _judge_letter(stage, letter)
    return paths


def expected(one: str, other: str) -> tuple[str, ...]:
    """What `path` may say between two such."""
    kinds = (one, other)
    if "udp-blocked" in kinds:
        return ("mailbox", "none")
    if "quic-blocked" in kinds:
        return ("mailbox",)
    if "symmetric" in kinds and (one == other or one in _NARROW or other in _NARROW):
        return ("relay",)
    return ("direct",)


def judge_path(stage: Stage, one: Resident, other: Resident) -> str:
    """The path that one is told to the other; it must be what their routers allow."""
    told = one.engine.path(stage.name_of(other), stage.world.now_at(one.host))
    path, wanted = str(told["via"]), expected(one.kind, other.kind)
    if one.home is not None and one.home is other.home:
        wanted = ("direct",)
    if path not in wanted:
        text = f"{one.kind} to {other.kind}: the path is {path}, not {' or '.join(wanted)}: {told['reason']}"
        stage.judge.broken("path", one.host, text)
    return path


def _judge_letter(stage: Stage, letter: Letter | None) -> None:
    """It is there, unless nothing can be."""
    if letter is None:
        return
    kinds = (letter.sender.kind, letter.recipient.kind)
    if (letter.shown_s is not None) == ("udp-blocked" in kinds):
        state = "has not come" if letter.shown_s is None else "came where nothing can"
        stage.judge.broken("path", letter.recipient.host, f"{' to '.join(kinds)}: {letter} {state}")


SCENARIO = Scenario("nat", "every kind of router against every other", play, nodes=10, hours=0.5, private=False)
