"""Someone at a terminal: a program in a pty, what is typed into it, and what it shows."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WITHIN_S = 20.0


class Typist:
    """Someone at a terminal, who runs p2pctl with these words, or another program."""

    def __init__(
        self,
        *words: str,
        columns: int = 80,
        rows: int = 24,
        program: list[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "cli"))),
            "TERM": "xterm",
            "NO_COLOR": "1",
            "INPUTRC": "/dev/null",
            **(environ or {}),
        }
        for name in ("COLUMNS", "LINES"):  # whoever runs the tests has set them of another terminal
            environment.pop(name, None)
        command = program or [sys.executable, "-m", "p2pctl.main", *words]
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
