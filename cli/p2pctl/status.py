"""`status`: how the daemon is, at a glance or watched."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from p2pctl.caller import Caller
from p2pctl.commands import command
from p2pctl.terminal import duration, pairs, show, show_json, size

_PARTS: dict[object, str] = {True: "serves others", False: "a client, not reached so far"}


@command("status", examples=["p2pctl status", "p2pctl status --json", "p2pctl status --watch"])
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@click.pass_obj
def status(caller: Caller, watch: bool) -> None:
    """Show how the daemon is: address, network, what it keeps and uses."""
    if watch:
        from p2pctl.watching import show_or_watch

        show_or_watch(caller, lambda: caller.glance("status"), _picture, watch=True)
        return
    values = caller.glance("status")
    show_json(values) if caller.as_json else show("\n".join(_picture(values)))


def _picture(values: Mapping[str, Any]) -> list[str]:
    return pairs(_for_a_person(values))


def _for_a_person(values: Mapping[str, Any]) -> dict[str, object]:
    table = values.get("dht") or {}
    shown: dict[str, object] = {
        "address": values.get("address"),
        "node": values.get("node_id"),
        "version": values.get("version"),
        "up": duration(values.get("uptime_s")),
        "listens on": values.get("listen"),
        "network": f"{_counted(table.get('nodes'), 'node')} known; {_PARTS.get(table.get('serves'), 'part unknown')}",
        "keeps for others": f"{_counted(table.get('records'), 'record')}, {size(table.get('record_bytes'))}",
        "port mapping": mapping_words(values.get("port_mapping")),
        "local network": lan_words(values.get("lan")),
        "links": values.get("links"),
        "outbox": values.get("outbox"),
        "memory": size(values.get("rss_bytes")),
        "traffic": f"{size(values.get('bytes_in'))} in, {size(values.get('bytes_out'))} out",
    }
    known = {
        "address",
        "node_id",
        "version",
        "uptime_s",
        "listen",
        "dht",
        "lan",
        "links",
        "port_mapping",
        "outbox",
        "rss_bytes",
    }
    rest = values.keys() - known - {"bytes_in", "bytes_out"}
    return shown | {name.replace("_", " "): values[name] for name in values if name in rest}


def _counted(number: object, thing: str) -> str:
    return f"{'-' if number is None else number} {thing}{'' if number == 1 else 's'}"


def lan_words(lan: Mapping[str, Any] | None) -> str:
    """What is on the local network, on one line."""
    if not lan or not lan.get("on"):
        return "off"
    words = _counted(lan.get("neighbours"), "other node")
    return f"{words}; no node elsewhere is known" if lan.get("island") else words


def mapping_words(families: Sequence[Mapping[str, Any]] | None) -> str:
    """How port mapping stands, on one line."""
    words = [
        f"{family['endpoint']} by {family['method']}" if family["endpoint"] else f"{family['family']}: {_why(family)}"
        for family in families or ()
    ]
    return "; ".join(words) or "off"


def _why(family: Mapping[str, Any]) -> str:
    return str(family["failure"] or "asking the router")


COMMANDS = {"status": status}
