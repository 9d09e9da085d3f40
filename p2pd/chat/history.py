"""What was said, in what order, and what happened to it: messages, the clock that orders them, steps, events.

Knows no network.
Rules: a conversation is ordered by hybrid logical clock, sender, id, and so is the same on both ends (Kulkarni et al.,
2014); a clock from elsewhere counts at most ten minutes ahead of ours.  An event is written in the transaction of what
it tells of; its cursor only grows.  Every change of a message's state leaves a step for `why`.
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from p2pd import limits
from p2pd.effects import EffectQueue, Notify
from p2pd.store import Contact, Direction, Message, MessageState, Step, UserStore
from p2pd.types import IdentityKey, MessageId, Now
from p2pd.wire.address import encode_address, encode_id

CLOCK_COUNTER_BITS = 16

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_FINAL = (MessageState.DELIVERED, MessageState.READ, MessageState.EXPIRED, MessageState.RECALLED, MessageState.FAILED)


class History:
    """The conversations of one user."""

    def __init__(self, store: UserStore, effects: EffectQueue) -> None:
        self._store = store
        self._effects = effects
        self._clock = int.from_bytes(store.value("clock") or b"", "big")

    def tick(self, now: Now) -> int:
        """The clock of something said now: above all seen so far."""
        self._advance(max(now.wall_ms << CLOCK_COUNTER_BITS, self._clock + 1))
        return self._clock

    def witness(self, clock: int, now: Now) -> None:
        """Something said elsewhere was seen: what we say next comes after it."""
        self._advance(bounded_clock(clock, now))

    def _advance(self, clock: int) -> None:
        """What is kept runs ahead, so that it is written once in a while; after a restart the clock begins there."""
        self._clock = max(self._clock, clock)
        if self._clock > int.from_bytes(self._store.value("clock") or b"", "big"):
            ahead = self._clock + (limits.CLOCK_KEPT_AHEAD_MS << CLOCK_COUNTER_BITS)
            self._store.set_value("clock", ahead.to_bytes(8, "big"))

    def event(
        self,
        type: str,
        data: dict[str, object],
        now: Now,
        *,
        message: bytes = b"",
        state: str = "",
        about: bytes = b"",
    ) -> None:
        """Adds to the durable log and wakes who follows it, or waits for this message; `about`: what it goes with."""
        cursor = self._store.add_event(type, _json(data), now.wall_ms, about=about)
        self._effects.append(Notify(cursor, message, state))

    def step(self, contact: IdentityKey, id: MessageId, what: str, now: Now, **detail: str | int) -> None:
        """Notes for `why` what happened to a message."""
        message = self._store.message(id, contact=contact)
        if message is not None:
            self._store.save_message(message.went(Step(now.wall_ms, what, detail)))

    def sent(self, message: Message, now: Now) -> Message:
        """Our user said something; the message as it is kept."""
        message = message.went(Step(now.wall_ms, "queued"))
        self._store.save_message(message)
        return message

    def received(self, contact: Contact, message: Message, parents: Sequence[bytes], now: Now) -> None:
        """A contact said something, and it is whole; a second time changes nothing."""
        if self._store.message(message.message, contact=contact.identity) is not None:
            return
        gap = any(self._store.message(MessageId(parent), contact=contact.identity) is None for parent in parents)
        clock = self._placed(contact.identity, message.clock, now)
        steps = (Step(now.wall_ms, "received", {"via": message.via}),)
        message = replace(message, gap=gap, clock=clock, sent_ms=clock >> CLOCK_COUNTER_BITS, steps=steps)
        self._store.save_message(message)
        data: dict[str, object] = {
            "id": encode_id(message.message),
            "from": encode_address(contact.identity),
            "from_name": contact.petname,
            "conversation": encode_address(contact.identity),
            "text": message.text,
            "position": self._store.position(message),
            "via": message.via,
        }
        if message.reply:
            data["reply"] = encode_id(message.reply)
        if gap:
            data["gap"] = True
        self.event("message", data, now, about=_passing(message))

    def _placed(self, contact: IdentityKey, clock: int, now: Now) -> int:
        """What a clock from elsewhere counts as; one too far ahead goes behind what is here, in its sender's order."""
        bounded = bounded_clock(clock, now)
        if bounded == clock:
            return clock
        newest = self._store.history(contact, limit=1)  # our own clock may have been set back since it came
        return min(clock, max(bounded, newest[0].clock + 1)) if newest else bounded

    def change_state(
        self, contact: IdentityKey, id: MessageId, state: MessageState, now: Now, via: str = "", **detail: str | int
    ) -> None:
        """A message of ours got further, or ended; going back from an end is not possible."""
        message = self._store.message(id, contact=contact)
        if message is None or message.direction is Direction.IN or message.state is state:
            return
        if message.state in _FINAL and (message.state, state) != (MessageState.DELIVERED, MessageState.READ):
            return
        step = Step(now.wall_ms, state.value, {"via": via, **detail} if via else detail)
        self._store.save_message(message.went(step, state=state, via=via or message.via))
        known = self._store.contact(contact)
        address = encode_address(contact)
        data: dict[str, object] = {"id": encode_id(id), "state": state.value, "to": address, "conversation": address}
        if known is not None:
            data["to_name"] = known.petname
        about = b"" if state is MessageState.EXPIRED else _passing(message)  # that it failed is told to the end
        self.event("receipt", data, now, message=id, state=state.value, about=about)

    def mark_read(self, message: Message, now: Now) -> None:
        """Our user saw a message of a contact's."""
        self._store.save_message(message.went(Step(now.wall_ms, "read"), state=MessageState.READ))

    def contact_event(self, contact: Contact, now: Now) -> None:
        """Where we stand with someone has changed."""
        data: dict[str, object] = {
            "name": contact.petname,
            "address": encode_address(contact.identity),
            "state": contact.state.value,
        }
        self.event("contact", data, now)


def _passing(message: Message) -> bytes:
    """The id of a message that will be forgotten, under which its events are found then."""
    return message.message if message.expires_ms else b""


def bounded_clock(clock: int, now: Now) -> int:
    """A clock from elsewhere, at most ten minutes ahead of ours: nobody stays at a conversation's end for ever."""
    return min(clock, (now.wall_ms + limits.CLOCK_SKEW_S * 1000) << CLOCK_COUNTER_BITS)
