"""Recalls through whole engines in the virtual world: nobody sees what was taken back in time, and both ends agree."""

import json

import pytest

from p2pd.chat.withdrawing import holders
from p2pd.sim.crashes import Moment
from p2pd.sim.resident import Resident
from p2pd.sim.town import Town
from p2pd.store import HeldRecord, Message, MessageState, RecallOutcome
from p2pd.wire.address import encode_id


def recall(person: Resident, message: Message) -> None:
    person.do(lambda engine, now: engine.recall(encode_id(message.message), now))


def outcome(person: Resident, message: Message) -> RecallOutcome | None:
    found = person.store.message(message.message)
    return found.recall.outcome if found is not None and found.recall is not None else None


def answered(person: Resident, message: Message) -> bool:
    return outcome(person, message) not in (None, RecallOutcome.ASKED)


def shown(person: Resident) -> list[str]:
    """Every text that its user was ever told of, as it was when it was told or after it was deleted."""
    return [json.loads(event.data)["text"] for event in person.store.events(0, limit=1_000, types=("message",))]


def alike(alice: Resident, bob: Resident) -> list[str]:
    ids = [[message.message for message in one.engine.history(name)] for one, name in ((alice, "bob"), (bob, "alice"))]
    assert ids[0] == ids[1]
    assert alice.texts("bob") == bob.texts("alice")
    return alice.texts("bob")


def copies(town: Town, sender: Resident, message: Message) -> list[HeldRecord]:
    """What the servers hold under the places in which the message lay."""
    found = sender.store.message(message.message)
    assert found is not None
    assert found.recall is not None
    items = {record.item for record in found.recall.records}
    assert items
    return [
        row
        for server in town.servers
        for key in server.records.keys_held()
        for row in server.records.held(key)
        if row.item in items
    ]


def test_the_absent_never_see_it_and_storers_hold_it_no_more() -> None:
    town = Town(3)
    alice, bob = town.friends()
    bob.down()
    slip, stays = alice.send("bob", "a slip"), alice.send("bob", "stays")
    town.until(lambda: alice.state(slip) is alice.state(stays) is MessageState.STORED)
    recall(alice, slip)
    assert alice.state(slip) is MessageState.RECALLING
    town.world.run(30)
    rows = copies(town, alice, slip)
    assert rows
    assert all(row.tombstone for row in rows)
    found = alice.store.message(slip.message)
    assert found is not None
    have, want = holders(found)
    assert have == want > 0
    bob.up()
    town.until(lambda: answered(alice, slip))
    assert alice.state(slip) is MessageState.RECALLED
    town.until(lambda: alice.state(stays) is MessageState.DELIVERED)
    assert shown(bob) == ["stays"]
    assert alike(alice, bob) == ["", "stays"]


def test_the_writer_recalls_and_is_gone_when_the_reader_returns() -> None:
    town = Town(4)
    alice, bob = town.friends()
    bob.down()
    slip = alice.send("bob", "a slip")
    town.until(lambda: alice.state(slip) is MessageState.STORED)
    recall(alice, slip)
    town.world.run(30)
    alice.down()
    town.world.run(3_600)
    bob.up()
    town.until(lambda: outcome(bob, slip) is RecallOutcome.UNSEEN)
    assert shown(bob) == []
    town.world.run(60)
    bob.down()
    alice.up()
    town.until(lambda: alice.state(slip) is MessageState.RECALLED)


def test_recalled_a_second_too_late_it_is_deleted_and_both_know() -> None:
    town = Town(5)
    alice, bob = town.friends()
    slip = alice.send("bob", "a slip")
    town.until(lambda: alice.state(slip) is MessageState.DELIVERED)
    recall(alice, slip)
    town.until(lambda: answered(alice, slip))
    assert (alice.state(slip), outcome(alice, slip)) == (MessageState.DELIVERED, RecallOutcome.SHOWN)
    assert alike(alice, bob) == [""]
    assert shown(bob) == [""]
    events = [json.loads(event.data) for event in bob.store.events(0, limit=1_000, types=("recalled",))]
    assert [(data["id"], data["before"]) for data in events] == [(encode_id(slip.message), "shown")]


@pytest.mark.parametrize("size", [0, 40_000])
@pytest.mark.parametrize("away", [True, False])
@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.03, 0.06, 0.2, 1.0])
def test_a_recall_that_races_with_delivery_ends_alike_on_both_ends(size: int, away: bool, after_s: float) -> None:
    town = Town((size, away, after_s))
    alice, bob = town.friends()
    if away:
        bob.down()
    slip = alice.send("bob", "slip " + "x" * size)
    town.world.run(after_s)
    if away:
        bob.up()
    recall(alice, slip)
    stays = alice.send("bob", "stays")
    town.until(lambda: answered(alice, slip) and alice.state(stays) is MessageState.DELIVERED, 300)
    told = outcome(alice, slip)
    assert outcome(bob, slip) is told
    assert shown(bob) == (["stays"] if told is RecallOutcome.UNSEEN else ["", "stays"])
    assert alike(alice, bob) == ["", "stays"]
    town.until(lambda: alice.store.outbox_count() == bob.store.outbox_count() == 0, 300)
    assert not [name for name in (*alice.engine.counts, *bob.engine.counts) if name == "undecryptable"]


@pytest.mark.parametrize("whose", ["alice", "bob"])
@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("after", [1, 2, 4])
def test_a_crash_at_any_moment_changes_nothing_of_that(whose: str, moment: Moment, after: int) -> None:
    town = Town((whose, str(moment), after))
    alice, bob = town.friends()
    bob.down()
    slip = alice.send("bob", "a slip")
    town.world.run(0.5)
    bob.up()
    town.world.crash_at({"alice": alice, "bob": bob}[whose].host, moment, after=after)
    if alice.is_up:
        recall_or_crash(alice, slip)
    for _ in range(3):
        town.world.run(5)
        for person in (alice, bob):
            if not person.is_up:
                person.up()
        recall_or_crash(alice, slip)
    town.until(lambda: answered(alice, slip), 900)
    assert outcome(bob, slip) is outcome(alice, slip)
    assert shown(bob) == ([] if outcome(alice, slip) is RecallOutcome.UNSEEN else [""])
    assert alike(alice, bob) == [""]
    town.until(lambda: alice.store.outbox_count() == bob.store.outbox_count() == 0, 900)


def recall_or_crash(alice: Resident, slip: Message) -> None:
    try:
        recall(alice, slip)
    except Exception:
        assert not alice.is_up


def test_a_recall_goes_on_when_the_engine_is_built_anew() -> None:
    town = Town(8)
    alice, bob = town.friends()
    bob.down()
    slip = alice.send("bob", "a slip")
    town.until(lambda: alice.state(slip) is MessageState.STORED)
    for server in town.servers:
        server.down()
    recall(alice, slip)
    town.world.run(3)
    alice.down()
    alice.up()
    for server in town.servers:
        server.up()
    town.until(lambda: bool(rows := copies(town, alice, slip)) and all(row.tombstone for row in rows), 1_200)
    bob.up()
    town.until(lambda: alice.state(slip) is MessageState.RECALLED, 900)
    assert shown(bob) == []


def test_a_message_to_someone_who_has_not_accepted_is_recalled_at_once() -> None:
    town = Town(9)
    alice, bob = town.person(), town.person()
    alice.do(lambda engine, now: engine.send(bob.address, "may I?", now))
    slip = alice.send(bob.address, "a slip")
    recall(alice, slip)
    assert alice.state(slip) is MessageState.RECALLED
    town.until(lambda: bool(bob.engine.requests()))
    bob.do(lambda engine, now: engine.accept(alice.address, now, name="alice"))
    town.until(lambda: alice.store.outbox_count() == 0)
    assert shown(bob) == ["may I?"]


def test_the_text_of_a_request_goes_from_all_events_once_it_was_accepted() -> None:
    town = Town(10)
    alice, bob = town.person(), town.person()
    asked = alice.do(lambda engine, now: engine.send(bob.address, "may I?", now))
    town.until(lambda: bool(bob.engine.requests()))
    bob.do(lambda engine, now: engine.accept(alice.address, now, name="alice"))
    town.until(lambda: alice.state(asked) is MessageState.DELIVERED)
    recall(alice, asked)
    town.until(lambda: outcome(alice, asked) is RecallOutcome.SHOWN)
    assert "may I?" not in repr([event.data for event in bob.store.events(0, limit=1_000)])
    assert bob.texts("alice") == [""]
