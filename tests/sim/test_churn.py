"""Residents come and go as often, and stay as long, as was measured."""

from random import Random
from statistics import mean, median

import pytest

from p2pd.sim.churn import IPFS22, MLDHT, PC8H, Churn, Sessions
from p2pd.sim.network import World
from p2pd.sim.town import Town

HOUR_S = 3_600
DRAWS = 20_000


def test_sessions_are_those_of_the_measurements() -> None:
    """87.6 % of IPFS' sessions last less than 8 h and 2.5 % more than 24; half of Mainline's less than 200 minutes."""
    random = Random(1)
    ipfs = [IPFS22.session_s(random) / HOUR_S for _ in range(DRAWS)]
    mainline = [MLDHT.session_s(random) / 60 for _ in range(DRAWS)]
    assert mean(hours < 8 for hours in ipfs) == pytest.approx(0.876, abs=0.02)
    assert mean(hours > 24 for hours in ipfs) == pytest.approx(0.025, abs=0.006)
    assert median(ipfs) == pytest.approx(0.96, rel=0.05)
    assert median(mainline) == pytest.approx(200, rel=0.05)
    assert mean(minutes > 9_000 for minutes in mainline) == pytest.approx(0.03, abs=0.01)


@pytest.mark.parametrize("sessions", [IPFS22, MLDHT, PC8H])
def test_absences_make_the_availability(sessions: Sessions) -> None:
    random = Random(2)
    there = sum(sessions.session_s(random) for _ in range(5 * DRAWS))
    away = sum(sessions.absence_s(random) for _ in range(5 * DRAWS))
    assert there / (there + away) == pytest.approx(sessions.availability, abs=0.03)


class Comer:
    """Comes and goes, and counts it."""

    def __init__(self) -> None:
        self.is_up = True
        self.went: list[str] = []

    def up(self) -> None:
        assert not self.is_up
        self.is_up = True

    def stop(self) -> None:
        self._go("stopped")

    def down(self) -> None:
        self._go("killed")

    def _go(self, how: str) -> None:
        assert self.is_up
        self.is_up = False
        self.went.append(how)


def course(seed: int, hours: float, **options: float) -> tuple[Churn, list[Comer], list[int]]:
    """20 who come and go; how many are there, every quarter of an hour."""
    world, comers = World(), [Comer() for _ in range(20)]
    churn = Churn(world, comers, Sessions(0.8, 0.5, 0.4), seed, **options)
    churn.start()
    up: list[int] = []
    for _ in range(int(hours * 4)):
        world.run(HOUR_S / 4)
        up.append(sum(comer.is_up for comer in comers))
    return churn, comers, up


def test_residents_come_and_go_and_the_same_seed_says_when() -> None:
    churn, _, up = course(1, 100)
    assert mean(up) == pytest.approx(20 * 0.4, rel=0.1)
    assert churn.goings > churn.comings > 1_000
    assert course(1, 3)[2] == up[:12]
    assert course(2, 3)[2] != up[:12]


def test_who_goes_for_good_does_not_come_back() -> None:
    churn, _, up = course(1, 10, for_good=1.0)
    assert churn.comings == 0
    assert up[-1] == 0


def test_others_come_in_the_place_of_those_who_went_for_good() -> None:
    newcomers: list[Comer] = []

    def newcomer() -> Comer:
        newcomers.append(Comer())
        newcomers[-1].is_up = False
        return newcomers[-1]

    churn, comers, up = course(1, 50, for_good=0.5, newcomer=newcomer)
    assert len(newcomers) > 20
    assert churn.comings > len(newcomers) / 2
    assert not any(comer.is_up for comer in comers)
    there = up[-1] + sum(comer.is_up for comer in newcomers)
    assert there == pytest.approx(20 * 0.4, abs=5)


@pytest.mark.parametrize(("killed", "least", "most"), [(0.0, 0.0, 0.0), (0.5, 0.4, 0.6), (1.0, 1.0, 1.0)])
def test_sessions_end_cleanly_or_not(killed: float, least: float, most: float) -> None:
    churn, comers, _ = course(1, 50, killed=killed)
    went = [how for comer in comers for how in comer.went]
    assert len(went) == churn.goings
    assert least <= went.count("killed") / len(went) <= most


def test_nobody_comes_or_goes_after_its_end() -> None:
    world, comers = World(), [Comer() for _ in range(20)]
    churn = Churn(world, comers, IPFS22)
    churn.start()
    world.run(HOUR_S)
    churn.stop()
    before = churn.comings, churn.goings
    world.run(100 * HOUR_S)
    assert (churn.comings, churn.goings) == before != (0, 0)


@pytest.mark.slow
def test_servers_of_a_town_come_and_go() -> None:
    town = Town(1, servers=6)
    churn = Churn(town.world, town.servers[1:], Sessions(0.8, 0.1, 0.5), killed=0.5)
    churn.start()
    town.world.run(2 * HOUR_S)
    counts = town.world.counts
    assert counts["down: stopped"] + counts["down: killed"] == churn.goings > 10
    assert counts["down: stopped"] * counts["down: killed"] > 0
    churn.stop()
    for server in town.servers:
        server.up()
    town.until(lambda: all(server.engine._dht.joined for server in town.servers))
