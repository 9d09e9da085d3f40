"""What was said, in what order, and what happened to it: messages, the clock that orders them, steps, events.

Knows no network.
Rules: a conversation is ordered by hybrid logical clock, sender, id, and so is the same on both ends (Kulkarni et al.,
2014); a clock from elsewhere counts at most ten minutes ahead of ours, and its sender's order stays.  An event is
written in the transaction of what it tells of; its cursor only grows.  Every change of a message's state leaves a step
for `why`.
"""

import json
from collections.abc import Sequence

from msgspec.structs import replace

from p2pd import limits
from p2pd.effects import EffectQueue, Notify
from p2pd.store import Contact, Direction, Message, MessageState, Posted, RecallOutcome, Retraction, Step, UserStore
from p2pd.types import IdentityKey, MessageId, Now
from p2pd.wire.address import encode_address, encode_id

CLOCK_COUNTER_BITS = 16
_ROOM = 1 << CLOCK_COUNTER_BITS
"""Of the clock, before a message whose own is too far ahead: for those that it may have overtaken."""
_NARROWEST = 64
"""Of room that is divided, this part is left on either side."""

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_ENDS = {
    MessageState.DELIVERED: (MessageState.READ,),
    MessageState.READ: (),
    MessageState.EXPIRED: (),
    MessageState.RECALLING: (MessageState.FAILED,),
    MessageState.RECALLED: (),
    MessageState.FAILED: (),
}
"""States of which nothing but these comes by itself; recalls are beside this."""
_OUTCOMES = {
    RecallOutcome.UNSEEN: (MessageState.RECALLED, "recalled: they never saw it"),
    RecallOutcome.SHOWN: (MessageState.DELIVERED, "recall came too late: it had been shown, and is removed there now"),
    RecallOutcome.READ: (MessageState.READ, "recall came too late: it had been read, and is removed there now"),
    RecallOutcome.GONE: (MessageState.RECALLED, "recalled: they do not have it, but may have seen it before its end"),
}
_KNOWN = {MessageState.DELIVERED: RecallOutcome.SHOWN, MessageState.READ: RecallOutcome.READ}
"""What need not be asked."""
_GONE_THERE = "recall came too late: it had been delivered, and is not there any more"


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
    ) -> int:
        """Adds to the durable log and wakes who follows it, or waits for this message; the event's cursor.

        `about` is the message that it goes with.
        """
        cursor = self._store.add_event(type, _json(data), now.wall_ms, about=about)
        self._effects.append(Notify(cursor, message, state))
        return cursor

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
        said, clock = message.clock, self._placed(contact.identity, message.clock, now)
        steps = (Step(now.wall_ms, "received", {"via": message.via}),)
        events = (*message.events, self._store.newest_cursor() + 1)
        message = replace(
            message,
            gap=gap,
            clock=clock,
            said_clock=said if said != clock else 0,
            sent_ms=clock >> CLOCK_COUNTER_BITS,
            steps=steps,
            events=events,
        )
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

    def _placed(self, identity: IdentityKey, clock: int, now: Now) -> int:
        """What a contact's clock counts as; one too far ahead goes behind all but what it has overtaken, or was."""
        contact = self._store.contact(identity)
        latest = contact.said_clock if contact is not None else 0
        place = self._overtaken(identity, clock) if clock < latest else None
        if place is None:
            place = self._behind_all(identity, clock, now)
        if not self._store.counters(identity).received_above:
            latest = 0  # nothing is missing, so whatever comes was said after all this
        elif place != clock:
            latest = max(latest, clock)
        if contact is not None and latest != contact.said_clock:
            self._store.save_contact(replace(contact, said_clock=latest))
        return place

    def _behind_all(self, identity: IdentityKey, clock: int, now: Now) -> int:
        bounded = bounded_clock(clock, now)
        if bounded == clock:
            return clock
        newest = self._store.history(identity, limit=1)  # our own clock may have been set back since it came
        return min(clock, max(bounded, newest[0].clock + _ROOM)) if newest else bounded

    def _overtaken(self, identity: IdentityKey, clock: int) -> int | None:
        """The place of what comes after something that its sender said later: as far before it as it was said before.

        Where that is not behind all that was said earlier, it lies between those as their sender's clocks do.
        None: nothing said later counts as less.
        """
        recent = self._store.history(identity, limit=limits.UNACKNOWLEDGED)
        theirs = [(one.said_clock or one.clock, one.clock) for one in recent if one.direction is Direction.IN]
        later = min((one for one in theirs if one[0] > clock), default=None)
        if later is None or later[1] > clock:
            return None
        said, place = later
        earlier_said, earlier = max((one for one in theirs if one[0] < clock), default=(0, 0))
        early = max(0, place - (said - clock))
        if early > earlier:
            return early
        room = place - earlier
        share, edge = room * (clock - earlier_said) // (said - earlier_said), max(1, room // _NARROWEST)
        return earlier + min(max(share, edge), room - edge)

    def change_state(
        self, contact: IdentityKey, id: MessageId, state: MessageState, now: Now, via: str = "", **detail: str | int
    ) -> None:
        """A message of ours got further, or ended; going back from an end is not possible."""
        message = self._store.message(id, contact=contact)
        if message is None or message.direction is Direction.IN or message.state is state:
            return
        if state not in _ENDS.get(message.state, tuple(MessageState)):
            return
        step = Step(now.wall_ms, state.value, {"via": via, **detail} if via else detail)
        self._tell(message.went(step, state=state, via=via or message.via), now)

    def _tell(self, message: Message, now: Now) -> None:
        """Keeps a message of ours whose state has changed, and tells of it."""
        self._store.save_message(message)
        known, address = self._store.contact(message.contact), encode_address(message.contact)
        data: dict[str, object] = {
            "id": encode_id(message.message),
            "state": message.state.value,
            "to": address,
            "conversation": address,
        }
        if known is not None:
            data["to_name"] = known.petname
        about = b"" if message.state is MessageState.EXPIRED else _passing(message)  # that it failed is told to the end
        self.event("receipt", data, now, message=message.message, state=message.state.value, about=about)

    # --- recalls

    def recalled(self, message: Message, records: tuple[Posted, ...], now: Now, *, left: bool) -> None:
        """Our user takes back what they said: its text goes at once; over, where nothing of it had left."""
        state, outcome = MessageState.RECALLING, RecallOutcome.ASKED
        if not left:
            state, outcome = MessageState.RECALLED, RecallOutcome.UNSEEN
        step = Step(now.wall_ms, "recalling" if left else "recalled: nothing of it had left this machine")
        before = message.recall.known if message.recall is not None else RecallOutcome.ASKED
        recall = Retraction(outcome, records, known=_KNOWN.get(message.state, before))
        end_ms = message.expires_ms or message.had_end_ms
        message = message.went(step, state=state, text="", recall=recall, expires_ms=0, had_end_ms=end_ms)
        self._tell(message, now)
        self._store.wipe_deleted()

    def recall_answered(self, contact: IdentityKey, id: MessageId, outcome: RecallOutcome, now: Now) -> bool:
        """They say what had become of a message that our user took back; False where nobody asked.

        That they never saw it proves nothing where it had come to its end there, which leaves nothing behind.
        """
        message = self._store.message(id, contact=contact)
        if message is None or message.recall is None or message.recall.outcome is not RecallOutcome.ASKED:
            return False
        was_there = outcome is RecallOutcome.UNSEEN and message.recall.known is not RecallOutcome.ASKED
        if was_there:
            outcome = message.recall.known
        elif outcome is RecallOutcome.UNSEEN and 0 < message.had_end_ms <= now.wall_ms + limits.CLOCK_SKEW_S * 1000:
            outcome = RecallOutcome.GONE
        state, what = _OUTCOMES[outcome]
        what = _GONE_THERE if was_there else what
        recall = replace(message.recall, outcome=outcome)
        self._tell(message.went(Step(now.wall_ms, what), state=state, recall=recall), now)
        return True

    def taken_back(self, contact: Contact, id: MessageId, clock: int, now: Now) -> RecallOutcome:
        """A contact takes back what they said: its text goes, its id and place stay; what had become of it before."""
        message = self._store.message(id, contact=contact.identity)
        if message is not None and message.recall is not None:
            return message.recall.outcome
        if message is None:
            said, clock = clock, self._placed(contact.identity, clock, now)
            sent_ms, outcome = clock >> CLOCK_COUNTER_BITS, RecallOutcome.UNSEEN
            message = Message(contact.identity, id, Direction.IN, "", clock, sent_ms, received_ms=now.wall_ms)
            message = replace(message, said_clock=said if said != clock else 0)
        else:
            outcome = RecallOutcome.READ if message.state is MessageState.READ else RecallOutcome.SHOWN
        for cursor in message.events:
            self._erase(cursor)
        step = Step(now.wall_ms, "recalled by its sender", {"before": outcome.value})
        recall = Retraction(outcome)
        message = message.went(step, state=MessageState.RECALLED, text="", recall=recall, events=(), expires_ms=0)
        self._store.save_message(message)
        if outcome is not RecallOutcome.UNSEEN:
            self._store.wipe_deleted()
        address = encode_address(contact.identity)
        data: dict[str, object] = {
            "id": encode_id(id),
            "from": address,
            "from_name": contact.petname,
            "conversation": address,
            "position": self._store.position(message),
            "before": outcome.value,
        }
        self.event("recalled", data, now)
        return outcome

    def _erase(self, cursor: int) -> None:
        """The event stays, without the text."""
        event = self._store.event(cursor)
        if event is not None:
            data = json.loads(event.data) | {"text": "", "recalled": True}
            self._store.save_event(replace(event, data=_json(data)))

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

    def device_event(self, before: Contact, after: Contact, now: Now) -> None:
        """Someone's key is the same, and their device is another: new, or somebody else's who has that key."""
        if before.device is not None and after.device != before.device:
            self.event("device", {"name": after.petname, "address": encode_address(after.identity)}, now)


def _passing(message: Message) -> bytes:
    """The id of a message that will be forgotten, under which its events are found then."""
    return message.message if message.expires_ms else b""


def bounded_clock(clock: int, now: Now) -> int:
    """A clock from elsewhere, at most ten minutes ahead of ours: nobody stays at a conversation's end for ever."""
    return min(clock, (now.wall_ms + limits.CLOCK_SKEW_S * 1000) << CLOCK_COUNTER_BITS)
