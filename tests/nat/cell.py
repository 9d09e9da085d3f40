"""One cell of the matrix: two friends, each behind an access, and how the first message between them goes.

The course, the same for all: they met before, on public accesses.  The recipient starts at the new access and has
`SETTLED_S` to be found there; then the sender starts, and writes as soon as other nodes are known.  So the whole way to
a path falls into the time that is measured, and nothing that only a start takes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from threading import Semaphore
from typing import Any

from tests.nat.expected import Expectation, Reading, complaints
from tests.nat.kinds import UDP_BLOCKED
from tests.nat.people import POLL_S, SETTLED_S, Person, seconds

DELIVERY_S = 45.0
"""After that a message counts as not delivered."""
BLOCK_S = 5.0
"""So long a block is watched before it is lifted; nobody is waited for to join behind one."""
WATCHED_S = 6.0
"""So long after joining a direct path may still come about, before it counts as none."""
MINUTE_S = 60.0


@dataclass(slots=True)
class Outcome:
    """What was seen of a cell."""

    sender: str
    recipient: str
    run: int = 1
    delivered_s: float | None = None
    """From `send`; from the end of a block where there was one."""
    via: str | None = None
    """How the message came, as its recipient says."""
    path: str = "none"
    """At the sender."""
    causes: tuple[str, str] = ("", "")
    """Of the sender and of the recipient, as everything with two."""
    reason: str = ""
    candidates: list[dict[str, str]] = field(default_factory=list)
    recipient_path: str = "none"
    recipient_reason: str = ""
    direct_s: float | None = None
    """From the sender's joining to a direct path."""
    path_after: str | None = None
    causes_after: tuple[str, str] | None = None
    later_s: float | None = None
    """How long a second message took, a minute later."""
    complaints: list[str] = field(default_factory=list)
    broken: bool = False
    """Whether it ended by something that no network explains: a bug, or the lab."""

    def breaks(self, why: str) -> None:
        """Something went wrong that is no matter of networks."""
        self.broken = True
        self.complaints.append(why)

    def row(self) -> dict[str, Any]:
        """Its line of JSON."""
        return asdict(self)


@contextmanager
def _idle(busy: Semaphore) -> Iterator[None]:
    """Somebody else may work meanwhile."""
    busy.release()
    try:
        yield
    finally:
        busy.acquire()


def play(alice: Person, bob: Person, outcome: Outcome, wanted: Expectation, busy: Semaphore, minute: bool) -> None:
    """Bob is plugged in and started, then Alice, who writes; the accesses are there, `busy` is held."""
    _start(bob, wanted)
    with _idle(busy):
        time.sleep(SETTLED_S)
    _start(alice, wanted)
    joined = time.time()
    id, begun = _send(alice)
    early = False
    if wanted.blocked:
        first, early = _through_a_block(alice, bob, id, begun, outcome, busy)
    else:
        if wanted.direct_s:
            outcome.direct_s = _direct(alice, joined)
        outcome.delivered_s = alice.delivered_s(id, begun, DELIVERY_S)
        first = _read_path(alice, bob, outcome)
    outcome.via = _via(bob, id)
    readings = [first]
    if minute and not wanted.blocked:
        with _idle(busy):
            time.sleep(MINUTE_S)
        readings.append(_after(alice, bob, outcome))
    outcome.complaints += complaints(wanted, outcome.delivered_s, outcome.direct_s, readings, early)


def _through_a_block(
    alice: Person, bob: Person, id: str, begun: float, outcome: Outcome, busy: Semaphore
) -> tuple[Reading, bool]:
    """The path while the block is there, and whether the message came all the same; then the block is lifted."""
    early = alice.delivered_s(id, begun, BLOCK_S) is not None
    first = _read_path(alice, bob, outcome)
    lifted = time.time()
    for person in (alice, bob):
        if person.access is not None and person.access.kind is UDP_BLOCKED:
            person.access.lift()
    with _idle(busy):
        outcome.delivered_s = alice.delivered_s(id, lifted, 2 * DELIVERY_S)
    return first, early


def _start(person: Person, wanted: Expectation) -> None:
    person.start()
    assert person.joins(BLOCK_S if wanted.blocked else DELIVERY_S) or wanted.blocked, person.log_tail()


def _send(alice: Person) -> tuple[str, float]:
    """The message's id and when it was sent."""
    sent = alice.asks("send", "bob", "hello")
    return sent["id"], seconds(sent["sent_at"])


def _direct(alice: Person, joined: float) -> float | None:
    """Seconds since she joined until the path is direct; None where it is not by then."""
    while (passed_s := time.time() - joined) < WATCHED_S:
        if alice.call("path", to="bob")["via"] == "direct":
            return round(passed_s, 3)
        time.sleep(POLL_S)
    return None


def _read_path(alice: Person, bob: Person, outcome: Outcome) -> Reading:
    """As anybody would look at it, at either end."""
    here, there = alice.asks("path", "bob"), bob.asks("path", "alice")
    outcome.path, outcome.reason, outcome.candidates = here["via"], here["reason"], here["candidates"]
    outcome.recipient_path, outcome.recipient_reason = there["via"], there["reason"]
    outcome.causes = here["cause"], there["cause"]
    return Reading(here["via"], outcome.causes)


def _via(bob: Person, id: str) -> str | None:
    rows = [row for row in bob.rows("history", "alice") if row["id"] == id]
    return rows[0]["via"] if rows else None


def _after(alice: Person, bob: Person, outcome: Outcome) -> Reading:
    """A minute later: the path, and whether it carries."""
    here, there = alice.asks("path", "bob"), bob.asks("path", "alice")
    outcome.path_after, outcome.causes_after = here["via"], (here["cause"], there["cause"])
    id, begun = _send(alice)
    outcome.later_s = alice.delivered_s(id, begun, DELIVERY_S)
    if outcome.later_s is None:
        outcome.complaints.append("a second message, a minute later, was not delivered")
    return Reading(here["via"], outcome.causes_after)
