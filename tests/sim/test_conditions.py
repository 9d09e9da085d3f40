"""What befalls datagrams between hosts, at any time, for all or for some."""

import pytest

from p2pd import limits
from p2pd.effects import SendDatagram
from p2pd.sim.conditions import Conditions
from p2pd.types import Endpoint
from tests.sim.machines import DATAGRAM, A, B, C, Stagehand

TO_B = SendDatagram(Endpoint(B, 4242), DATAGRAM)
CALM = Conditions(latency_s=(0.01, 0.02))


def sent(stage: Stagehand, count: int = 1, host: str = A, to: str = B) -> list[bytes]:
    """Send so many, numbered; those that came, in their order."""
    before = len(stage[to].heard("on_datagram"))
    for number in range(count):
        stage.want(host, SendDatagram(Endpoint(to, 4242), DATAGRAM + bytes([number])))
        stage.world.run(0.001)
    stage.world.run(2)
    return [bytes(data) for data, _ in stage[to].heard("on_datagram")[before:]]  # type: ignore[call-overload]


def test_a_datagram_arrives_once_as_it_was_sent_within_the_latency() -> None:
    stage = Stagehand(conditions=Conditions(latency_s=(0.1, 0.2)))
    times = []
    for _ in range(50):
        at = stage.world.time_s
        stage.want(A, TO_B)
        stage.world.run(1)
        times.append(stage[B].times("on_datagram")[-1] - at)
    assert stage[B].heard("on_datagram") == [(DATAGRAM, Endpoint(A, 4242))] * 50
    assert 0.1 <= min(times) < 0.12
    assert 0.18 < max(times) <= 0.2


@pytest.mark.parametrize(("loss", "least", "most"), [(0.0, 200, 200), (0.3, 115, 165), (1.0, 0, 0)])
def test_loss(loss: float, least: int, most: int) -> None:
    stage = Stagehand(conditions=Conditions(loss=loss))
    assert least <= len(sent(stage, 200)) <= most
    assert stage.world.counts["datagram lost"] == 200 - len(stage[B].heard("on_datagram"))


def test_duplication() -> None:
    stage = Stagehand(conditions=Conditions(duplication=1.0))
    assert sorted(sent(stage, 20)) == sorted(2 * [DATAGRAM + bytes([number]) for number in range(20)])


@pytest.mark.parametrize("reordering", [0.0, 0.5])
def test_reordering(reordering: float) -> None:
    stage = Stagehand(conditions=Conditions(latency_s=(0.01, 0.01), reordering=reordering, reordering_s=0.3))
    came = sent(stage, 50)
    assert (came == sorted(came)) == (reordering == 0)
    assert len(came) == 50


def test_corruption_flips_one_bit() -> None:
    stage = Stagehand(conditions=Conditions(corruption=1.0))
    short = DATAGRAM[:10]
    for _ in range(100):
        stage.want(A, SendDatagram(Endpoint(B, 4242), short))
        stage.world.run(1)
    came = [int.from_bytes(data, "big") for data, _ in stage[B].heard("on_datagram")]  # type: ignore[call-overload]
    assert {(data ^ int.from_bytes(short, "big")).bit_count() for data in came} == {1}
    # a first byte that became QUIC's is no datagram of the DHT's
    assert 80 < len(came) < 100


@pytest.mark.parametrize(("mtu", "arrives"), [(100, False), (101, True)])
def test_mtu(mtu: int, arrives: bool) -> None:
    stage = Stagehand(conditions=Conditions(mtu_bytes=mtu))
    assert bool(sent(stage)) == arrives


def test_nobody_sends_more_than_a_datagram() -> None:
    stage = Stagehand(conditions=Conditions(mtu_bytes=65_000))
    stage.want(A, SendDatagram(Endpoint(B, 4242), DATAGRAM + bytes(limits.DATAGRAM_BYTES)))
    stage.world.run(1)
    assert not stage[B].heard("on_datagram")


def test_conditions_change_at_any_time_and_the_special_ones_count() -> None:
    stage = Stagehand(A, B, C, conditions=CALM)
    lossy = Conditions(loss=1.0)
    assert sent(stage)
    stage.world.weather.set(lossy, A, B)
    assert (len(sent(stage)), len(sent(stage, 1, B, A)), len(sent(stage, 1, A, C))) == (0, 0, 1)
    stage.world.weather.set_one_way(CALM, B, A)
    assert (len(sent(stage)), len(sent(stage, 1, B, A))) == (0, 1)
    stage.world.weather.clear()
    stage.world.weather.set(lossy, C)
    assert (len(sent(stage)), len(sent(stage, 1, A, C)), len(sent(stage, 1, C, A))) == (1, 0, 0)
    stage.world.weather.set(CALM, C)
    stage.world.weather.set(lossy)
    assert (len(sent(stage)), len(sent(stage, 1, A, C))) == (0, 1)


def test_cuts_both_ways_and_one_way_until_they_heal() -> None:
    stage = Stagehand(A, B, C)
    world = stage.world

    def passing() -> list[bool]:
        return [bool(sent(stage, 1, *pair)) for pair in ((A, B), (B, A), (A, C), (C, B))]

    cut = world.cut([A], [B])
    assert passing() == [False, False, True, True]
    world.heal(cut)
    assert passing() == [True] * 4
    world.cut([B], [A], one_way=True)
    assert passing() == [True, False, True, True]
    world.heal()
    world.cut([A])
    assert passing() == [False, False, False, True]
    world.cut([C], one_way=True)
    assert passing() == [False, False, False, False]
    world.heal()
    assert passing() == [True] * 4


def test_what_is_in_the_air_arrives_all_the_same() -> None:
    stage = Stagehand()
    stage.want(A, TO_B)
    stage.world.cut([A])
    stage.world.run(1)
    assert stage[B].heard("on_datagram")


def test_nobody_at_another_port_or_address_hears() -> None:
    stage = Stagehand()
    stage.want(A, SendDatagram(Endpoint(B, 1), DATAGRAM), SendDatagram(Endpoint("10.9.9.9", 4242), DATAGRAM))
    stage.world.run(1)
    assert not stage[B].told
    assert stage.world.counts["datagram to nobody"] == 2
