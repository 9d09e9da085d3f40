"""The network seen from here: nodes, ways to people, and the DHT by hand."""

from typing import Annotated

from p2pd import limits
from p2pd.daemon.method import Answer, Duration, method
from p2pd.daemon.service import Service
from p2pd.daemon.shown import shown_facts
from p2pd.daemon.words import duration_s
from p2pd.engine import Facts
from p2pd.errors import NotFoundError, UsageError

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
        "candidates": "other ways",
    },
)
async def path(service: Service, *, to: Annotated[str, "the person"]) -> Answer:
    """How messages to a person travel now."""
    answer: Answer = shown_facts(await service.ask(lambda engine, now: engine.path(to, now)))
    return answer


@method(
    "net.stats",
    needs_person=False,
    result={"socket": "what the sockets counted, by reason", "node": "what the node counted, by reason"},
)
async def net_stats(service: Service) -> Answer:
    """Traffic, and what was refused and why."""
    node = await service.ask(lambda engine, now: engine.net_stats(now))
    return {"socket": dict(service.counts()), "node": shown_facts(node)}


@method(
    "dht.stats", needs_person=False, result={"nodes": "in the table", "records": "held", "record_bytes": "of those"}
)
async def dht_stats(service: Service) -> Answer:
    """Figures of the DHT."""
    status = await service.ask(lambda engine, now: engine.status(now))
    answer: Answer = shown_facts(status["dht"])
    return answer


@method("dht.table", needs_person=False, result={"buckets": "list of the table's buckets"})
async def dht_table(service: Service) -> Answer:
    """The routing table."""
    return {"buckets": shown_facts(await service.ask(lambda engine, now: engine.dht_table(now)))}


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


METHODS = (peer_list, peer_add, path, net_stats, dht_stats, dht_table, dht_put, dht_get)
