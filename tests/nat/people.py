"""Real daemons on the machines of the lab: public nodes, and people who move from one access to another.

Rule: p2pd and p2pctl run as they ship, in the public network's mode; only the node puzzle was solved beforehand.
"""

import itertools
import os
import shutil
import tempfile
import threading
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType

from tests.integration.fleet import WITHIN_S, Daemon, befriend, program
from tests.nat import ipv6
from tests.nat.homes import NUMBERS, make_home
from tests.nat.ipv6 import NODE_ADDRESSES_V6, AccessV6
from tests.nat.kinds import INSIDE_PORT, PUBLIC, Kind
from tests.nat.lab import NODE_ADDRESSES, NODE_PORT, Access, Lab
from tests.nat.namespaces import LabError, Namespace, uninterrupted

POLL_S = 0.05
SETTLED_S = 4.0
"""Who has joined so long ago can be found: publishing takes well below a second."""
MEETING = ("--private", "--network", "meeting", "--no-lan", "--no-port-mapping")
_TEMPORARY = "/tmp"  # noqa: S108  mkdtemp makes the folders
_FOLDERS = "p2n"
"""Both short, since control sockets lie in the homes; the number of the process follows."""
_FIRST = 2
"""Nodes by which everybody joins."""
BOOTSTRAP = tuple(word for address in NODE_ADDRESSES[:_FIRST] for word in ("--bootstrap", f"{address}:{NODE_PORT}"))
BOOTSTRAP_V6 = tuple(
    word for address in NODE_ADDRESSES_V6[:_FIRST] for word in ("--bootstrap", f"[{address}]:{NODE_PORT}")
)


def seconds(text: str) -> float:
    """A time that a daemon told, as time.time() counts."""
    return datetime.fromisoformat(text).timestamp()


class Resident(Daemon):
    """A daemon on a machine of the lab."""

    def __init__(self, machine: Namespace, home: Path, *flags: str) -> None:
        super().__init__(home, flags)
        self.machine = machine
        self.program = machine.executing(*program("p2pd", "p2pd"))

    def kill(self) -> None:
        """kill -9; the town may do so while somebody else does."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait(WITHIN_S)
            assert process.stdout is not None
            process.stdout.close()

    def joins(self, within_s: float = WITHIN_S) -> bool:
        """Whether it knows other nodes within that time; waits until it does."""
        deadline = time.monotonic() + within_s
        while not self.call("status")["dht"]["nodes"]:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True


class Person(Resident):
    """Somebody, their machine and its access."""

    def __init__(self, lab: Lab, home: Path, *flags: str) -> None:
        super().__init__(lab.host(home.name), home, *flags)
        self.lab = lab
        self.access: Access | None = None
        self.access_v6: AccessV6 | None = None
        self.bootstrap = BOOTSTRAP

    def begin(self, *more: str) -> None:
        """Start the daemon, in the public network unless told otherwise, and do not wait."""
        super().begin(*(more or self.bootstrap))

    def plug(self, kind: Kind) -> Access:
        """Another access, or the first."""
        self.unplug()
        self.access = self.lab.plug(kind, self.machine)
        return self.access

    def unplug(self) -> None:
        """No access."""
        if self.access is not None:
            self.lab.unplug(self.access)
            self.access = None

    def plug_v6(self, kind: str, number: int) -> None:
        """An IPv6 access, beside the other or alone."""
        self.access_v6 = ipv6.plug(self.lab, kind, self.machine, number)

    def unplug_v6(self) -> None:
        """No IPv6 access."""
        if self.access_v6 is not None:
            ipv6.unplug(self.lab, self.access_v6)
            self.access_v6 = None

    def delivered_s(self, id: str, begun: float, within_s: float) -> float | None:
        """Seconds from a moment until a message of theirs was delivered; None where it is not within that time."""
        deadline = time.monotonic() + within_s
        while True:
            for event in self.call("events", type="receipt")["events"]:
                if event["data"]["id"] == id and event["data"]["state"] == "delivered":
                    return round(max(0.0, seconds(event["at"]) - begun), 3)
            if time.monotonic() > deadline:
                return None
            time.sleep(POLL_S)

    def leave(self) -> None:
        """The daemon, its machine, its access and its home are gone."""
        self.kill()
        self.unplug()
        self.unplug_v6()
        self.lab.remove(self.machine)
        shutil.rmtree(self.home, ignore_errors=True)


class Town:
    """The lab with a network of public nodes, and a folder for homes; leaving the block ends and removes all."""

    def __init__(self, nodes: int = len(NODE_ADDRESSES), *, ipv6: bool = False) -> None:
        self.lab = Lab(ipv6=ipv6)
        self._ipv6 = ipv6
        self._bootstrap = (*BOOTSTRAP, *BOOTSTRAP_V6) if ipv6 else BOOTSTRAP
        self._node_count = nodes
        self._numbers = itertools.cycle(NUMBERS)
        self._count = itertools.count(1)
        self._lock = threading.Lock()
        self._closed = False
        self.nodes: list[Resident] = []
        self.people: list[Person] = []

    def __enter__(self) -> "Town":
        _remove_leftovers()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDERS}{os.getpid()}-", dir=_TEMPORARY))
        try:
            self.lab.__enter__()
            self._begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _begin(self) -> None:
        if self._ipv6:
            ipv6.begin(self.lab)
        for address, address_v6 in list(zip(NODE_ADDRESSES, NODE_ADDRESSES_V6, strict=True))[: self._node_count]:
            home = self._home("node")
            (home / "config.toml").write_text('role = "server"\n')
            listen = ("--listen", f"{address}:{NODE_PORT}")
            listen += ("--listen", f"[{address_v6}]:{NODE_PORT}") if self._ipv6 else ()
            flags = ("--storage-only", *listen, *self._bootstrap)
            self.nodes.append(Resident(self.lab.nodes, home, *flags))
            self.nodes[-1].begin()
        for node in self.nodes:
            node.is_ready()
        for node in self.nodes:
            assert node.joins(), node.log_tail()

    def close(self) -> None:
        """End all that runs, and remove it."""
        with uninterrupted(), ExitStack() as steps:  # the last first; one that fails keeps none of the others
            with self._lock:
                self._closed = True  # other threads may still be at work
            steps.callback(shutil.rmtree, self.folder, ignore_errors=True)
            steps.callback(self.lab.close)
            for resident in (*self.people, *self.nodes):
                steps.callback(resident.kill)

    def person(self, name: str, *flags: str, port: int = INSIDE_PORT) -> Person:
        """Somebody whose machine is not plugged in and whose daemon does not run."""
        host = "[::]" if self._ipv6 else "0.0.0.0"  # noqa: S104  inside a namespace
        person = Person(self.lab, self._home(name), "--listen", f"{host}:{port}", *flags)
        person.bootstrap = self._bootstrap
        self.people.append(person)
        return person

    def friends(self, *flags: str, ports: tuple[int, int] = (INSIDE_PORT, INSIDE_PORT)) -> tuple[Person, Person]:
        """Alice and Bob, who met on public accesses; they have none now, and their daemons are stopped.

        They meet in a private network of two, where a contact request costs no stamp: it takes seconds of a core.
        """
        alice, bob = (self.person(name, *flags, port=port) for name, port in zip(("alice", "bob"), ports, strict=True))
        bootstrap: tuple[str, ...] = ()
        for person, port in zip((alice, bob), ports, strict=True):
            access = person.plug(PUBLIC)
            person.begin(*MEETING, *bootstrap)
            bootstrap = ("--bootstrap", f"{access.outside}:{port}")
        for person in (alice, bob):
            person.is_ready()
            assert person.joins(), person.log_tail()
        befriend(alice, "alice", bob, "bob")
        # friends have talked: until a session was answered its messages are too long for a datagram
        alice.asks("send", "bob", "hello", "--wait", "delivered")
        bob.asks("send", "alice", "hello to you", "--wait", "delivered")
        for person in (alice, bob):
            person.stop()
            person.unplug()
            for file in person.home.glob("dht.db*"):
                file.unlink()  # no node of the meeting is a node of the network to come
        return alice, bob

    def bugs(self) -> list[str]:
        """The ends of the logs of nodes that met a bug."""
        return [node.log_tail() for node in self.nodes if "Traceback" in node.log]

    def _home(self, name: str) -> Path:
        with self._lock:
            if self._closed:
                raise LabError("the town is being removed")
            home = self.folder / f"{name}{next(self._count)}"
            make_home(home, next(self._numbers))
        return home


def _remove_leftovers() -> None:
    """Homes of runs whose process is gone; what ran in them was ended with its namespace."""
    for path in Path(_TEMPORARY).glob(f"{_FOLDERS}[0-9]*-*"):
        if not Path("/proc", path.name.removeprefix(_FOLDERS).partition("-")[0]).exists():
            shutil.rmtree(path, ignore_errors=True)
