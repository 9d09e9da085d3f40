"""Whom one knows: contacts, and those who ask to become one."""

from typing import Annotated

from p2pd.daemon.method import Answer, method
from p2pd.daemon.pages import first_page
from p2pd.daemon.service import Service
from p2pd.daemon.shown import shown_contact, shown_request
from p2pd.engine import Engine
from p2pd.store import PathChoice
from p2pd.types import Now
from p2pd.wire.address import encode_address

_CONTACT = {
    "name": "what we call them",
    "address": "theirs",
    "state": "pending, accepted or blocked",
    "verified": "whether the safety codes were compared",
    "online": "whether a link to them is up",
    "claimed_name": "what they call themselves",
    "fingerprint": "their key, for reading aloud",
    "added_at": "when",
}
_WHO = "a name, an address, or the beginning of an address"
_REQUEST = "the request's id or its sender's address; a beginning is enough"


@method("contact.add", result=_CONTACT)
async def contact_add(
    service: Service,
    *,
    address: Annotated[str, "an address, a contact link or an invite"],
    as_: Annotated[str, "what we call them; their own name unless given"] = "",
    message: Annotated[str, "what they read with the request, 1 KiB at most"] = "",
    relay_only: Annotated[bool, "they shall never learn an address of ours: as `path` with relay-only"] = False,
) -> Answer:
    """Adds a person and sends a contact request at once."""
    path = PathChoice.RELAY_ONLY if relay_only else PathChoice.AUTO

    def add(engine: Engine, now: Now) -> Answer:
        return shown_contact(engine.contact_add(address, now, name=as_, message=message, path=path), engine)

    return await service.ask(add)


@method(
    "contact.list",
    result={
        "contacts": "list of " + ", ".join(f"`{key}`" for key in _CONTACT),
        "next": "where the list is longer than a line: the parameters for the rest",
    },
)
async def contact_list(
    service: Service, *, after: Annotated[str, "only who stands after this address; for further pages"] = ""
) -> Answer:
    """Everyone one knows."""

    def look(engine: Engine, now: Now) -> Answer:
        contacts = engine.contacts()
        addresses = [encode_address(contact.identity) for contact in contacts]
        rest = contacts[addresses.index(after) + 1 if after in addresses else 0 :]
        page = first_page(shown_contact(contact, engine) for contact in rest)
        return {"contacts": page} | ({"next": {"after": page[-1]["address"]}} if len(page) < len(rest) else {})

    return await service.ask(look)


@method("contact.show", result=_CONTACT)
async def contact_show(service: Service, *, name: Annotated[str, _WHO]) -> Answer:
    """One person."""
    return await service.ask(lambda engine, now: shown_contact(engine.contact(name), engine))


@method("contact.rename", result=_CONTACT)
async def contact_rename(
    service: Service, *, name: Annotated[str, _WHO], to: Annotated[str, "what we call them from now on"]
) -> Answer:
    """Calls a person something else."""

    def rename(engine: Engine, now: Now) -> Answer:
        address = encode_address(engine.resolve(name))
        engine.rename(address, to, now)
        return shown_contact(engine.contact(address), engine)

    return await service.ask(rename)


@method("contact.verify", result={**_CONTACT, "code": "what both compare by voice"})
async def contact_verify(
    service: Service,
    *,
    name: Annotated[str, _WHO],
    code: Annotated[str, "what the other reads out; without it the code is only shown"] = "",
) -> Answer:
    """Compares the safety code with a person, by voice or face to face, and marks them as verified."""

    def verify(engine: Engine, now: Now) -> Answer:
        contact = engine.verify(name, code) if code else engine.contact(name)
        return shown_contact(contact, engine) | {"code": engine.safety_code(encode_address(contact.identity))}

    return await service.ask(verify)


@method("contact.block", result=_CONTACT)
async def contact_block(service: Service, *, name: Annotated[str, _WHO]) -> Answer:
    """Takes nothing more from a person, and stops being found by them."""

    def block(engine: Engine, now: Now) -> Answer:
        address = encode_address(engine.resolve(name))
        engine.block(address, now)
        return shown_contact(engine.contact(address), engine)

    return await service.ask(block)


@method("contact.unblock", result=_CONTACT)
async def contact_unblock(service: Service, *, name: Annotated[str, _WHO]) -> Answer:
    """Lets a blocked person write again."""

    def unblock(engine: Engine, now: Now) -> Answer:
        address = encode_address(engine.resolve(name))
        engine.unblock(address, now)
        return shown_contact(engine.contact(address), engine)

    return await service.ask(unblock)


@method("contact.remove", result={"name": "what we called them", "address": "theirs"})
async def contact_remove(service: Service, *, name: Annotated[str, _WHO]) -> Answer:
    """Forgets a person; the conversation stays."""

    def remove(engine: Engine, now: Now) -> Answer:
        contact = engine.contact(name)
        engine.remove(name, now)
        return {"name": contact.petname, "address": encode_address(contact.identity)}

    return await service.ask(remove)


@method(
    "request.list",
    result={
        "requests": "list of `id`, `address`, `name` (claimed), `looks_like` (the contact whose name it could be taken "
        "for, or null), `text`, `received_at`"
    },
)
async def request_list(service: Service) -> Answer:
    """Who asks to write to one."""

    def listed(engine: Engine, now: Now) -> Answer:
        known = [contact.petname for contact in engine.contacts()]
        return {"requests": [shown_request(contact, known) for contact in engine.requests()]}

    return await service.ask(listed)


@method("request.accept", result=_CONTACT)
async def request_accept(
    service: Service,
    *,
    id: Annotated[str, _REQUEST],
    as_: Annotated[str, "what we call them; their own name unless given"] = "",
) -> Answer:
    """Accepts a request: from now on both can write."""
    return await service.ask(lambda engine, now: shown_contact(engine.accept(id, now, name=as_), engine))


@method("request.reject", result={"rejected": "true"})
async def request_reject(service: Service, *, id: Annotated[str, _REQUEST]) -> Answer:
    """Rejects a request; its sender is not told."""
    await service.ask(lambda engine, now: engine.reject(id, now))
    return {"rejected": True}


@method(
    "request.report",
    result={
        "id": "of the request",
        "address": "its sender's",
        "name": "claimed",
        "text": "what they wrote",
        "received_at": "when",
    },
)
async def request_report(service: Service, *, id: Annotated[str, _REQUEST]) -> Answer:
    """Rejects a request, and answers with what to show to others whom its sender may ask too."""

    def report(engine: Engine, now: Now) -> Answer:
        shown = shown_request(engine.request(id))
        engine.reject(id, now)
        return shown

    return await service.ask(report)


METHODS = (
    contact_add,
    contact_list,
    contact_show,
    contact_rename,
    contact_verify,
    contact_block,
    contact_unblock,
    contact_remove,
    request_list,
    request_accept,
    request_reject,
    request_report,
)
