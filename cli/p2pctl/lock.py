"""`lock`, `unlock`, `passphrase`: the daemon forgets what it knows, and comes back for who has the passphrase.

Knows nothing of keys: p2pd has them.
"""

import time
from collections.abc import Callable
from typing import Any

import click

from p2pctl.caller import Caller
from p2pctl.commands import command
from p2pctl.harmless import harmless_line
from p2pctl.passphrase import chosen, given, option
from p2pctl.process import asked
from p2pctl.terminal import show, show_json
from p2pd.errors import LockedError, P2pdError, TimeUpError, UsageError

WITHIN_S = 30.0
"""A daemon locks or starts in a second; a slow machine may take a while."""
GLANCE_S = 0.05
MODULE = "p2pd.daemon.change_passphrase"


@command("lock", examples=["p2pctl lock"])
@click.pass_obj
def lock(caller: Caller) -> None:
    """Have the daemon forget its keys and all that was said until `p2pctl unlock`, and return once it has.

    It leaves the network meanwhile: mail for you waits on other nodes.
    """
    was_locked = _status(caller) is None
    if not was_locked:
        caller.call("lock")
        _await(caller, lambda code: code == "locked", "the daemon has not locked itself yet")
    show_json({"locked": True}) if caller.as_json else show("already locked" if was_locked else "locked")


@command("unlock", examples=["p2pctl unlock", "p2pctl unlock --passphrase-fd 3 3< FILE"])
@option()
@click.pass_obj
def unlock(caller: Caller, passphrase_fd: int | None) -> None:
    """Give a locked daemon its passphrase, and return once it answers again."""
    status = _status(caller)
    said = "already unlocked"
    if status is None:
        said = "unlocked"
        _open(caller, passphrase_fd)
        _await(caller, lambda code: code == "", "the daemon has not started yet")
        status = caller.call("status")
    address = str(status["address"])
    if caller.as_json:
        show_json({"locked": False, "address": address})
    else:  # a node that only stores has none
        show(f"{said}: {harmless_line(address)}" if address else said)


@command(
    "passphrase",
    examples=[
        "p2pctl passphrase",
        "p2pctl passphrase --remove",
        "p2pctl passphrase --passphrase-fd 3 --new-passphrase-fd 4 3< OLD 4< NEW",
    ],
)
@click.option("--remove", is_flag=True, help="From now on the home opens without one.")
@option()
@option("new-passphrase", "The new passphrase")
@click.pass_obj
def passphrase(caller: Caller, remove: bool, passphrase_fd: int | None, new_passphrase_fd: int | None) -> None:
    """Set the home's passphrase, change it, or remove it; the daemon may run or not.

    Who forgets it loses the home: nobody can bring it back.
    """
    if remove and new_passphrase_fd is not None:
        raise UsageError("a new passphrase and --remove do not go together")
    (now,) = asked(caller, MODULE, [])
    has_one = bool(now["passphrase"])
    if remove and not has_one:
        raise UsageError("this home has no passphrase")
    present = given(passphrase_fd, "present passphrase") if has_one else None
    wanted = None if remove else chosen(new_passphrase_fd)
    (then,) = asked(caller, MODULE, ["--change"], {"present": present, "wanted": wanted})
    if caller.as_json:
        show_json(then)
    else:
        show("the passphrase is removed" if remove else "the passphrase is changed" if has_one else _SET)


_SET = "the passphrase is set; the next start asks for it, and p2pctl lock works from now on"


def _status(caller: Caller) -> dict[str, Any] | None:
    """The daemon's; None where it is locked."""
    try:
        status: dict[str, Any] = caller.call("status")
    except LockedError:
        return None
    return status


def _open(caller: Caller, passphrase_fd: int | None) -> None:
    """Asks for the passphrase only where one is wanted: it may have been removed since the daemon was locked."""
    try:
        caller.call("unlock")
    except LockedError:
        caller.call("unlock", passphrase=given(passphrase_fd))


def _await(caller: Caller, is_so: Callable[[str], bool], message: str) -> None:
    """Returns once the daemon answers with such an error code, "" for none; TimeUpError where it does not."""
    deadline = time.monotonic() + caller.within(WITHIN_S)
    while not is_so(_answer(caller)):
        if time.monotonic() > deadline:
            raise TimeUpError(message, hint="see: p2pctl logs")
        time.sleep(GLANCE_S)


def _answer(caller: Caller) -> str:
    try:
        caller.call("id", within_s=WITHIN_S)
    except P2pdError as error:
        return "" if error.code == "refused" else error.code  # a node that only stores has no id
    return ""


COMMANDS = {"lock": lock, "unlock": unlock, "passphrase": passphrase}
