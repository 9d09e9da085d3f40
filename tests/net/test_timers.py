"""Timers: nothing due is missed, and what moves does not pile up."""

from hypothesis import given
from hypothesis import strategies as st

from p2pd.net.timers import Timers


@given(st.dictionaries(st.integers(0, 20), st.floats(0, 100), max_size=20), st.floats(0, 100))
def test_all_that_is_due_comes_once_in_order(wanted: dict[int, float], now: float) -> None:
    timers: Timers[int] = Timers()
    for key, when in wanted.items():
        timers.set(key, when)
    due = timers.due(now)
    assert sorted(due) == sorted(key for key, when in wanted.items() if when <= now)
    assert [wanted[key] for key in due] == sorted(wanted[key] for key in due)
    assert timers.due(now) == []
    assert timers.next() == min((when for when in wanted.values() if when > now), default=None)


def test_the_earliest_time_set_counts() -> None:
    timers: Timers[str] = Timers()
    for when in (5.0, 9.0, 3.0, 7.0):
        timers.set("a", when)
    assert timers.next() == 3.0
    assert timers.due(4.0) == ["a"]
    assert timers.next() is None


def test_what_is_forgotten_is_not_due() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 1.0)
    timers.forget("a")
    timers.forget("never set")
    assert timers.next() is None
    assert timers.due(2.0) == []


def test_deadlines_set_and_taken_back_do_not_pile_up() -> None:
    timers: Timers[int] = Timers()
    for number in range(10_000):
        timers.set(number % 3, 1e6 - number)
        timers.forget(number % 3)
    assert len(timers._heap) < 100
