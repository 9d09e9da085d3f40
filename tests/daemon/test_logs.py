"""The log shows nothing that a terminal obeys, and stays within its bound."""

import logging
import os
import stat
from pathlib import Path

import pytest

from p2pd.daemon.logs import LineFormatter, LogFile, harmless


def entry(text: str, *arguments: object) -> logging.LogRecord:
    """A record of the log."""
    return logging.LogRecord("p2pd.x", logging.INFO, __file__, 1, text, arguments, None)


@pytest.mark.parametrize(
    "hostile", ["\x1b[2J", "\x9b31m", "a\nb", "a\rb", "\x7f", "\u202eabc", "\u2066", "\x00", "\ud800"]
)
def test_what_a_terminal_obeys_is_written_as_an_escape(hostile: str) -> None:
    shown = LineFormatter().format(entry("name: %s", hostile))
    assert shown.isprintable()
    assert shown.endswith(harmless(hostile))


def test_a_line_has_time_level_and_place() -> None:
    record = entry("hello %d", 7)
    record.created, record.msecs = 1_700_000_000.123, 123
    assert LineFormatter().format(record) == "2023-11-14T22:13:20.123Z info p2pd.x: hello 7"


@pytest.mark.parametrize("aside", [True, False])
def test_a_file_that_somebody_took_away_is_begun_anew(tmp_path: Path, aside: bool) -> None:
    file = tmp_path / "log"
    log = LogFile(file)
    log.emit(entry("before"))
    file.rename(tmp_path / "log.old") if aside else file.unlink()
    log.emit(entry("after"))
    log.close()
    assert file.read_text() == "after\n"


@pytest.mark.parametrize("refused", ["replace", "open"])
def test_a_file_that_cannot_be_changed_stops_nothing(
    tmp_path: Path, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log = LogFile(tmp_path / "log", size_bytes=10)
    log.emit(entry("a long first entry"))

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "replace", refuse) if refused == "replace" else full.setattr(log, "_open", refuse)
        log.emit(entry("what the disk refuses"))
    log.emit(entry("room again"))
    log.close()
    assert (tmp_path / "log").read_text() == "room again\n"


def test_a_long_file_is_put_aside(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", size_bytes=100)
    for number in range(30):
        log.emit(entry("entry %d", number))
    log.close()
    kept = (tmp_path / "log").read_text()
    assert kept.endswith("entry 29\n")
    assert len(kept) + len((tmp_path / "log.1").read_text()) < 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
    assert stat.S_ISREG((tmp_path / "log").stat().st_mode)
