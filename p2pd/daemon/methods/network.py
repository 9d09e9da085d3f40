"""The network seen from here: nodes, ways to people, and the DHT by hand."""

from collections import Counter
from typing import Annotated

from p2pd import limits
from p2pd.application import Facts
from p2pd.daemon.method import Answer, Duration, method
from p2pd.daemon.service import Service
from p2pd.daemon.shown import PORT_MAPPING, shown_facts
from p2pd.daemon.words import duration_s
from p2pd.effects import OTHER
from p2pd.engine import Engine
from p2pd.errors import NotFoundError, UsageError
from p2pd.net.traffic import Cause, Traffic
from p2pd.store import PathChoice
from p2pd.types import Now

_WAYS = (("sent", "out"), ("received", "in"))
ANSWER_S = 3 * limits.LOOKUP_S
"""A look-up, the stores after it, and as much again for a busy machine."""


@method("peer.list", needs_person=False, result={"peers": "list of `node_id`, `endpoint`, `rtt_ms`, `last_seen_s`"})
async def peer_list(service: Service) -> Answer:
    """The nodes that this one knows."""
    return {"peers": shown_facts(await service.ask(lambda engine, now: engine.peers(now)))}


@method("peer.add", needs_person=False, result={"asked": "list of the nodes asked, with their IP addresses"})
async def peer_add(service: Service, *, node: Annotated[str, "HOST:PORT or KEY@HOST:PORT"]) -> Answer:
    """Asks a node for the way into the network."""
    hints = await service.resolve_node(node)
    for hint in hints:
        await service.ask(lambda engine, now, hint=hint: engine.add_node(hint, now))  # type: ignore[misc]
    return {"asked": hints}


@method(
    "path",
    result={
        "to": "the person",
        "via": "direct, lan, relay, mailbox or none",
        "reason": "why so, and not otherwise",
        "cause": "the same in a word, for scripts: docs/usage.md lists them",
        "advice": "what would make it better; may be empty",
        "choice": "which ways are allowed: auto, direct or relay-only",
        "candidates": "what was tried last, a list of `candidate`, `how` (direct, lan, punched, relay, presence), "
        "`outcome`",
    },
)
async def path(
    service: Service,
    *,
    to: Annotated[str, "the person"],
    set_: Annotated[str, "which ways to allow from now on: auto, direct or relay-only"] = "",
) -> Answer:
    """How messages to a person travel now; or which ways they may take.

    With relay-only the person learns no address of ours: what they knew of it is changed, and only relays are told.
    """

    def ask(engine: Engine, now: Now) -> Facts:
        if set_:
            engine.set_path(to, _choice(set_), now)
        return engine.path(to, now)

    answer: Answer = shown_facts(await service.ask(ask))
    return answer


def _choice(text: str) -> PathChoice:
    try:
        return PathChoice(text)
    except ValueError:
        choices = ", ".join(choice.value for choice in PathChoice)
        raise UsageError(f"no such path: {text[:40]}", hint=f"one of: {choices}") from None


@method(
    "relay.status",
    needs_person=False,
    result={
        "carries": "whether this node carries for others now",
        "carried": "`guests`, `waiting`, `channels` now; `frames`, `bytes` since the start",
        "waits_at": "the relays where this node can be called: list of `node_id`, `endpoint`, `state`, `channels`",
    },
)
async def relay_status(service: Service) -> Answer:
    """What this node carries for others, and the relays that it uses itself."""
    answer: Answer = shown_facts(await service.ask(lambda engine, now: engine.relay_status()))
    return answer


@method(
    "net.stats",
    needs_person=False,
    result={
        "uptime_s": "since the start, as everything here is counted",
        "sent_bytes": "of the sockets, all causes together",
        "received_bytes": "the same",
        "sent_packets": "of the sockets",
        "received_packets": "the same",
        "connections": "QUIC's, now",
        "links": "people connected to directly, now",
        "port_mapping": PORT_MAPPING,
        "causes": "by cause: `sent_bytes`, `received_bytes`, and both with `_per_s`, the mean since the start; "
        "all causes together are what the sockets counted",
        "rejected": "by reason: how often something was dropped or refused",
        "socket": "what the sockets counted, as it is",
        "node": "what the node counted, as it is",
    },
)
async def net_stats(service: Service) -> Answer:
    """Traffic by cause, and what was refused and why."""
    node = await service.ask(lambda engine, now: {**engine.net_stats(now), "links": engine.status(now)["links"]})
    counts, uptime_s = dict(service.counts()), service.process_facts()["uptime_s"]
    totals = {f"{way}_{what}": counts.pop(f"{what} {name}", 0) for way, name in _WAYS for what in ("bytes", "packets")}
    return {
        "uptime_s": uptime_s,
        **totals,
        "connections": service.traffic.connections,
        "links": node.pop("links"),
        "port_mapping": [status.shown() for status in service.port_mapping()],
        "causes": {
            cause: sizes | {f"{way}_per_s": round(size / max(uptime_s, 1), 1) for way, size in sizes.items()}
            for cause, sizes in _causes(node, service.traffic, totals).items()
        },
        "rejected": dict(sorted((Counter(counts) + Counter(node["rejected"])).items())),
        "socket": dict(service.counts()),
        "node": shown_facts(node),
    }


def _causes(node: Facts, traffic: Traffic, totals: dict[str, int]) -> dict[str, dict[str, int]]:
    """Bytes by cause, the busiest first, each datagram counted once; `other` is what is left of the sockets' bytes.

    What left the network has counted; of what came it knows QUIC's, and the core the DHT's own datagrams.
    """
    found = {cause: {"sent_bytes": 0, "received_bytes": 0} for cause in (*node["sent"], *Cause, OTHER)}
    for cause, sizes in found.items():
        datagrams = node["received"].get(cause, 0) - node["over_quic"].get(cause, 0)
        sizes |= {"sent_bytes": traffic.sent[cause], "received_bytes": traffic.received[cause] + datagrams}
    for way, total in ((f"{way}_bytes", totals[f"{way}_bytes"]) for way, _ in _WAYS):
        found[OTHER][way] += max(0, total - sum(sizes[way] for sizes in found.values()))
    return dict(sorted(found.items(), key=lambda entry: (entry[0] == OTHER, -sum(entry[1].values()), entry[0])))


@method(
    "dht.stats",
    needs_person=False,
    result={
        "nodes": "in the table",
        "network_size": "servers there seem to be, ours included",
        "serves": "whether others may store here",
        "endpoint": "where most others see this node",
        "records": "held for others",
        "record_bytes": "of those",
        "quota_bytes": "what they may take",
        "records_by_kind": "`single`, `set`, `open_set`, `tombstone`: `records` and `bytes` of each",
        "listeners": "who is told at once of what arrives here",
        "lookups": "that went to their end: `count`, `failed`, `p50_ms`, `p99_ms`, mean `rounds`; of the last 1,000",
        "gets": "of one's own, the same; `failed` found nothing, and too few answered to say that nothing is there",
        "puts": "of one's own, the same; `failed` got too few receipts",
        "refresh": "`rounds` through all records, `records_sent` to others",
        "crowded": "look-ups whose region looked as if someone had put nodes there",
        "round_trip_ms": "the mean to nodes asked lately",
        "clock_offset_ms": "what to add to the clock, by most others; 0 below five",
    },
)
async def dht_stats(service: Service) -> Answer:
    """What the DHT holds here, and how its work goes."""
    answer: Answer = shown_facts(await service.ask(lambda engine, now: engine.dht_stats(now)))
    return answer


@method(
    "dht.table",
    needs_person=False,
    result={
        "buckets": "list of the table's nodes: `shared_bits` with ours, which is the bucket, `node_id`, `endpoint`, "
        "`rtt_ms`, `last_seen_s`"
    },
)
async def dht_table(service: Service) -> Answer:
    """The routing table, the nodes nearest to this one last."""
    rows = await service.ask(lambda engine, now: engine.dht_table(now))
    return {"buckets": shown_facts(sorted(rows, key=lambda row: (row["shared_bits"], row["last_seen_s"])))}


@method("dht.put", needs_person=False, result={"key": "under which `dht.get` finds it"})
async def dht_put(
    service: Service,
    *,
    value: Annotated[str, "what to store"],
    ttl: Annotated[Duration, "how long it lives: seconds, or 1h, 30m; 15d at most"] = limits.HOUR_S,
) -> Answer:
    """Stores a small signed record under a key of the node's own."""
    ttl_s = duration_s(str(ttl), "ttl")
    if not 0 < ttl_s <= limits.RECORD_LIFE_MAX_S:
        raise UsageError(f"ttl must be 1 s to {limits.RECORD_LIFE_MAX_S // limits.DAY_S} d", hint="an hour is usual")
    facts: Facts = await service.wait_for(
        lambda engine, now, then: engine.dht_put(value.encode(), ttl_s, now, then), ANSWER_S
    )
    answer: Answer = shown_facts(facts)
    return answer


@method(
    "dht.get",
    needs_person=False,
    result={
        "key": "as given",
        "value": "what is stored there, in hex where it is not text",
        "is_text": "whether it is",
        "rounds": "hops of the look-up",
        "messages": "requests sent",
        "elapsed_ms": "time taken",
    },
)
async def dht_get(service: Service, *, key: Annotated[str, "what `dht.put` answered"]) -> Answer:
    """Looks a record up."""
    facts: Facts | None = await service.wait_for(lambda engine, now, then: engine.dht_get(key, now, then), ANSWER_S)
    if facts is None:
        raise NotFoundError(f"nothing valid is stored under {key[:64]}", hint="it may have expired; check the key")
    answer: Answer = shown_facts(facts)
    return answer | _shown_value(facts["value"])


def _shown_value(value: bytes) -> Answer:
    try:
        return {"value": value.decode(), "is_text": True}
    except UnicodeDecodeError:
        return {"value": value.hex(), "is_text": False}


METHODS = (peer_list, peer_add, path, relay_status, net_stats, dht_stats, dht_table, dht_put, dht_get)
