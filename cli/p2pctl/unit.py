"""`unit`: p2pd under systemd: the unit files that ship, with this installation's path; and whose unit a process is.

Knows nothing of what the units say.  Rule: it prints, and changes nothing; where a file goes is its reader's choice.
"""

import sys
from importlib.resources import files
from pathlib import Path

import click

from p2pctl.commands import command
from p2pctl.life import p2pd
from p2pctl.terminal import show

KINDS = ("user", "system")
PROGRAM = "@P2PD@"
_HIDDEN = ("/home/", "/root/", "/run/user/")
"""What `ProtectHome=` keeps from a system unit (systemd.exec(5))."""


@command(
    "unit",
    examples=[
        "p2pctl unit user > ~/.config/systemd/user/p2pd.service",
        "p2pctl unit system > /etc/systemd/system/p2pd.service",
    ],
)
@click.argument("kind", type=click.Choice(KINDS))
def unit(kind: str) -> None:
    """Print a unit file for systemd: your own node under your user, or a volunteer's that only stores for others."""
    program = p2pd()
    if kind == "system" and program[0].startswith(_HIDDEN):
        note = (
            f"warning: {program[0]} lies where a system service cannot look; install p2pd in /opt: docs/operations.md"
        )
        print(note, file=sys.stderr)
    text = (files("p2pd") / "daemon" / "units" / f"{kind}.service").read_text(encoding="utf-8")
    show(text.replace(PROGRAM, " ".join(map(_word, program))).rstrip("\n"))


def _word(text: str) -> str:
    """One word of ExecStart (systemd.service(5), command lines)."""
    kept = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return kept if kept and not any(letter.isspace() for letter in kept) else f'"{kept}"'


def unit_of(pid: object) -> tuple[str, str] | None:
    """The unit that a process runs as, and the option that names its manager: "" or "--user"; only Linux tells."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in groups:
        _, _, path = line.rpartition(":")
        name = Path(path).name
        if name.endswith(".service") and not name.startswith("user@"):
            return name.removesuffix(".service"), "--user" if "/user@" in path else ""
    return None


COMMANDS = {"unit": unit}
