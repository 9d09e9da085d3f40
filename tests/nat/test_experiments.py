"""What the experiments count."""

from typing import Any

from tests.nat.experiments import Finding, counted, judged
from tests.nat.people import seconds

WANTED = {f"number {number}" for number in range(4)}
NOON = seconds("2026-01-01T00:00:00.500Z")
NO_TIME = (NOON, NOON)


def row(text: str, second: int, via: str = "direct") -> dict[str, Any]:
    return {"text": text, "received_at": f"2026-01-01T00:00:{second:02}.500Z", "via": via}


def test_all_there() -> None:
    history = [row(text, second) for second, text in enumerate(sorted(WANTED))]
    figures = counted([row("before", 0), *history], WANTED, NO_TIME)
    assert figures == {"lost": 0, "doubled": 0, "gap_s": 1.0, "event_s": 0.0, "via": {"direct": 4}}
    assert judged(Finding("move", "case", figures)).complaints == []


def test_what_is_lost_doubled_or_late() -> None:
    history = [row("number 0", 0), row("number 0", 1), row("number 1", 9, "mailbox")]
    figures = counted(history, WANTED, NO_TIME)
    assert figures == {"lost": 2, "doubled": 1, "gap_s": 8.0, "event_s": 0.0, "via": {"direct": 2, "mailbox": 1}}
    assert judged(Finding("move", "case", figures)).complaints == ["lost", "doubled", "a gap of more than 3 s"]


def test_what_an_event_took_is_told_and_taken_from_no_gap() -> None:
    history = [row("number 0", 0), row("number 1", 9)]
    figures = counted(history, WANTED, (NOON + 1.0, NOON + 8.0))
    assert (figures["gap_s"], figures["event_s"]) == (9.0, 7.0)
