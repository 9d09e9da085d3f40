"""On a real terminal: what arrives stands above the line that is being typed, which stays."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.fake_daemon import FakeDaemon
from tests.cli.test_chat import AT, BOB, chatting

__all__ = ["chatting"]
ROOT = Path(__file__).resolve().parent.parent.parent
WITHIN_S = 20.0


class Typist:
    """Someone at a terminal."""

    def __init__(self, *words: str, columns: int = 80) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "cli"))),
            "TERM": "xterm",
            "NO_COLOR": "1",
            "INPUTRC": "/dev/null",
        }
        command = [sys.executable, "-m", "p2pctl.main", *words]
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self.seen = ""

    def types(self, text: str) -> None:
        os.write(self._master, text.encode())

    def sees(self, text: str) -> str:
        """Waits until the text has been shown, after what was seen before; everything up to its end."""
        deadline = time.monotonic() + WITHIN_S
        while text not in self.seen:
            assert select.select([self._master], [], [], deadline - time.monotonic())[0], (
                f"{text!r} not in {self.seen!r}"
            )
            self.seen += os.read(self._master, 4096).decode()
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def presses_ctrl_c(self) -> None:
        """Until it works: a signal between readline's prompt and its wait is noticed at the next key only."""
        deadline = time.monotonic() + WITHIN_S
        while self.process.poll() is None and time.monotonic() < deadline:
            os.killpg(self.process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=1)

    def leaves(self) -> int:
        """Waits until the program has ended by itself; its exit code."""
        return self.process.wait(timeout=WITHIN_S)

    def is_sent_away(self) -> None:
        """Ends the program, whatever it does."""
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def typist(chatting: FakeDaemon) -> Iterator[Typist]:
    """Someone who talks with bob."""
    someone = Typist("chat", "bob")
    yield someone
    someone.is_sent_away()


@pytest.fixture
def incoming(chatting: FakeDaemon) -> Callable[[str], None]:
    """Lets a message of bob's arrive when called."""

    def arrive(text: str) -> None:
        data = {"id": "i" * 26, "from": BOB, "conversation": BOB, "text": text, "position": 1}
        chatting.push({"cursor": 8, "type": "message", "at": AT, "data": data})

    return arrive


@pytest.mark.slow
@pytest.mark.parametrize("typed", ["half a li", "x" * 100])
def test_what_arrives_leaves_the_typed_line_alone(
    typed: str, typist: Typist, chatting: FakeDaemon, incoming: Callable[[str], None]
) -> None:
    typist.sees("> ")
    typist.types(typed)
    typist.sees(typed[-5:])
    incoming("hello \x1b[2J")
    shown = typist.sees("hello ␛[2J")
    assert re.search(r"\r(\x1b\[1A)?\x1b\[J", shown)
    assert typist.sees(f"> {typed}")
    typist.types("ne\n")
    typist.sees("\n> ")
    typist.types("\x04")
    assert typist.leaves() == 0
    assert [parameters["text"] for method, parameters in chatting.calls if method == "send"] == [typed + "ne"]


@pytest.mark.slow
def test_ctrl_c_leaves_cleanly(typist: Typist) -> None:
    typist.sees("> ")
    typist.presses_ctrl_c()
    assert typist.leaves() == 0
    assert "Traceback" not in typist.seen
