"""The network seen from here: `peer`, `path`, `net`, `dht`."""

import sys
from typing import Any

import click

from p2pctl.caller import Caller
from p2pctl.commands import command, group, person
from p2pctl.harmless import harmless_line
from p2pctl.terminal import duration, pairs, show, show_json, size, table
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


@command("path", examples=["p2pctl path bob", "p2pctl path bob --set relay-only"])
@person("to", metavar="TO")
@click.option("--set", "choice", type=click.Choice(["auto", "direct", "relay-only"]), help="Which ways to allow.")
@click.pass_obj
def path(caller: Caller, to: str, choice: str | None) -> None:
    """Show how messages to TO travel now, and why not otherwise.

    With --set it is you who chooses: `direct` never uses a relay; `relay-only` always does, and TO learns no IP address
    of yours from then on.
    """
    wanted: dict[str, Any] = {"to": to, "set": choice}
    answer = caller.call("path", **wanted)
    if caller.as_json:
        show_json(answer)
        return
    candidates = answer.pop("candidates", None) or []
    show("\n".join(pairs({key: value for key, value in answer.items() if value})))
    if candidates:
        show("\ntried last:")
        rows = [[str(each.get(key, "")) for key in ("how", "candidate", "outcome")] for each in candidates]
        show("\n".join(table(("how", "where", "outcome"), rows)))


@group("relay")
def relay() -> None:
    """Relays: what this node carries for others, and those it uses."""


@relay.command("status", examples=["p2pctl relay status", "p2pctl relay status --json"])
@click.pass_obj
def relay_status(caller: Caller) -> None:
    """Show what this node carries for others, and the relays where it can be called."""
    answer = caller.glance("relay.status")
    if caller.as_json:
        show_json(answer)
        return
    carried = answer["carried"]
    facts = {"carries for others": "yes" if answer["carries"] else "no"} | {
        key: carried[key] for key in ("guests", "waiting", "channels", "frames", "bytes")
    }
    show("\n".join(pairs(facts)))
    waits = [[str(row[key]) for key in ("node_id", "endpoint", "state", "channels")] for row in answer["waits_at"]]
    show("\nwaits at:" if waits else "\nwaits at no relay: it needs none, or knows none yet")
    if waits:
        show("\n".join(table(("node", "endpoint", "state", "channels"), waits)))


@group("net")
def net() -> None:
    """Traffic."""


@net.command("stats", examples=["p2pctl net stats", "p2pctl net stats --watch", "p2pctl net stats --json"])
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C, with what the last one brought.")
@click.pass_obj
def net_stats(caller: Caller, watch: bool) -> None:
    """Show traffic by cause, since the start and per second, and what was refused.

    The causes are explained in docs/operations.md.
    """
    from p2pctl.traffic import Traffic, picture
    from p2pctl.watching import show_or_watch

    traffic = Traffic(caller)
    show_or_watch(caller, traffic.take, picture, watch=watch)


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


@dht.command("stats", examples=["p2pctl dht stats", "p2pctl dht stats --watch", "p2pctl dht stats --json"])
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@click.pass_obj
def dht_stats(caller: Caller, watch: bool) -> None:
    """Show what is kept for others, and how look-ups, gets and puts go."""
    from p2pctl.watching import show_or_watch

    show_or_watch(caller, lambda: caller.glance("dht.stats"), _figures, watch=watch)


def _figures(answer: dict[str, Any]) -> list[str]:
    share = 100 * answer["record_bytes"] / max(1, answer["quota_bytes"])
    general = {
        "nodes": f"{answer['nodes']} in the table, of about {answer['network_size']} servers",
        "serves": answer["serves"],
        "seen at": answer["endpoint"],
        "round trip": f"{answer['round_trip_ms']} ms",
        "clock": f"{answer['clock_offset_ms']} ms to be added" if answer["clock_offset_ms"] else "not corrected",
        "kept for others": f"{answer['records']} records, {size(answer['record_bytes'])}, "
        f"{share:.0f} % of {size(answer['quota_bytes'])}",
        "listeners": answer["listeners"],
        "refresh": f"{answer['refresh']['rounds']} rounds, {answer['refresh']['records_sent']} records given to others",
        "alarm": f"{answer['crowded']} look-ups met a crowded region" if answer["crowded"] else "none",
    }
    kinds = [(kind, held["records"], size(held["bytes"])) for kind, held in answer["records_by_kind"].items()]
    works = [
        (name, work["count"], work["failed"], work["p50_ms"], work["p99_ms"], work["rounds"])
        for name, work in ((name, answer[name]) for name in ("lookups", "gets", "puts"))
    ]
    titles = ("", "done", "failed", "p50 ms", "p99 ms", "rounds")
    return [*pairs(general), "", *table(("kept", "records", "bytes"), kinds), "", *table(titles, works)]


@dht.command("table", examples=["p2pctl dht table", "p2pctl dht table --json"])
@click.pass_obj
def dht_table(caller: Caller) -> None:
    """Show the routing table: each bucket's nodes, how far they are, and when they were last heard.

    A bucket is how many bits a node's place shares with ours: the higher, the nearer.
    """
    rows = caller.rows("dht.table")
    if caller.as_json:
        for row in rows:
            show_json(row)
        return
    before, shown = None, []
    for row in rows:
        bucket = row.get("shared_bits")
        rtt = row.get("rtt_ms")
        shown.append(
            (
                " " if bucket == before else bucket,
                str(row.get("node_id"))[:12],
                row.get("endpoint"),
                f"{rtt:.1f}" if isinstance(rtt, float) else rtt,
                duration(row.get("last_seen_s")),
            )
        )
        before = bucket
    titles = ("bucket", "node", "endpoint", "round trip ms", "last seen")
    show("\n".join(table(titles, shown)) if shown else "the table is empty")
    if shown:
        show(f"{len(rows)} nodes in {len({row.get('shared_bits') for row in rows})} buckets")


COMMANDS: dict[str, click.Command] = {"peer": peer, "path": path, "relay": relay, "net": net, "dht": dht}
