"""Rows of the store as the API shows them: the keys that scripts rely on.

Knows no method.  What came from a peer is exact here; whoever prints it makes it harmless.
`from` and `conversation` are addresses, which never change meaning; the names beside them are ours and may.
"""

import json
from collections.abc import Iterable
from typing import Any

from p2pd.application import Facts
from p2pd.chat.names import looks_alike
from p2pd.chat.withdrawing import holders
from p2pd.daemon.method import Answer
from p2pd.daemon.words import moment
from p2pd.engine import Engine
from p2pd.peer.own import fingerprint
from p2pd.store import Contact, Direction, Event, Invite, Message, MessageState, Step
from p2pd.wire.address import encode_address, encode_id

PORT_MAPPING = (
    "list by `family`, empty where nothing is to be mapped: `method`, `gateway`, `endpoint` where others reach the "
    "node by it or null, `lifetime_left_s`, `failure` in words, `is_needed`"
)
"""What `shown` of a PortMappingStatus has."""

REACH = (
    "where contacts are told to find us: `nat`, the router in front (unknown, open, firewalled, full-cone, restricted, "
    "symmetric, no-quic), `endpoints`, the likeliest first, `mapped`, a router's port for us or null"
)
"""What the engine's `status` says of that."""


def shown_sent(message: Message, state: MessageState, name: str) -> Answer:
    """What `send` answers."""
    return {
        "id": encode_id(message.message),
        "to": encode_address(message.contact),
        "name": name,
        "state": state.value,
        "sent_at": moment(message.sent_ms),
    }


def shown_message(message: Message, engine: Engine, petname: str) -> Answer:
    """One message of `history`."""
    outgoing = message.direction is Direction.OUT
    conversation = encode_address(message.contact)
    return {
        "id": encode_id(message.message),
        "direction": message.direction.value,
        "from": engine.address if outgoing else conversation,
        "from_name": engine.name if outgoing else petname,
        "conversation": conversation,
        "text": message.text,
        "sent_at": moment(message.sent_ms),
        "received_at": moment(message.received_ms),
        "state": message.state.value,
        "via": message.via or None,
        "reply": encode_id(message.reply) if message.reply else None,
        "gap": message.gap,
        "recalled": message.recall.outcome.value if message.recall else None,
    }


def shown_reasons(message: Message, steps: list[Step], receipts: Facts | None) -> Answer:
    """What `why` answers."""
    return {
        "id": encode_id(message.message),
        "conversation": encode_address(message.contact),
        "direction": message.direction.value,
        "state": message.state.value,
        "via": message.via or None,
        "steps": [{"at": moment(step.at_ms), "what": step.what} | shown_facts(step.detail) for step in steps],
        "receipts": shown_facts(receipts) if receipts else None,
        "recall": shown_recall(message),
    }


def shown_recall(message: Message) -> Answer | None:
    """How far the recall of a message is; None where nobody has taken it back."""
    if message.recall is None:
        return None
    have, want = holders(message)
    return {"outcome": message.recall.outcome.value, "have": have, "want": want}


def shown_contact(contact: Contact, engine: Engine) -> Answer:
    """One person of `contact list`."""
    return {
        "name": contact.petname,
        "address": encode_address(contact.identity),
        "state": contact.state.value,
        "verified": contact.verified,
        "online": engine.online(contact.identity),
        "claimed_name": contact.claimed_name,
        "fingerprint": fingerprint(contact.identity),
        "added_at": moment(contact.added_ms),
    }


def shown_request(contact: Contact, known: Iterable[str] = ()) -> Answer:
    """One request of `request list`; it goes by its sender's address where it has no id of its own.

    Of the `known` names the first is told for which the claimed one could be taken.
    """
    address = encode_address(contact.identity)
    return {
        "id": encode_id(contact.request_id) if contact.request_id else address,
        "address": address,
        "name": contact.claimed_name,
        "looks_like": next((name for name in known if looks_alike(name, contact.claimed_name)), None),
        "text": contact.request_text,
        "received_at": moment(contact.request_ms),
    }


def shown_invite(invite: Invite) -> Answer:
    """One invite of `invite list`, without what would let somebody in."""
    return {
        "id": str(invite.id),
        "once": bool(invite.one_time) or invite.spent,
        "as": invite.petname,
        "made_at": moment(invite.made_ms),
        "expires_at": moment(invite.expires_ms),
        "let_in": [encode_address(identity) for identity in invite.let_in],
        "late": [encode_address(identity) for identity in invite.late],
    }


def shown_event(event: Event) -> Answer:
    """One entry of the log."""
    return {"cursor": event.cursor, "type": event.type, "at": moment(event.at_ms), "data": json.loads(event.data)}


def shown_facts(facts: Any) -> Any:
    """Figures of the core as JSON holds them: bytes in hex, `x_at_ms` as the moment `x_at`."""
    if isinstance(facts, dict):
        return dict(_shown_fact(str(key), value) for key, value in facts.items())
    if isinstance(facts, list | tuple):
        return [shown_facts(value) for value in facts]
    if isinstance(facts, bytes):
        return facts.hex()
    return facts


def _shown_fact(key: str, value: Any) -> tuple[str, Any]:
    if key.endswith("_at_ms") and isinstance(value, int):
        return key.removesuffix("_ms"), moment(value)
    return key, shown_facts(value)
