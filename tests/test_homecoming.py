"""Somebody comes home, or wakes a machine, to mail of friends who have gone meanwhile."""

from itertools import pairwise

import pytest

from p2pd import limits
from p2pd.sim.conditions import Conditions
from p2pd.sim.resident import Resident
from p2pd.sim.town import PUBLISHED_S, Town
from p2pd.store import MessageState

pytestmark = pytest.mark.slow
FRIENDS = 20
SERVERS = 6
LETTER = "while you were away"


def writes_and_leaves(town: Town, bob: Resident) -> None:
    """An hour later, and an hour before anything else happens."""
    town.world.run(3_600)
    message = bob.send("alice", LETTER)
    town.until(lambda: bob.state(message) is MessageState.STORED)
    town.world.run(60)
    bob.stop()
    town.world.run(3_600)


def test_mail_of_many_is_there_at_once_and_answers_are_stored_soon() -> None:
    """Each server answers one address so many questions a second: what is waited for is asked first."""
    town = Town("homecoming", servers=SERVERS, private=False, conditions=Conditions(latency_s=(0.02, 0.04)))
    alice = town.person(kind="symmetric")
    friends = [town.person(kind="symmetric") for _ in range(FRIENDS)]
    town.world.run(PUBLISHED_S)
    for number, friend in enumerate(friends):
        alice.add(friend, f"friend-{number}")
        friend.add(alice, "alice")
    names = [f"friend-{number}" for number in range(FRIENDS)]
    town.until(lambda: all(town.accepted(alice, name) for name in names))
    town.until(lambda: all(town.accepted(friend, "alice") for friend in friends))
    town.world.run(60)
    alice.stop()
    town.world.run(10)
    for friend in friends:
        friend.send("alice", "while you were away")
    town.world.run(300)
    for friend in friends:
        friend.stop()
    town.world.run(3_600)
    alice.up()
    town.until(lambda: all(alice.received(name) for name in names), 1.5)
    answers = [alice.send(name, "thank you") for name in names]
    town.until(lambda: all(alice.state(message) is MessageState.STORED for message in answers), 15)


@pytest.mark.parametrize(
    ("kind", "sleeps_at_h"),
    [("public", 9.0), ("symmetric", 9.0), ("symmetric", 22.5)],
    ids=["in the open", "behind a router", "over midnight"],
)
def test_a_machine_that_wakes_has_the_mail_of_who_has_gone(kind: str, sleeps_at_h: float) -> None:
    """Rings that were pushed to a machine asleep are lost, and who has gone rings no more."""
    town = Town((kind, sleeps_at_h), servers=SERVERS, private=False)
    alice, bob = town.friends(kind, "public")
    town.world.run((sleeps_at_h * 3_600 - town.world.now_at(alice.host).wall_s) % limits.DAY_S)
    town.world.sleep(alice.host)
    writes_and_leaves(town, bob)
    town.world.wake(alice.host)
    town.until(lambda: alice.received("bob") == [LETTER], 10)


def test_who_was_cut_off_over_midnight_has_the_mail_of_who_has_gone() -> None:
    """The rings for it are in an inbox of the day before, at which nobody listens any more."""
    town = Town("cut off", servers=SERVERS, private=False)
    alice, bob = town.friends("symmetric", "public")
    town.world.run((22.5 * 3_600 - town.world.now_at(alice.host).wall_s) % limits.DAY_S)
    cut = town.world.cut([alice.host])
    writes_and_leaves(town, bob)
    town.world.heal(cut)
    town.until(lambda: alice.received("bob") == [LETTER], 60)


def test_a_single_node_that_comes_and_goes_makes_nobody_join_anew_each_time() -> None:
    """To join anew is to read every mailbox: once a minute at most."""
    town = Town("comes and goes", servers=1)
    alice = town.person()
    town.world.run(120)
    dht, begun = alice.engine._dht, []
    mailroom = alice.engine._mailroom
    start = mailroom.start
    mailroom.start = lambda now, settle_s: (begun.append(now.steady), start(now, settle_s))  # type: ignore[method-assign]
    (entry,) = dht._table.entries()
    for _ in range(50):
        alice.do(lambda engine, now: engine._dht._table.remove(entry.peer.key))
        town.world.run(1)
        alice.do(lambda engine, now: engine._dht._table.seen(entry.peer, now.steady))
        town.world.run(2)
    assert 2 <= len(begun) <= 3
    town.world.run(limits.REJOIN_GAP_S)
    assert all(after - before == pytest.approx(limits.REJOIN_GAP_S, abs=1.5) for before, after in pairwise(begun))
    assert alice.engine._joined
