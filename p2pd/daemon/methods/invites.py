"""Invites: letting people in without being asked."""

from typing import Annotated

from p2pd import limits
from p2pd.daemon.method import Answer, Duration, method
from p2pd.daemon.service import Service
from p2pd.daemon.shown import shown_invite
from p2pd.daemon.words import duration_s
from p2pd.engine import Engine
from p2pd.types import Now

_INVITE = {
    "id": "to revoke it by",
    "once": "whether it is for one person",
    "as": "what who comes by it will be called; empty for their own name",
    "made_at": "when",
    "expires_at": "until when it can be used",
    "let_in": "list of the addresses of those who came by it",
    "late": "list of the addresses that others named who came when it was used; `contact.add` asks there",
}


@method("invite", result={**_INVITE, "link": "the invite, to be given to who shall come"})
async def invite(
    service: Service,
    *,
    once: Annotated[bool, "for one person alone, and with a one-time key; else for several"] = False,
    ttl: Annotated[Duration, "how long it can be used, at most 60d"] = limits.INVITE_LIFE_S,
    as_: Annotated[str, "what we call who comes by it; their own name unless given"] = "",
) -> Answer:
    """Makes an invite: who has it can find a private inbox, and is accepted without asking."""
    life_s = duration_s(str(ttl), "ttl")

    def make(engine: Engine, now: Now) -> Answer:
        made, link = engine.invite(now, life_s=life_s, once=once, name=as_)
        return shown_invite(made) | {"link": link}

    return await service.ask(make)


@method("invite.list", result={"invites": "list of " + ", ".join(f"`{key}`" for key in _INVITE)})
async def invite_list(service: Service) -> Answer:
    """The open invites, and used ones by which others came too late."""
    return await service.ask(lambda engine, now: {"invites": [shown_invite(each) for each in engine.invites()]})


@method("invite.revoke", result=_INVITE)
async def invite_revoke(service: Service, *, id: Annotated[str, "the invite's, from `invite.list`"]) -> Answer:
    """Ends an invite: nobody comes in by it any more; who has stays."""
    return await service.ask(lambda engine, now: shown_invite(engine.revoke_invite(id, now)))


METHODS = (invite, invite_list, invite_revoke)
