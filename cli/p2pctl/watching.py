"""A picture of the daemon that is drawn again every second: `--watch`.

Knows no command.  Rules: on a terminal it has a screen of its own, and leaves the last picture behind; elsewhere a
picture follows another, with --json a line each; Ctrl-C ends it and is no error; a daemon that is away or locked is
waited for.
"""

import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click

from p2pctl.caller import Caller
from p2pctl.terminal import fitted, is_drawn_on, show, show_json
from p2pd.errors import P2pdError

WATCH_S = 1.0
OWN_SCREEN, FORMER_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The terminal's other screen, without a cursor, and back (xterm, console_codes(4))."""
TOP, REST_OF_LINE, REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
_GONE = "the daemon is away; waiting for it to come back"
AWAY = {
    "not_running": _GONE,
    "lost": _GONE,
    "time_up": "the daemon does not answer; waiting for it",
    "locked": "the daemon is locked; waiting for p2pctl unlock",
}
"""By an error's code, what is said until there is an answer again."""
TERMINATED = 128 + signal.SIGTERM
Answer = dict[str, Any]
Picture = Callable[[Answer], Sequence[str]]


def show_or_watch(caller: Caller, take: Callable[[], Answer], picture: Picture, *, watch: bool) -> None:
    """Shows what `take` answers once, or with `watch` every second until Ctrl-C.

    Raises:
        P2pdError: the first `take`'s.
    """
    answer = take()
    if not watch:
        show_json(answer) if caller.as_json else show("\n".join(picture(answer)))
        return
    screen = _Screen(picture, as_json=caller.as_json)
    before = signal.signal(signal.SIGTERM, _end)
    try:
        screen.open()
        while True:
            screen.draw(answer)
            time.sleep(WATCH_S)
            answer = _next(take, screen)
    except KeyboardInterrupt:
        pass
    finally:
        screen.close()
        signal.signal(signal.SIGTERM, before)


def _end(_number: int, _frame: object) -> NoReturn:
    """The terminal is left as it was also where somebody ends us."""
    raise click.exceptions.Exit(TERMINATED)


def _next(take: Callable[[], Answer], screen: "_Screen") -> Answer:
    while True:
        try:
            return take()
        except P2pdError as error:
            if error.code not in AWAY:
                raise
            screen.say(AWAY[error.code])
            time.sleep(WATCH_S)


class _Screen:
    """Where pictures go."""

    def __init__(self, picture: Picture, *, as_json: bool) -> None:
        self._picture = picture
        self._as_json = as_json
        self._is_own = is_drawn_on(sys.stdout) and not as_json
        self._last: Sequence[str] = ()
        self._said = ""

    def open(self) -> None:
        if self._is_own:
            sys.stdout.write(OWN_SCREEN)

    def draw(self, answer: Answer) -> None:
        self._said = ""
        if self._as_json:
            show_json(answer)
            return
        if self._last and not self._is_own:
            show()
        self._last = self._picture(answer)
        self._put(self._last)

    def say(self, text: str) -> None:
        """Why there is nothing to draw; elsewhere than on a screen once until that changes."""
        if self._is_own:
            self._put(self._last, text)
        elif text != self._said:
            print(text, file=sys.stderr, flush=True)
        self._said = text

    def close(self) -> None:
        if self._is_own:
            sys.stdout.write(FORMER_SCREEN)
            show("\n".join(self._last))

    def _put(self, lines: Sequence[str], notice: str = "") -> None:
        """The lines, as many and as much of each as the terminal holds, and a notice below them in any case."""
        if not self._is_own:
            show("\n".join(lines))
            return
        width, rows = shutil.get_terminal_size()
        below = ["", notice] if notice else []
        shown = [*lines[: max(0, rows - 1 - len(below))], *below]
        text = "\n".join(fitted(line, width) + REST_OF_LINE for line in shown)
        sys.stdout.write(f"{TOP}{text}\n{REST_OF_SCREEN}")
        sys.stdout.flush()
