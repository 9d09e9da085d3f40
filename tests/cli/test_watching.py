"""`--watch`: a screen that is drawn again, and an end that is no error."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from p2pctl import watching
from p2pctl.caller import Caller
from p2pctl.watching import FORMER_SCREEN, OWN_SCREEN, REST_OF_LINE, REST_OF_SCREEN, TOP, Answer, show_or_watch
from p2pd.errors import LockedError
from p2pd.net.calls import EndingError
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.test_main import STATUS
from tests.cli.typist import ROOT, WITHIN_S, Typist

pytestmark = pytest.mark.slow


@pytest.fixture
def counting(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon whose every answer is a second older."""
    uptimes = iter(range(5, 10_000))
    daemon.set("status", lambda _: STATUS | {"uptime_s": next(uptimes)})
    return daemon


@pytest.fixture
def watcher(counting: FakeDaemon) -> Iterator[Typist]:
    someone = Typist("status", "--watch")
    yield someone
    someone.is_sent_away()


def test_it_is_drawn_again_until_ctrl_c(watcher: Typist) -> None:
    watcher.sees(OWN_SCREEN)
    watcher.sees("5s")
    watcher.sees("6s")
    watcher.sees("7s")
    watcher.presses_ctrl_c()
    watcher.sees(FORMER_SCREEN)
    watcher.sees("p2p:me")
    assert watcher.leaves() == 0


def test_a_small_terminal_shows_what_fits_and_that_the_daemon_is_away(counting: FakeDaemon) -> None:
    long = "p2p:" + "y" * 56
    uptimes = iter(range(5, 10_000))
    counting.set("status", lambda _: STATUS | {"address": long, "uptime_s": next(uptimes)})
    someone = Typist("status", "--watch", columns=40, rows=7)
    try:
        first = someone.sees(OWN_SCREEN) and someone.sees(REST_OF_SCREEN)
        lines = first.replace(REST_OF_LINE, "").removeprefix(TOP).splitlines()
        assert len(lines) <= 7
        assert max(map(len, lines[:-1])) <= 40
        counting.close()
        someone.sees("the daemon is away")
        counting.__init__(counting.home)  # type: ignore[misc]  # for the fixture, which closes it
    finally:
        someone.is_sent_away()


def test_a_daemon_that_hangs_is_said_to(counting: FakeDaemon) -> None:
    hangs = threading.Event()
    answers = iter([lambda: STATUS])
    counting.set("status", lambda _: next(answers, lambda: hangs.wait(WITHIN_S))())
    someone = Typist("status", "--watch", "--timeout", "0.2")
    try:
        someone.sees("the daemon does not answer")
    finally:
        hangs.set()
        someone.is_sent_away()


def test_a_daemon_that_is_ending_or_locked_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watching.time, "sleep", lambda _: None)
    outcomes = iter([STATUS, EndingError(), EndingError(), LockedError("it is locked"), STATUS, KeyboardInterrupt()])

    def take() -> Answer:
        outcome = next(outcomes)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    show_or_watch(Caller(as_json=True), take, lambda _: [], watch=True)
    told = capsys.readouterr()
    assert [json.loads(line)["address"] for line in told.out.splitlines()] == ["p2p:me", "p2p:me"]
    assert [line.split(";")[0] for line in told.err.splitlines()] == ["the daemon is away", "the daemon is locked"]


def test_a_dumb_terminal_gets_one_picture_after_another(counting: FakeDaemon) -> None:
    someone = Typist("status", "--watch", environ={"TERM": "dumb"})
    try:
        assert "\x1b" not in someone.sees("5s") + someone.sees("6s")
    finally:
        someone.is_sent_away()


def test_who_is_ended_leaves_the_terminal_as_it_was(watcher: Typist) -> None:
    watcher.sees("5s")
    watcher.process.terminate()
    watcher.sees(FORMER_SCREEN)
    assert watcher.leaves() == 128 + signal.SIGTERM


def test_a_daemon_that_goes_away_is_waited_for(watcher: Typist, counting: FakeDaemon) -> None:
    watcher.sees("5s")
    counting.close()
    watcher.sees("the daemon is away")
    back = FakeDaemon(counting.home)
    try:
        back.set("status", STATUS | {"uptime_s": 99})
        watcher.sees("1m 39s")
    finally:
        back.close()
        counting.__init__(counting.home)  # type: ignore[misc]  # for the fixture, which closes it


def test_with_json_it_is_a_line_a_time(counting: FakeDaemon) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "p2pctl.main", "status", "--watch", "--json"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "cli")))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert [json.loads(process.stdout.readline())["uptime_s"] for _ in range(3)] == [5, 6, 7]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=WITHIN_S)
        assert (process.returncode, err) == (0, "")
    finally:
        process.kill()
        process.wait()
