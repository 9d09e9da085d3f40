"""Rules of the shipped code, switched off one at a time: the proof that the invariants bite.

A mutant replaces a function or two in the simulator's own process, and only while a run lasts.
Rules: small, and named after what it takes away.  One that no scenario catches means that a fault or an invariant is
missing; `python -m p2pd.sim.menu --mutants` plays until each is caught.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from p2pd.chat import inbox
from p2pd.chat.conversation import Conversation
from p2pd.chat.history import History
from p2pd.chat.inbox import Inbox
from p2pd.dht.candidates import Candidate
from p2pd.dht.contacted import Contacted
from p2pd.dht.holdings import Holdings
from p2pd.dht.lookup import Lookup
from p2pd.dht.storing import Putting
from p2pd.effects import Respond, SendDatagram
from p2pd.peer.punching import Punching
from p2pd.peer.sessions import Sessions
from p2pd.peer.tries import Tries
from p2pd.sim import turns
from p2pd.sim.probes import replaced
from p2pd.sim.turns import Turns
from p2pd.sim.watching import Phase
from p2pd.store import MessageState, RecallOutcome
from p2pd.types import MessageId

Function = Callable[..., Any]
Patch = tuple[Any, str, Callable[[Function], Function]]
"""Whose, which, and what takes its place, made from the original."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One rule less."""

    name: str
    line: str
    """What it takes away."""
    patches: tuple[Patch, ...]
    scenarios: tuple[str, ...] = ("storm",)
    """Where it is looked for, one after the other, each with as many seeds as are asked for."""


@contextmanager
def applied(name: str) -> Iterator[None]:
    """While this lasts the rule is off; "" changes nothing."""
    with ExitStack() as stack:
        for owner, attribute, make in MUTANTS[name].patches if name else ():
            stack.enter_context(replaced(owner, attribute, make(owner.__dict__[attribute])))
        yield


# --- what takes the place of what -----------------------------------------------------------------------------------


def _never(original: Function) -> Function:
    return lambda *arguments, **options: False


def _always(original: Function) -> Function:
    return lambda *arguments, **options: True


def _nothing(original: Function) -> Function:
    return lambda *arguments, **options: None


def _complete_as_ever(original: Function) -> Function:
    """What is missing is still waited for: only what was seen is not recognised."""
    committed = inbox._committed

    def complete_below(self: Inbox, contact: Any, envelope: Any, counters: Any) -> bool:
        return all(committed(counters, number) for number in range(counters.received + 1, envelope.sequence))

    return complete_below


def _show_again(original: Function) -> Function:
    def on_text(self: Conversation, contact: Any, content: Any, text: Any, via: str, now: Any) -> None:
        if self._store.message(content.message, contact=contact.identity) is not None:
            self._store.remove_message(contact.identity, MessageId(content.message))
        original(self, contact, content, text, via, now)

    return on_text


def _recalls_forgotten(original: Function) -> Function:
    def taken_back(self: History, contact: Any, id: Any, clock: int, now: Any) -> Any:
        outcome = original(self, contact, id, clock, now)
        if outcome is RecallOutcome.UNSEEN:
            self._store.remove_message(contact.identity, id)
        return outcome

    return taken_back


def _acting_first() -> tuple[Patch, ...]:
    """A turn's effects leave at its end, and then it is committed."""
    turn: list[tuple[Turns, Any]] = []

    def tell(original: Function) -> Function:
        def remember(self: Turns, host: Any, phase: Phase) -> None:
            turn[:] = [(self, host)]
            original(self, host, phase)

        return remember

    def inside(original: Function) -> Function:
        def act_inside(node: Any, step: Function) -> Any:
            def stepped() -> Any:
                result = step()
                taker, host = turn[0]
                for effect in node.machine.take_effects():
                    if isinstance(effect, SendDatagram | Respond) and effect.after_records:
                        host.promised.append(effect)
                    else:
                        taker._perform(host, effect)
                return result

            return original(node, stepped)

        return act_inside

    return (Turns, "_tell", tell), (turns, "_inside", inside)


def _promise_at_once(original: Function) -> Function:
    def act(self: Turns, host: Any) -> None:
        life = host.life
        for effect in host.node.machine.take_effects():
            self._perform(host, effect)
            if host.life != life:
                return
        self._turn_done(host)

    return act


def _old_engine_goes_on(original: Function) -> Function:
    def rebuild(self: Turns, host: Any) -> None:
        self.counts["not rebuilt"] += 1
        self.arm(host)

    return rebuild


def _tombstones_forgotten(original: Function) -> Function:
    def take_item(self: Holdings, record: Any, rows: Any, source: Any, now: Any) -> Any:
        return original(self, record, [row for row in rows if not row.tombstone], source, now)

    return take_item


def _sequence_forgotten(original: Function) -> Function:
    def take_single(self: Holdings, record: Any, content: Any, rows: Any, source: Any, now: Any) -> Any:
        return original(self, record, content, [replace(row, sequence=-1) for row in rows], source, now)

    return take_single


def _one_receipt(original: Function) -> Function:
    def report(self: Putting, *, done: bool) -> Any:
        return replace(original(self, done=done), wanted=1)

    return report


def _kept_in_memory(original: Function) -> Function:
    def save(self: Sessions, session: Any, ratchet: Any) -> None:
        known = any(one.session == session.session for one in self._store.sessions(session.contact))
        original(self, session, ratchet)
        if known:
            self._store.save_session(session)  # as it was before

    return save


def _delivered_once_stored(original: Function) -> Function:
    def change_state(self: History, contact: Any, id: Any, state: Any, now: Any, via: str = "", **detail: Any) -> None:
        state = MessageState.DELIVERED if state is MessageState.STORED else state
        original(self, contact, id, state, now, via, **detail)

    return change_state


def _given_up_once_stored(original: Function) -> Function:
    def change_state(self: History, contact: Any, id: Any, state: Any, now: Any, via: str = "", **detail: Any) -> None:
        state = MessageState.FAILED if state is MessageState.STORED else state
        original(self, contact, id, state, now, via, **detail)

    return change_state


_MUTANTS = (
    Mutant(
        "deduplication",
        "what was received before is not known again",
        (
            (Inbox, "_complete_below", _complete_as_ever),
            (inbox, "_committed", _never),
            (Conversation, "on_text", _show_again),
        ),
    ),
    Mutant(
        "recall-remembered",
        "what was recalled before it came is not known again",
        ((History, "taken_back", _recalls_forgotten),),
        ("recall",),
    ),
    Mutant(
        "commit-before-send",
        "effects leave before the turn is committed",
        _acting_first(),
    ),
    Mutant(
        "tombstone-rank", "an item may come back over its tombstone", ((Holdings, "_take_item", _tombstones_forgotten),)
    ),
    Mutant("receipt-count", "one receipt is enough for `stored`", ((Putting, "_report", _one_receipt),)),
    Mutant(
        "sequence-check",
        "envelopes are shown as they come, in whatever order",
        ((Inbox, "_complete_below", _always),),
        ("mailbox",),
    ),
    Mutant(
        "engine-rebuild",
        "after a broken turn the old engine goes on",
        ((Turns, "rebuild", _old_engine_goes_on),),
        ("full-disk",),
    ),
    Mutant(
        "record-sequence",
        "an older value replaces a newer one",
        ((Holdings, "_take_single", _sequence_forgotten),),
    ),
    Mutant(
        "durable-receipts",
        "a receipt leaves before its record is on the disk",
        ((Turns, "_act", _promise_at_once),),
        ("crash",),
    ),
    Mutant("ratchet-saved", "a session's ratchet moves on in memory only", ((Sessions, "_save", _kept_in_memory),)),
    Mutant(
        "end-to-end",
        "a message counts as delivered once it is stored",
        ((History, "change_state", _delivered_once_stored),),
    ),
    Mutant(
        "patience",
        "a text is given up once it is stored",
        ((History, "change_state", _given_up_once_stored),),
        ("mailbox",),
    ),
    Mutant(
        "tries",
        "where others say that they are is tried as often as they say so",
        ((Tries, "take", _always),),
        ("foul-play",),
    ),
    Mutant(
        "strangers",
        "whoever writes counts as a stranger, also who is only answering",
        ((Contacted, "has", _never),),
        ("rendezvous",),
    ),
    Mutant("knocks", "nobody knocks: no way of one's own is made", ((Punching, "_knock", _nothing),), ("rendezvous",)),
    Mutant(
        "credit",
        "whoever names nodes that are not there is believed again and again",
        ((Candidate, "charge", _nothing),),
        ("liars",),
    ),
    Mutant(
        "merged-look-up",
        "a look-up ends with its disjoint paths, unmerged",
        ((Lookup, "_next_merged", _nothing),),
        ("crowd",),
    ),
)

SIZES = {
    "storm": (5, 0.12),
    "mailbox": (5, 0.15),
    "full-disk": (6, 0.1),
    "crash": (6, 0.1),
    "crowd": (40, 0.06),
    "rendezvous": (10, 0.02),
    "foul-play": (9, 0.05),
    "recall": (7, 0.1),
    "liars": (18, 0.02),
}
"""Nodes and hours with which mutants are looked for: many short runs find them sooner than a few long ones."""

MUTANTS: dict[str, Mutant] = {mutant.name: mutant for mutant in _MUTANTS}
