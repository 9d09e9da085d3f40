"""First contacts while everybody is only just joining, in the virtual world."""

import pytest

from p2pd.sim.town import Town

PEOPLE, SERVERS = 20, 12


def crowd(seed: int, people: int, servers: int) -> Town:
    """Within five seconds all join, and each adds the first."""
    town = Town(seed, servers=1)
    first = town.person(accept_requests=True)
    comers = [number * servers // people for number in range(1, people + 1)]
    for target in comers:
        while len(town.servers) - 1 < target:
            town.server()
        town.person(accept_requests=True).add(first, "first")
        town.world.run(5 / people)
    town.until(lambda: all(town.accepted(person, "first") for person in town.people[1:]), 10)
    return town


@pytest.mark.slow
def test_all_who_join_at_once_are_accepted_soon() -> None:
    crowd(1, PEOPLE, SERVERS)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 22))
def test_all_who_join_at_once_are_accepted_soon_whatever_the_seed(seed: int) -> None:
    crowd(seed, PEOPLE, SERVERS)
