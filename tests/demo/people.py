"""The demo's stage: people and nodes as real processes, what they type and see, and the end of it all.

Knows p2pd and p2pctl by their command lines only.
Rules: whatever is waited for has a deadline; whatever was started is ended, also where the demo fails.
"""

import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

PROGRAMS = Path(sys.executable).parent
NODE_FLAGS = ("--private", "--listen", "127.0.0.1:0", "--no-lan", "--no-port-mapping")
WITHIN_S = 120.0
"""For any one step, on a slow machine; it takes a second or two on a quick one."""
CALL_S = 150.0
LOG_LINES = 60
SHOWN_LINES = 12
SHOWN_COLUMNS = 110
COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class DemoFailedError(Exception):
    """A step did not show what it should: which, and what was seen."""

    def __init__(self, step: str, seen: str) -> None:
        super().__init__(step)
        self.step = step
        self.seen = seen


class Stage:
    """Where the demo plays: a folder, the people in it, and the screen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bootstrap = ""
        """The first node's address, once there is one."""
        self._people: list[Person] = []
        self._began = time.monotonic()
        self._coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def __enter__(self) -> "Stage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for person in self._people:
            person.ends()

    def person(self, name: str, colour: str) -> "Person":
        """Someone with a home of their own."""
        someone = Person(self, name, colour)
        self._people.append(someone)
        return someone

    def title(self, text: str) -> None:
        """What comes next."""
        print(f"\n{self.paint(text, 'bold')}", flush=True)

    def say(self, text: str) -> None:
        """A line with its time."""
        print(f"{self.paint(f'{time.monotonic() - self._began:6.2f} s', 'dim')}  {text}", flush=True)

    def good(self, text: str) -> None:
        """Something that was to be shown, shown."""
        self.say(self.paint(f"✓ {text}", "green"))

    def typed(self, person: "Person", command: str) -> None:
        """A command as someone types it."""
        self.say(f"{self.paint(f'{person.name}$', person.colour)} {command}")

    def printed(self, text: str) -> None:
        """What a command printed, cut where it is long."""
        lines = text.splitlines()
        for line in lines[:SHOWN_LINES]:
            print(f"{'':10}{line[:SHOWN_COLUMNS]}{'…' if len(line) > SHOWN_COLUMNS else ''}")
        if len(lines) > SHOWN_LINES:
            print(f"{'':10}… {len(lines) - SHOWN_LINES} lines more")
        sys.stdout.flush()

    def paint(self, text: str, colour: str) -> str:
        """The text in a colour, where the screen has any."""
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self._coloured else text

    def show_failure(self, failure: DemoFailedError) -> None:
        """Which step failed, what was seen, and the ends of the logs."""
        print(f"\n{self.paint('FAILED', 'red')}: {failure.step}\nseen: {failure.seen}", file=sys.stderr)
        for person in self._people:
            if person.colour != "dim":
                print(f"--- the end of {person.name}'s log", file=sys.stderr)
                print("\n".join(person.log_tail()), file=sys.stderr)


class Person:
    """One home with its daemon, which comes and goes."""

    def __init__(self, stage: Stage, name: str, colour: str) -> None:
        self.name = name
        self.colour = colour
        self._stage = stage
        self._home = stage.folder / name
        self._log = stage.folder / f"{name}.log"
        self._daemon: subprocess.Popen[bytes] | None = None
        self._environment = os.environ | {"P2PD_HOME": str(self._home), "NO_COLOR": "1"}

    @property
    def is_running(self) -> bool:
        """Whether the daemon's process lives."""
        return self._daemon is not None and self._daemon.poll() is None

    def starts(self, *flags: str, shown: bool = False) -> dict[str, str]:
        """Starts the daemon and waits until it is ready; what it says of itself."""
        self.begins(*flags, shown=shown)
        said = self.is_ready()
        if shown:
            self._stage.printed(" ".join(f"{name} {value}" for name, value in said.items()))
        return said

    def begins(self, *flags: str, shown: bool = False) -> None:
        """Starts the daemon, and does not wait for it."""
        bootstrap = ("--bootstrap", self._stage.bootstrap) if self._stage.bootstrap else ()
        words = ["p2pd", *NODE_FLAGS, *bootstrap, *flags]
        if shown:
            self._stage.typed(self, " ".join(words))
        with self._log.open("a") as log:
            self._daemon = subprocess.Popen(
                [PROGRAMS / words[0], *words[1:]], env=self._environment, stdout=subprocess.PIPE, stderr=log, bufsize=0
            )

    def is_ready(self) -> dict[str, str]:
        """Waits for the line that says so, `ready ADDRESS udp HOST:PORT control PATH`; its parts."""
        assert self._daemon is not None
        line = _line_of(self._daemon, f"{self.name}'s p2pd starts")
        words = line.split()
        if words[:1] != ["ready"] or "udp" not in words:
            raise DemoFailedError(f"{self.name}'s p2pd starts", f"it printed {line!r}")
        return {"ready": words[1], "udp": words[words.index("udp") + 1]}

    def is_killed(self) -> None:
        """Ends the daemon as a power cut would."""
        assert self._daemon is not None
        self._stage.typed(self, f"kill -9 {self._daemon.pid}")
        self._daemon.kill()
        self._daemon.wait()

    def runs(self, *words: str, stdin: str | None = None, as_json: bool = False) -> dict[str, Any]:
        """Types a command and shows what it prints; with `as_json` its answer."""
        before = [] if stdin is None else ["printf", "%s", shlex.quote(_glance(stdin)), "|"]
        self._stage.typed(self, " ".join([*before, "p2pctl", *(shlex.quote(_glance(word)) for word in words)]))
        out = self._p2pctl(*words, *(("--json",) if as_json else ()), stdin=stdin)
        if not as_json:
            self._stage.printed(out)
            return {}
        answer: dict[str, Any] = json.loads(out)
        self._stage.printed("  ".join(f"{key} {answer[key]}" for key in ("state", "id") if key in answer))
        return answer

    def asks(self, *words: str) -> dict[str, Any]:
        """A command's answer, not shown."""
        return self.asks_rows(*words)[0]

    def asks_rows(self, *words: str) -> list[dict[str, Any]]:
        """A command's answers, a line each, not shown."""
        return [json.loads(line) for line in self._p2pctl(*words, "--json").splitlines()]

    def until(self, look: Callable[[], T], what: str) -> T:
        """Asks again until there is an answer; each question takes its own while."""
        deadline = time.monotonic() + WITHIN_S
        while not (found := look()):
            if time.monotonic() > deadline:
                raise DemoFailedError(f"{self.name} waits for {what}", f"{found!r} after {WITHIN_S:g} s")
        return found

    def sees(self, kind: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Follows the events, from the first on, until one of this type is wanted."""
        step, seen = f"{self.name} waits for a {kind}", ""
        command = [PROGRAMS / "p2pctl", "events", "--follow", "--json", "--since", "0", "--type", kind]
        with subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, bufsize=0) as following:
            try:
                deadline = time.monotonic() + WITHIN_S
                while not (seen and wanted(json.loads(seen)["data"])):
                    seen = _line_of(following, step, deadline=deadline, seen=seen, needs=self._daemon)
            finally:
                following.kill()

    def log_tail(self) -> list[str]:
        """The last lines of the daemon's log."""
        return self._log.read_text(errors="replace").splitlines()[-LOG_LINES:] if self._log.exists() else []

    def ends(self) -> None:
        """Stops the daemon, if it lives, and waits until it is gone."""
        if self._daemon is None:
            return
        if self.is_running:
            self._daemon.send_signal(signal.SIGKILL)
        self._daemon.wait()
        if self._daemon.stdout:
            self._daemon.stdout.close()

    def _p2pctl(self, *words: str, stdin: str | None = None) -> str:
        command = [str(PROGRAMS / "p2pctl"), *words]
        try:
            done = subprocess.run(
                command,
                env=self._environment,
                input=(stdin or "").encode(),
                capture_output=True,
                timeout=CALL_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DemoFailedError(f"{self.name}$ p2pctl {' '.join(words)}", f"no end after {CALL_S:g} s") from None
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace").strip()
            raise DemoFailedError(f"{self.name}$ p2pctl {' '.join(words)}", f"exit code {done.returncode}: {said}")
        return done.stdout.decode()


def _glance(text: str) -> str:
    """A text as it is shown within a command: on one line, harmless, not long."""
    visible = "".join(letter if letter.isprintable() else " " for letter in text)
    return f"{visible[:40]}…" if len(visible) > 60 else visible


def _line_of(
    process: subprocess.Popen[bytes],
    step: str,
    *,
    deadline: float | None = None,
    seen: str = "",
    needs: subprocess.Popen[bytes] | None = None,
) -> str:
    """The next line that a process prints.

    Raises:
        DemoFailedError: it ends, says nothing in time, or the daemon that it needs ends.
    """
    assert process.stdout is not None
    deadline = time.monotonic() + WITHIN_S if deadline is None else deadline
    last = f"last: {seen.strip() or 'nothing'}"
    # A ready daemon prints no more, so that its pipe has something to read only when it ends.
    # Neither pipe is buffered here: no line waits where `select` does not see it.
    pipes = [process.stdout, *([needs.stdout] if needs is not None and needs.stdout else [])]
    ready = select.select(pipes, [], [], max(0.0, deadline - time.monotonic()))[0]
    if not ready:
        raise DemoFailedError(step, f"nothing more within {WITHIN_S:g} s; {last}")
    if process.stdout not in ready and needs is not None:
        raise DemoFailedError(step, f"the daemon ended with exit code {needs.wait()}; {last}")
    line = process.stdout.readline().decode(errors="replace")
    if not line:
        raise DemoFailedError(step, f"the program ended with exit code {process.wait()}; {last}")
    return line
