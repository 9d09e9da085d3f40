"""Whom one knows: `contact` and `request`.

A name is ours for a person; what a person calls themselves is shown as a claim.
"""

import sys
from collections.abc import Mapping
from typing import Any

import click

from p2pctl.caller import Caller
from p2pctl.commands import group, person
from p2pctl.harmless import harmless_line
from p2pctl.terminal import clock, pairs, show, show_json, table
from p2pd.errors import UsageError

STATE_COLUMNS = ("name", "state", "online", "verified", "address")
LINK_BYTES = 4096
"""More than the longest link has."""


@group("contact")
def contact() -> None:
    """Add, show and manage people."""


@contact.command(
    "add",
    examples=[
        "p2pctl contact add p2p:ybndrfg8... --as bob",
        "p2pctl contact add p2p:ybndrfg8... --message 'It is Alice'",
        "p2pctl contact add p2p:ybndrfg8.../1ds.../nyb...",
        "cat INVITE | p2pctl contact add -",
    ],
)
@click.argument("address", metavar="ADDRESS|LINK|INVITE|-")
@click.option("--as", "petname", metavar="NAME", help="What you call them.")
@click.option("--message", metavar="TEXT", help="What they read with your request.")
@click.option("--relay-only", is_flag=True, help="They shall never learn your IP address; see: p2pctl path --help.")
@click.pass_obj
def add(caller: Caller, address: str, petname: str | None, message: str | None, relay_only: bool) -> None:
    """Add a person by address, link or invite; a contact request goes out at once.

    By an invite of theirs you are accepted without asking; and where they have added you too, both are.

    With `-` it is read from standard input: whoever else uses this machine can see what stands in a command line.
    """
    address = _from_stdin() if address == "-" else address
    wanted: dict[str, Any] = {"address": address, "as": petname, "message": message, "relay_only": relay_only or None}
    answer = caller.call("contact.add", **wanted)
    _confirm(caller, answer, f"added {_name(answer, petname or address)}: {_state(answer, 'pending')}")


@contact.command("list", examples=["p2pctl contact list", "p2pctl contact list --json"])
@click.pass_obj
def list_contacts(caller: Caller) -> None:
    """Show everyone you know."""
    contacts = caller.rows("contact.list")
    if caller.as_json:
        for entry in contacts:
            show_json(entry)
    elif contacts:
        rows = [[entry.get(column) for column in STATE_COLUMNS] for entry in contacts]
        show("\n".join(table(STATE_COLUMNS, rows)))
    else:
        show("nobody yet; add someone with: p2pctl contact add ADDRESS --as NAME")


@contact.command("show", examples=["p2pctl contact show bob"])
@person("name")
@click.pass_obj
def show_contact(caller: Caller, name: str) -> None:
    """Show one person: address, fingerprint, what they call themselves."""
    answer = caller.call("contact.show", name=name)
    if caller.as_json:
        show_json(answer)
    else:
        show("\n".join(pairs(answer)))


@contact.command("rename", examples=["p2pctl contact rename bob robert"])
@person("name")
@click.argument("to", metavar="NEW")
@click.pass_obj
def rename(caller: Caller, name: str, to: str) -> None:
    """Call a person something else."""
    answer = caller.call("contact.rename", name=name, to=to)
    _confirm(caller, answer, f"{harmless_line(name)} is now {_name(answer, to)}")


@contact.command(
    "verify", examples=["p2pctl contact verify bob", "p2pctl contact verify bob 'kx3p tq8r u1ws 9fmc ...'"]
)
@person("name")
@click.argument("code", nargs=-1)
@click.option("--qr", is_flag=True, help="Draw the code too, for a camera.")
@click.pass_obj
def verify(caller: Caller, name: str, code: tuple[str, ...], qr: bool) -> None:
    """Compare the safety code with a person, by voice or face to face.

    Both see the same code if neither has a wrong address.  Give what the other reads out to mark them as verified.
    """
    answer = caller.call("contact.verify", name=name, code=" ".join(code))
    line = f"{_name(answer, name)} is verified" if code else harmless_line(str(answer["code"]))
    if qr and not caller.as_json:
        from p2pctl.qr import show_qr

        show_qr(str(answer["code"]))
    _confirm(caller, answer, line)


@contact.command("block", examples=["p2pctl contact block mallory"])
@person("name")
@click.pass_obj
def block(caller: Caller, name: str) -> None:
    """Take nothing more from a person, and stop being found by them."""
    _confirm(caller, caller.call("contact.block", name=name), f"blocked {harmless_line(name)}")


@contact.command("unblock", examples=["p2pctl contact unblock mallory"])
@person("name")
@click.pass_obj
def unblock(caller: Caller, name: str) -> None:
    """Let a blocked person write again."""
    _confirm(caller, caller.call("contact.unblock", name=name), f"unblocked {harmless_line(name)}")


@contact.command("remove", examples=["p2pctl contact remove bob"])
@person("name")
@click.pass_obj
def remove(caller: Caller, name: str) -> None:
    """Forget a person; the conversation stays."""
    _confirm(caller, caller.call("contact.remove", name=name), f"removed {harmless_line(name)}")


@group("request")
def request() -> None:
    """Answer those who want to write to you."""


@request.command("list", examples=["p2pctl request list", "p2pctl request list --json"])
@click.pass_obj
def list_requests(caller: Caller) -> None:
    """Show who asks."""
    requests = caller.rows("request.list")
    if caller.as_json:
        for entry in requests:
            show_json(entry)
    elif requests:
        rows = [(entry["id"], clock(entry.get("received_at")), _claim(entry), entry.get("text")) for entry in requests]
        show("\n".join(table(("id", "received", "who", "text"), rows)))
    else:
        show("nobody asks")


@request.command("accept", examples=["p2pctl request accept ybndrfg8 --as bob"])
@click.argument("id")
@click.option("--as", "petname", metavar="NAME", help="What you call them.")
@click.pass_obj
def accept(caller: Caller, id: str, petname: str | None) -> None:
    """Accept a request: the two of you can write to each other."""
    wanted: dict[str, Any] = {"id": id, "as": petname}
    answer = caller.call("request.accept", **wanted)
    _confirm(caller, answer, f"accepted {_name(answer, petname or id)}")


@request.command("reject", examples=["p2pctl request reject ybndrfg8"])
@click.argument("id")
@click.pass_obj
def reject(caller: Caller, id: str) -> None:
    """Reject a request; they are not told."""
    _confirm(caller, caller.call("request.reject", id=id), f"rejected {harmless_line(id)}")


@request.command("report", examples=["p2pctl request report ybndrfg8"])
@click.argument("id")
@click.pass_obj
def report(caller: Caller, id: str) -> None:
    """Reject a request, and show what others whom its sender may ask should know.

    There is nobody in charge to report to: what is printed is for you to pass on.
    """
    answer = caller.call("request.report", id=id)
    if caller.as_json:
        show_json(answer)
    else:
        show("\n".join(pairs(answer)))


def _from_stdin() -> str:
    data = sys.stdin.buffer.read(LINK_BYTES + 1)
    text = data.decode(errors="replace").strip()
    if not text or len(data) > LINK_BYTES:
        raise UsageError("standard input holds no address, link or invite", hint="give one, and nothing else")
    return text


def _claim(request: Mapping[str, Any]) -> str:
    """What a stranger says of themselves, and whom that could be taken for."""
    claim = f"says {request.get('name') or 'no name'}"
    return f"{claim}, NOT your {request['looks_like']}" if request.get("looks_like") else claim


def _confirm(caller: Caller, answer: Any, line: str) -> None:
    if caller.as_json:
        show_json(answer)
    else:
        show(line)


def _name(answer: Any, otherwise: str) -> str:
    return harmless_line(str((isinstance(answer, Mapping) and answer.get("name")) or otherwise))


def _state(answer: Any, otherwise: str) -> str:
    return harmless_line(str((isinstance(answer, Mapping) and answer.get("state")) or otherwise))


COMMANDS: dict[str, click.Command] = {"contact": contact, "request": request}
