"""The network seen from here: `peer`, `path`, `net`, `dht`."""

import sys

import click

from p2pctl.caller import Caller
from p2pctl.commands import command, group, person
from p2pctl.harmless import harmless_line
from p2pctl.terminal import duration, pairs, show, show_json, table
from p2pd.errors import UsageError

VALUE_BYTES = 16 * 1024
"""The largest value that is read from standard input; the daemon has the final say."""


@group("peer")
def peer() -> None:
    """See and add nodes."""


@peer.command("list", examples=["p2pctl peer list", "p2pctl peer list --json"])
@click.pass_obj
def list_peers(caller: Caller) -> None:
    """Show the nodes that this one knows."""
    peers = caller.rows("peer.list")
    if caller.as_json:
        for entry in peers:
            show_json(entry)
        return
    rows = [
        (str(entry.get("node_id"))[:12], entry.get("endpoint"), entry.get("rtt_ms"), duration(entry.get("last_seen_s")))
        for entry in peers
    ]
    show("\n".join(table(("node", "endpoint", "round trip ms", "last seen"), rows)) if rows else "no nodes known yet")


@peer.command("add", examples=["p2pctl peer add 192.0.2.7:4040"])
@click.argument("node", metavar="[KEY@]HOST:PORT")
@click.pass_obj
def add_peer(caller: Caller, node: str) -> None:
    """Ask a node for the way into the network."""
    answer = caller.call("peer.add", node=node)
    if caller.as_json:
        show_json(answer)
    else:
        show(f"asking {harmless_line(node)}")


@command("path", examples=["p2pctl path bob"])
@person("to", metavar="TO")
@click.pass_obj
def path(caller: Caller, to: str) -> None:
    """Show how messages to TO travel now, and why not otherwise."""
    answer = caller.call("path", to=to)
    if caller.as_json:
        show_json(answer)
    else:
        show("\n".join(pairs(answer)))


@group("net")
def net() -> None:
    """Traffic."""


@net.command("stats", examples=["p2pctl net stats", "p2pctl net stats --json"])
@click.pass_obj
def net_stats(caller: Caller) -> None:
    """Show packets and bytes by cause."""
    _show_flat(caller, caller.call("net.stats"))


@group("dht")
def dht() -> None:
    """Look into the distributed table."""


@dht.command("get", examples=["p2pctl dht get ybndrfg8ejkm"])
@click.argument("key")
@click.pass_obj
def dht_get(caller: Caller, key: str) -> None:
    """Look a record up by its key."""
    answer = caller.call("dht.get", key=key)
    if caller.as_json:
        show_json(answer)
    else:
        show("\n".join(pairs(answer)))


@dht.command("put", examples=["p2pctl dht put hello", "p2pctl dht put --ttl 1h hello", "date | p2pctl dht put -"])
@click.argument("value", metavar="VALUE|-")
@click.option("--ttl", metavar="TIME", help="How long it lives: 1h, 30m.")
@click.pass_obj
def dht_put(caller: Caller, value: str, ttl: str | None) -> None:
    """Store a small signed record and print its key."""
    answer = caller.call("dht.put", value=_value_from_stdin() if value == "-" else value, ttl=ttl)
    if caller.as_json:
        show_json(answer)
    else:
        show(harmless_line(str(answer["key"])))


def _value_from_stdin() -> str:
    data = sys.stdin.buffer.read(VALUE_BYTES + 1)
    if len(data) > VALUE_BYTES:
        raise UsageError(f"standard input has more than {VALUE_BYTES} bytes", hint="store something smaller")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        hint = "convert it first, as with: base64"
        raise UsageError(f"standard input is not UTF-8 at byte {error.start}", hint=hint) from None


@dht.command("stats", examples=["p2pctl dht stats"])
@click.pass_obj
def dht_stats(caller: Caller) -> None:
    """Show figures of the table, look-ups and records."""
    _show_flat(caller, caller.call("dht.stats"))


@dht.command("table", examples=["p2pctl dht table"])
@click.pass_obj
def dht_table(caller: Caller) -> None:
    """Show the buckets of the routing table."""
    rows = caller.rows("dht.table")
    if caller.as_json:
        for row in rows:
            show_json(row)
    elif rows:
        show("\n".join(table(tuple(rows[0]), [tuple(row.values()) for row in rows])))
    else:
        show("the table is empty")


def _show_flat(caller: Caller, answer: dict[str, object]) -> None:
    """Figures, and figures within them, a line each."""
    if caller.as_json:
        show_json(answer)
        return
    flat: dict[str, object] = {}
    for name, value in answer.items():
        flat |= {f"{name}.{part}": inner for part, inner in value.items()} if isinstance(value, dict) else {name: value}
    show("\n".join(pairs({harmless_line(name): value for name, value in flat.items()})))


COMMANDS: dict[str, click.Command] = {"peer": peer, "path": path, "net": net, "dht": dht}
