import pytest

from p2pd.types import Endpoint, Now


@pytest.mark.parametrize(
    ("wall_ms", "wall_s", "day"), [(0, 0, 0), (86_399_999, 86_399, 0), (86_400_000, 86_400, 1), (-1, -1, -1)]
)
def test_seconds_and_days_follow_from_the_wall(wall_ms: int, wall_s: int, day: int) -> None:
    now = Now(5.0, wall_ms)
    assert (now.wall_s, now.day) == (wall_s, day)


def test_endpoints_as_text() -> None:
    assert str(Endpoint("192.0.2.7", 1)) == "192.0.2.7:1"
    assert str(Endpoint("2001:db8::1", 65_535)) == "[2001:db8::1]:65535"


def test_endpoints_have_an_order_and_can_be_keys() -> None:
    assert sorted({Endpoint("b", 1), Endpoint("a", 2), Endpoint("a", 1), Endpoint("a", 1)}) == [
        Endpoint("a", 1),
        Endpoint("a", 2),
        Endpoint("b", 1),
    ]
