"""The system's clock and chance."""

import logging
import time

import pytest

from p2pd.net.clock import Sleeps, SystemClock, SystemRandom


def test_both_clocks_go_forward() -> None:
    clock = SystemClock()
    first, second = clock.now(), clock.now()
    assert second.steady >= first.steady
    assert abs(first.wall_ms / 1000 - time.time()) < 60


def test_a_jump_of_the_wall_clock_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SystemClock()
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600_000_000_000)
    with caplog.at_level(logging.WARNING):
        clock.now()
        clock.now()
    assert [record.getMessage() for record in caplog.records] == ["the wall clock jumped by 3600.0 s"]


def test_chance_has_the_size_and_range_asked_for() -> None:
    random = SystemRandom()
    assert len(random.bytes(7)) == 7
    assert random.bytes(16) != random.bytes(16)
    assert all(2.0 <= random.uniform(2.0, 3.0) < 3.0 for _ in range(100))


def test_a_sleep_is_told_once() -> None:
    clocks = [100.0, 250.0]
    sleeps = Sleeps(lambda: (clocks[0], clocks[1]))
    assert sleeps.slept_s() == 0.0
    clocks[:] = [110.0, 260.5]
    assert sleeps.slept_s() == 0.0
    clocks[:] = [111.0, 3_861.5]
    assert sleeps.slept_s() == 3_600.0
    assert sleeps.slept_s() == 0.0
    assert Sleeps().slept_s() == 0.0  # the machine's own clocks
