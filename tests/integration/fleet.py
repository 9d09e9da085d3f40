"""A private network of real p2pd processes on loopback, and people who type p2pctl.

Knows p2pd and p2pctl by their command lines, and waits with the client of the control socket, which scripts use too.
Rules: whatever is waited for is an event with a deadline; whatever was started is ended, also where a test fails; homes
lie in a short path of their own, so that every control socket lies in its home.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from p2pd import client
from p2pd.errors import P2pdError

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ("--private", "--no-lan", "--no-port-mapping")
WITHIN_S = 90.0
"""For any one step on a busy machine; it takes a second or two on a quiet one."""
LOG_LINES = 40
Data = dict[str, Any]


def program(name: str, module: str) -> list[str]:
    """How an installed program is called, or, where only the checkout is there, its module."""
    beside = Path(sys.executable).parent / name
    return [str(beside)] if beside.exists() else [sys.executable, "-m", module]


def environment() -> dict[str, str]:
    """This process's, with the checkout to be imported from, and no colours."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "cli")]), "NO_COLOR": "1"}


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> Data:
        """What it printed with `--json`, where that is one line."""
        (found,) = self.rows
        return found

    @property
    def rows(self) -> list[Data]:
        """What it printed with `--json`, a line each."""
        return [json.loads(line) for line in self.out.splitlines()]


class Daemon:
    """One home, its daemon, which comes and goes, and the command line of whom it belongs to."""

    def __init__(self, home: Path, flags: tuple[str, ...]) -> None:
        self.home = home
        self.flags = flags
        self.program = program("p2pd", "p2pd")
        self.log_file = home.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None
        self.address = self.endpoint = ""

    # --- its life

    def begin(self, *more: str) -> None:
        """Start it, and do not wait."""
        words = [*self.program, "--home", str(self.home), *self.flags, *more]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=log, bufsize=0)

    def is_ready(self) -> "Daemon":
        """Wait until it says so."""
        assert self.process is not None
        assert self.process.stdout is not None
        said, _, _ = select.select([self.process.stdout], [], [], WITHIN_S)
        words = self.process.stdout.readline().decode().split() if said else []
        assert words[:1] == ["ready"], f"{self.home.name} did not start:\n{self.log_tail()}"
        _, self.address, _, self.endpoint, _, _ = words
        return self

    def start(self, *more: str) -> "Daemon":
        """Start it and wait until it is ready."""
        self.begin(*more)
        return self.is_ready()

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        return self._end(signal.SIGTERM)

    def fails_to_start(self, *more: str) -> tuple[int, str]:
        """Exit code and the whole standard error of a start that must fail."""
        words = [*program("p2pd", "p2pd"), "--home", str(self.home), *self.flags, *more]
        done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=WITHIN_S, check=False)
        assert done.stdout == ""
        return done.returncode, done.stderr

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _end(self, by: signal.Signals) -> int:
        if self.process is None:
            return 0
        if self.is_running:
            self.process.send_signal(by)
        code = self.process.wait(WITHIN_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        return code

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def log_tail(self) -> str:
        return "\n".join(self.log.splitlines()[-LOG_LINES:])

    def is_well(self) -> None:
        """It answers, and no bug of its own is in its log."""
        assert self.call("status")["version"]
        assert "Traceback" not in self.log, self.log_tail()

    # --- the command line

    def p2pctl(self, *words: str, stdin: bytes = b"", environ: dict[str, str] | None = None) -> Done:
        """What a command ends with."""
        done = subprocess.run(
            [*program("p2pctl", "p2pctl.main"), *words],
            env=environment() | {"P2PD_HOME": str(self.home)} | (environ or {}),
            input=stdin,
            capture_output=True,
            timeout=WITHIN_S,
            check=False,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def says(self, *words: str, stdin: bytes = b"") -> str:
        """What a command prints that must succeed."""
        done = self.p2pctl(*words, stdin=stdin)
        assert done.code == 0, f"p2pctl {words} ended with {done.code}: {done.err}\n{self.log_tail()}"
        return done.out

    def asks(self, *words: str, stdin: bytes = b"") -> Data:
        """The same with `--json`, of a command that prints one object."""
        return Done(0, self.says("--json", *words, stdin=stdin), "").object

    def rows(self, *words: str) -> list[Data]:
        """The same of a command that prints a list."""
        return Done(0, self.says("--json", *words), "").rows

    def is_refused(self, code: int, *words: str, stdin: bytes = b"") -> str:
        """The one clear line of a command that must fail with this exit code."""
        done = self.p2pctl(*words, stdin=stdin)
        assert done.code == code, f"p2pctl {words} ended with {done.code}: {done.out}{done.err}"
        assert done.out == ""
        assert done.err.count("\n") == 1, done.err
        assert done.err.startswith("error: ")
        assert all(letter.isprintable() for letter in done.err[:-1]), ascii(done.err)
        return done.err

    # --- the control socket

    def call(self, method: str, **parameters: Any) -> Any:
        """One call of the API."""
        return client.call(method, home=self.home, answer_within_s=WITHIN_S, **parameters)

    def sees(self, type: str, wanted: Callable[[Data], bool] = lambda data: True, *, since: int = 0) -> Data:
        """The first event of a type that is wanted, as soon as it happens."""
        position = client.Position({"since": since, "type": type})
        with client.Connection(self.home, answer_within_s=WITHIN_S) as connection:
            try:
                for event in connection.stream("events.follow", position):
                    if wanted(event["data"]):
                        return event
            except P2pdError as error:
                known = [self.call("contact.list"), self.call("net.stats")] if self.is_running else []
                raise AssertionError(f"{self.home.name} saw no such {type}: {error}\n{known}") from None
        raise AssertionError("the stream of events ended")

    def has(self, id: str) -> Data:
        """The message of an id, once it has arrived."""
        return self.sees("message", lambda data: data["id"] == id)["data"]

    def knows(self, *ids: str, state: str = "delivered") -> None:
        """Wait until messages of ours are that far."""
        self._sees_all("receipt", ids, lambda data: data["state"] == state)

    def has_all(self, *ids: str) -> None:
        """Wait until messages have arrived."""
        self._sees_all("message", ids, lambda data: True)

    def _sees_all(self, type: str, ids: Iterable[str], wanted: Callable[[Data], bool]) -> None:
        missing = set(ids)

        def last(data: Data) -> bool:
            if wanted(data):
                missing.discard(data["id"])
            return not missing

        if missing:
            self.sees(type, last)

    def texts_from(self, name: str) -> list[str]:
        """What someone has written, in conversation order."""
        messages = self.call("history", to=name, limit=10_000)["messages"]
        return [message["text"] for message in messages if message["direction"] == "in"]


class Fleet:
    """All daemons of a network, in a folder of its own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="p2p-", dir="/tmp"))  # short, made for us, 0700
        self.daemons: list[Daemon] = []
        self._made = 0
        self.bootstrap: tuple[str, ...] = ()

    def new(self, name: str, *flags: str, alone: bool = False) -> Daemon:
        """A home that was never started; `alone`, it is told of no other node."""
        known = () if alone else tuple(word for node in self.bootstrap for word in ("--bootstrap", node))
        self._made += 1
        home = self.folder / f"{name}{self._made}"
        daemon = Daemon(home, (*FLAGS, "--listen", "127.0.0.1:0", *known, *flags))
        self.daemons.append(daemon)
        return daemon

    def servers(self, count: int) -> list[Daemon]:
        """So many nodes that only store, started at once, each told of the first."""
        first = self.new("node", "--storage-only").start()
        self.bootstrap = (first.endpoint,)
        others = [self.new("node", "--storage-only") for _ in range(count - 1)]
        for node in others:
            node.begin()
        return [first, *(node.is_ready() for node in others)]

    def people(self, *names: str, alone: bool = False) -> list[Daemon]:
        """People, started at once; they know nobody yet."""
        people = [self.new(name, alone=alone) for name in names]
        for person in people:
            person.begin()
        return [person.is_ready() for person in people]

    def friends(self, one: str = "alice", other: str = "bob") -> tuple[Daemon, Daemon]:
        """Two people who have added each other."""
        pair = self.people(one, other)
        befriend(pair[0], one, pair[1], other)
        return pair[0], pair[1]

    def end(self) -> None:
        """Kill everything and remove it."""
        for daemon in self.daemons:
            if daemon.is_running:
                assert daemon.process is not None
                daemon.process.kill()
        for daemon in self.daemons:
            daemon.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def befriend(one: Daemon, one_name: str, other: Daemon, other_name: str) -> None:
    """Each adds the other; returns when both are accepted."""
    one.call("contact.add", address=other.address, **{"as": other_name})
    other.call("contact.add", address=one.address, **{"as": one_name})
    for person in (one, other):
        person.sees("contact", lambda data: data["state"] == "accepted")
