"""The DHT: getting and putting records, with all nodes there and with many of them gone."""

import time
from dataclasses import dataclass, field
from itertools import cycle
from statistics import mean, median

from bench.line import LONG, LOOPBACK, LOSSY, Line
from bench.result import Result, spread, trips
from bench.setting import Bench, timed_ms
from p2pd.errors import P2pdError
from tests.integration.fleet import Daemon

ASKERS = 4
SHARE = 0.3
NOTE = (
    "100 storing nodes in 2 processes, which share two cores with all else; replicas 8; "
    "each asker and the writer are daemons, processes of their own"
)


@dataclass(slots=True)
class Gets:
    """What the gets said."""

    reported_ms: list[float] = field(default_factory=list)
    whole_ms: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    failed: int = 0

    def add(self, asker: Daemon, key: str) -> None:
        """One more."""
        begun = time.perf_counter()
        try:
            found = asker.call("dht.get", key=key)
        except P2pdError:
            self.failed += 1
            return
        self.whole_ms.append((time.perf_counter() - begun) * 1000)
        self.reported_ms.append(found["elapsed_ms"])
        self.rounds.append(found["rounds"])
        self.messages.append(found["messages"])

    @property
    def facts(self) -> dict[str, float]:
        """What a round trip hides on loopback."""
        return {
            "hops": round(mean(self.rounds), 2),
            "messages": round(mean(self.messages), 1),
            "at the API p50": round(median(self.whole_ms), 2),
        }


def get(bench: Bench) -> None:
    """`dht get` and `dht put`, all nodes there."""
    medians: dict[Line, tuple[float, float]] = {}
    for line, count in ((LOOPBACK, bench.count(400, 100)), (LONG, 40), (LOSSY, bench.count(100, 40))):
        with bench.town(line=line) as place:
            writer, *askers = place.people("writer", *[f"asker{number}" for number in range(ASKERS)])
            keys, puts = _put(writer, count)
            gets = _get(askers, keys)
        _show_gets(bench, "dht get", gets, {"p50": 2, "p99": 20} if line is LOOPBACK else {}, line)
        bench.show(Result("dht put", "ms", spread(puts), line=line.name, note=NOTE))
        medians[line] = median(gets.reported_ms), median(puts)
    for index, name in enumerate(("dht get", "dht put")):
        bench.show(trips(name, medians[LOOPBACK][index], medians[LONG][index]))


def killed(bench: Bench) -> None:
    """Gets and puts a second after 30 % of the nodes were killed."""
    _without(bench, "kill", "killed")


def silenced(bench: Bench) -> None:
    """The same with these nodes stopped: their sockets are open, and nobody reads them."""
    _without(bench, "silence", "silenced")


def _without(bench: Bench, how: str, word: str) -> None:
    for line, count in ((LOOPBACK, bench.count(100, 40)), (LOSSY, bench.count(100, 40))):
        _without_on(bench, line, count, how, word)


def _without_on(bench: Bench, line: Line, count: int, how: str, word: str) -> None:
    with bench.town(line=line, spoil=True) as place:
        writer, *askers = place.people("writer", *[f"asker{number}" for number in range(ASKERS)])
        keys, _ = _put(writer, count)
        for asker in askers:
            asker.call("dht.get", key=keys[0])
        lost = place.lose(SHARE, how=how)
        time.sleep(1)
        gets = _get(askers, keys)
        puts, failed = _try_put(writer, bench.count(40, 10))
    what = f"{lost} of 100 {word} 1 s before"
    _show_gets(bench, f"dht get, {what}", gets, {"p50": 5, "p99": 150} if line is LOOPBACK else {}, line)
    values, goals = spread(puts) | {"failed": failed}, {"p50": 300, "failed": 0} if line is LOOPBACK else {}
    bench.show(Result(f"dht put, {what}", "ms", values, goals, line=line.name, note=NOTE))


def _put(writer: Daemon, count: int) -> tuple[list[str], list[float]]:
    keys: list[str] = []
    times = [
        timed_ms(lambda number=number: keys.append(writer.call("dht.put", value=f"{number} " + "x" * 200)["key"]))  # type: ignore[misc]
        for number in range(count)
    ]
    return keys, times


def _try_put(writer: Daemon, count: int) -> tuple[list[float], int]:
    times: list[float] = []
    failed = 0
    for _ in range(count):
        begun = time.perf_counter()
        try:
            writer.call("dht.put", value="y" * 200)
        except P2pdError:
            failed += 1
        times.append((time.perf_counter() - begun) * 1000)
    return times, failed


def _get(askers: list[Daemon], keys: list[str]) -> Gets:
    gets = Gets()
    for asker, key in zip(cycle(askers), keys, strict=False):
        gets.add(asker, key)
    return gets


def _show_gets(bench: Bench, name: str, gets: Gets, goal: dict[str, float], line: Line) -> None:
    note = f"elapsed_ms as the API reports it, {ASKERS} askers in turn. {NOTE}"
    values = spread(gets.reported_ms) | {"failed": gets.failed}
    goal = {key if key in values else "max": limit for key, limit in goal.items()}
    goal |= {"failed": 0} if goal else {}
    bench.show(Result(name, "ms", values, goal, line=line.name, facts=gets.facts, note=note))
