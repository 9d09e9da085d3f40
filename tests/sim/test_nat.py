"""Routers do what their kinds say, in the words of RFC 4787."""

from random import Random

import pytest

from p2pd.sim.nat import KINDS, Carried, Dependence, Kind, Router
from p2pd.types import Endpoint

INNER = Endpoint("192.168.1.2", 4_242)
SECOND = Endpoint("192.168.1.3", 4_242)
ONE, SAME_HOST, OTHER = Endpoint("10.0.0.1", 4_242), Endpoint("10.0.0.1", 5_000), Endpoint("10.0.0.2", 4_242)
OUTSIDE = "10.9.0.1"


class Clocked:
    """A router and the time."""

    def __init__(self, kind: Kind) -> None:
        self.time_s = 0.0
        self.router = Router(kind, OUTSIDE, lambda: self.time_s, Random(1))

    def out(self, to: Endpoint, source: Endpoint = INNER) -> Endpoint:
        outer = self.router.out(source, to, Carried.DATAGRAM)
        assert outer is not None
        return outer

    def lets_in(self, to: Endpoint, source: Endpoint) -> bool:
        inner = self.router.into(to, source, Carried.DATAGRAM)
        assert inner in (None, INNER)
        return inner is not None


@pytest.mark.parametrize(
    ("mapping", "same"),
    [
        (Dependence.INDEPENDENT, (True, True)),
        (Dependence.ADDRESS, (True, False)),
        (Dependence.ADDRESS_AND_PORT, (False, False)),
    ],
)
def test_mapping(mapping: Dependence, same: tuple[bool, bool]) -> None:
    clocked = Clocked(Kind(mapping=mapping, keeps_port=False))
    first = clocked.out(ONE)
    assert first.host == OUTSIDE
    assert (clocked.out(SAME_HOST) == first, clocked.out(OTHER) == first) == same
    assert clocked.out(ONE) == first


@pytest.mark.parametrize(
    ("filtering", "in_from"),
    [
        (Dependence.INDEPENDENT, (True, True, True)),
        (Dependence.ADDRESS, (True, True, False)),
        (Dependence.ADDRESS_AND_PORT, (True, False, False)),
    ],
)
def test_filtering(filtering: Dependence, in_from: tuple[bool, ...]) -> None:
    clocked = Clocked(Kind(filtering=filtering))
    assert not clocked.lets_in(Endpoint(OUTSIDE, 4_242), ONE)
    outer = clocked.out(ONE)
    assert tuple(clocked.lets_in(outer, source) for source in (ONE, SAME_HOST, OTHER)) == in_from
    assert not clocked.lets_in(Endpoint(OUTSIDE, outer.port + 1), ONE)
    assert clocked.router.stopped == 2 + in_from.count(False)


def test_a_port_is_kept_where_it_is_free() -> None:
    clocked = Clocked(Kind())
    assert clocked.out(ONE) == Endpoint(OUTSIDE, INNER.port)
    second = clocked.out(ONE, SECOND)
    assert second.host == OUTSIDE
    assert second.port != INNER.port
    assert clocked.router.into(second, ONE, Carried.DATAGRAM) == SECOND


def test_what_goes_out_keeps_a_mapping_and_what_comes_in_does_not() -> None:
    clocked = Clocked(Kind(life_s=60, keeps_port=False))
    outer = clocked.out(ONE)
    for clocked.time_s in (50.0, 100.0):
        assert clocked.out(ONE) == outer
        assert clocked.lets_in(outer, ONE)
    clocked.time_s = 155.0
    assert clocked.lets_in(outer, ONE)
    clocked.time_s = 161.0
    assert not clocked.lets_in(outer, ONE)
    assert clocked.out(ONE) != outer


def test_each_who_may_answer_is_forgotten_in_its_own_time() -> None:
    clocked = Clocked(Kind(life_s=60))
    outer = clocked.out(ONE)
    clocked.time_s = 50.0
    assert clocked.out(OTHER) == outer
    clocked.time_s = 100.0
    assert not clocked.lets_in(outer, ONE)
    assert clocked.lets_in(outer, OTHER)


def test_a_router_that_starts_again_knows_nobody() -> None:
    clocked = Clocked(Kind(keeps_port=False))
    outer = clocked.out(ONE)
    clocked.router.restart()
    assert not clocked.lets_in(outer, ONE)
    assert clocked.out(ONE) != outer


def test_a_firewall_translates_nothing_and_lets_answers_in() -> None:
    clocked = Clocked(KINDS["firewalled"][0])
    assert clocked.out(ONE) == INNER
    assert clocked.lets_in(INNER, ONE)
    assert not clocked.lets_in(INNER, SAME_HOST)


@pytest.mark.parametrize(("kind", "stopped"), [("quic-blocked", [Carried.QUIC]), ("udp-blocked", list(Carried))])
def test_what_is_blocked_passes_neither_way(kind: str, stopped: list[Carried]) -> None:
    for carried in Carried:
        router = Router(KINDS[kind][0], OUTSIDE, lambda: 0.0, Random(1))
        router.out(INNER, ONE, Carried.DATAGRAM)
        outer = router.out(INNER, ONE, carried)
        assert (outer is None) == (carried in stopped)
        assert (router.into(INNER, ONE, carried) is None) == (carried in stopped)
