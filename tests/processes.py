"""Finding the processes that a test run has started and not ended.

A process is known by its parent, or by a mark in the environment that it was started with,
which a daemon keeps when it detaches from its parent.  Only Linux tells; elsewhere nothing is found.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "P2PD_TEST_RUN"


@dataclass(frozen=True, slots=True)
class Process:
    """One live process."""

    pid: int
    command: str


def left_behind(mark: str) -> list[Process]:
    """Live processes other than this one that are its children or carry `mark` as their MARK, by pid."""
    entry = f"{MARK}={mark}".encode()
    return sorted(
        (
            Process(pid, command)
            for pid, parent, environment, command in _processes()
            if pid != os.getpid() and (parent == os.getpid() or entry in environment)
            # Python's own, which ends with the process that it serves.
            if "multiprocessing.resource_tracker" not in command
        ),
        key=lambda process: process.pid,
    )


def _processes() -> Iterator[tuple[int, int, list[bytes], str]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except (OSError, ValueError):
            continue  # it ended while we looked, or is another user's
        if state != "Z":
            yield int(folder.name), int(parent), environment, command
