"""Servers come and go as they do in the wild: what was stored must stay readable."""

from functools import partial

from p2pd.errors import P2pdError
from p2pd.sim.churn import MEASURED, Churn
from p2pd.sim.resident import Resident
from p2pd.sim.stage import Scenario, Stage

RECORDS = 24
FOR_GOOD = 0.1
"""Of the sessions, the last ones, with all that they kept: a choice, since nobody who measured sessions says.  What is
only kept by those who took it at first comes back with them, and is gone with them."""
_PUT_S = 120.0
_LIFE_S = 14 * 86_400
PATIENCE = 24
"""Hours in a row in which a record may not be found; one more is a violation."""
READABLE = 0.99
"""Of all hourly readings."""


def play(stage: Stage) -> None:
    """Records are put while the servers come and go, and each is read every hour from then on."""
    writer, reader = stage.add_people(SCENARIO.people)
    sessions = MEASURED[stage.options.seed % len(MEASURED)]
    stage.facts["mean session, h"] = round(sessions.session_mean_s / 3600, 1)
    churn = Churn(
        stage.world,
        list(stage.town.servers),
        sessions,
        stage.options.seed,
        for_good=FOR_GOOD,
        newcomer=partial(stage.town.server, up=False),
    )
    churn.start()
    stage.run(1_800)
    keys: list[str] = []
    for number in range(RECORDS):
        _put(stage, writer, b"record %d" % number, keys)
        stage.run(_PUT_S)
    missed: dict[str, int] = dict.fromkeys(keys, 0)
    read = found = 0
    for _ in range(max(1, round(stage.options.hours - stage.world.time_s / 3600))):
        for key in keys:
            there = _get(stage, reader, key)
            read, found = read + 1, found + there
            missed[key] = 0 if there else missed[key] + 1
            if missed[key] == PATIENCE:
                stage.judge.broken("churn", reader.host, f"a record was not readable for {PATIENCE} hours")
        stage.write(writer, reader)
        stage.run(3600 - len(keys) * 2.0)
    churn.stop()
    stage.facts["readings"] = read
    stage.facts["readable"] = round(found / max(1, read), 5)
    if len(keys) < RECORDS or found < READABLE * read:
        text = f"{found} of {read} readings found their record, {len(keys)} of {RECORDS} puts had receipts"
        stage.judge.broken("churn", reader.host, text)


def _put(stage: Stage, writer: Resident, value: bytes, keys: list[str]) -> None:
    def then(facts: dict[str, object]) -> None:
        if facts["receipts"]:
            keys.append(str(facts["key"]))

    writer.do(lambda engine, now: engine.dht_put(value, _LIFE_S, now, then))


def _get(stage: Stage, reader: Resident, key: str) -> bool:
    answers: list[bool] = []
    then = partial(_note, answers)
    try:
        reader.do(lambda engine, now: engine.dht_get(key, now, then))
    except P2pdError:
        return False
    stage.run(2.0)
    for _ in range(5):
        if answers:
            break
        stage.run(2.0)
    return bool(answers and answers[0])


def _note(answers: list[bool], facts: object) -> None:
    answers.append(facts is not None)


SCENARIO = Scenario(
    "churn",
    "servers come and go as in the wild; records stay readable",
    play,
    nodes=42,
    hours=48.0,
    people=2,
    replicas=8,
)
