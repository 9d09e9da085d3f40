"""The system's clock and chance."""

import logging
import time

import pytest

from p2pd.net.clock import SystemClock, SystemRandom


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
