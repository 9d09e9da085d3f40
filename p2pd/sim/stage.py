"""A stage for scenarios: a town under watch, people who know each other, ways to write, to disturb and to heal.

Knows no scenario.
Rules: every choice is drawn from the seed; whatever is disturbed is noted, so that `heal` can undo all of it; what a
refused or crashed `send` was to say was never accepted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice, repeat
from random import Random
from typing import TextIO

from p2pd.dht.counters import Cause
from p2pd.dht.getting import Found
from p2pd.dht.lookup import Lookup
from p2pd.dht.storing import PutProgress
from p2pd.effects import Effect
from p2pd.errors import P2pdError
from p2pd.sim.conditions import Conditions
from p2pd.sim.invariants import LIVELY_S, Judge
from p2pd.sim.measures import Measures
from p2pd.sim.mutants import applied
from p2pd.sim.probes import probes
from p2pd.sim.promises import Letter
from p2pd.sim.report import Report, filled
from p2pd.sim.resident import Resident
from p2pd.sim.town import PUBLISHED_S, Town
from p2pd.sim.trace import Trace
from p2pd.sim.watching import Phase
from p2pd.storage.records import SqliteRecordStore
from p2pd.store import HeldRecord
from p2pd.types import NodeKey, Now
from p2pd.wire.address import encode_id

SAMPLES = 48
"""Looks at copies and bounds in one run."""
SAMPLE_MIN_S = 60.0
ACQUAINTED_S = 300.0
SHARE = 0.5
RECALLED_OF = 6
"""A recall is of one of so many texts written last: most of them are still under way."""
_FIRST_MIN = 3
"""An open network that begins with fewer does not grow (`docs/operations.md`)."""
Progress = Callable[[float, str], None]
"""Told how far a run is, 0 to 1, and what it does."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line can ask of a scenario."""

    seed: int = 1
    nodes: int = 12
    hours: float = 1.0
    share: float = SHARE
    """Of the servers, those who misbehave; where a scenario has such."""
    mutant: str = ""
    """What is switched off of the shipped code; for what replays it."""
    trace_to: TextIO | None = None


class Stage:
    """One run of a scenario; an `Observer` of the world and a `Watcher` of the probes."""

    def __init__(self, options: Options, town: Town, progress: Progress) -> None:
        self.options = options
        self.random = Random(f"stage {options.seed}")
        self.town, self.world = town, town.world
        self.judge = Judge(town)
        self.measures = Measures(lambda: town.world.time_s)
        self.people: list[Resident] = []
        self.facts: dict[str, float] = {}
        """What the scenario measures by itself."""
        self.revive_after: Callable[[Stage], float] | None = None
        """How long after its end a process is started again; None: only `heal` does."""
        self._progress = progress
        self._jumped_s: dict[str, float] = {}
        self._sample_s = max(SAMPLE_MIN_S, options.hours * 3600 / SAMPLES)
        self._next_sample = self._sample_s
        self._whole_s = options.hours * 3600 + LIVELY_S
        self.world.observers.append(self)

    # --- people

    def add_people(self, count: int, *kinds: str) -> list[Resident]:
        """So many who all know each other, the first of them behind routers of these kinds, the others in the open."""
        self.people = [self.town.person(kind=kind) for kind in islice(chain(kinds, repeat("public")), count)]
        self.run(self.random.choice((0.0, PUBLISHED_S)))  # known before they are found, or found at once
        self.acquaint([(one, other) for one in self.people for other in self.people if one is not other])
        return self.people

    def acquaint(self, pairs: Sequence[tuple[Resident, Resident]]) -> None:
        """The first of each pair adds the second, and all have accepted."""
        for one, other in pairs:
            one.add(other, self.name_of(other))
            self.run(self.random.uniform(0, 0.5))
        acquainted = self.world.run_until(lambda: all(self._knows(one, other) for one, other in pairs), ACQUAINTED_S)
        if not acquainted:
            self.judge.broken("liveness", pairs[0][0].host, f"not acquainted within {ACQUAINTED_S:.0f} s")

    def name_of(self, person: Resident) -> str:
        """What the others call them."""
        return f"friend-{person.host.replace('.', '-')}"

    def _knows(self, one: Resident, other: Resident) -> bool:
        return one.engine.contact(self.name_of(other)).state == "accepted"

    def write(self, sender: Resident, recipient: Resident, size: int = 0) -> Letter | None:
        """A text of about that many characters; None where the sender is not there."""
        if not sender.is_up:
            return None
        letter = self.judge.promises.offer(sender, recipient, "x" * size)
        try:
            message = sender.do(lambda engine, now: engine.send(self.name_of(recipient), letter.text, now))
        except P2pdError:
            return letter
        self.judge.promises.accept(letter, message)
        return letter

    def some_letter(self, size: int = 0) -> Letter | None:
        """Somebody writes to somebody."""
        sender, recipient = self.random.sample(self.people, 2)
        return self.write(sender, recipient, size)

    def some_recall(self) -> None:
        """Somebody who is there takes back one of the last texts."""
        last = [letter for letter in self.judge.promises.letters[-RECALLED_OF:] if letter.accepted]
        mine = [letter for letter in last if letter.sender.is_up and not letter.recalled]
        if mine:
            letter = self.random.choice(mine)
            self.judge.promises.recall(letter)
            with suppress(P2pdError):
                letter.sender.do(lambda engine, now: engine.recall(encode_id(letter.id), now))

    # --- time

    def run(self, seconds: float) -> None:
        """Let so much time pass, looking at everything now and then."""
        end = self.world.time_s + seconds
        while self.world.time_s < end:
            self.world.run(min(end, self._next_sample) - self.world.time_s)
            if self.world.time_s >= self._next_sample:
                self._next_sample += self._sample_s
                self.sample()

    def sample(self) -> None:
        """A look at all nodes."""
        self.judge.check_bounds()
        self.measures.on_copies(self.judge.copies.count(self.world.now.wall_s))
        self._progress(min(1.0, self.world.time_s / self._whole_s), f"{self.world.time_s / 3600:.2f} virtual hours")

    # --- disturbing and healing

    def jump(self, host: str, seconds: float) -> None:
        """The host's wall clock jumps, until `heal` sets it right."""
        self._jumped_s[host] = self._jumped_s.get(host, 0.0) + seconds
        self.judge.copies.jumped.add(host)
        self.world.jump_wall(host, seconds)

    def set_right(self, host: str) -> None:
        """The host's wall clock is right again."""
        self.world.jump_wall(host, -self._jumped_s.pop(host, 0.0))

    def revive(self, resident: Resident) -> None:
        """Started again, where it has ended."""
        if self.world.node(resident.host) is None:
            resident.up()

    def heal(self) -> None:
        """Everything is as it should be again, and everybody is there."""
        self.world.heal()
        self.world.weather.clear()
        self.world.weather.set(Conditions())
        for host in list(self._jumped_s):
            self.set_right(host)
        for resident in self.town.residents:
            self.world.calm(resident.host)
            resident.block()
            resident.disk.set_full(False)
            self.revive(resident)

    def finish(self) -> None:
        """Heal, give it its time, and judge."""
        self.heal()
        end = self.world.time_s + LIVELY_S
        while self._waits() and self.world.time_s < end:
            self.run(min(10.0, end - self.world.time_s))
        self.judge.judge_liveness()
        self.sample()
        self.judge.judge_end()

    def _waits(self) -> bool:
        return any(person.store.outbox_count() for person in self.people)

    # --- what the world and the probes tell

    def on_turn(self, host: str, phase: Phase) -> None:
        self.judge.on_turn(host, phase)

    def on_effect(self, host: str, effect: Effect) -> None:
        self.judge.on_effect(host, effect)
        self.measures.on_effect(host, effect)

    def on_down(self, host: str, why: str) -> None:
        self.judge.on_down(host, why)
        resident = self.judge.resident(host)
        if self.revive_after is not None and resident is not None:
            self.world.after(self.revive_after(self), lambda: self.revive(resident))

    def on_message_key(self, key: bytes, sealed: bytes) -> None:
        self.judge.on_message_key(key, sealed)

    def on_hold(self, records: SqliteRecordStore, record: HeldRecord) -> None:
        self.judge.copies.on_hold(records, record)

    def on_release(self, records: SqliteRecordStore, key: bytes, item: bytes) -> None:
        self.judge.copies.on_release(records, key, item)

    def on_search_end(self, own: NodeKey, target: bytes, lookup: Lookup, began: Now, now: Now) -> None:
        self.judge.nearest.on_search_end(own, target, lookup, now.steady - began.steady)
        self.measures.on_look_up(lookup, now.steady - began.steady)

    def on_found(self, own: NodeKey, found: Found) -> None:
        self.measures.on_found(found)

    def on_put(self, own: NodeKey, progress: PutProgress, elapsed_ms: float) -> None:
        self.measures.on_put(progress, elapsed_ms)

    def on_carried(self, relay: object, link: int, size_bytes: int) -> None:
        self.judge.paces.on_carried(relay, link, size_bytes)

    def on_sent(self, cause: Cause, size_bytes: int) -> None:
        self.measures.on_sent(cause, size_bytes)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One course of events."""

    name: str
    line: str
    """What it shows, in one line."""
    play: Callable[[Stage], None]
    nodes: int
    hours: float
    people: int = 0
    """Of the nodes; the others are servers."""
    replicas: int = 4
    loss: float = 0.0
    rarity: int = 100
    """How many storms the menu plays for one of these; a thousand nodes cost some minutes."""
    private: bool = True
    """Whether the network is one, where every node in the open serves at once."""
    hostile: bool = False
    """Whether `share` of the servers are not begun with, since the scenario brings its own in their place."""
    first: float = 1.0
    """Of the nodes, those that serve from the start, where they are not all but the people."""

    def servers(self, options: Options) -> int:
        """How many there are before the scenario begins."""
        if self.first < 1:
            return max(_FIRST_MIN, round(self.first * options.nodes))
        others = options.nodes - self.people
        return others - round(others * options.share) if self.hostile else others


def perform(scenario: Scenario, options: Options, progress: Progress = lambda share, doing: None) -> Report:
    """Play a scenario; what came of it."""
    began, cpu = time.perf_counter(), time.process_time()
    trace = Trace(options.trace_to)
    town = Town(
        options.seed,
        servers=scenario.servers(options),
        replicas=scenario.replicas,
        conditions=Conditions(loss=scenario.loss),
        private=scenario.private,
        trace=trace,
        raise_bugs=False,
    )
    stage = Stage(options, town, progress)
    with applied(options.mutant), probes(stage):
        scenario.play(stage)
        stage.finish()
    report = Report(scenario.name, options.seed, len(town.residents), options.hours, replay_of(scenario, options))
    report.wall_s, report.cpu_s = time.perf_counter() - began, time.process_time() - cpu
    report.virtual_hours = town.world.time_s / 3600
    report.node_hours = report.virtual_hours * len(town.residents)
    report.faults = dict(sorted(town.world.counts.items()))
    report.trace, report.facts = trace.digest(), stage.facts
    return filled(report, stage.judge, stage.measures)


def replay_of(scenario: Scenario, options: Options) -> str:
    """The command that plays it again."""
    words = [f"python -m p2pd.sim {scenario.name} --seed {options.seed}"]
    if options.nodes != scenario.nodes:
        words.append(f"--nodes {options.nodes}")
    if options.hours != scenario.hours:
        words.append(f"--hours {options.hours:g}")
    if options.share != SHARE:
        words.append(f"--share {options.share:g}")
    if options.mutant:
        words.append(f"--mutant {options.mutant}")
    return " ".join(words)
