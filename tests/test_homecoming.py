"""Somebody comes home to many friends' mail in a small network, and answers them all."""

import pytest

from p2pd.sim.conditions import Conditions
from p2pd.sim.town import PUBLISHED_S, Town
from p2pd.store import MessageState

pytestmark = pytest.mark.slow
FRIENDS = 20
SERVERS = 8


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
    town.until(lambda: all(alice.state(message) is MessageState.STORED for message in answers), 25)
