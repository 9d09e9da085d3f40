"""A daemon as a process of its own, on loopback, for tests."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
"""A busy machine may take long; a daemon that does not start ends by itself, and then the wait ends too."""


def command(home: Path, *flags: str) -> list[str]:
    """The words that start a daemon of a private network, on loopback."""
    words = [sys.executable, "-m", "p2pd.daemon.main", "--home", str(home), "--private", "--no-lan"]
    return [*words, "--no-port-mapping", "--listen", "127.0.0.1:0", *flags]


def environment() -> dict[str, str]:
    """This process's, with the checkout to be imported from."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "cli")])}


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    """What a daemon that should end says and ends with."""
    return subprocess.run(
        words, env=environment(), capture_output=True, text=True, timeout=START_S, check=False, stdin=subprocess.DEVNULL
    )


class Daemon:
    """One that is ready."""

    def __init__(self, home: Path, *flags: str) -> None:
        self.home = home
        self.process = subprocess.Popen(
            command(home, *flags), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        select.select([self.process.stdout], [], [], START_S)
        self.ready = self.process.stdout.readline()
        if not self.ready:
            raise AssertionError(f"it did not start: {self.process.communicate()[1]}")
        _, self.address, _, self.endpoint, _, self.control = self.ready.split()

    def end(self, by: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code and its log, after a signal."""
        self.process.send_signal(by)
        _, log = self.process.communicate(timeout=START_S)
        return self.process.returncode, log


@contextmanager
def daemon(home: Path, *flags: str) -> Iterator[Daemon]:
    """One that is killed at the latest when the block ends."""
    running = Daemon(home, *flags)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.communicate()
