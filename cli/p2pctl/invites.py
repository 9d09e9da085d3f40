"""Invites: letting people in without being asked."""

from typing import Any

import click

from p2pctl.caller import Caller
from p2pctl.commands import group
from p2pctl.harmless import harmless_line
from p2pctl.terminal import clock, show, show_json, table

_NO_NODES = (
    "it names no node to join by, as your daemon knows none yet: who knows none either will find nobody by it;"
    " start with --bootstrap HOST:PORT, see `p2pctl status`, and make another"
)


@group("invite", invoke_without_command=True)
@click.option("--once", is_flag=True, help="For one person alone, and with a one-time key; else for several.")
@click.option("--ttl", metavar="7d", help="How long it can be used: 7d unless you say otherwise, at most 60d.")
@click.option("--as", "petname", metavar="NAME", help="What you call who comes by it.")
@click.option("--qr", is_flag=True, help="Draw it too, for a camera.")
@click.pass_context
def invite(context: click.Context, once: bool, ttl: str | None, petname: str | None, qr: bool) -> None:
    """Make an invite: a link by which people come in without asking.

    Whoever has it can use it, so give it only to those who shall come: p2pctl invite --once is for one person.
    They run: p2pctl contact add INVITE
    """
    if context.invoked_subcommand is not None:
        return
    caller = context.ensure_object(Caller)
    wanted: dict[str, Any] = {"once": once or None, "ttl": ttl, "as": petname}
    answer = caller.call("invite", **wanted)
    if caller.as_json:
        show_json(answer)
        return
    link = harmless_line(str(answer["link"]))
    if qr:
        from p2pctl.qr import show_qr

        show_qr(link)
    show(link)
    if "//" in link:
        click.echo(_NO_NODES, err=True)


@invite.command("list", examples=["p2pctl invite list", "p2pctl invite list --json"])
@click.pass_obj
def list_invites(caller: Caller) -> None:
    """Show the invites that are open, and who came by one that was used."""
    invites = caller.rows("invite.list")
    if caller.as_json:
        for entry in invites:
            show_json(entry)
    elif invites:
        rows = [
            (
                entry["id"],
                "one" if entry.get("once") else "several",
                clock(entry.get("expires_at")),
                len(entry.get("let_in") or ()),
                entry.get("as"),
            )
            for entry in invites
        ]
        show("\n".join(table(("id", "for", "until", "came", "as"), rows)))
        for entry in invites:
            for address in entry.get("late") or ():
                show(harmless_line(f"{address} came by {entry['id']} when it was used: p2pctl contact add"))
    else:
        show("no invite is open; make one with: p2pctl invite --once")


@invite.command("revoke", examples=["p2pctl invite revoke 3"])
@click.argument("id")
@click.pass_obj
def revoke(caller: Caller, id: str) -> None:
    """End an invite: nobody comes in by it any more; who has stays."""
    answer = caller.call("invite.revoke", id=id)
    if caller.as_json:
        show_json(answer)
    else:
        show(f"revoked {harmless_line(id)}")


COMMANDS: dict[str, click.Command] = {"invite": invite}
