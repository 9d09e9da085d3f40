"""What figures are compared with, measured anew beside each of them: a shared machine is never twice the same."""

import subprocess
import sys
import time
from statistics import median

from bench import echo
from bench.disk import disk
from bench.setting import Bench, timed_ms
from tests.integration.fleet import environment


def udp_echo_ms(bench: Bench) -> float:
    """The median round trip of a bare asyncio UDP echo between two processes."""
    return median(echo.round_trips_ms(bench.count(3_000, 500)))


def python_start_ms() -> float:
    """Starting the interpreter and ending it."""
    return timed_ms(lambda: subprocess.run([sys.executable, "-c", ""], env=environment(), check=True))


def commits_ms(count: int, rest_s: float = 0.0) -> list[float]:
    """Committing a row.

    `rest_s` before each is what a daemon does between the commits of one text: the disk has then to be woken, too.
    """
    times = []
    with disk() as one:
        for _ in range(count):
            time.sleep(rest_s)
            times.append(timed_ms(one.commit))
    return times
