"""What figures are compared with, measured anew beside each of them: a shared machine is never twice the same."""

import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench import echo
from bench.setting import Bench, timed_ms
from tests.integration.fleet import environment

ROW = bytes(500)


def udp_echo_ms(bench: Bench) -> float:
    """The median round trip of a bare asyncio UDP echo between two processes."""
    return median(echo.round_trips_ms(bench.count(3_000, 500)))


def python_start_ms() -> float:
    """Starting the interpreter and ending it."""
    return timed_ms(lambda: subprocess.run([sys.executable, "-c", ""], env=environment(), check=True))


def commits_ms(count: int, rest_s: float = 0.0) -> list[float]:
    """Committing a row of 500 bytes with a full sync, as every message is, on the disk where the homes lie.

    `rest_s` before each is what a daemon does between the commits of one text: the disk has then to be woken, too.
    """
    with tempfile.TemporaryDirectory(prefix="p2p-", dir="/tmp") as folder:
        database = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE floor (row BLOB)")
        times = []
        for _ in range(count):
            time.sleep(rest_s)
            times.append(timed_ms(lambda: database.execute("INSERT INTO floor VALUES (?)", (ROW,))))
        database.close()
    return times
