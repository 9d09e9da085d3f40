"""What was promised of every text that `send` took, judged by what the two users' stores have committed.

Knows the stores and the durable event log, as an application reads them; of the engines only what reached these.
Promises: a text is shown once, to the one it was for, as it was written, in its sender's order; ahead of one that was
written before it only after waiting for that; `delivered` only once the recipient has committed it; `stored` only once
enough others hold it; `recalled` only where it never was shown nor ever will be; at the end it has been delivered, or
its sender has been told why not, and that is never because it was given up early.
"""

import json
from bisect import insort
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from p2pd import limits
from p2pd.sim.resident import Resident
from p2pd.store import Event, Message, MessageState
from p2pd.wire.address import id_range

GIVEN_UP = (MessageState.EXPIRED, MessageState.FAILED)
TOLD = (*GIVEN_UP, MessageState.RECALLED)
ARRIVED = (MessageState.DELIVERED, MessageState.READ)
_TRIED_S = limits.OUTBOX_LIFE_S // 2
"""So long nothing is given up: nobody blocks or removes anybody here, nor sends what ends by itself.  Half of its time,
since wall clocks jump."""
_EVENTS = 10_000
Broken = Callable[[str, str, str], None]
"""Told of a broken promise: the invariant, the host, and what happened."""


@dataclass(slots=True, eq=False)
class Letter:
    """One text of one user to another."""

    number: int
    sender: Resident
    recipient: Resident
    text: str
    offered_s: float
    accepted: bool = False
    """Whether `send` returned; where a crash came in between, the text may be on its way or not."""
    id: bytes = b""
    shown_s: float | None = None
    via: str = ""
    arrived_s: float | None = None
    """When the sender knew."""
    told: str = ""
    recalled: bool = False
    """Its sender takes it back: from now on its text may be gone on either end."""

    @property
    def over(self) -> bool:
        return bool(self.told) or self.arrived_s is not None

    def __str__(self) -> str:
        return f"text {self.number} ({self.sender.host} to {self.recipient.host}, {len(self.text)} characters)"


@dataclass(slots=True)
class _Way:
    """All letters of one user to another, and the order in which the recipient's history has those shown."""

    letters: list[Letter] = field(default_factory=list)
    shown: list[tuple[int, tuple[int, bytes]]] = field(default_factory=list)
    """Number and place in the history, by number."""


class Promises:
    """All texts of a run."""

    def __init__(self, broken: Broken, time_s: Callable[[], float], stored: Callable[[Letter, Message], None]) -> None:
        self._broken = broken
        self._time_s = time_s
        self._stored = stored
        self.letters: list[Letter] = []
        self.states: Counter[str] = Counter()
        """How often which state was told."""
        self._ways: dict[tuple[str, str], _Way] = {}
        self._by_text: dict[str, Letter] = {}
        self._by_message: dict[bytes, Letter] = {}
        """Those that are taken back, whose text may be gone."""
        self._by_address: dict[str, Resident] = {}
        self._cursors: dict[str, int] = {}

    def offer(self, sender: Resident, recipient: Resident, text: str) -> Letter:
        """The sender is about to send a text; its first word makes it known again."""
        letter = Letter(len(self.letters), sender, recipient, "", self._time_s())
        letter.text = f"#{letter.number} {text}"
        self.letters.append(letter)
        self._by_text[_first_word(letter.text)] = letter
        for person in (sender, recipient):
            self._by_address[person.address] = person
            self._cursors.setdefault(person.host, person.store.newest_cursor())
        self._way(letter).letters.append(letter)
        return letter

    def accept(self, letter: Letter, message: Message) -> None:
        """`send` has returned."""
        letter.accepted, letter.id = True, message.message

    def recall(self, letter: Letter) -> None:
        """Its sender is about to take it back."""
        letter.recalled = True
        self._by_message[letter.id] = letter

    def look(self, resident: Resident) -> None:
        """A turn there was committed: what does its user learn?"""
        cursor = self._cursors.get(resident.host)
        if cursor is None:
            return
        newest = resident.store.newest_cursor()
        if newest <= cursor:
            self._cursors[resident.host] = newest
            return
        self._cursors[resident.host] = newest
        for event in resident.store.events(cursor, limit=_EVENTS):
            if event.type == "message":
                self._on_shown(resident, event)
            elif event.type == "receipt":
                self._on_receipt(resident, event)

    # --- what the recipient learns

    def _on_shown(self, resident: Resident, event: Event) -> None:
        data = json.loads(event.data)
        letter = self._by_text.get(_first_word(data["text"]))
        if data.get("recalled"):  # in the turn in which it was shown, or it would have been looked at before
            letter = self._by_message.get(id_range(data["id"])[0])
            data["text"] = letter.text if letter else ""
        if letter is None:
            return  # the text of a contact request
        if letter.recipient is not resident or letter.text != data["text"] or data["from"] != letter.sender.address:
            self._broken("authentic", resident.host, f"shown to {resident.host} was not what was written: {letter}")
            return
        if letter.shown_s is not None:
            self._broken("shown once", resident.host, f"{letter} was shown twice")
            return
        letter.shown_s, letter.via = self._time_s(), data["via"]
        if letter.told == MessageState.RECALLED:
            self._broken("recalled", resident.host, f"{letter} was shown after its sender was told that it never was")
        message = self._message(resident, data["id"])
        written = self._message(letter.sender, data["id"])
        if message is None or (message.text != letter.text and not message.recall):
            self._broken("committed", resident.host, f"{letter} was announced, and is not in the history")
        elif written is None or (written.text != letter.text and not written.recall):
            self._broken("authentic", resident.host, f"{letter} is shown, and its sender has committed no such text")
        else:
            self._in_order(letter, message)

    def _in_order(self, letter: Letter, message: Message) -> None:
        way, place = self._way(letter), (message.clock, bytes(message.message))
        insort(way.shown, (letter.number, place))
        at = way.shown.index((letter.number, place))
        before = way.shown[at - 1][1] if at else (-1, b"")
        after = way.shown[at + 1][1] if at + 1 < len(way.shown) else (1 << 64, b"")
        if not before < place < after:
            self._broken("order", letter.recipient.host, f"{letter} stands in the wrong place of the history")
        waited_s = self._time_s() - letter.offered_s
        if waited_s >= limits.HOLD_S:
            return
        for other in reversed(way.letters):
            waits = other.accepted and other.shown_s is None and not other.told and not other.recalled
            if other.number < letter.number and waits:
                text = f"{letter} was shown {waited_s:.1f} s after it was written, ahead of {other}"
                self._broken("order", letter.recipient.host, text)
                return

    # --- what the sender learns

    def _on_receipt(self, resident: Resident, event: Event) -> None:
        data = json.loads(event.data)
        message = self._message(resident, data["id"])
        letter = None
        if message is not None:
            letter = self._by_message.get(message.message) or self._by_text.get(_first_word(message.text))
        if letter is None or message is None or letter.sender is not resident:
            return
        state = MessageState(data["state"])
        self.states[state.value] += 1
        if state in ARRIVED:
            letter.arrived_s = letter.arrived_s or self._time_s()
            if self._at_recipient(letter, message) is None:
                self._broken(
                    "delivered", resident.host, f"{letter} is {state.value}, and its recipient does not have it"
                )
        elif state is MessageState.STORED:
            self._stored(letter, message)
        elif state in TOLD:
            letter.told = state.value
            tried_s = self._time_s() - letter.offered_s
            if state in GIVEN_UP and tried_s < _TRIED_S:
                text = f"{letter} is {state.value}, {tried_s:.0f} s after it was taken"
                self._broken("delivered or told", resident.host, text)
            if state is MessageState.RECALLED and letter.shown_s is not None:
                self._broken("recalled", resident.host, f"{letter} is recalled as never seen, and it had been shown")

    # --- at the end

    def unfinished(self) -> list[Letter]:
        """What was accepted, and neither has its sender been told anything final nor can we see it delivered."""
        return [letter for letter in self.letters if letter.accepted and not letter.over]

    def judge_end(self) -> None:
        """Everything is healed and had its time."""
        for letter in self.letters:
            message = self._by_id(letter.sender, letter.id) if letter.accepted else None
            if not letter.accepted:
                continue
            if message is None:
                self._broken(
                    "delivered or told", letter.sender.host, f"{letter} is not in its sender's history any more"
                )
            elif message.state in ARRIVED:
                if letter.shown_s is None:
                    self._broken("delivered or told", letter.recipient.host, f"{letter} was delivered and never shown")
            elif message.state not in TOLD:
                text = (
                    f"{letter} is {message.state.value}, {self._time_s() - letter.offered_s:.0f} s after it was taken"
                )
                self._broken("delivered or told", letter.sender.host, text)
            elif not letter.told:
                self._broken("delivered or told", letter.sender.host, f"{letter} ended as {message.state}, unannounced")

    def _way(self, letter: Letter) -> _Way:
        return self._ways.setdefault((letter.sender.host, letter.recipient.host), _Way())

    def _at_recipient(self, letter: Letter, message: Message) -> Message | None:
        store = letter.recipient.store
        found = store.messages_by_prefix(message.message, message.message)
        return found[0] if found and (found[0].text == letter.text or found[0].recall) else None

    def _message(self, resident: Resident, id: str) -> Message | None:
        found = resident.store.messages_by_prefix(*id_range(id))
        return found[0] if found else None

    def _by_id(self, resident: Resident, id: bytes) -> Message | None:
        found = resident.store.messages_by_prefix(id, id)
        return found[0] if found else None


def _first_word(text: str) -> str:
    return text.partition(" ")[0]
