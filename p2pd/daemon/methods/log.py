"""The log of events: `events`, `events.follow`, `ack`."""

from collections.abc import Iterator
from typing import Annotated

from p2pd import limits
from p2pd.daemon.method import Answer, Push, method
from p2pd.daemon.pages import first_page
from p2pd.daemon.service import Service
from p2pd.daemon.shown import shown_event
from p2pd.engine import Engine
from p2pd.errors import UsageError
from p2pd.store import Event
from p2pd.types import Now

CONSUMER_CHARS = 64
_SINCE_HELP = "only what came after this cursor; `now` for nothing of the past"
_TYPE_HELP = "only events of these types, with commas between them"
_CONSUMER_HELP = (
    "go on after what this consumer has acknowledged; a new one begins at the oldest event kept, or with `now` at the "
    "present"
)


def cursor_of(engine: Engine, since: str | int) -> int:
    """The cursor that a caller means; UsageError where it is none."""
    if since == "now":
        return engine.newest_cursor()
    if since == "":
        return 0
    words = str(since)
    if not (words.isascii() and words.isdigit() and len(words) < 19):
        raise UsageError(f"since is not a cursor: {words[:40]!r}", hint="give the `cursor` of an event, or `now`")
    return int(words)


def _start(engine: Engine, since: str | int, consumer: str) -> int:
    """Where to begin: `since` where it is given, else after what the consumer acknowledged.

    A new consumer that begins now is noted, so that it misses nothing that comes while it is down before its first ack.
    """
    if not consumer:
        return cursor_of(engine, since)
    acknowledged = engine.consumer(_consumer(consumer))
    start = acknowledged if since == "" else cursor_of(engine, since)
    if since == "now" and not acknowledged:
        engine.acknowledge(consumer, start)
    return start


def _consumer(name: str) -> str:
    if not (0 < len(name) <= CONSUMER_CHARS and name.isprintable()):
        raise UsageError(f"a consumer's name has 1 to {CONSUMER_CHARS} printable characters", hint="choose a short one")
    return name


def _types(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


@method(
    "events",
    needs_person=False,
    result={
        "events": "list of `cursor`, `type`, `at`, `data`",
        "cursor": "up to where the log was read",
        "next": "where the list is longer than a line: the parameters for the rest",
    },
)
async def events(
    service: Service,
    *,
    since: Annotated[str | int, _SINCE_HELP] = "",
    consumer: Annotated[str, _CONSUMER_HELP] = "",
    type: Annotated[str, _TYPE_HELP] = "",
    limit: Annotated[int, "the oldest so many of those"] = limits.EVENTS_KEPT,
) -> Answer:
    """What is in the log of events now."""
    if not 1 <= limit <= limits.EVENTS_KEPT:
        raise UsageError(f"limit must be 1 to {limits.EVENTS_KEPT}", hint="page with since for more")

    def look(engine: Engine, now: Now) -> Answer:
        after = _start(engine, since, consumer)
        page = first_page(shown_event(event) for event in _read(engine, after, _types(type), limit))
        reached = page[-1]["cursor"] if page else after
        more = len(page) < limit and engine.events(reached, 1, _types(type))
        rest = {"next": {"since": reached, "limit": limit - len(page)}} if more else {}
        return {"events": page, "cursor": reached if more else max(reached, engine.newest_cursor())} | rest

    return await service.ask(look)


def _read(engine: Engine, after: int, types: tuple[str, ...], limit: int) -> Iterator[Event]:
    """Events after a cursor, in order, read a batch at a time and only as far as they are asked for."""
    while limit > 0:
        batch = engine.events(after, min(limit, limits.CONTROL_EVENTS), types)
        if not batch:
            return
        yield from batch
        after, limit = batch[-1].cursor, limit - len(batch)


async def _push_events(service: Service, arguments: Answer, answer: Answer, push: Push) -> None:
    """Gives every event after the answer's cursor to `push`, without end."""
    types, after = _types(arguments.get("type", "")), answer["since"]

    def look(engine: Engine, now: Now) -> tuple[int, list[Event]]:
        found = engine.events(after, limits.CONTROL_EVENTS, types)
        full = len(found) == limits.CONTROL_EVENTS
        return (found[-1].cursor if full else engine.newest_cursor()), found

    while True:
        reached, found = await service.ask(look)
        for event in found:
            await push(shown_event(event))
        if reached <= after:
            await service.bell.beyond(after)
        after = max(after, reached)


@method(
    "events.follow",
    needs_person=False,
    result={
        "since": "the cursor that it begins after; each event then comes as a notification `event` with "
        "`request` (the call's id) and `event` (`cursor`, `type`, `at`, `data`), until the connection is closed",
    },
    afterwards=_push_events,
)
async def follow(
    service: Service,
    *,
    since: Annotated[str | int, _SINCE_HELP] = "",
    consumer: Annotated[str, _CONSUMER_HELP] = "",
    type: Annotated[str, _TYPE_HELP] = "",
) -> Answer:
    """Events as they happen, from any cursor on."""
    return {"since": await service.ask(lambda engine, now: _start(engine, since, consumer))}


@method("ack", needs_person=False, result={"name": "of the consumer", "cursor": "what it has done with"})
async def ack(
    service: Service,
    *,
    name: Annotated[str, "of the consumer"],
    cursor: Annotated[int, "of the last event that it has done with"],
) -> Answer:
    """Notes how far a consumer has come."""
    if not 0 <= cursor < 2**63:
        raise UsageError(f"no cursor: {cursor}", hint="give the `cursor` of an event")
    await service.ask(lambda engine, now: engine.acknowledge(_consumer(name), cursor))
    return {"name": name, "cursor": cursor}


METHODS = (events, follow, ack)
