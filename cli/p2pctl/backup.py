"""`backup`: a home in one sealed file, and back.

Knows nothing of what is in it: p2pd packs and unpacks in a process of its own.
"""

import sys
from typing import Any

import click

from p2pctl.caller import Caller
from p2pctl.commands import group
from p2pctl.harmless import harmless_line
from p2pctl.lock import MODULE as PASSPHRASE_MODULE
from p2pctl.passphrase import chosen, given, option
from p2pctl.process import asked
from p2pctl.terminal import clock, pairs, show, show_json, size

MODULE = "p2pd.daemon.backup"


@group("backup")
def backup() -> None:
    """Keep a sealed copy of your home, look at one, make a home of one."""


@backup.command(
    "create", examples=["p2pctl backup create p2pd.backup", "p2pctl backup create FILE --passphrase-fd 3 3< PASSPHRASE"]
)
@click.argument("file")
@option()
@click.pass_obj
def create(caller: Caller, file: str, passphrase_fd: int | None) -> None:
    """Write keys, contacts and messages into one new file, sealed; the daemon may run.

    It is sealed with the home's passphrase, or, where the home has none, with one that you choose for it.
    """
    (home,) = asked(caller, PASSPHRASE_MODULE, [])
    passphrase = given(passphrase_fd) if home["passphrase"] else chosen(passphrase_fd, "passphrase for the backup")
    made = _asked(caller, "create", file, passphrase)
    if caller.as_json:
        show_json(made)
    else:
        show(f"{harmless_line(str(made['file']))}: {_words(made)}")
        note = "who has the file and its passphrase is you; without the passphrase it is worth nothing"
        print(note, file=sys.stderr)


@backup.command("verify", examples=["p2pctl backup verify p2pd.backup"])
@click.argument("file")
@option()
@click.pass_obj
def verify(caller: Caller, file: str, passphrase_fd: int | None) -> None:
    """Read a backup to its last row, and show what is in it; exit 1 where it is damaged.

    Where its beginning is, that looks like another passphrase: exit 9.
    """
    found = _asked(caller, "verify", file, given(passphrase_fd))
    if caller.as_json:
        show_json(found)
    else:
        show("\n".join(pairs(found | {"made_at": clock(found["made_at"]), "size_bytes": size(found["size_bytes"])})))
        show("whole")


@backup.command(
    "restore",
    examples=["p2pctl backup restore p2pd.backup", "p2pctl --home ~/p2pd-new backup restore p2pd.backup"],
)
@click.argument("file")
@option()
@click.pass_obj
def restore(caller: Caller, file: str, passphrase_fd: int | None) -> None:
    """Make a home of a backup, where there is none; its first start begins anew with every contact.

    Never start a restored home while the one that it was copied from still runs somewhere.
    """
    found = _asked(caller, "restore", file, given(passphrase_fd))
    if caller.as_json:
        show_json(found)
    else:
        show(f"restored {harmless_line(str(found['address']))}: {_words(found)}")
        show("what was said since the backup is not in it, and whom you removed or blocked since is a contact again")
        show(harmless_line(caller.addressed("start it with: p2pctl start")))


def _asked(caller: Caller, work: str, file: str, passphrase: str) -> dict[str, Any]:
    (answer,) = asked(caller, MODULE, [work, file], {"passphrase": passphrase})
    return answer


def _words(found: dict[str, Any]) -> str:
    counted = ", ".join(f"{found[key]} {key}" for key in ("contacts", "messages", "waiting"))
    return f"{counted}, of {clock(found['made_at'])}, {size(found['size_bytes'])}"


COMMANDS = {"backup": backup}
