"""A network as it may be: most are behind routers of every kind, friends meet by relays, and then relays die.

The mix (`docs/simulator.md` says whence): a fifth can be reached by anybody; 64 % are behind a router or a firewall
that can be punched (Halkes and Pouwelse 2010), some of them a carrier's (Richter et al. 2016); the routers of the rest
draw a port for everybody who is written to, so many that of two who cannot be reached 71 % find a way (70 +- 7.1 %,
Trautwein et al. 2025).  Half of those who can be reached were there before; the others find out that they can serve.
Who is no friend of anybody is a bystander (`p2pd.sim.resident`).
"""

from collections import Counter
from statistics import median

from p2pd import limits
from p2pd.sim.nat import lets_strangers_in
from p2pd.sim.promises import Letter
from p2pd.sim.resident import Resident
from p2pd.sim.scenarios.nat import judge_path
from p2pd.sim.stage import Scenario, Stage

MIX = {
    "public": 14,
    "full-cone": 6,
    "address-restricted": 14,
    "port-restricted": 34,
    "double-nat": 10,
    "hairpin-off": 4,
    "firewalled": 2,
    "symmetric": 16,
}
"""Of a hundred nodes."""
_THERE_BEFORE = 0.1
_FRIENDS_MOST = 48
_FRIENDS_OF_EACH = 2
"""Each becomes a friend of so many more, so that each has twice as many."""
_COMING_S = 0.3
"""Between two who come."""
_SETTLE_S = 60.0
_KILLED = 0.3
_SOON_S = 30.0
"""By then a text is shown, though the relay that was to carry it is no more."""
_ROUNDS = 2
_ROUND_S = 40.0
_PAUSE_S = 300.0


def play(stage: Stage) -> None:
    """All come, friends meet and write; some of the relays in use die; they write on."""
    friends = _come(stage)
    couples = [(one, friends[(place + step) % len(friends)]) for place, one in enumerate(friends) for step in _steps()]
    stage.people = friends
    stage.acquaint([pair for one, other in couples for pair in ((one, other), (other, one))])
    stage.run(_SETTLE_S)
    letters = _write(stage, couples)
    stage.run(_SETTLE_S)
    _note_paths(stage, couples)
    relays = _note_relays(stage)
    _kill(stage, [relay for relay in relays if relay not in friends])
    after: list[Letter] = []
    while not after or stage.world.time_s < stage.options.hours * 3600:
        for _ in range(_ROUNDS):
            after += _write(stage, couples)
            stage.run(_ROUND_S)
        stage.run(max(0.0, min(_PAUSE_S, stage.options.hours * 3600 - stage.world.time_s)))
    _judge_soon(stage, after)
    _judge_soon(stage, letters)
    stage.facts["slowest text afterwards, seconds"] = round(max(map(_took_s, after)), 3)
    _note_roles(stage)


def _steps() -> range:
    return range(1, _FRIENDS_OF_EACH + 1)


def mixed(count: int) -> list[str]:
    """So many kinds, in the mix's proportions, the most frequent first."""
    whole = sum(MIX.values())
    counts = {kind: count * share // whole for kind, share in MIX.items()}
    behind = sorted(MIX, key=lambda kind: counts[kind] - count * MIX[kind] / whole)
    for kind in behind[: count - sum(counts.values())]:
        counts[kind] += 1
    return [kind for kind in sorted(counts, key=lambda kind: -counts[kind]) for _ in range(counts[kind])]


def _come(stage: Stage) -> list[Resident]:
    """Those who were not there before, one after the other; of them, who will be friends."""
    draw, town = stage.random, stage.town
    count = stage.options.nodes
    friends = min(_FRIENDS_MOST, max(SCENARIO.people, count // 4))
    kinds = Counter(mixed(count)) - Counter(["public"] * len(town.servers)) - Counter(mixed(friends))
    others = draw.sample(sorted(kinds.elements()), count - len(town.servers) - friends)
    coming = [(kind, True) for kind in mixed(friends)] + [(kind, False) for kind in others]
    draw.shuffle(coming)
    people: list[Resident] = []
    for kind, is_friend in coming:
        person = town.person(kind=kind, bystander=not is_friend)
        people += [person] if is_friend else []
        stage.run(draw.uniform(0, 2 * _COMING_S))
    stage.run(_SETTLE_S)
    return people


def _write(stage: Stage, couples: list[tuple[Resident, Resident]]) -> list[Letter]:
    """Each to each, within a few seconds."""
    pairs = [pair for one, other in couples for pair in ((one, other), (other, one))]
    stage.random.shuffle(pairs)
    letters = []
    for writer, reader in pairs:
        letters.append(stage.write(writer, reader, stage.random.choice((0, 0, 900))))
        stage.run(stage.random.uniform(0, 10 / len(pairs)))
    return [letter for letter in letters if letter is not None]


def _took_s(letter: Letter) -> float:
    return float("inf") if letter.shown_s is None else letter.shown_s - letter.offered_s


def _judge_soon(stage: Stage, letters: list[Letter]) -> None:
    for letter in letters:
        if _took_s(letter) > _SOON_S:
            where = f"{letter.sender.kind} to {letter.recipient.kind}"
            stage.judge.broken("soon", letter.recipient.host, f"{letter}, {where}, took {_took_s(letter):.0f} s")


def _note_paths(stage: Stage, couples: list[tuple[Resident, Resident]]) -> None:
    paths = [judge_path(stage, one, other) for couple in couples for one, other in (couple, couple[::-1])]
    for path in ("direct", "relay", "mailbox", "none"):
        stage.facts[f"paths: {path}"] = paths.count(path)


def _note_relays(stage: Stage) -> list[Resident]:
    """How evenly relays were chosen; those in use."""
    serving = [resident for resident in stage.town.residents if resident.is_up and resident.engine._dht.serves]
    carried = [resident.engine._ways.relaying.carried for resident in serving]
    links, channels = [each.guests for each in carried], [each.channels for each in carried if each.channels]
    stage.facts["servers"] = len(serving)
    stage.facts["links of a relay, median"], stage.facts["most"] = median(links), max(links)
    stage.facts["relays with channels"] = len(channels)
    stage.facts["channels of these, median"] = median(channels) if channels else 0
    stage.facts["most channels"] = max(channels, default=0)
    if max(links) > limits.RELAY_LINKS:
        stage.judge.broken("bounds", serving[0].host, f"a relay has {max(links)} links")
    return [resident for resident, each in zip(serving, carried, strict=True) if each.guests]


def _kill(stage: Stage, relays: list[Resident]) -> None:
    killed = stage.random.sample(relays, round(_KILLED * len(relays)))
    for relay in killed:
        relay.down()
    stage.facts["relays killed"] = len(killed)


def _note_roles(stage: Stage) -> None:
    """That nobody serves whom strangers cannot reach is an invariant; here, how many have found out that they can."""
    people = [person for person in stage.town.people if person.is_up and lets_strangers_in(person.kind)]
    stage.facts["could serve"] = len(people)
    stage.facts["of them serve"] = sum(person.engine._dht.serves for person in people)


SCENARIO = Scenario(
    "rendezvous",
    "most are behind routers, friends meet by relays, and relays die",
    play,
    nodes=1_000,
    hours=0.5,
    people=6,
    replicas=20,
    rarity=1_000,
    private=False,
    first=_THERE_BEFORE,
)
