"""What people say to each other: `send`, `history`, `why`, `recall`, `read`, `wait`."""

import asyncio
from typing import Annotated, Literal

from p2pd import limits
from p2pd.daemon.bell import News
from p2pd.daemon.method import Answer, Duration, method
from p2pd.daemon.methods.log import cursor_of
from p2pd.daemon.pages import first_page
from p2pd.daemon.service import Service
from p2pd.daemon.shown import shown_event, shown_message, shown_reasons, shown_recall, shown_sent
from p2pd.daemon.words import duration_s, since_ms
from p2pd.engine import Engine
from p2pd.errors import FailedError, NotFoundError, TimeUpError, UsageError
from p2pd.store import Direction, Message, MessageState
from p2pd.types import Now
from p2pd.wire.address import encode_address, encode_id

_LEVELS = {
    "stored": {MessageState.STORED, MessageState.DELIVERED, MessageState.READ},
    "delivered": {MessageState.DELIVERED, MessageState.READ},
    "read": {MessageState.READ},
}
_HOPELESS = {MessageState.EXPIRED, MessageState.FAILED, MessageState.RECALLED}


@method(
    "send",
    result={
        "id": "of the message, the same on both ends",
        "to": "the recipient's address",
        "name": "what we call them",
        "state": "queued, stored, delivered, read, expired, recalling, recalled or failed",
        "sent_at": "when it was accepted",
    },
)
async def send(
    service: Service,
    *,
    to: Annotated[
        str, "a name, an address, a link or an invite; an unknown address is added, the text being the request"
    ],
    text: Annotated[str, "what to say, 1 byte to 256 KiB of UTF-8"],
    reply: Annotated[str, "the id of the message that this one answers"] = "",
    expire: Annotated[Duration, "give up after this long: seconds, or 1d, 12h, 30m; 30d at most"] = 0,
    request_id: Annotated[str, "a name of the caller's for this call: repeating it never sends twice"] = "",
    wait: Annotated[Literal["", "stored", "delivered", "read"], "answer only once it is that far"] = "",
    timeout_s: Annotated[float, "how long to wait; then the error is time_up, and the message goes on"] = limits.WAIT_S,
) -> Answer:
    """Sends a text; answers as soon as it is on disk."""
    if not text:
        raise UsageError("there is no text to send", hint="give it as text")
    expire_s, within_s = duration_s(str(expire), "expire"), _bounded(timeout_s)
    if not expire_s and expire != 0:  # who says so wants no text that stays for ever
        raise UsageError("a text cannot end at once", hint="give at least 1s, or no end")

    with News(service.bell) as news:

        def start(engine: Engine, now: Now) -> tuple[Message, str]:
            message = engine.send(to, text, now, reply=reply, expire_s=expire_s, request_id=request_id)
            if wait:
                news.of(message.message)
            return message, engine.petname(message.contact)

        message, name = await service.ask(start)
        state = await _reached(news, message, wait, within_s) if wait else message.state
    return shown_sent(message, state, name) | ({"request_id": request_id} if request_id else {})


async def _reached(news: News, message: Message, level: str, within_s: float) -> MessageState:
    """The message's state once it is at the level.

    Raises:
        TimeUpError: it is not within the time; it goes on.
        FailedError: it never will be.
    """
    state = message.state
    try:
        async with asyncio.timeout(within_s):
            while state not in _LEVELS[level]:
                if state in _HOPELESS:
                    text = encode_id(message.message)
                    raise FailedError(f"message {text} is {state}", hint=f"see: p2pctl why {text[:8]}")
                state = MessageState(await news.next())
    except TimeoutError:
        text = encode_id(message.message)
        raise TimeUpError(
            f"message {text} is safe and {state}, and not {level} yet",
            hint=f"it goes on by itself; see: p2pctl why {text[:8]}",
        ) from None
    return state


def _bounded(timeout_s: float) -> float:
    if not 0 <= timeout_s <= limits.WAIT_MAX_S:  # not a number fails this too
        raise UsageError(f"timeout_s must be 0 to {limits.WAIT_MAX_S}", hint="repeat the call to wait for longer")
    return timeout_s


@method(
    "history",
    result={
        "messages": "in conversation order: `id`, `direction` (in, out), `from`, `from_name`, `conversation`, `text`, "
        "`sent_at`, `received_at`, `state`, `via` (direct, lan, relay, mailbox, bundle or null), `reply`, `gap`, "
        "`recalled` (null; or asked, unseen, shown, read, gone: what had become of it; the text is deleted)",
        "next": "where the list is longer than a line: the parameters for the rest",
    },
)
async def history(
    service: Service,
    *,
    to: Annotated[str, "whose conversation"],
    since: Annotated[str, "only what came after: 2025-01-31, 2025-01-31T12:00:00Z, or 3d for so long ago"] = "",
    limit: Annotated[int, "the newest so many, at most 10,000"] = limits.HISTORY_DEFAULT,
    after: Annotated[str, "only what stands after the message with this id; for further pages"] = "",
) -> Answer:
    """The newest messages of a conversation, the oldest first."""
    if not 1 <= limit <= limits.HISTORY_MAX:
        raise UsageError(f"limit must be 1 to {limits.HISTORY_MAX}", hint="page with since for more")

    def look(engine: Engine, now: Now) -> Answer:
        from_ms = since_ms(since, now) if since else 0
        messages = engine.history(to, since_ms=from_ms, limit=limit)
        ids = [encode_id(message.message) for message in messages]
        if after in ids:  # it has left the newest `limit` where it is not, and all of these stand after it
            messages = messages[ids.index(after) + 1 :]
        petname = engine.petname(messages[0].contact) if messages else ""
        page = first_page(shown_message(message, engine, petname) for message in messages)
        return {"messages": page} | ({"next": {"after": page[-1]["id"]}} if len(page) < len(messages) else {})

    return await service.ask(look)


@method(
    "why",
    result={
        "id": "of the message",
        "conversation": "the address at the other end",
        "direction": "in or out",
        "state": "as in `send`, or received, read",
        "via": "how it went, or null",
        "steps": "list of `at`, `what` and details",
        "receipts": "`have`, `want`, `expires_at` of the copies on the network, or null",
        "recall": "`outcome` (asked, unseen, shown, read; gone, where its end may have come before), and how many "
        "holders (`have`) of how many (`want`) have confirmed that their copies are gone; null where nobody has taken "
        "it back",
    },
)
async def why(service: Service, *, id: Annotated[str, "of the message; its beginning is enough"]) -> Answer:
    """What happened to a message, where its copies are, and until when."""
    return await service.ask(lambda engine, now: shown_reasons(*engine.why(id)))


@method(
    "recall",
    result={
        "id": "of the message",
        "to": "the recipient's address",
        "name": "what we call them",
        "was": "its state before this call",
        "state": "recalling, or recalled where it had not left this machine",
        "recall": "as in `why`",
    },
)
async def recall(service: Service, *, id: Annotated[str, "of the message; its beginning is enough"]) -> Answer:
    """Takes a message of one's own back: before it is delivered its copies are removed, and always they are asked."""

    def take_back(engine: Engine, now: Now) -> Answer:
        was = engine.message(id).state
        message = engine.recall(id, now)
        return {
            "id": encode_id(message.message),
            "to": encode_address(message.contact),
            "name": engine.petname(message.contact),
            "was": was.value,
            "state": message.state.value,
            "recall": shown_recall(message),
        }

    return await service.ask(take_back)


@method("read", result={"id": "of the message", "state": "read"})
async def read(service: Service, *, id: Annotated[str, "of the message; its beginning is enough"]) -> Answer:
    """Marks a received message, and those before it, as read; the sender is told."""

    def mark(engine: Engine, now: Now) -> Answer:
        engine.mark_read(id, now)
        message = engine.message(id)
        return {"id": encode_id(message.message), "state": message.state.value}

    return await service.ask(mark)


@method(
    "wait",
    result={
        "id": "of the message",
        "from": "the sender's address",
        "from_name": "what we call them",
        "text": "what they say",
        "sent_at": "when they sent it",
        "received_at": "when it arrived",
        "cursor": "of its event, to go on from",
    },
)
async def wait(
    service: Service,
    *,
    from_: Annotated[str, "whose message"],
    since: Annotated[str | int, "look from after this cursor of the log on; `now` is from this call on"] = "now",
    timeout_s: Annotated[float, "how long to wait; then the error is time_up"] = limits.WAIT_S,
) -> Answer:
    """Answers with the next message of a person."""
    after = await service.ask(lambda engine, now: cursor_of(engine, since))

    def look(engine: Engine, now: Now) -> tuple[int, Answer | None]:
        person = encode_address(engine.resolve(from_))
        events = engine.events(after, limits.CONTROL_EVENTS, ("message",))
        for event in events:
            found = _received(engine, shown_event(event), person)
            if found:
                return event.cursor, found
        full = len(events) == limits.CONTROL_EVENTS
        return events[-1].cursor if full else engine.newest_cursor(), None

    loop = asyncio.get_running_loop()
    until = loop.time() + _bounded(timeout_s)
    try:
        while True:
            scanned, found = await service.ask(look)
            if found:
                return found
            if scanned == after:  # only now: what is there already is found in no time
                if loop.time() >= until:
                    raise TimeoutError
                async with asyncio.timeout_at(until):
                    await service.bell.beyond(after)
            after = scanned
    except TimeoutError:
        raise TimeUpError(f"no message of {from_} within {timeout_s:g} s", hint="wait longer with timeout_s") from None


def _received(engine: Engine, event: Answer, person: str) -> Answer | None:
    """The message of an event, if it is one of this person's that is still here."""
    try:
        message = engine.message(str(event["data"]["id"]))
    except (NotFoundError, KeyError):
        return None
    if message.recall or message.direction is not Direction.IN or encode_address(message.contact) != person:
        return None
    return shown_message(message, engine, engine.petname(message.contact)) | {"cursor": event["cursor"]}


METHODS = (send, history, why, recall, read, wait)
