"""A process that a test leaves behind is found, also when its parent has gone."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import MARK, left_behind

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux shows what runs")

WITHIN_S = 10.0
WAITING = "import sys; print(flush=True); sys.stdin.read()"


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    """A Python that has started, and waits for the end of its input."""
    command = [sys.executable, "-c", WAITING]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_child_is_found_until_it_ends() -> None:
    with start({}) as child:
        assert child.pid in {process.pid for process in left_behind("no such mark")}
        child.communicate("")
    assert child.pid not in {process.pid for process in left_behind("no such mark")}


def waiting(mark: str) -> list[str]:
    """The commands with this mark that wait; this process's own children are among those left behind."""
    return [process.command for process in left_behind(mark) if process.command.endswith(WAITING)]


def test_orphan_is_found_by_its_mark() -> None:
    detach = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WAITING!r}])"
    mark = f"orphan of {os.getpid()}"
    read_end, write_end = os.pipe()
    try:
        subprocess.run(
            [sys.executable, "-c", detach], stdin=read_end, stdout=subprocess.DEVNULL, env={MARK: mark}, check=True
        )
        # its parent may end while the kernel still lays out the words and the environment of the new program
        deadline = time.monotonic() + WITHIN_S
        while not (found := waiting(mark)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(found) == 1
    finally:
        os.close(read_end)
        os.close(write_end)
