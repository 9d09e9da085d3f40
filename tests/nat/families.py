"""What the matrix does not show of IPv6: ends with both families, with one, with a broken one, and moves between them.

Each case is a cell as the matrix's (`cell.py`), between ends that have an access of either family or of both.
"""

import itertools
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tests.integration.fleet import WITHIN_S, environment, program
from tests.nat import cell
from tests.nat.cell import Outcome
from tests.nat.expected import DIRECT_S, RELAYED_S, Expectation
from tests.nat.experiments import Finding, judged, linked, stream
from tests.nat.kinds import PUBLIC, SYMMETRIC, Kind
from tests.nat.people import Person, Town

_numbers = itertools.count(1)
"""Of IPv6 networks; none is used twice."""


@dataclass(frozen=True, slots=True)
class End:
    """What somebody has."""

    ipv4: Kind | None = None
    ipv6: str = ""

    def plug(self, person: Person) -> None:
        """In place of what they had."""
        person.unplug()
        person.unplug_v6()
        if self.ipv4 is not None:
            person.plug(self.ipv4)
        if self.ipv6:
            person.plug_v6(self.ipv6, next(_numbers))


DUAL = End(PUBLIC, "open")
ONLY_V4 = End(PUBLIC)
ONLY_V6 = End(None, "open")
FIREWALLED_V6 = End(None, "firewalled")
SYMMETRIC_DUAL = End(SYMMETRIC, "open")
BROKEN_V6 = End(PUBLIC, "broken")


@dataclass(frozen=True, slots=True)
class Case:
    """Two ends, and how it must go."""

    sender: End
    recipient: End
    wanted: Expectation
    family: str = ""
    """By which a direct link must go."""


_DIRECT = Expectation(("direct",), DIRECT_S, ("linked", "linked"), direct_s=DIRECT_S)
_APART = Expectation(("relay",), RELAYED_S, ("no-common-family", "no-common-family"))
CASES = {
    "both with both": Case(DUAL, DUAL, _DIRECT),
    "IPv6 only with IPv6 only": Case(ONLY_V6, ONLY_V6, _DIRECT, "IPv6"),
    "IPv6 firewalled with IPv6 firewalled": Case(FIREWALLED_V6, FIREWALLED_V6, _DIRECT, "IPv6"),
    "IPv6 only to IPv4 only": Case(ONLY_V6, ONLY_V4, _APART),
    "IPv4 only to IPv6 only": Case(ONLY_V4, ONLY_V6, _APART),
    "symmetric IPv4 and IPv6 at both": Case(SYMMETRIC_DUAL, SYMMETRIC_DUAL, _DIRECT, "IPv6"),
    "the sender's IPv6 broken": Case(BROKEN_V6, DUAL, _DIRECT, "IPv4"),
    "the recipient's IPv6 broken": Case(DUAL, BROKEN_V6, _DIRECT, "IPv4"),
}


def ipv6(town: Town) -> Iterator[Finding]:
    """The cases, then the moves."""
    for name in CASES:
        yield play(town, name)
    yield from _moves(town)


def play(town: Town, name: str) -> Finding:
    """One case with two new people."""
    case = CASES[name]
    alice, bob = town.friends("--no-lan")
    case.sender.plug(alice)
    case.recipient.plug(bob)
    outcome = Outcome(name, name)
    busy = threading.Semaphore()
    with busy:
        cell.play(alice, bob, outcome, case.wanted, busy, minute=False)
    family = family_of(alice.asks("path", "bob")["reason"])
    finding = Finding(
        "ipv6",
        name,
        {
            "path": outcome.path,
            "family": family,
            "delivered_s": outcome.delivered_s,
            "direct_s": outcome.direct_s,
            "via": outcome.via,
            "causes": outcome.causes,
            "doctor": _doctor(alice),
        },
        outcome.complaints,
    )
    if case.family and family != case.family:
        finding.complaints.append(f"the link goes by {family or 'neither family'}, not {case.family}")
    leave(alice, bob)
    return finding


def family_of(reason: str) -> str:
    """Of a direct link, by the words of `path`: "a link to [3ffe::1]:4242 is up"."""
    _, found, where = reason.partition("a link to ")
    return "" if not found else "IPv6" if where.startswith("[") else "IPv4"


def _doctor(person: Person) -> str:
    """What it says of IPv6, on the person's own machine."""
    words = [*person.machine.executing(*program("p2pctl", "p2pctl.main")), "--home", str(person.home)]
    said = subprocess.run(
        [*words, "--json", "doctor"], env=environment(), capture_output=True, text=True, timeout=WITHIN_S, check=False
    ).stdout
    rows = [json.loads(line) for line in said.splitlines()]
    return next((row["message"] for row in rows if row["check"] == "ipv6"), said)


def leave(*people: Person) -> None:
    """They are gone."""
    for person in people:
        person.leave()


def _moves(town: Town) -> Iterator[Finding]:
    """One end changes from IPv4 to IPv6, or back, in the middle of a stream; the other has both."""
    for before, after, words in ((ONLY_V4, ONLY_V6, "IPv4 to IPv6"), (ONLY_V6, ONLY_V4, "IPv6 to IPv4")):
        for mover in ("recipient", "sender"):
            plugs: dict[str, Callable[[Person], object]] = {"sender": DUAL.plug, "recipient": DUAL.plug}
            plugs[mover] = before.plug
            alice, bob = linked(town, plugs["sender"], plugs["recipient"])
            who = bob if mover == "recipient" else alice
            first = alice.asks("path", "bob")
            figures = stream(alice, bob, partial(after.plug, who))
            last = alice.asks("path", "bob")
            families = f"{family_of(first['reason'])}>{family_of(last['reason'])}"
            paths = {"path": f"{first['via']}>{last['via']}", "family": families}
            yield judged(Finding("ipv6", f"the {mover} moves from {words}", {**paths, **figures}))
            leave(alice, bob)
