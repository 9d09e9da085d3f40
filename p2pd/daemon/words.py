"""Times, durations and sizes between the API's texts and the core's numbers.

Rules: times are RFC 3339 in UTC with milliseconds; a duration is seconds, or a number with one of s, m, h, d, w.
"""

import re
from datetime import UTC, datetime, timedelta

from p2pd.errors import UsageError
from p2pd.types import Now

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,9})([smhdw]?)", re.ASCII)
_DURATION_HINT = "write it as 90s, 30m, 12h, 7d or 2w"


def moment(ms: int) -> str | None:
    """The RFC 3339 text of milliseconds since 1970 UTC; None for 0, which means never."""
    if ms <= 0:
        return None
    return (datetime(1970, 1, 1) + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds") + "Z"


def duration_s(text: str, parameter: str) -> int:
    """Whole seconds in `90`, `90s`, `30m`, `12h`, `7d` or `2w`; UsageError for anything else."""
    found = _DURATION.fullmatch(text.strip().lower())
    if not found:
        raise UsageError(f"{parameter} is not a duration: {text[:40]!r}", hint=_DURATION_HINT)
    return int(found[1]) * UNITS_S[found[2] or "s"]


def since_ms(text: str, now: Now) -> int:
    """The moment in `2025-01-31`, in an RFC 3339 time (UTC where it names no zone), or so long before now: `3d`."""
    if _DURATION.fullmatch(text.strip().lower()):
        return max(0, now.wall_ms - duration_s(text, "since") * 1000)
    try:
        at = datetime.fromisoformat(text.strip())
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise UsageError(
            f"since is not a time: {text[:40]!r}", hint="write 2025-01-31, 2025-01-31T12:00:00Z, or 3d for so long ago"
        ) from None
