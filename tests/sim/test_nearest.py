"""The truly nearest, as the world knows them."""

from random import Random

import pytest

from p2pd.sim.nearest import Ranks

COUNTS = (0, 1, 2, 7, 200)


def places(count: int) -> list[int]:
    """Drawn evenly, and beside them those that differ in the last bit, or in the first."""
    draw = Random(count)
    drawn = [draw.getrandbits(256) for _ in range(count)]
    return [*drawn, *(place ^ 1 for place in drawn[:2]), *(place ^ 1 << 255 for place in drawn[:2])]


@pytest.mark.parametrize("count", COUNTS)
def test_the_nearest_come_first_wherever_one_looks(count: int) -> None:
    ranks, there = Ranks(), places(count)
    for place in there:
        ranks.add(place)
    for target in (0, (1 << 256) - 1, *(Random(7).getrandbits(256) for _ in range(20)), *there[:3]):
        assert list(ranks.nearest(target)) == sorted(there, key=lambda place: place ^ target)


@pytest.mark.parametrize("count", COUNTS)
def test_who_has_gone_is_not_among_them(count: int) -> None:
    ranks, there = Ranks(), places(count)
    for place in there:
        ranks.add(place)
    gone, left = there[::2], there[1::2]
    for place in gone:
        ranks.remove(place)
    assert list(ranks.nearest(5)) == sorted(left, key=lambda place: place ^ 5)
