"""`make secrecy`: all promises at full size, a line each, and exit status 0 only where all hold."""

import logging
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module

import click

from tests.secrecy.line import Line

FULL = {
    "sessions": 100_000,
    "kci": 1_000,
    "labels": 20,
    "storers": 4_000,
    "sizes": 5_000,
    "fuzz": 1_000_000,
    "floods": 10_000,
    "doors": 5_000,
}
"""The modules, and how often each tries."""


def promise(name: str) -> Callable[[int, int], Line]:
    """What tries one promise."""
    run: Callable[[int, int], Line] = import_module(f"tests.secrecy.{name}").run
    return run


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--count", type=int, help="How often to try, instead of the full size.")
@click.option("--seed", type=int, default=1, show_default=True)
def main(names: tuple[str, ...], count: int | None, seed: int) -> None:
    """Try the promises NAMES, or all of them."""
    unknown = [name for name in names if name not in FULL]
    if unknown:
        raise click.UsageError(f"no promise {unknown[0]}; there are {', '.join(FULL)}")
    logging.getLogger("quic").addHandler(logging.NullHandler())  # aioquic tells of every connection that is refused
    broken = []
    for name in names or FULL:
        began = time.monotonic()
        try:
            line = promise(name)(count or FULL[name], seed)
        except Exception:
            traceback.print_exc()
            broken.append(name)
            continue
        click.echo(f"{line}  [{time.monotonic() - began:.0f} s]")
        if not line.ok:
            broken.append(name)
    if broken:
        click.echo(f"does not hold: {', '.join(broken)}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
