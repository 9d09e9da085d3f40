"""Whole engines that have nothing to do: what friends cost who are away, and who are there."""

import pytest

from p2pd.effects import Effect, OpenLink
from p2pd.sim.resident import Resident
from p2pd.sim.town import Town

pytestmark = pytest.mark.slow
DAY_S = 86_400


def bytes_per_s(town: Town, one: Resident, seconds: float) -> float:
    before = sum(town.world.traffic(one.host))
    town.world.run(seconds)
    return (sum(town.world.traffic(one.host)) - before) / seconds


def test_friends_who_are_away_are_hardly_looked_for_and_come_back_to_a_link() -> None:
    town = Town("away", servers=6)
    alice, *friends = (town.person() for _ in range(6))
    for number, friend in enumerate(friends):
        alice.add(friend, f"friend-{number}")
        friend.add(alice, "alice")
    town.until(lambda: len(alice.engine._ways.links.contacts_up) == len(friends))
    town.world.run(DAY_S / 4)
    there = bytes_per_s(town, alice, DAY_S / 2)
    for friend in friends:
        friend.stop()
    town.world.run(DAY_S / 4)
    dials: list[Effect] = []
    watch = alice.engine._effects.watch

    def see(effect: Effect) -> None:
        watch(effect)
        if isinstance(effect, OpenLink):
            dials.append(effect)

    alice.engine._effects.watch = see
    away = bytes_per_s(town, alice, DAY_S / 2)
    assert len(dials) <= 3 * len(friends)
    assert there < 60
    assert away - there < 10 * len(friends)
    for friend in friends:
        friend.up()
    town.until(lambda: len(alice.engine._ways.links.contacts_up) == len(friends), 10)
