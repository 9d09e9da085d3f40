"""The daemon itself: how it is, who it is, and its end."""

import os
from pathlib import Path
from typing import Annotated

from p2pd.daemon.method import Answer, Push, method
from p2pd.daemon.service import Service
from p2pd.daemon.shown import PORT_MAPPING, REACH, shown_facts
from p2pd.engine import Engine
from p2pd.errors import FailedError, StorageError, UsageError
from p2pd.settings import read_bootstrap
from p2pd.storage.keys import Wrapped, read_keys
from p2pd.types import Now

_LAN = (
    "the local network: `on`, `networks` (our addresses in those that are used), `neighbours` announced there, "
    "`island` (no other node is known)"
)


@method(
    "status",
    needs_person=False,
    result={
        "address": "the person's address; empty where the node only stores",
        "node_id": "the node's place in the DHT",
        "version": "of p2pd",
        "uptime_s": "since the start",
        "listen": "list of HOST:PORT",
        "dht": "`nodes` in the table, `records` held for others, `record_bytes`",
        "reach": REACH,
        "links": "people connected to directly",
        "port_mapping": PORT_MAPPING,
        "lan": _LAN,
        "outbox": "messages not delivered yet",
        "rss_bytes": "memory of the process",
        "bytes_in": "received since the start",
        "bytes_out": "sent since the start",
        "pid": "the process",
        "home": "its folder",
        "passphrase": "whether the home has one; null where its key file cannot be read",
    },
)
async def status(service: Service) -> Answer:
    """How the daemon is, at a glance."""
    facts = await service.ask(lambda engine, now: engine.status(now))
    address = "" if service.settings.storage_only else await service.ask(lambda engine, now: engine.address)
    counts = service.counts()
    listen = {"listen": [str(endpoint) for endpoint in service.listen]}
    traffic = {"bytes_in": counts.get("bytes in", 0), "bytes_out": counts.get("bytes out", 0)}
    shown: Answer = shown_facts(facts)
    more = {
        "port_mapping": [status.shown() for status in service.port_mapping()],
        "lan": _lan(service, facts),
        "passphrase": _has_passphrase(service.home),
    }
    return {"address": address, **service.process_facts(), **listen, **traffic, **shown, **more}


def _lan(service: Service, facts: Answer) -> Answer:
    return {**facts["lan"], "networks": service.lan_networks()}


def _has_passphrase(home: Path) -> bool | None:
    try:
        return isinstance(read_keys(home), Wrapped)
    except StorageError:
        return None


def _own(engine: Engine) -> Answer:
    return {"address": engine.address, "fingerprint": engine.fingerprint, "name": engine.name}


@method(
    "id",
    result={
        "address": "what others add one by",
        "fingerprint": "the same key, for comparing aloud",
        "name": "what one calls oneself",
        "link": "with `link`: the address with node hints",
    },
)
async def identity(
    service: Service, *, link: Annotated[bool, "also give the contact link, for newcomers"] = False
) -> Answer:
    """One's own address."""

    def own(engine: Engine, now: Now) -> Answer:
        return _own(engine) | ({"link": engine.link(now)} if link else {})

    return await service.ask(own)


_PROFILE = {"address": "one's own", "fingerprint": "of the same key", "name": "what one calls oneself"}


@method("profile.show", result=_PROFILE)
async def profile_show(service: Service) -> Answer:
    """What others see of oneself."""
    return await service.ask(lambda engine, now: _own(engine))


@method("profile.set", result=_PROFILE)
async def profile_set(service: Service, *, name: Annotated[str, "what one calls oneself"]) -> Answer:
    """Changes what others see of oneself."""

    def change(engine: Engine, now: Now) -> Answer:
        engine.set_name(name, now)
        return _own(engine)

    return await service.ask(change)


async def _lock(service: Service, arguments: Answer, answer: Answer, push: Push) -> None:
    service.lock()


@method("lock", needs_person=False, while_locked=True, result={"locked": "true"}, afterwards=_lock)
async def lock(service: Service) -> Answer:
    """Forgets all keys and everything said until `unlock`; the answer comes before that."""
    if not isinstance(read_keys(service.home), Wrapped):
        raise FailedError("this home has no passphrase, so nothing could unlock it", hint="set one: p2pctl passphrase")
    return {"locked": True}


async def _go_on(service: Service, arguments: Answer, answer: Answer, push: Push) -> None:
    if service.locked is not None:
        service.locked.leave()


@method("unlock", needs_person=False, while_locked=True, result={"unlocked": "true"}, afterwards=_go_on)
async def unlock(
    service: Service, *, passphrase: Annotated[str, "the home's; none where it was removed meanwhile"] = ""
) -> Answer:
    """Gives a locked daemon its passphrase; it starts once it has answered."""
    if service.locked is None:
        raise FailedError("the daemon is not locked")
    await service.locked.open(passphrase.encode())
    return {"unlocked": True}


async def _end(service: Service, arguments: Answer, answer: Answer, push: Push) -> None:
    service.stop()


@method(
    "doctor",
    needs_person=False,
    result={
        "version": "of p2pd",
        "pid": "the process",
        "uptime_s": "since the start",
        "listen": "list of HOST:PORT",
        "network": "the network's name",
        "private": "whether it is a network of one's own",
        "role": "auto, server or client",
        "storage_bytes": "bytes that may be kept for others",
        "first_nodes": "list of the nodes to ask for the way",
        "nodes": "in the table",
        "serves": "whether others reach this node",
        "endpoint": "where most others see this node; null while none has said",
        "clock_offset_ms": "what to add to the clock, by most others; 0 below five",
        "reach": REACH,
        "port_mapping": PORT_MAPPING,
        "port_mapping_is_on": "whether the settings want it",
        "lan": _LAN,
        "lan_is_on": "whether the settings want it",
    },
)
async def doctor(service: Service) -> Answer:
    """What `p2pctl doctor` needs to know of a running daemon; the checks are its own."""
    facts = await service.ask(lambda engine, now: engine.status(now))
    known = {key: facts["dht"][key] for key in ("nodes", "serves", "endpoint", "clock_offset_ms")}
    process = {key: value for key, value in service.process_facts().items() if key in ("version", "pid", "uptime_s")}
    keys = ("network", "private", "role", "storage_bytes")
    settings = {key: getattr(service.settings, key) for key in keys}
    return {
        **process,
        **settings,
        **known,
        "reach": facts["reach"],
        "listen": [str(endpoint) for endpoint in service.listen],
        "first_nodes": _first_nodes(service),
        "port_mapping": [status.shown() for status in service.port_mapping()],
        "port_mapping_is_on": service.settings.port_mapping,
        "lan": _lan(service, facts),
        "lan_is_on": service.settings.lan,
    }


def _first_nodes(service: Service) -> list[str]:
    """Those that the settings name; none where the list cannot be read any more."""
    try:
        return list(read_bootstrap(service.settings))
    except UsageError:
        return []


@method(
    "stop",
    needs_person=False,
    while_locked=True,
    result={"stopping": "true", "pid": "the process"},
    afterwards=_end,
)
async def stop(service: Service) -> Answer:
    """Ends the daemon cleanly; the answer comes before the end."""
    return {"stopping": True, "pid": os.getpid()}


@method(
    "rpc.discover",
    needs_person=False,
    while_locked=True,
    result={"methods": "list of `name`, `help`, `parameters`, `result`"},
)
async def rpc_discover(service: Service) -> Answer:
    """This table."""
    from p2pd.daemon.methods import discover

    return {"methods": discover()}


METHODS = (status, doctor, identity, profile_show, profile_set, lock, unlock, stop, rpc_discover)
