"""Where a command gets a passphrase: an open file that `--passphrase-fd` names, or the terminal, without an echo.

Knows no command.  Rule: never from the command line or the environment, which others may read.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from p2pd.errors import LockedError, UsageError

BYTES = 1024
"""The longest that p2pd takes."""
TRIES = 3
"""Two that differ are asked for again so often."""


def option(name: str = "passphrase", of: str = "The passphrase") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option `--NAME-fd`, whose parameter is `NAME_fd`."""
    help = f"{of}, up to a line's end, from this open file rather than the terminal."
    return click.option(f"--{name}-fd", type=click.IntRange(min=0), metavar="N", help=help)


def given(descriptor: int | None, question: str = "passphrase") -> str:
    """The passphrase from the open file, or else from the person at the terminal.

    Raises:
        LockedError: there is neither.
    """
    return read(descriptor) if descriptor is not None else ask(question)


def chosen(descriptor: int | None, question: str = "new passphrase") -> str:
    """A new one: from the open file, or asked for twice."""
    if descriptor is not None:
        return read(descriptor)
    for _ in range(TRIES):
        first = ask(question)
        if ask(f"{question}, again") == first:
            return first
        print("they are not the same", file=sys.stderr)
    raise UsageError("no passphrase was typed the same way twice")


def ask(question: str) -> str:
    """What the person at the terminal types, which nobody sees; LockedError where there is no terminal."""
    from getpass import getpass

    if not can_ask():
        raise LockedError("a passphrase is wanted, and there is no terminal", hint="give it: --passphrase-fd 3 3< FILE")
    return getpass(f"{question}: ")


def can_ask() -> bool:
    """Whether there is somebody at a terminal."""
    return sys.stdin.isatty()


def read(descriptor: int) -> str:
    """The first line of an open file; UsageError where there is none to be had."""
    try:
        with os.fdopen(descriptor, "rb") as file:
            line = file.readline(BYTES + 2).removesuffix(b"\n")
    except OSError as error:
        raise UsageError(f"the passphrase cannot be read from file {descriptor}: {error.strerror}") from None
    if len(line) > BYTES:
        raise UsageError(f"a passphrase has at most {BYTES} bytes")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise UsageError("the passphrase is not text in UTF-8") from None
