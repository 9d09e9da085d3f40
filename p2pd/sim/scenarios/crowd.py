"""A thousand nodes: whatever is looked up from wherever, the truly nearest are found."""

from functools import partial

from p2pd.engine import Engine
from p2pd.sim.stage import Scenario, Stage
from p2pd.types import Now

_SETTLE_S = 180.0
_LIFE_S = 86_400


def play(stage: Stage) -> None:
    """Once the crowd has settled, records are put by some and read by others, two a minute."""
    draw, town = stage.random, stage.town
    stage.run(_SETTLE_S)
    stage.judge.nearest.strict = True
    keys: list[str] = []
    found: list[bool] = []
    end = stage.options.hours * 3600
    number = 0
    while stage.world.time_s < end:
        number += 1
        value = b"record %d" % number
        draw.choice(town.servers).do(partial(_put, value, keys))
        stage.run(draw.uniform(5, 25))
        draw.choice(town.servers).do(partial(_get, draw.choice(keys), found))
        stage.run(draw.uniform(5, 25))
    stage.facts["readings"] = len(found)
    stage.facts["found"] = sum(found)
    if sum(found) < len(found):
        stage.judge.broken("crowd", town.servers[0].host, f"{len(found) - sum(found)} of {len(found)} were not found")


def _put(value: bytes, keys: list[str], engine: Engine, now: Now) -> None:
    engine.dht_put(value, _LIFE_S, now, lambda facts: keys.append(str(facts["key"])))


def _get(key: str, found: list[bool], engine: Engine, now: Now) -> None:
    engine.dht_get(key, now, lambda facts: found.append(facts is not None))


SCENARIO = Scenario(
    "crowd",
    "a thousand nodes; look-ups reach the truly nearest",
    play,
    nodes=1_000,
    hours=0.25,
    replicas=20,
    rarity=1_000,
)
