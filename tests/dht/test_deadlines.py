"""The next time of thousands of things, told by looking at few of them, is the one that a look at all would tell."""

from hypothesis import given
from hypothesis import strategies as st

from p2pd.dht.deadlines import Deadlines
from p2pd.types import Now

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 5), st.none() | st.integers(0, 50)),
        st.tuples(st.just("away"), st.integers(0, 5), st.integers(0, 50)),
        st.tuples(st.just("time"), st.integers(0, 60)),
        st.tuples(st.just("look")),
    ),
    max_size=60,
)


@given(STEPS)
def test_it_tells_what_a_look_at_all_would_tell(steps: list[tuple[object, ...]]) -> None:
    times: dict[int, float] = {}
    deadlines: Deadlines[int] = Deadlines(times.get)
    for kind, *arguments in steps:
        match kind, arguments:
            case "set", [int(key), None]:
                times.pop(key, None)  # none, or later: told to nobody
            case "set", [int(key), int(when)]:
                times[key] = when
                deadlines.touch(key)
            case "away", [int(key), int(by)] if key in times:
                times[key] += by
            case "time", [int(now)]:
                due = deadlines.due(Now(now, 0))
                assert sorted(due) == sorted(key for key, when in times.items() if when <= now)
                assert [times[key] for key in due] == sorted(times[key] for key in due)
                for key in due:
                    times[key] = now + 1 + key
            case _:
                assert deadlines.next() == min(times.values(), default=None)
    assert deadlines.next() == min(times.values(), default=None)


def test_what_is_due_and_stays_so_is_due_again() -> None:
    deadlines: Deadlines[str] = Deadlines({"it": 5.0}.get)
    deadlines.touch("it")
    assert deadlines.due(Now(4, 0)) == []
    assert deadlines.due(Now(5, 0)) == deadlines.due(Now(5, 0)) == ["it"]


def test_of_thousands_few_are_looked_at() -> None:
    looks: list[int] = []

    def due_of(key: int) -> float:
        looks.append(key)
        return 100.0 + key

    deadlines: Deadlines[int] = Deadlines(due_of)
    for key in range(5_000):
        deadlines.touch(key)
    assert deadlines.next() == 100
    looks.clear()
    for key in range(1_000):
        deadlines.touch(key)
        assert deadlines.next() == 100
    assert len(looks) < 3_000
    assert len(deadlines._heap) == 5_000


def test_times_that_move_back_and_forth_leave_no_heap_of_old_ones() -> None:
    times = {0: 1.0}
    deadlines: Deadlines[int] = Deadlines(times.get)
    for turn in range(10_000):
        times[0] = turn + (9_999.0 if turn % 2 else 1.0)
        deadlines.touch(0)
        deadlines.next()
    assert len(deadlines._heap) <= 2


def test_who_is_due_at_once_over_and_over_heaps_up_nothing_for_later() -> None:
    times = {0: 21_600.0, 1: 20_000.0}
    deadlines: Deadlines[int] = Deadlines(times.get)
    deadlines.touch(1)
    for turn in range(5_000):
        times[0] = float(turn)  # an acknowledgement, at once
        deadlines.touch(0)
        assert deadlines.due(Now(turn, 0)) == [0]
        times[0] = 21_600.0 + turn  # then what waits for hours, behind another's time
        assert deadlines.next() == times[1]
    assert len(deadlines._heap) <= 2 * 2 + 65
    assert deadlines.due(Now(60_000, 0)) == [1, 0]
