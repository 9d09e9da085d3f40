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

_FINAL = (MessageState.DELIVERED, MessageState.READ, MessageState.EXPIRED, MessageState.RECALLED, MessageState.FAILED)


class History:
    """The conversations of one user."""

    def __init__(self, store: UserStore, effects: EffectQueue) -> None:
        self._store = store
        self._effects = effects
        self._clock = int.from_bytes(store.value("clock") or b"", "big")

    def tick(self, now: Now) -> int:
        """The clock of something said now: above all seen so far."""
        self._clock = max(now.wall_ms << CLOCK_COUNTER_BITS, self._clock + 1)
        self._store.set_value("clock", self._clock.to_bytes(8, "big"))
        return self._clock

    def witness(self, clock: int, now: Now) -> None:
        """Something said elsewhere was seen: what we say next comes after it."""
        clock = bounded_clock(clock, now)
        if self._clock < clock:
            self._clock = clock
            self._store.set_value("clock", self._clock.to_bytes(8, "big"))

    def event(self, type: str, data: dict[str, object], now: Now) -> None:
        """Adds to the durable log and wakes who follows it."""
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        self._effects.append(Notify(self._store.add_event(type, text, now.wall_ms)))

    def step(self, message: MessageId, what: str, now: Now, **detail: str | int) -> None:
        """Notes for `why` what happened to a message."""
        self._store.add_step(message, Step(now.wall_ms, what, detail))

    def sent(self, message: Message, now: Now) -> None:
        """Our user said something."""
        self._store.save_message(message)
        self.step(message.message, "queued", now)

    def received(self, contact: Contact, message: Message, parents: Sequence[bytes], now: Now) -> None:
        """A contact said something, and it is whole; a second time changes nothing."""
        if self._store.message(message.message, contact=contact.identity) is not None:
            return
        gap = any(self._store.message(MessageId(parent), contact=contact.identity) is None for parent in parents)
        clock = bounded_clock(message.clock, now)
        message = replace(message, gap=gap, clock=clock, sent_ms=clock >> CLOCK_COUNTER_BITS)
        self._store.save_message(message)
        self.step(message.message, "received", now, via=message.via)
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
        self.event("message", data, now)

    def change_state(
        self, contact: IdentityKey, id: MessageId, state: MessageState, now: Now, via: str = "", **detail: str | int
    ) -> None:
        """A message of ours got further, or ended; going back from an end is not possible."""
        message = self._store.message(id, contact=contact)
        if message is None or message.direction is Direction.IN or message.state is state:
            return
        if message.state in _FINAL and (message.state, state) != (MessageState.DELIVERED, MessageState.READ):
            return
        self._store.save_message(replace(message, state=state, via=via or message.via))
        self.step(id, state.value, now, **({"via": via} if via else {}), **detail)
        known = self._store.contact(contact)
        address = encode_address(contact)
        data: dict[str, object] = {"id": encode_id(id), "state": state.value, "to": address, "conversation": address}
        if known is not None:
            data["to_name"] = known.petname
        self.event("receipt", data, now)

    def mark_read(self, message: Message, now: Now) -> None:
        """Our user saw a message of a contact's."""
        self._store.save_message(replace(message, state=MessageState.READ))
        self.step(message.message, "read", now)

    def contact_event(self, contact: Contact, now: Now) -> None:
        """Where we stand with someone has changed."""
        data: dict[str, object] = {
            "name": contact.petname,
            "address": encode_address(contact.identity),
            "state": contact.state.value,
        }
        self.event("contact", data, now)


def bounded_clock(clock: int, now: Now) -> int:
    """A clock from elsewhere, at most ten minutes ahead of ours: nobody stays at a conversation's end for ever."""
    return min(clock, (now.wall_ms + limits.CLOCK_SKEW_S * 1000) << CLOCK_COUNTER_BITS)
