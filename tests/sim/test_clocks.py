"""Hosts that sleep, stand still or jump: what their clocks say, and what they hear."""

import pytest

from p2pd import limits
from p2pd.effects import SendDatagram, SendFrame
from p2pd.sim.crashes import DownError
from p2pd.types import Endpoint
from tests.sim.machines import DATAGRAM, A, B, Stagehand

TO_B = SendDatagram(Endpoint(B, 4242), DATAGRAM)
HOUR = 3_600


def test_a_suspended_hosts_steady_clock_stands_still_and_its_wall_clock_goes_on() -> None:
    stage = Stagehand()
    world = stage.world
    world.run(100)
    world.sleep(B)
    world.run(HOUR)
    assert world.now_at(B).steady == pytest.approx(100)
    world.wake(B)
    world.run(10)
    assert world.now_at(B).steady == pytest.approx(110)
    assert world.now_at(A).steady == pytest.approx(HOUR + 110)
    assert world.now_at(B).wall_ms == world.now_at(A).wall_ms == world.now.wall_ms


def test_timers_go_by_the_hosts_own_steady_clock() -> None:
    stage = Stagehand()
    for host in (A, B):
        stage.world.call(host, lambda _now, host=host: setattr(stage[host], "rings_at", 50.0))  # type: ignore[misc]
    stage.world.run(20)
    stage.world.sleep(B)
    stage.world.run(HOUR)
    assert stage[A].times("on_timer") == [pytest.approx(50)]
    assert not stage[B].told
    stage.world.wake(B)
    stage.world.run(29)
    assert not stage[B].told
    stage.world.run(2)
    assert stage[B].times("on_timer") == [pytest.approx(50)]


def test_nothing_comes_to_a_suspended_host() -> None:
    stage = Stagehand()
    stage.world.sleep(B)
    stage.want(A, TO_B)
    stage.world.run(5)
    stage.world.wake(B)
    stage.world.run(5)
    assert not stage[B].told
    stage.world.sleep(A)
    with pytest.raises(DownError):
        stage.want(A, TO_B)


@pytest.mark.parametrize(("asleep_s", "survives"), [(5, True), (HOUR, False)])
def test_a_link_outlives_a_short_sleep_only(asleep_s: float, survives: bool) -> None:
    stage = Stagehand()
    ours, theirs = stage.link()
    stage.world.sleep(B)
    stage.want(A, SendFrame(ours, b"are you there?"))
    stage.world.run(asleep_s)
    stage.world.wake(B)
    stage.want(B, SendFrame(theirs, b"here I am"))
    stage.world.run(limits.UNANSWERED_S + limits.KEEPALIVE_S + 1)
    assert bool(stage[B].heard("on_frame")) == survives
    assert bool(stage[A].heard("on_frame")) == survives
    # the sleeper finds out by itself, by its own clock, that nobody knows the link any more
    assert [bool(stage[host].heard("on_link_closed")) for host in (A, B)] == [not survives] * 2
    if not survives:
        woke_s = 1 + limits.UNANSWERED_S
        assert stage[B].times("on_link_closed")[0] == pytest.approx(woke_s, abs=0.1)


def test_who_sleeps_does_not_count_the_time_it_waits_for_an_answer() -> None:
    stage = Stagehand()
    ours, _ = stage.link()
    stage.world.cut([B])
    stage.want(A, SendFrame(ours, b"nobody answers"))
    stage.world.sleep(A)
    stage.world.run(HOUR)
    stage.world.wake(A)
    stage.world.run(limits.UNANSWERED_S - 0.1)
    assert not stage[A].heard("on_link_closed")
    stage.world.run(0.2)
    assert stage[A].heard("on_link_closed") == [(ours, "no answer")]


def test_datagrams_wait_for_a_process_that_is_not_run_and_its_clocks_go_on() -> None:
    stage = Stagehand()
    stage.world.call(B, lambda _now: setattr(stage[B], "rings_at", 3.0))
    stage.world.stall(B, 10)
    stage.want(A, TO_B, TO_B)
    stage.world.run(9)
    assert not stage[B].told
    stage.world.run(2)
    assert [(name, pytest.approx(when)) for when, name, _ in stage[B].told] == [
        ("on_datagram", 10),
        ("on_timer", 10),
        ("on_datagram", 10),
    ]


def test_the_socket_holds_no_more_than_its_buffer() -> None:
    stage = Stagehand()
    stage.world.stall(B, 10)
    room = limits.SOCKET_BUFFER_BYTES // len(DATAGRAM)
    for _ in range(-(-room // 1_000) + 1):
        stage.want(A, *[TO_B] * 1_000)
    stage.world.run(11)
    assert len(stage[B].heard("on_datagram")) == room


def test_a_link_outlives_a_short_stall() -> None:
    stage = Stagehand()
    ours, _ = stage.link()
    stage.world.stall(B, limits.UNANSWERED_S / 2)
    stage.want(A, SendFrame(ours, b"wait"))
    stage.world.run(limits.UNANSWERED_S * 2)
    assert stage[B].heard("on_frame")
    assert not stage[A].heard("on_link_closed")


def test_a_silent_process_hears_nothing_until_it_is_run_again() -> None:
    stage = Stagehand()
    stage.world.silence(B)
    stage.want(A, TO_B)
    stage.world.run(5)
    stage.world.silence(B, False)
    stage.world.run(5)
    assert not stage[B].told
    stage.want(A, TO_B)
    stage.world.run(5)
    assert stage[B].heard("on_datagram")


def test_a_wall_clock_jumps_alone() -> None:
    stage = Stagehand()
    stage.world.jump_wall(B, -HOUR)
    stage.want(A, TO_B)
    stage.world.run(5)
    assert stage.world.now_at(B).wall_ms == stage.world.now_at(A).wall_ms - HOUR * 1000
    assert stage.world.now_at(B).steady == stage.world.now_at(A).steady
    stage.world.pass_days(2)
    assert stage.world.now_at(A).wall_ms == stage.world.now.wall_ms
    assert stage.world.now_at(B).wall_ms == stage.world.now.wall_ms - HOUR * 1000
    assert stage.world.add("10.7.7.7")
    assert stage.world.now_at("10.7.7.7") == stage.world.now


def test_a_steady_clock_leaps_forward_alone_and_rings_what_is_due() -> None:
    stage = Stagehand()
    stage.world.call(B, lambda _now: setattr(stage[B], "rings_at", HOUR / 2.0))
    stage.world.run(5)
    stage.world.jump_steady(B, HOUR)
    stage.world.run(1)
    assert stage[B].times("on_timer") == [pytest.approx(HOUR + 5, abs=0.1)]
    assert stage.world.now_at(B).steady == pytest.approx(stage.world.now_at(A).steady + HOUR)
    assert stage.world.now_at(B).wall_ms == stage.world.now_at(A).wall_ms
    with pytest.raises(ValueError, match="never goes back"):
        stage.world.jump_steady(B, -1)


@pytest.mark.parametrize(("leap_s", "survives"), [(1, True), (HOUR, False)])
def test_a_link_outlives_a_short_leap_only(leap_s: float, survives: bool) -> None:
    stage = Stagehand()
    stage.link()
    stage.world.jump_steady(B, leap_s)
    stage.world.run(60)
    for host in (A, B):
        assert bool(stage[host].heard("on_link_closed")) is not survives


def test_calm_ends_every_fault_at_a_host() -> None:
    stage = Stagehand()
    stage.world.sleep(B)
    stage.world.silence(B)
    stage.world.full_disk(B)
    stage.world.break_turn(B, 9)
    stage.world.calm(B)
    stage.keep(B, "name")
    assert stage.kept(B, "name") == b"kept"
