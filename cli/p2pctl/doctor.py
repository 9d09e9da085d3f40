"""`doctor`: what is wrong with this home, its daemon and its network, and what to do about it.

Knows no check: p2pd has them, in a process of its own, since they open databases and speak to nodes.
"""

import sys
from collections.abc import Iterator
from typing import Any

import click

from p2pctl.caller import Caller
from p2pctl.commands import command
from p2pctl.harmless import harmless_line
from p2pctl.process import asked
from p2pctl.terminal import is_drawn_on, pad, paint, show, show_json

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}
STATE_COLUMNS = 9
NAME_COLUMNS = 14
ERASE_LINE = "\r\x1b[K"


@command(
    "doctor",
    examples=["p2pctl doctor", "p2pctl doctor --json", "p2pctl --home /tmp/a doctor --set-aside dht.db"],
)
@click.option(
    "--set-aside",
    "aside",
    type=click.Choice(["dht.db"]),
    help="Put a damaged dht.db aside, with the daemon stopped; the next start makes an empty one.",
)
@click.pass_obj
def doctor(caller: Caller, aside: str | None) -> None:
    """Check the home, the databases, the port and the network, and say what to do; exit 1 where there is a problem.

    It works with the daemon running or stopped, and changes nothing unless --set-aside is given.
    """
    states = []
    for line in _examination(caller, ["--set-aside", aside] if aside else []):
        if "begins" in line:
            _show_progress(caller, str(line["begins"]))
        elif "set_aside" in line:
            _show_set_aside(caller, line)
        else:
            states.append(line["state"])
            line["hint"] = caller.addressed(str(line["hint"]))
            _show_progress(caller)
            show_json(line) if caller.as_json else _show_finding(line)
    if states and not caller.as_json:
        counted = [(states.count(state), state) for state in ("problem", "warning") if state in states]
        show(", ".join(f"{count} {state}{'s' * (count > 1)}" for count, state in counted) or "all is well")
    if "problem" in states:
        raise click.exceptions.Exit(1)


def _examination(caller: Caller, words: list[str]) -> Iterator[dict[str, Any]]:
    return asked(caller, "p2pd.daemon.doctor", words)


def _show_progress(caller: Caller, doing: str = "") -> None:
    """Says what is being looked at, on a terminal, until there is more to say."""
    if not caller.as_json and is_drawn_on(sys.stdout):
        sys.stdout.write(ERASE_LINE + (f"{doing} ..." if doing else ""))
        sys.stdout.flush()


def _show_finding(line: dict[str, Any]) -> None:
    state, indent = str(line["state"]), " " * (STATE_COLUMNS + NAME_COLUMNS)
    head = paint(pad(state, STATE_COLUMNS), COLOURS.get(state, "")) + pad(str(line["check"]), NAME_COLUMNS)
    show(head + harmless_line(str(line["message"])))
    if state != "ok":
        for detail in line["details"]:
            show(indent + harmless_line(str(detail)))
    if line["hint"]:
        show(f"{indent}{paint('do:', 'bold')} {harmless_line(str(line['hint']))}")


def _show_set_aside(caller: Caller, line: dict[str, Any]) -> None:
    if caller.as_json:
        show_json(line)
    else:
        show(f"{line['set_aside']} is now {harmless_line(str(line['path']))}; the next start makes an empty one")
        show("once the daemon has run well for a day, that file can be removed")


COMMANDS = {"doctor": doctor}
