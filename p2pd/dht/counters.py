"""What happened, counted: bytes by cause, rejections by reason.

Rules: every byte of a datagram counts under one cause, and so does every byte of a payload over QUIC; what is counted
as sent was meant to be: whether it left knows the network, which counts it by the same causes; causes and reasons are
names of ours, never a stranger's bytes, so the number of counters is bounded.
"""

import logging
from enum import StrEnum

from p2pd.types import Now

_log = logging.getLogger(__name__)
_LOG_GAP_S = 60.0


class Cause(StrEnum):
    """Why bytes travel: what we asked, and what was answered to it, by why; each byte under one."""

    JOIN = "join"
    """Finding the first nodes, and being found: hellos, challenges, being reached."""
    LOOKUP = "lookup"
    """Of our own place and of others, so that the table is as it should be."""
    CHECK = "check"
    """Whether nodes of the table are still there."""
    GET = "get"
    PUT = "put"
    LISTEN = "listen"
    """Pushes too, either way."""
    SWEEP = "sweep"
    """Gets and puts for which nobody waits."""
    REFRESH = "refresh"
    ANSWER = "answer"
    """What others asked, and what we said to it."""
    REJECTED = "rejected"
    """What came and was not right; the reasons are counted beside it."""


LEISURELY = (Cause.SWEEP, Cause.REFRESH)
"""Nobody waits for these: they leave room for all else."""


class Counters:
    """All counters of one node; they only grow."""

    def __init__(self) -> None:
        self.sent_bytes = dict.fromkeys(Cause, 0)
        self.received_bytes = dict.fromkeys(Cause, 0)
        self.over_quic_bytes = dict.fromkeys(Cause, 0)
        """What of the received came as payloads over QUIC."""
        self.rejected: dict[str, int] = {}
        self._logged: dict[str, float] = {}

    def sent(self, cause: Cause, size_bytes: int) -> None:
        self.sent_bytes[cause] += size_bytes

    def received(self, cause: Cause, size_bytes: int, *, over_quic: bool = False) -> None:
        self.received_bytes[cause] += size_bytes
        self.over_quic_bytes[cause] += size_bytes if over_quic else 0

    def reject(self, reason: str, now: Now) -> None:
        """Count one rejection; each reason is logged at most once a minute (R37)."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        if now.steady - self._logged.get(reason, -_LOG_GAP_S) >= _LOG_GAP_S:
            self._logged[reason] = now.steady
            _log.info("rejected: %s (%d so far)", reason, self.rejected[reason])
