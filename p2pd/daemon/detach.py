"""A daemon in the background: two forks, a session of its own, and a pipe on which it tells how its start went.

Knows nothing of what the daemon does.
Rules: it is called before there is a thread or an event loop; the standard streams of the one who started us are let
go at once, so that nobody waits for their end.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

INTERNAL = 70


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a start went: an exit code, 0 for ready, and the one line to show."""

    exit_code: int
    line: str


def detach() -> Callable[[Outcome], None]:
    """Returns in the daemon only, with the function that tells the outcome; the process that was started waits for it.

    That process ends here: with the outcome's line on its standard output, or, where the start failed, on its
    standard error.
    """
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        _end(_outcome(reading))
    os.close(reading)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    _let_go_of_streams()

    def tell(outcome: Outcome) -> None:
        data = json.dumps([outcome.exit_code, outcome.line]).encode()
        os.write(writing, data)  # less than a pipe holds
        os.close(writing)

    return tell


def _outcome(reading: int) -> Outcome:
    with open(reading, "rb") as pipe:
        data = pipe.read()
    try:
        exit_code, line = json.loads(data)
    except ValueError:
        return Outcome(INTERNAL, "p2pd: it ended before it was ready; start it without --detach to see why")
    return Outcome(int(exit_code), str(line))


def _end(outcome: Outcome) -> None:
    os.wait()
    print(outcome.line, file=sys.stderr if outcome.exit_code else sys.stdout, flush=True)
    os._exit(outcome.exit_code)


def _let_go_of_streams() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    if nothing > 2:
        os.close(nothing)
