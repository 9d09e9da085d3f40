"""`--watch`: a screen that is drawn again, and an end that is no error."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from p2pctl.watching import FORMER_SCREEN, OWN_SCREEN
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
