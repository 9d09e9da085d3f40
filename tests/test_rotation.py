"""What rotates, through whole engines in the virtual world: midnight, weeks, wrong clocks, sleep, crashes.

The secrets one by one, against every boundary of their own: `tests/chat/test_rotation.py`.
"""

from collections.abc import Callable
from typing import Any

import pytest

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.questions import Question
from p2pd.dht.serving import Serving
from p2pd.dht.throwaways import Throwaways
from p2pd.peer import own
from p2pd.sim.crashes import CrashedError, Moment
from p2pd.sim.probes import replaced
from p2pd.sim.resident import Resident
from p2pd.sim.town import Town
from p2pd.store import MessageState
from p2pd.types import AddressKey, Day, RecordKey
from p2pd.wire.record import Family, record_key
from p2pd.wire.rpc import Get

pytestmark = pytest.mark.slow
DAY = limits.DAY_S
FEW = 3
"""Servers of a network in which nobody's clock is corrected: with two people they are four peers to each."""
HOUSE_S = limits.HOUSEKEEPING_FIRST_S + 60
SKEW = limits.CLOCK_SKEW_S


def to_midnight(town: Town, before_s: float) -> None:
    """So long before midnight UTC, by a clock that is right."""
    wait_s = DAY - before_s - town.world.now.wall_ms / 1000 % DAY
    town.world.pass_days(wait_s % DAY / DAY)


# --- midnight: where somebody writes is where the other looks


@pytest.mark.parametrize("skews", [(0, 0), (SKEW, -SKEW), (-SKEW, SKEW)], ids=["right", "ahead", "behind"])
@pytest.mark.parametrize("before_s", [SKEW + 60, SKEW - 180, 3, -3, 180 - SKEW, -(SKEW + 60)])
def test_a_ring_is_heard_round_midnight_whatever_the_clocks_of_both_say(
    skews: tuple[int, int], before_s: float
) -> None:
    town = Town((skews, before_s), servers=FEW)
    alice, bob = town.friends()
    to_midnight(town, before_s + 120)
    for person, skew_s in ((alice, skews[0]), (bob, skews[1])):
        person.down()
        town.world.jump_wall(person.host, skew_s)
        person.up()
    town.world.run(120)  # what is swept at a start and soon after is swept; the next sweep is 6 h away
    town.world.cut([alice.host], [bob.host])
    alice.send("bob", "by mail alone")
    town.until(lambda: bob.received("alice") == ["by mail alone"], 120)


# --- weeks of absence


@pytest.mark.parametrize("weeks", [1, 5, 9, 11])
def test_who_was_away_for_weeks_gets_mail_and_can_be_asked_for(weeks: int) -> None:
    town = Town(weeks, servers=FEW)
    alice, bob = town.friends()
    town.world.run(HOUSE_S)
    known = {prekey.id for prekey in bob.store.prekeys()}
    bob.down()
    alice.down()
    town.world.pass_days(weeks * 7 - 2)
    alice.up()
    carol = town.person()
    carol.add(bob, "bob", "shall we meet?")
    said = alice.send("bob", "back in two days?")
    town.until(lambda: alice.state(said) is MessageState.STORED)
    town.world.run(60)
    alice.down()
    town.world.pass_days(2)
    bob.up()
    town.until(lambda: bob.received("alice") == ["back in two days?"], 120)
    town.until(lambda: _asked(bob) == ["shall we meet?"], 2 * limits.HOUR_S)
    town.world.run(HOUSE_S)
    kept = {prekey.id for prekey in bob.store.prekeys()}
    assert kept - known, "another one is published"
    assert (known <= kept) is (weeks < 10)


def test_who_slept_for_days_is_there_again_at_once() -> None:
    town = Town(1, servers=FEW)
    alice, bob = town.friends()
    town.world.run(HOUSE_S)
    town.world.sleep(bob.host)
    town.world.pass_days(3 - 7 / 24)
    said = alice.send("bob", "good night")
    town.until(lambda: alice.state(said) is MessageState.STORED, 120)
    town.world.run(60)
    alice.down()
    town.world.pass_days(7 / 24)  # the ring lies in an inbox of before
    town.world.wake(bob.host)
    town.until(lambda: bob.received("alice") == ["good night"], 60)
    asked = town.person()
    asked.add(bob, "bob")
    town.until(lambda: bool(bob.engine.requests()), 60)  # today's profile is there


# --- wrong clocks


@pytest.mark.parametrize("wrong_days", [1, 30, 400, -1, -30])
def test_after_a_clock_was_wrong_everything_is_found_and_read_again(wrong_days: int) -> None:
    town = Town(wrong_days, servers=FEW)
    alice, bob = town.friends()
    bob.down()
    town.world.jump_wall(bob.host, wrong_days * DAY)
    bob.up()
    town.world.run(HOUSE_S)
    bob.down()
    town.world.jump_wall(bob.host, -wrong_days * DAY)
    said = alice.send("bob", "what time is it?")
    town.until(lambda: alice.state(said) is MessageState.STORED, 120)
    alice.down()
    town.world.pass_days(4)  # nothing rings for it any more: it is where a sweep has to look
    bob.up()
    town.until(lambda: bob.received("alice") == ["what time is it?"], 120)
    town.world.run(5)  # until then storers have his profile of before, whose prekey the wrong clock has made too old
    carol = town.person()
    carol.add(bob, "bob", "do you know?")
    town.until(lambda: bool(bob.engine.requests()), 120)
    alice.up()
    answer = bob.send("alice", "I do")
    town.until(lambda: bob.state(answer) is MessageState.DELIVERED, 120)


# --- crashes in the turn that rotates


MOMENTS = [Moment.BEFORE_COMMIT, Moment.AFTER_COMMIT, Moment.EFFECT]


def crash_until(town: Town, person: Resident, moment: Moment, changed: Callable[[], bool], after_s: float = 0) -> None:
    """The process is started, and ends at that moment of one turn after the other, until a turn has changed it.

    So it has ended at that moment of the turn that changes it, and of all before it.
    """
    for turn in range(1, 40):
        person.up()
        town.world.run(after_s)
        assert not changed()
        town.world.crash_at(person.host, moment, after=turn)
        town.world.run_until(lambda: not person.is_up, 2 * limits.SWEEP_SETTLED_S)  # what changes the store next
        assert not person.is_up
        if changed():
            return
    raise AssertionError("no turn has changed it")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_crash_as_a_prekey_turns_leaves_one_that_opens(moment: Moment) -> None:
    town = Town(moment.value, servers=FEW)
    bob = town.person()
    town.world.run(60)
    bob.down()
    town.world.pass_days(7)
    crash_until(town, bob, moment, lambda: _prekeys(bob) == [1, 2])
    asker, late = town.person(), town.person()
    asker.add(bob, "bob", "with a profile of before")  # or of just now, where that has left
    town.world.run(30)
    bob.up()
    town.until(lambda: _asked(bob) == ["with a profile of before"], 120)
    late.add(bob, "bob", "with the new one")
    town.until(lambda: "with the new one" in _asked(bob), 120)
    assert _prekeys(bob) == [1, 2]


def _prekeys(person: Resident) -> list[int]:
    return [prekey.id for prekey in person.store.prekeys()]


def _asked(person: Resident) -> list[str]:
    return [asker.request_text for asker in person.engine.requests()]


@pytest.mark.parametrize("moment", [Moment.BEFORE_COMMIT, Moment.AFTER_COMMIT])
def test_a_crash_as_somebody_is_removed_leaves_either_all_of_it_or_nothing(moment: Moment) -> None:
    town = Town(moment.value, servers=FEW)
    alice, bob = town.friends()
    carol = town.person()
    carol.add(alice, "alice")
    alice.add(carol, "carol")
    town.until(lambda: town.accepted(alice, "carol") and town.accepted(carol, "alice"))
    before = own.secret(alice.store)
    town.world.crash_at(alice.host, moment)
    with pytest.raises(CrashedError):
        alice.do(lambda engine, now: engine.remove("carol", now))
    removed = alice.store.contact(carol.identity) is None
    assert removed is (moment is Moment.AFTER_COMMIT)
    assert (own.secret(alice.store) != before) is removed
    alice.up()
    if not removed:
        alice.do(lambda engine, now: engine.remove("carol", now))
    town.until(lambda: _theirs(bob, alice) == own.secret(alice.store), 60)
    assert _theirs(carol, alice) == before
    bob.down()
    bob.up()
    said = alice.send("bob", "still here")
    town.until(lambda: alice.state(said) is MessageState.DELIVERED, 60)


def _theirs(person: Resident, of: Resident) -> bytes:
    contact = person.store.contact(of.identity)
    assert contact is not None
    return contact.secret


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_crash_as_a_generation_is_proposed_leaves_a_mailbox_that_both_know(moment: Moment) -> None:
    town = Town(moment.value, servers=FEW)
    alice, bob = town.friends()
    names = {alice.host: "alice", bob.host: "bob"}
    lower, higher = sorted((alice, bob), key=lambda person: person.identity)
    town.until(lambda: _generation(lower, higher) == 1, 60)
    lower.down()
    higher.down()
    town.world.pass_days(7)
    crash_until(town, lower, moment, lambda: _newest(lower, higher) == 2, limits.HOUSEKEEPING_FIRST_S - 0.1)
    for writer, reader in ((lower, higher), (higher, lower)):
        writer.up()
        said = writer.send(names[reader.host], "by mail")
        town.until(lambda writer=writer, said=said: writer.state(said) is MessageState.STORED, 120)  # type: ignore[misc]
        town.world.run(60)
        writer.down()
        reader.up()
        town.until(lambda writer=writer, reader=reader: reader.received(names[writer.host]) == ["by mail"], 120)  # type: ignore[misc]
    assert _generation(lower, higher) == _generation(higher, lower) == 2


def _newest(person: Resident, other: Resident) -> int:
    contact = person.store.contact(other.identity)
    assert contact is not None
    return max(pair.generation for pair in contact.pair_secrets)


def _generation(person: Resident, other: Resident) -> int:
    """The newest generation that is written with."""
    contact = person.store.contact(other.identity)
    assert contact is not None
    return max(pair.generation for pair in contact.pair_secrets if pair.usable)


# --- throwaway node keys: for one record and one day, and the same after a restart


def test_a_throwaway_key_is_of_one_record_and_one_day_and_stays_so_over_restarts_and_clocks() -> None:
    asked: list[tuple[bytes, RecordKey]] = []
    places = [_address(1), _address(2)]
    with replaced(Serving, "answer", _noting(asked)):
        town = Town(1, servers=FEW)
        alice = town.person()
        town.world.run(30)

        def look() -> list[set[bytes]]:
            asked.clear()
            for place in places:
                alice.do(lambda engine, now, place=place: engine._dht.get(Family.SET, place, _ignore, now))  # type: ignore[misc]
            town.world.run(5)
            return [{who for who, key in asked if key == record_key(Family.SET, place)} for place in places]

        to_midnight(town, 20)
        evening = look()
        alice.down()
        alice.up()
        town.world.run(1)
        restarted = look()  # still before midnight
        to_midnight(town, -1)
        morning = look()
        town.world.jump_wall(alice.host, -60)  # a clock set back over midnight
        back = look()
    seen = [evening, restarted, morning, back]
    assert all(len(keys) == 1 for looks in seen for keys in looks), "one key each, for all who are asked"
    assert evening == restarted
    assert back == evening
    keys = [next(iter(keys)) for looks in (evening, morning) for keys in looks]
    assert len({alice.key, *keys}) == 5, "none is the node's, or of another record or day"
    assert (
        keys[0]
        == Throwaways(alice.engine._keys.node)
        .key(record_key(Family.SET, places[0]), Day(town.world.now.day - 1))
        .public
    )


def _address(number: int) -> AddressKey:
    return AddressKey(SigningKey(bytes([number]) * 32).public)


def _noting(asked: list[tuple[bytes, RecordKey]]) -> Any:
    original = Serving.answer

    def answer(serving: Serving, question: Question, now: Any) -> Any:
        if isinstance(question.body, Get):
            asked.append((question.asker.key, RecordKey(question.body.key)))
        return original(serving, question, now)

    return answer


def _ignore(found: Any, now: Any) -> None:
    pass
