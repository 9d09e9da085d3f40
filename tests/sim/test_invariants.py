"""What the judge says of courses of events that are made to be wrong."""

from collections.abc import Iterator
from functools import partial

import pytest

from p2pd import limits
from p2pd.crypto import ratchet
from p2pd.dht.lookup import Lookup
from p2pd.dht.peers import Peer
from p2pd.effects import SendDatagram
from p2pd.engine import Engine
from p2pd.sim.bounds import exceeded_in_memory, exceeded_in_stores
from p2pd.sim.invariants import Judge, MessageKeys
from p2pd.sim.nearest import KNOWN_S
from p2pd.sim.probes import probes
from p2pd.sim.promises import Letter
from p2pd.sim.resident import Resident
from p2pd.sim.stage import Options, Stage
from p2pd.sim.town import Town
from p2pd.sim.watching import Phase
from p2pd.store import MessageState
from p2pd.types import Endpoint, Now


@pytest.fixture
def stage() -> Iterator[Stage]:
    town = Town(5, servers=3, replicas=2, raise_bugs=False)
    stage = Stage(Options(5, 5, 0.1), town, lambda share, doing: None)
    with probes(stage):
        stage.add_people(2)
        yield stage


def found(judge: Judge) -> list[str]:
    return [violation.invariant for violation in judge.violations]


def delivered(stage: Stage) -> Letter:
    letter = stage.write(*stage.people)
    assert letter is not None
    stage.run(5)
    assert letter.shown_s is not None
    assert letter.arrived_s is not None
    return letter


@pytest.mark.slow
def test_a_course_that_is_well_breaks_nothing(stage: Stage) -> None:
    delivered(stage)
    stage.finish()
    assert found(stage.judge) == []
    assert stage.judge.message_keys > 0


@pytest.mark.slow
def test_what_is_shown_twice_or_to_somebody_else_is_noticed(stage: Stage) -> None:
    letter = delivered(stage)
    _, reader = stage.people
    (event,) = [event for event in reader.store.events(0, limit=1_000) if letter.text in event.data]
    with reader.store.transaction():
        reader.store.add_event(event.type, event.data, event.at_ms)
        reader.store.add_event(event.type, event.data.replace(letter.sender.address, reader.address), event.at_ms)
    stage.judge.promises.look(reader)
    assert found(stage.judge) == ["shown once", "authentic"]


@pytest.mark.slow
def test_delivered_without_the_recipients_commit_is_noticed(stage: Stage) -> None:
    writer, reader = stage.people
    reader.down()
    letter = stage.write(writer, reader)
    assert letter is not None
    writer.do(lambda engine, now: engine._history.change_state(reader.identity, letter.id, MessageState.DELIVERED, now))
    assert found(stage.judge) == ["delivered"]


@pytest.mark.slow
@pytest.mark.parametrize("is_shown_first", [True, False])
def test_recalled_as_never_seen_and_shown_is_noticed(stage: Stage, is_shown_first: bool) -> None:
    writer, reader = stage.people
    reader.stop()
    letter = stage.write(writer, reader)
    assert letter is not None
    stage.judge.promises.recall(letter)
    message = writer.store.message(letter.id)
    assert message is not None

    def told(engine: Engine, now: Now) -> None:
        engine._history.recalled(message, (), now, left=False)

    if not is_shown_first:
        writer.do(told)
    reader.up()
    stage.run(20)
    assert letter.shown_s is not None
    if is_shown_first:
        writer.do(lambda engine, now: engine._store.save_message(message))
        writer.do(told)
    assert found(stage.judge)[0] == "recalled"


@pytest.mark.slow
def test_stored_without_copies_is_noticed(stage: Stage) -> None:
    writer, reader = stage.people
    reader.stop()
    letter = stage.write(writer, reader)
    stage.run(20)
    assert letter is not None
    assert found(stage.judge) == []
    for server in (*stage.town.servers, reader):
        for key in server.records.keys_held():
            for row in server.records.held(key):
                server.records.release(key, row.item)
    message = writer.store.message(letter.id)
    assert message is not None
    stage.judge.copies.judge_stored(letter, message)
    assert found(stage.judge) == ["stored"]


@pytest.mark.slow
def test_what_is_overtaken_or_in_the_wrong_place_is_noticed(stage: Stage) -> None:
    writer, reader = stage.people
    first = delivered(stage)
    second = delivered(stage)
    message = reader.store.message(first.id)
    assert message is not None
    promises = stage.judge.promises
    way = promises._way(first)
    way.shown.remove(next(entry for entry in way.shown if entry[0] == first.number))
    later = reader.store.message(second.id)
    assert later is not None
    promises._in_order(first, later)
    assert found(stage.judge) == ["order"]
    kept = promises.offer(writer, reader, "not yet")
    kept.accepted = True
    ahead = promises.offer(writer, reader, "ahead")
    promises._in_order(ahead, message.__class__(**{**_fields(later), "clock": later.clock + 1}))
    assert found(stage.judge) == ["order", "order"]


def _fields(message: object) -> dict[str, object]:
    return {name: getattr(message, name) for name in message.__slots__}


@pytest.mark.slow
def test_what_is_never_told_is_noticed_at_the_end(stage: Stage) -> None:
    writer, reader = stage.people
    reader.stop()
    stage.write(writer, reader)
    stage.judge.judge_liveness()
    stage.judge.judge_end()
    assert set(found(stage.judge)) == {"liveness", "delivered or told"}


@pytest.mark.slow
def test_what_is_given_up_early_is_noticed(stage: Stage) -> None:
    writer, reader = stage.people
    reader.stop()
    for tried_s in (0, limits.OUTBOX_LIFE_S):
        letter = stage.write(writer, reader)
        assert letter is not None
        letter.offered_s -= tried_s
        writer.do(partial(_give_up, reader, letter))
        assert found(stage.judge) == ["delivered or told"], "only the one that was given up at once"


def _give_up(reader: Resident, letter: Letter, engine: Engine, now: Now) -> None:
    engine._history.change_state(reader.identity, letter.id, MessageState.FAILED, now, reason="no reason")


@pytest.mark.slow
def test_a_tombstone_undone_and_a_value_gone_back_are_noticed(stage: Stage) -> None:
    server = stage.town.servers[0]
    reader = stage.people[1]
    reader.stop()
    stage.write(stage.people[0], reader)
    stage.run(20)
    rows = [row for one in stage.town.servers for key in one.records.keys_held() for row in one.records.held(key)]
    item = next(row for row in rows if len(row.item) == 16 and not row.tombstone)
    value = next(row for row in rows if not row.item)
    changed = [
        (item.__class__(**{**_fields(item), "tombstone": True}), item),
        (value.__class__(**{**_fields(value), "sequence": value.sequence + 1}), value),
    ]
    for newer, older in changed:
        server.records.hold(newer)
        stage.on_turn(server.host, Phase.BEGUN)
        server.records.hold(older)
        stage.on_turn(server.host, Phase.COMMITTED)
    assert found(stage.judge) == ["records", "records"]


@pytest.mark.slow
def test_a_look_up_that_misses_the_nearest_is_noticed(stage: Stage) -> None:
    stage.run(KNOWN_S + 60)
    nearest, servers = stage.judge.nearest, stage.town.servers
    nearest.strict = True
    target = bytes(32)
    lookup = Lookup(target, [Peer(servers[0].key, servers[0].hint.endpoint)], own=servers[2].key, width=20)
    for peer in lookup.next_asks():
        lookup.on_answered(peer, [])
    nearest.on_search_end(servers[2].key, target, lookup, 1.0)
    assert found(stage.judge) == ["nearest"]
    assert nearest.reached < 1


@pytest.mark.slow
def test_what_is_too_large_is_noticed(stage: Stage) -> None:
    person = stage.people[0]
    assert exceeded_in_memory(person.engine) == exceeded_in_stores(person) == []
    stage.on_effect(person.host, SendDatagram(Endpoint("10.1.0.1", 1), bytes(1_201)))
    assert found(stage.judge) == ["bounds"]


@pytest.mark.slow
def test_what_is_too_large_for_one_turn_only_is_noticed(stage: Stage) -> None:
    person = stage.people[0]
    hints = person.engine._dht._joining._hints
    few = dict(hints)

    def fill(engine: Engine, now: Now) -> None:
        hints.update({Endpoint("10.9.9.9", port): None for port in range(1, 100)})

    def empty(engine: Engine, now: Now) -> None:
        hints.clear()
        hints.update(few)

    person.do(fill)
    person.do(empty)
    assert [violation.text for violation in stage.judge.violations] == ["hints: 102, and 64 is the most"]


@pytest.mark.slow
def test_an_unexpected_exception_is_noticed_and_an_arranged_one_is_not(stage: Stage) -> None:
    person = stage.people[0]
    stage.world.break_turn(person.host)
    stage.run(90)
    assert found(stage.judge) == []

    def bug(now: object) -> None:
        raise ZeroDivisionError

    person.engine.on_timer = bug  # type: ignore[method-assign]
    stage.run(90)
    assert found(stage.judge)[0] == "no bugs"


def test_a_message_key_counts_once_its_turn_is_committed_or_something_left() -> None:
    broken: list[str] = []
    keys = MessageKeys(lambda invariant, host, text: broken.append(invariant))
    keys.begin("a")
    keys.add(b"key", b"one")
    keys.begin("a")  # the turn before was undone, and nothing had left
    keys.add(b"key", b"two")
    keys.count()
    keys.begin("a")
    keys.add(b"key", b"two")
    keys.count()
    assert broken == []
    keys.add(b"key", b"three")
    keys.count()
    assert broken == ["message keys"]
    assert len(keys) == 1


@pytest.mark.slow
def test_the_shipped_code_is_as_before_when_nobody_watches(stage: Stage) -> None:
    watched = ratchet._cipher
    town = Town(6, servers=2, replicas=2)
    with probes(Stage(Options(6, 2, 0.1), town, lambda share, doing: None)):
        assert ratchet._cipher is not watched
    assert ratchet._cipher is watched
