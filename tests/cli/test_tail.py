"""`logs`: the end of a log, and what follows while it is put aside, emptied, gone, and while the daemon hangs."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from p2pctl import life, tail
from p2pctl.tail import Tail
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon

Steps = list[Callable[[], object]]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """What happens to the file while nothing is read of it, one a look; after the last the test has waited in vain."""
    waiting: Steps = []

    def sleep(_seconds: float) -> None:
        assert waiting, "nothing came of the last step"
        waiting.pop(0)()

    monkeypatch.setattr(tail.time, "sleep", sleep)
    return waiting


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "p2pd.log"
    file.write_text("one\ntwo\nthree\n")
    return file


def taken(lines: Iterator[str], count: int) -> list[str]:
    return [next(lines) for _ in range(count)]


def more(file: Path, text: str) -> None:
    with file.open("a") as stream:
        stream.write(text)


def put_aside(file: Path) -> None:
    file.replace(f"{file}.1")


def test_lines_come_whole(log: Path, steps: Steps) -> None:
    followed = Tail(log)
    assert followed.last(2) == ["two", "three"]
    steps += [lambda: more(log, "fo"), lambda: more(log, "ur\nfive\n")]
    assert taken(followed.growing(), 2) == ["four", "five"]
    followed.close()


def test_a_log_that_is_put_aside_is_read_to_its_end_and_then_the_new_one(log: Path, steps: Steps) -> None:
    followed = Tail(log)
    followed.last(1)

    def change() -> None:
        more(log, "last words\n")
        put_aside(log)
        log.write_text("first\n")

    steps += [change, lambda: more(log, "second, and longer than all that stood in the one before\n")]
    steps += [lambda: put_aside(log), lambda: log.write_text("third\n")]
    assert taken(followed.growing(), 4) == [
        "last words",
        "first",
        "second, and longer than all that stood in the one before",
        "third",
    ]
    assert steps == []
    followed.close()


def test_a_log_that_is_emptied_or_deleted_is_gone_on_with(log: Path, steps: Steps) -> None:
    followed = Tail(log)
    followed.last(0)
    steps += [lambda: log.write_text("anew\n"), log.unlink, lambda: log.write_text("back\n")]
    assert taken(followed.growing(), 2) == ["anew", "back"]
    followed.close()


def test_right_after_a_change_of_files_the_lines_before_it_are_shown_too(log: Path, p2pctl: Run) -> None:
    put_aside(log)
    log.write_text("four\nfi")
    assert p2pctl("logs", "-n", "3").out.splitlines() == ["two", "three", "four", "fi"]
    assert p2pctl("logs", "-n", "0").out == ""


def test_no_more_than_the_end_is_read(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "TAIL_BYTES", 8)
    followed = Tail(log)
    assert followed.last(50) == ["three"]
    followed.close()


def test_a_line_without_an_end_is_shown_in_pieces(log: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "TAIL_BYTES", 8)
    followed = Tail(log)
    followed.last(0)
    steps += [lambda: more(log, "1234567"), lambda: more(log, "8"), lambda: more(log, "9\n")]
    assert taken(followed.growing(), 2) == ["12345678", "9"]
    followed.close()


def test_a_log_is_followed_for_so_long(log: Path, p2pctl: Run) -> None:
    done = p2pctl("logs", "--follow", "-n", "1", "--timeout", "0.2")
    assert (done.code, done.out) == (6, "three\n")


def test_the_log_of_a_daemon_that_hangs_is_shown(
    log: Path, p2pctl: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "LOG_ASKS_S", 0.05)
    hangs = threading.Event()
    daemon.set("status", lambda _: hangs.wait(20))
    assert p2pctl("logs", "-n", "1").out == "three\n"
    hangs.set()
