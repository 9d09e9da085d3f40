"""What goes wrong, as users and scripts see it: the exit codes in one place, and one clear line on standard error.

Knows the codes that errors carry, and nothing of what the commands do.
"""

import sys

import click

from p2pctl.harmless import harmless_line
from p2pctl.terminal import as_json, paint
from p2pd.errors import P2pdError, UsageError

EXITS = {
    "failed": 1,
    "usage": 2,
    "not_running": 3,
    "lost": 3,
    "not_found": 4,
    "ambiguous": 4,
    "refused": 5,
    "time_up": 6,
    "no_network": 7,
    "quota": 8,
    "locked": 9,
    "internal": 70,
}
"""Error code: exit code, as `docs/usage.md` lists them; every other code is 1: what ends p2pd is not p2pctl's end."""

INTERRUPTED = 130
"""What shells give a program that Ctrl-C ended: 128 and SIGINT's number."""


def exit_code(error: P2pdError) -> int:
    """What the command ends with."""
    return EXITS.get(error.code, EXITS["failed"])


def of_click(error: click.ClickException) -> P2pdError:
    """What click refused, with the help to read as its hint."""
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "p2pctl"
    message = error.format_message().replace("\n", " ").rstrip(".")
    return UsageError(message, hint=f"see: {path} --help")


def report(error: P2pdError, *, as_object: bool) -> None:
    """Prints the error on standard error, as a line for a person or as a JSON object."""
    if as_object:
        told = {"code": error.code, "message": error.message, "hint": error.hint}
        request_id = getattr(error, "request_id", "")
        line = as_json({"error": told | ({"request_id": request_id} if request_id else {})})
    else:
        words = f"{error.message}; {error.hint}" if error.hint else error.message
        line = f"{paint('error:', 'red', sys.stderr)} {harmless_line(words)}"
    print(line, file=sys.stderr, flush=True)
