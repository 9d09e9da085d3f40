"""Times and durations between people and numbers."""

import pytest

from p2pd.daemon.words import duration_s, moment, since_ms
from p2pd.errors import UsageError
from p2pd.types import Now

NOW = Now(0.0, 1_700_000_000_123)


@pytest.mark.parametrize(
    ("ms", "text"),
    [(1_700_000_000_123, "2023-11-14T22:13:20.123Z"), (1_000, "1970-01-01T00:00:01.000Z"), (0, None)],
)
def test_a_moment_is_rfc_3339_with_milliseconds(ms: int, text: str | None) -> None:
    assert moment(ms) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("30m", 1_800), ("12h", 43_200), ("7d", 604_800), (" 2W ", 1_209_600)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert duration_s(text, "expire") == seconds


@pytest.mark.parametrize("text", ["", "d", "-1d", "1y", "1.5h", "٣d", "1234567890d"])
def test_what_is_no_duration_names_the_parameter(text: str) -> None:
    with pytest.raises(UsageError, match="expire"):
        duration_s(text, "expire")


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2023-11-14", 1_699_920_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000),
        ("1h", NOW.wall_ms - 3_600_000),
        ("999999999w", 0),
    ],
)
def test_since_takes_a_day_a_time_or_so_long_ago(text: str, ms: int) -> None:
    assert since_ms(text, NOW) == ms


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(UsageError, match="yesterday"):
        since_ms("yesterday", NOW)
