"""The input line of `chat`, and the lines that appear above it.

Knows no conversation.  Rules: on a terminal a line that appears takes the input line's place, and the input line is
drawn again below it as it was; with piped input nothing is drawn, lines are read as they come.
"""

import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from p2pctl.harmless import harmless_line
from p2pctl.terminal import columns, show, show_json
from p2pd.errors import UsageError

PROMPT = "> "
ERASE_TO_END = "\x1b[J"


class Screen:
    """Where a conversation is typed and shown."""

    def __init__(self) -> None:
        self.is_interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self._reads = False
        self._turn = threading.Lock()

    def lines(self) -> Iterator[str]:
        """What is typed, line by line, until the input ends."""
        yield from self._typed() if self.is_interactive else self._piped()

    def put(self, value: str | dict[str, Any]) -> None:
        """Shows lines, or an object as JSON, above the input line."""
        with self._turn:
            if self._reads:
                sys.stdout.write(self._to_start_of_input() + ERASE_TO_END)
            show(value) if isinstance(value, str) else show_json(value)
            if self._reads:
                sys.stdout.write(PROMPT + self._buffer())
                sys.stdout.flush()

    def aside(self, text: str) -> None:
        """Says something to the user that is not output."""
        with self._turn:
            for line in text.splitlines():
                print(harmless_line(line), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Lets nobody write any more: the process is about to end under the listening thread."""
        if self.is_interactive:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not disturb the leaving
            show()
        self._turn.acquire()

    def _typed(self) -> Iterator[str]:
        import readline

        readline.set_auto_history(True)
        while True:
            self._reads = True
            try:
                line = input(PROMPT)
            except EOFError:
                return
            finally:
                self._reads = False
            yield line

    def _piped(self) -> Iterator[str]:
        for data in sys.stdin.buffer:
            try:
                yield data.removesuffix(b"\n").decode()
            except UnicodeDecodeError:
                raise UsageError(
                    "a line of standard input is not UTF-8", hint="convert it first, as with iconv"
                ) from None

    def _buffer(self) -> str:
        import readline

        return readline.get_line_buffer()

    def _to_start_of_input(self) -> str:
        """What moves the cursor to where the prompt begins, also when the input fills several rows."""
        width = max(1, shutil.get_terminal_size().columns)
        rows = (columns(PROMPT) + columns(self._buffer())) // width
        return "\r" + (f"\x1b[{rows}A" if rows else "")
