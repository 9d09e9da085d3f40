"""Oneself: `id` and `profile`."""

import click

from p2pctl.caller import Caller
from p2pctl.commands import command, group
from p2pctl.harmless import harmless_line
from p2pctl.terminal import pairs, show, show_json


@command("id", examples=["p2pctl id", "p2pctl id --link", "p2pctl id --link --qr", "p2pctl id --json"])
@click.option("--link", is_flag=True, help="The address with a few nodes, by which a newcomer can join at once.")
@click.option("--qr", is_flag=True, help="Draw it too, for a camera.")
@click.pass_obj
def identity(caller: Caller, link: bool, qr: bool) -> None:
    """Show your address, which others add you by."""
    answer = caller.call("id", link=link or None)
    shown = harmless_line(str(answer.get("link") or answer["address"]))
    if caller.as_json:
        show_json(answer)
        return
    if qr:
        from p2pctl.qr import show_qr

        show_qr(shown)
    if link:
        show(shown)
    else:
        show("\n".join(pairs({key: answer.get(key) for key in ("address", "fingerprint", "name")})))


@group("profile")
def profile() -> None:
    """Show or set what your contacts see of you."""


@profile.command("show", examples=["p2pctl profile show"])
@click.pass_obj
def profile_show(caller: Caller) -> None:
    """Show your profile."""
    answer = caller.call("profile.show")
    if caller.as_json:
        show_json(answer)
    else:
        show("\n".join(pairs(answer)))


@profile.command("set", examples=["p2pctl profile set --name Alice"])
@click.option("--name", required=True, help="The name that those whom you write to see.")
@click.pass_obj
def profile_set(caller: Caller, name: str) -> None:
    """Set your name."""
    answer = caller.call("profile.set", name=name)
    if caller.as_json:
        show_json(answer)
    else:
        show(f"your name is {harmless_line(name)}")


COMMANDS = {"id": identity, "profile": profile}
