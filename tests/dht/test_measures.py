"""Times of work: what is told of them, and that they do not grow for ever."""

from p2pd import limits
from p2pd.dht.measures import Timings


def test_nothing_measured_is_none() -> None:
    assert Timings().facts() == {"count": 0, "failed": 0, "p50_ms": None, "p99_ms": None, "rounds": None}


def test_failures_are_counted_and_their_times_are_not() -> None:
    timings = Timings()
    for elapsed_ms in range(100):
        timings.add(float(elapsed_ms), 2)
    timings.add(99_999.0, 9, went_well=False)
    assert timings.facts() == {"count": 101, "failed": 1, "p50_ms": 50.0, "p99_ms": 99.0, "rounds": 2.0}


def test_only_the_last_ones_are_kept() -> None:
    timings = Timings()
    timings.add(1e9, 1)
    for _ in range(limits.TIMINGS_KEPT):
        timings.add(1.0, 1)
    assert timings.facts()["count"] == limits.TIMINGS_KEPT + 1
    assert timings.facts()["p99_ms"] == 1.0
