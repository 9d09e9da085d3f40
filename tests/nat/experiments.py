"""What the matrix does not show: a network with nobody else, a machine that moves, a relay that dies, bad lines.

Each experiment is a function that plays itself on a town and yields its findings; `EXPERIMENTS` names them.
Rule: what is counted is what the recipient's history holds.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

from tests.nat.expected import LAN_S
from tests.nat.kinds import FULL_CONE, KINDS, PORT_RESTRICTED, PUBLIC, QUIC_BLOCKED, SYMMETRIC, Kind
from tests.nat.line import Conditions
from tests.nat.people import POLL_S, SETTLED_S, Person, Resident, Town, seconds

STREAM = 1_000
STREAM_EVERY_S = 0.02
GAP_S = 3.0
ALL_S = 120.0
"""After that what has not arrived counts as lost."""
FEW = 10
"""Messages each way over a bad line."""
_MBIT = 1_000_000


@dataclass(slots=True)
class Finding:
    """One thing measured."""

    experiment: str
    case: str
    figures: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """Its line of JSON."""
        return asdict(self)

    def text(self) -> str:
        """Its line for a reader."""
        figures = ", ".join(f"{name} {value}" for name, value in self.figures.items())
        return f"{self.experiment}, {self.case}: {figures}" + "".join(f"; {wrong} !" for wrong in self.complaints)


# --- two on a network that leads nowhere


def lan(town: Town) -> Iterator[Finding]:
    """Two who know each other, one cable, and no other node: from the second's ready line to the first delivery."""
    alice, bob = town.friends()
    town.lab.lan(alice.machine, bob.machine)
    bob.start()
    time.sleep(SETTLED_S)
    alice.start()
    begun = time.time()
    sent = alice.asks("send", "bob", "hello")["id"]
    took_s = alice.delivered_s(sent, begun, ALL_S)
    path = alice.asks("path", "bob")
    finding = Finding("lan", "no other node", {"delivered_s": took_s, "path": path["via"], "reason": path["reason"]})
    if took_s is None or took_s > LAN_S:
        finding.complaints.append(f"not delivered in {LAN_S:.0f} s")
    if path["via"] != "lan":
        finding.complaints.append("the path is not lan")
    _leave(alice, bob)
    yield finding


# --- a stream of messages, and something that happens in its middle


def move(town: Town) -> Iterator[Finding]:
    """One end gets another access, with another address, in the middle of a stream."""
    for sender, recipient in ((PUBLIC, PUBLIC), (PUBLIC, PORT_RESTRICTED), (PORT_RESTRICTED, FULL_CONE)):
        for mover in ("recipient", "sender"):
            alice, bob = linked(town, partial(_plug, sender), partial(_plug, recipient))
            who, kind = (bob, recipient) if mover == "recipient" else (alice, sender)
            before = alice.asks("path", "bob")["via"]
            figures = stream(alice, bob, partial(who.plug, kind))
            after = alice.asks("path", "bob")["via"]
            case = f"{sender.name} to {recipient.name}, the {mover} moves"
            yield judged(Finding("move", case, {"path": f"{before}>{after}", **figures}))
            _leave(alice, bob)


def relay_killed(town: Town) -> Iterator[Finding]:
    """The node between two who cannot reach each other dies in the middle of a stream."""
    alice, bob = linked(town, partial(_plug, SYMMETRIC), partial(_plug, SYMMETRIC))
    sent = {node: _sent_bytes(node) for node in town.nodes}
    killed: list[Resident] = []

    def kill() -> None:
        carrier = max(town.nodes, key=lambda node: _sent_bytes(node) - sent[node])
        carrier.kill()
        killed.append(carrier)

    before = alice.asks("path", "bob")["via"]
    figures = stream(alice, bob, kill)
    after = alice.asks("path", "bob")["via"]
    finding = judged(Finding("relay-killed", "symmetric to symmetric", {"path": f"{before}>{after}", **figures}))
    if before != "relay":
        finding.complaints.append(f"there was no relay to kill: the path was {before}; the busiest node was killed")
    for node in killed:
        node.start()
    _leave(alice, bob)
    yield finding


def _plug(kind: Kind, person: Person) -> None:
    person.plug(kind)


def linked(
    town: Town, sender: Callable[[Person], object], recipient: Callable[[Person], object]
) -> tuple[Person, Person]:
    """Two friends, plugged in by these functions, who have exchanged a message."""
    alice, bob = town.friends()
    for person, plug in ((bob, recipient), (alice, sender)):
        plug(person)
        person.start()
        assert person.joins(), person.log_tail()
    time.sleep(SETTLED_S)
    sent = alice.asks("send", "bob", "before")["id"]
    assert alice.delivered_s(sent, 0.0, ALL_S) is not None, alice.log_tail()
    time.sleep(SETTLED_S)
    return alice, bob


def stream(alice: Person, bob: Person, event: Callable[[], object]) -> dict[str, Any]:
    """1,000 messages at an even pace, with something that happens before the one in the middle; `counted`'s figures."""
    begun = time.monotonic()
    for number in range(STREAM):
        if number == STREAM // 2:
            event_begun = time.time()
            event()
            event_ended = time.time()
        time.sleep(max(0.0, begun + number * STREAM_EVERY_S - time.monotonic()))
        alice.call("send", to="bob", text=f"number {number}")
    wanted = {f"number {number}" for number in range(STREAM)}
    deadline = time.monotonic() + ALL_S
    while not wanted <= set(bob.texts_from("alice")) and time.monotonic() < deadline:
        time.sleep(1.0)
    return counted(bob.call("history", to="alice", limit=10_000)["messages"], wanted, (event_begun, event_ended))


def counted(history: list[dict[str, Any]], wanted: set[str], event: tuple[float, float]) -> dict[str, Any]:
    """How many of the texts that were sent a history lacks or has twice, and the longest wait for the next one.

    How long the event took, its begin and end as time.time() counts, is told beside it: nothing is sent meanwhile.
    """
    rows = [row for row in history if row["text"] in wanted]
    counts = Counter(row["text"] for row in rows)
    came = sorted(seconds(row["received_at"]) for row in rows)
    gaps = [later - earlier for earlier, later in pairwise(came)]
    return {
        "lost": len(wanted) - len(counts),
        "doubled": sum(count - 1 for count in counts.values()),
        "gap_s": round(max(gaps, default=ALL_S), 2),
        "event_s": round(event[1] - event[0], 2),
        "via": dict(Counter(row["via"] for row in rows)),
    }


def judged(finding: Finding) -> Finding:
    """The finding of a stream, with what is wrong about it."""
    figures = finding.figures
    finding.complaints += [name for name in ("lost", "doubled") if figures[name]]
    if figures["gap_s"] > GAP_S:
        finding.complaints.append(f"a gap of more than {GAP_S:.0f} s")
    return finding


def _sent_bytes(node: Resident) -> int:
    return int(node.call("net.stats")["sent_bytes"])


# --- lines

LINES = {
    "30 % loss both ways": Conditions(delay_s=0.02, loss=0.3),
    "round trips of 2 s": Conditions(delay_s=1.0),
    "64 kbit/s": Conditions(delay_s=0.02, rate_bits_per_s=64_000),
    "MTU black hole at 1,228": Conditions(delay_s=0.02, mtu_bytes=1_228),
    "MTU black hole at 1,200": Conditions(delay_s=0.02, mtu_bytes=1_200),
    "jitter of 100 ms, 5 % doubled": Conditions(delay_s=0.02, jitter_s=0.1, duplication=0.05, rate_bits_per_s=_MBIT),
}
"""1,228 bytes are the datagrams of 1,200 that QUIC demands of every path (RFC 9000 section 14), with their headers."""


def lines(town: Town) -> Iterator[Finding]:
    """Some messages each way between one on a good line and one at the end of a bad one."""
    for case, conditions in LINES.items():
        alice, bob = town.friends()
        alice.plug(PUBLIC)
        bob.access = town.lab.plug_line(conditions, bob.machine)
        alice.start()
        bob.start()
        begun = time.monotonic()
        joined = bob.joins(ALL_S / 2)
        figures: dict[str, Any] = {"joined_s": round(time.monotonic() - begun, 1) if joined else None}
        finding = Finding("lines", case, figures)
        time.sleep(SETTLED_S)
        ids = {alice: _send_few(alice, "bob"), bob: _send_few(bob, "alice")}
        begun = time.monotonic()
        left = _undelivered(ids)
        figures |= {"all_s": round(time.monotonic() - begun, 1), "undelivered": left}
        figures["path"] = alice.asks("path", "bob")["via"]
        if left:
            finding.complaints.append("not all delivered")
        _leave(alice, bob)
        yield finding


def _send_few(person: Person, to: str) -> set[str]:
    return {person.call("send", to=to, text=f"number {number}")["id"] for number in range(FEW)}


def _undelivered(ids: dict[Person, set[str]]) -> int:
    """How many have not been delivered when all are, or time is up."""
    deadline = time.monotonic() + ALL_S
    while True:
        left = sum(len(sent - _delivered(person)) for person, sent in ids.items())
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(POLL_S)


def _delivered(person: Person) -> set[str]:
    events = person.call("events", type="receipt")["events"]
    return {event["data"]["id"] for event in events if event["data"]["state"] == "delivered"}


# --- first contact where QUIC does not pass

NARROW = "MTU black hole at 1,200"
STRANGERS = (("public", QUIC_BLOCKED.name), (QUIC_BLOCKED.name, "public"), (QUIC_BLOCKED.name, QUIC_BLOCKED.name))
STRANGERS += (("public", NARROW), (NARROW, "public"))


def first_contact(town: Town) -> Iterator[Finding]:
    """Two who have never talked: a request, its acceptance, and messages each way."""
    for asker, asked in STRANGERS:
        alice, bob = town.person("alice"), town.person("bob")
        for person, access in ((alice, asker), (bob, asked)):
            _connect(person, access)
            person.start()
        joined = all(person.joins(ALL_S / 2) for person in (alice, bob))
        finding = Finding("first-contact", f"{asker} to {asked}", {"joined": joined})
        time.sleep(SETTLED_S)
        begun = time.monotonic()
        request = _requested(alice, bob) if joined else None
        finding.figures["request_s"] = round(time.monotonic() - begun, 1) if request else None
        if request is None:
            finding.complaints.append("the request did not come")
        else:
            bob.call("request.accept", id=request, **{"as": "alice"})
            begun = time.monotonic()
            left = _undelivered({alice: _send_few(alice, "bob"), bob: _send_few(bob, "alice")})
            finding.figures |= {"all_s": round(time.monotonic() - begun, 1), "undelivered": left}
            if left:
                finding.complaints.append("not all delivered")
        finding.figures["sent_kB"] = {person.home.name: _sent_bytes(person) // 1000 for person in (alice, bob)}
        _leave(alice, bob)
        yield finding


def _connect(person: Person, access: str) -> None:
    if access in LINES:
        person.access = person.lab.plug_line(LINES[access], person.machine)
    else:
        person.plug(KINDS[access])


def _requested(alice: Person, bob: Person) -> str | None:
    """She asks; the id of the request as he sees it, None where it does not come."""
    alice.call("contact.add", address=bob.address, message="hello, stranger", **{"as": "bob"})
    deadline = time.monotonic() + ALL_S
    while time.monotonic() < deadline:
        if requests := bob.call("request.list")["requests"]:
            return str(requests[0]["id"])
        time.sleep(POLL_S)
    return None


def _leave(*people: Person) -> None:
    for person in people:
        person.leave()


EXPERIMENTS: dict[str, Callable[[Town], Iterator[Finding]]] = {
    "lan": lan,
    "move": move,
    "relay-killed": relay_killed,
    "lines": lines,
    "first-contact": first_contact,
}
