"""What a figure is measured in: a crowd of storing nodes, real daemons among them, and what they are told.

Knows no figure.
Rules: crowds and daemons are ended with the run, also where a figure fails; every daemon measured is a process of its
own, started as users start it, but for the line (`bench.line`).  It is a client of the DHT unless a figure says
otherwise: so no reader holds a copy, and daemons that are gone leave no hole in the crowd that the next figure uses.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.crowd import WITHIN_S, Crowd
from bench.line import LOOPBACK, Line
from bench.result import Result
from tests.integration.fleet import Daemon, Fleet

CROWD = 100
CROWD_REPLICAS = 8
SMALL_CROWD = 12
SMALL_REPLICAS = 4
PROCESSES = 2
"""Of a crowd of a hundred."""
SETTLE_S = 5.0
"""For a crowd that has just joined: the look-ups that fill its tables are over by then."""
TABLE = 20
"""Nodes that a daemon knows before it is measured."""


class Town:
    """Storing nodes in processes of their own, and daemons that know the way to them."""

    def __init__(self, nodes: int, replicas: int, line: Line, profiles: Path | None = None) -> None:
        self.line = line
        self.fleet = Fleet()
        self.crowds: list[Crowd] = []
        self._nodes = nodes
        self._replicas = replicas
        self._profiles = profiles

    def open(self) -> None:
        """Start the crowd; all have joined when this returns."""
        processes = PROCESSES if self._nodes > SMALL_CROWD else 1
        for _ in range(processes):
            crowd = Crowd(self._nodes // processes, self._replicas, self.line, self.fleet.bootstrap)
            self.crowds.append(crowd)
            first = crowd.first
            self.fleet.bootstrap = self.fleet.bootstrap or first
        time.sleep(SETTLE_S)

    def new(self, name: str, *flags: str, alone: bool = False, role: str = "client") -> Daemon:
        """A home that was never started."""
        daemon = self.fleet.new(name, *flags, alone=alone)
        daemon.home.mkdir(mode=0o700)
        config = daemon.home / "config.toml"
        config.write_text(f'replicas = {self._replicas}\nrole = "{role}"\n')
        config.chmod(0o600)
        if self.line.words:
            daemon.program = [sys.executable, "-m", "bench.line", *self.line.words]
        elif self._profiles is not None:
            profile = self._profiles / f"{daemon.home.name}.prof"
            daemon.program = [sys.executable, "-m", "cProfile", "-o", str(profile), "-m", "p2pd"]
        return daemon

    def people(self, *names: str, flags: tuple[str, ...] = (), role: str = "client") -> list[Daemon]:
        """Daemons, started at once, that have joined."""
        people = [self.new(name, *flags, role=role) for name in names]
        for person in people:
            person.begin()
        for person in people:
            self._settle(person.is_ready())
        return people

    def _settle(self, person: Daemon) -> None:
        deadline = time.monotonic() + WITHIN_S
        while person.call("dht.stats")["nodes"] < min(TABLE, self._nodes - 1):
            assert time.monotonic() < deadline, f"{person.home.name} does not join"
            time.sleep(0.05)

    def lose(self, share: float, *, how: str) -> int:
        """Kill or silence so much of every crowd."""
        return sum(crowd.lose(share, how=how) for crowd in self.crowds)

    def complain(self) -> None:
        """Say how the daemons' logs end: one of them may know why a figure failed."""
        for daemon in self.fleet.daemons:
            state = "is up" if daemon.is_running else "has ended"
            sys.stderr.write(f"{daemon.home.name} {state}; its log ends:\n{daemon.log_tail()}\n")

    def clear(self) -> None:
        """End the daemons; the crowd goes on."""
        for daemon in self.fleet.daemons:
            if self._profiles is not None:
                daemon.stop()  # in good order, so that it writes its profile
            daemon.kill()
        self.fleet.daemons.clear()

    def end(self) -> None:
        """End all of it."""
        self.clear()
        self.fleet.end()
        for crowd in self.crowds:
            crowd.end()


@dataclass(slots=True)
class Bench:
    """One run: how thorough it is, where results go, and the towns that figures share."""

    quick: bool
    show: Callable[[Result], None]
    profiles: Path | None = None
    """Where daemons on loopback leave what cProfile says of them; what is measured then is no figure."""
    _towns: dict[tuple[int, str], Town] = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)

    def count(self, whole: int, quick: int) -> int:
        """How many samples to take."""
        return quick if self.quick else whole

    @contextmanager
    def town(self, nodes: int = CROWD, line: Line = LOOPBACK, *, spoil: bool = False) -> Iterator[Town]:
        """A town, perhaps one that another figure has used; one that is spoiled is used by no other."""
        town = self._towns.pop((nodes, line.name), None)
        if town is None:
            town = Town(nodes, CROWD_REPLICAS if nodes > SMALL_CROWD else SMALL_REPLICAS, line, self.profiles)
            self._open.callback(town.end)
            town.open()
        try:
            yield town
        except Exception:
            town.complain()
            raise
        finally:
            if spoil:
                town.end()
            else:
                town.clear()
                self._towns[nodes, line.name] = town

    def end(self) -> None:
        """End all towns."""
        self._open.close()


def timed_ms(action: Callable[[], object]) -> float:
    """Milliseconds that it took."""
    begun = time.perf_counter()
    action()
    return (time.perf_counter() - begun) * 1000
