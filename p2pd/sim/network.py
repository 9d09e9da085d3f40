"""A virtual world: many nodes, one clock, one heap, and what lies between them instead of a network.

Knows no protocol: it performs effects and delivers inputs, as the driver and the network of a daemon do.
Rules: the same seed gives the same course of events; nothing here reads a clock or the system's chance.
A turn of a node is the driver's (`turns`); frames and requests behave as over QUIC (`links`, `requests`); a datagram is
one packet, which may be lost, doubled, delayed, spoiled, or too large.

    world = World(seed, conditions=Conditions(latency_s=(0.005, 0.04), loss=0.03), trace=Trace(sink=None))

| what | how |
|---|---|
| the cast | `behind`, `add`, `run_at` (a `Node`), `stop`, `kill`, `rebuild`, `call`, `is_running`, `hosts`, `node` |
| time | `now`, `now_at`, `time_s`, `run`, `run_until`, `after` |
| between hosts | `weather.set(conditions)`, for all, one host or a pair; `cut`, `heal` |
| at a host | `move`, `silence`, `stall`, `sleep`, `wake`, `jump_wall`, `full_disk`, `crash_at`, `break_turn`, `calm` |
| to watch | `observers` (`watching.Observer`), `counts`, `bugs`, `trace`, `taps`, `traffic`, `links` |

`p2pd.sim.town` has people; `p2pd.sim.churn` lets them come and go; `p2pd.sim.adversaries` are nodes that lie.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Any, TypeVar, assert_never

from p2pd import limits
from p2pd.crypto.stamp import solve
from p2pd.effects import (
    Announce,
    CheckLink,
    CloseLink,
    Effect,
    Notify,
    OpenLink,
    Request,
    Respond,
    SendDatagram,
    SendFrame,
    SolveStamp,
)
from p2pd.sim.agenda import Agenda
from p2pd.sim.carriage import Carriage
from p2pd.sim.conditions import Conditions, Cut, Weather
from p2pd.sim.crashes import Crash, Moment
from p2pd.sim.datagrams import Datagrams
from p2pd.sim.hosts import START_WALL_MS, Host, M, Node
from p2pd.sim.links import Links
from p2pd.sim.nat import KINDS
from p2pd.sim.requests import Requests
from p2pd.sim.routes import Network, Routes
from p2pd.sim.trace import Trace
from p2pd.sim.turns import Turns
from p2pd.sim.watching import Bug, Observer
from p2pd.types import Endpoint, Now

T = TypeVar("T")
PORT = 4_242
_STAMP_TRY_S = 0.00065
"""One Argon2id of `p2pd.crypto.stamp`, on a machine of today."""


class World:
    """All hosts, what runs there, and what is under way between them."""

    def __init__(
        self,
        seed: object = 0,
        *,
        conditions: Conditions | None = None,
        trace: Trace | None = None,
        raise_bugs: bool = True,
    ) -> None:
        self._agenda = Agenda()
        self._random = Random(repr(seed))
        self._hosts: dict[str, Host] = {}
        self.weather = Weather(conditions or Conditions())
        self.trace = trace
        self._turns = Turns(self._agenda, self, trace, raise_bugs=raise_bugs)
        self._routes = Routes(lambda: self._agenda.time_s, self._random)
        carriage = Carriage(self._agenda, self._random, self.weather, self._routes)
        self.links = Links(carriage, self._give, self.counts)
        self.datagrams = Datagrams(carriage, self._give, self.counts)
        self._requests = Requests(carriage, self._give, self.counts)
        self._wall_jump_ms = 0
        self.announced: dict[str, Announce] = {}
        """What each host would say on its local network."""

    # --- the cast

    def behind(self, kind: str, address: str, outside: Network | None = None) -> Network:
        """A new network behind routers of a kind of `nat.KINDS`, which are at that address outside."""
        return self._routes.behind(KINDS[kind], address, outside)

    def add(self, host: str, port: int = PORT, *, address: str = "", network: Network | None = None) -> Endpoint:
        """A host, and where it is in its network: by default under its name in the open one; `run_at` brings a node."""
        place = self._hosts.get(host)
        if place is None:
            place = self._hosts[host] = Host(host, Endpoint(address or host, port), self._agenda)
            place.wall_offset_ms += self._wall_jump_ms
            self._routes.place(place, network or self._routes.open)
        return place.endpoint

    def run_at(self, host: str, node: Node[M], start: Callable[[Now], object] | None = None) -> None:
        """From now on this node runs there, in place of any before it; `start` is what it does first."""
        self.add(host)
        place = self._hosts[host]
        if place.node is not None:
            self.kill(host)
        self._note(host, "up", node.key.hex()[:16])
        node.rebuild()
        self._turns.begin(place, node)
        self._tell_addresses(place)
        if start is not None and place.node is node:
            self.call(host, start)

    def stop(self, host: str) -> None:
        """A clean end: what is promised leaves, and the peers of links are told."""
        place = self._hosts[host]
        if place.node is None:
            return
        if place.running:
            self._turns.commit(place)
            self.links.close_all(place)
            self._requests.forget_core(place)
        self.end(place, "stopped")

    def kill(self, host: str, *, power: bool = False) -> None:
        """The process ends where it stands, and nobody is told; with `power` the machine does."""
        place = self._hosts[host]
        if place.node is not None:
            self.end(place, "power" if power else "killed", power=power)

    def rebuild(self, host: str) -> None:
        """The driver throws the core away and builds it anew from the stores."""
        self._turns.rebuild(self._hosts[host])

    def call(self, host: str, function: Callable[[Now], T]) -> T:
        """What an application asks, in a turn of its own; raises as `Turns.call`."""
        return self._turns.call(self._hosts[host], function)

    def is_running(self, host: str) -> bool:
        """Whether a process is there and is run."""
        return host in self._hosts and self._hosts[host].running

    def hosts(self) -> list[str]:
        """All addresses, those first added first."""
        return list(self._hosts)

    def node(self, host: str) -> Node[Any] | None:
        """What runs there."""
        return self._hosts[host].node

    # --- time

    @property
    def time_s(self) -> float:
        """Since the world began."""
        return self._agenda.time_s

    @property
    def now(self) -> Now:
        """This moment, by clocks that are right."""
        time_s = self._agenda.time_s
        return Now(time_s, START_WALL_MS + self._wall_jump_ms + int(time_s * 1000))

    def now_at(self, host: str) -> Now:
        """This moment, by the host's clocks."""
        return self._hosts[host].now

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        self._agenda.run(seconds)

    def run_until(self, predicate: Callable[[], bool], limit_s: float) -> bool:
        """Let time pass until the predicate holds; whether it did in time."""
        return self._agenda.run_until(predicate, limit_s)

    def after(self, wait_s: float, action: Callable[[], object]) -> None:
        """Do something at a later time."""
        self._agenda.after(wait_s, action)

    # --- what lies between hosts

    def cut(self, these: Iterable[str], those: Iterable[str] | None = None, *, one_way: bool = False) -> Cut:
        """From now on nothing passes from these hosts to those (None: all others), nor back unless it is one-way."""
        cut = Cut(these, those, one_way)
        self.weather.cuts.append(cut)
        self._note("-", "cut", len(self.weather.cuts))
        return cut

    def heal(self, cut: Cut | None = None) -> None:
        """One cut is no more, or none is."""
        if cut is None:
            self.weather.cuts.clear()
        elif cut in self.weather.cuts:
            self.weather.cuts.remove(cut)
        self._note("-", "healed", len(self.weather.cuts))

    # --- what befalls a host

    def move(self, host: str, address: str, network: Network | None = None) -> Endpoint:
        """The host has another address, in the open network or another one; its process is told; the new endpoint."""
        place = self._hosts[host]
        self._routes.remove(place)
        place.endpoint = Endpoint(address, place.endpoint.port)
        self._routes.place(place, network or self._routes.open)
        self.counts["moved"] += 1
        self._note(host, "moved", place.endpoint)
        self._tell_addresses(place)
        return place.endpoint

    def silence(self, host: str, silent: bool = True) -> None:
        """The process is stopped, and what comes is lost; its clocks go on."""
        place = self._hosts[host]
        place.silent = silent
        self._note(host, "silent" if silent else "heard again")
        place.settle()
        if place.running:
            self._resume(place)

    def stall(self, host: str, seconds: float) -> None:
        """The process is not run for so long: its clocks go on, and datagrams wait in its socket."""
        place = self._hosts[host]
        place.stalled = True
        place.settle()
        self._note(host, "stalled", seconds)
        self._agenda.after(seconds, partial(self._unstall, place, place.life))

    def sleep(self, host: str) -> None:
        """The machine is suspended: nothing comes, its steady clock stands still, its wall clock goes on."""
        place = self._hosts[host]
        if not place.asleep:
            place.slept_at, place.asleep = self._agenda.time_s, True
            place.settle()
            self._note(host, "asleep")

    def wake(self, host: str) -> None:
        """The machine goes on."""
        place = self._hosts[host]
        if place.asleep:
            slept_s = self._agenda.time_s - place.slept_at
            place.lag_s += slept_s
            place.asleep = False
            place.settle()
            self.links.sleep(place, slept_s)
            self._note(host, "awake")
            place.moved = True
            if place.running:
                self._resume(place)

    def jump_wall(self, host: str, seconds: float) -> None:
        """The host's wall clock jumps, forward or back."""
        self._hosts[host].wall_offset_ms += int(seconds * 1000)
        self._note(host, "wall clock jumped", seconds)

    def jump_steady(self, host: str, seconds: float) -> None:
        """The host's steady clock leaps forward, as where one counts a sleep, or a virtual machine is moved."""
        if seconds < 0:
            raise ValueError("a steady clock never goes back")
        place = self._hosts[host]
        place.lag_s -= seconds
        self.links.leap(place, seconds)
        self._note(host, "steady clock jumped", seconds)
        if place.running:
            self._resume(place)

    def pass_days(self, days: float) -> None:
        """Every wall clock jumps by so much, as if nobody had done anything meanwhile."""
        jump_ms = int(days * limits.DAY_MS)
        self._wall_jump_ms += jump_ms
        for place in self._hosts.values():
            place.wall_offset_ms += jump_ms

    def full_disk(self, host: str, full: bool = True) -> None:
        """From now on the disk there refuses commits, or does not any more."""
        node = self._hosts[host].node
        if node is None or node.disk is None:
            raise ValueError(f"nothing with a disk runs at {host}")
        node.disk.set_full(full)
        self._note(host, "disk full" if full else "disk has room")

    def calm(self, host: str) -> None:
        """No fault is at work at the host any more: it is awake and heard, has room, and nothing is arranged."""
        place = self._hosts[host]
        place.crashes.clear()
        place.breaks = 0
        self.wake(host)
        if place.silent:
            self.silence(host, False)
        if place.node is not None and place.node.disk is not None:
            place.node.disk.set_full(False)

    def crash_at(self, host: str, moment: Moment, *, after: int = 1, power: bool = False) -> None:
        """Have the process end at the so many-th such moment from now; with `power` the machine."""
        self._hosts[host].crashes.append(Crash(moment, after, power))

    def break_turn(self, host: str, turns: int = 1) -> None:
        """So many next turns there meet a bug."""
        self._hosts[host].breaks += turns

    # --- to watch

    @property
    def counts(self) -> Counter[str]:
        """Happenings by kind."""
        return self._turns.counts

    @property
    def observers(self) -> list[Observer]:
        """Who watches."""
        return self._turns.observers

    @property
    def bugs(self) -> list[Bug]:
        """Unexpected exceptions in turns."""
        return self._turns.bugs

    @property
    def taps(self) -> list[Callable[[str, Endpoint, bytes], None]]:
        """Called with every datagram that is sent: host, destination, bytes."""
        return self.datagrams.taps

    def traffic(self, host: str) -> tuple[int, int]:
        """Bytes of datagrams and requests that the host sent and was sent."""
        return self._hosts[host].sent_bytes, self._hosts[host].received_bytes

    def _note(self, host: str, kind: str, *facts: object) -> None:
        if self.trace is not None:
            self.trace.note(self._agenda.time_s, host, kind, *facts)

    # --- for turns

    def perform(self, host: Host, effect: Effect) -> None:
        """Do what a core asks."""
        match effect:
            case SendDatagram(to, data):
                self._note(host.name, "send", to, len(data))
                host.sent_bytes += len(data)
                self.datagrams.send(host, to, data)
            case SendFrame(link, frame):
                self._note(host.name, "frame", link, len(frame))
                self.links.send(host, link, frame)
            case OpenLink():
                self._note(host.name, "dial", effect.link, effect.node.hex()[:16], *effect.endpoints)
                self.links.dial(host, effect)
            case CloseLink(link, reason):
                self._note(host.name, "close", link, reason)
                self.links.close(host, link)
            case CheckLink(link):
                self._note(host.name, "check", link)
                self.links.check(host, link)
            case Request():
                self._note(host.name, "ask", effect.exchange, effect.endpoint, len(effect.payload))
                host.sent_bytes += len(effect.payload)
                self._requests.ask(host, effect)
            case Respond(exchange, payload):
                self._note(host.name, "respond", exchange, len(payload))
                host.sent_bytes += len(payload)
                self._requests.respond(host, exchange, payload)
            case SolveStamp():
                self._note(host.name, "stamp", effect.job, effect.bits)
                self._solve(host, effect)
            case Announce():
                self.announced[host.name] = effect  # there are no local networks here: who wants one carries it
            case Notify(cursor):
                self._note(host.name, "event", cursor)
            case _:
                assert_never(effect)

    def forget_core(self, host: Host) -> None:
        """A core was rebuilt: its links are closed, its exchanges given up."""
        self.links.close_all(host)
        self._requests.forget_core(host)
        self._agenda.after(0, partial(self._tell_addresses, host))

    def end(self, host: Host, why: str, *, power: bool = False) -> None:
        """The process ends where it stands."""
        node = host.node
        if node is None:
            return
        self.counts[f"down: {why}"] += 1
        self._note(host.name, "down", why)
        self.links.drop_all(host)
        self._requests.drop_all(host)
        host.forget_process()
        node.built = None
        if node.disk is not None:
            node.disk.end(power=power)
        for observer in self.observers:
            observer.on_down(host.name, why)

    def _give(self, host: Host, name: str, *arguments: object) -> None:
        """An input comes to a process that is run."""
        if host.running:
            self._note(host.name, name, *_facts(arguments))
            self._turns.take(host, name, *arguments)

    def _resume(self, host: Host) -> None:
        """The process is run again: first what waits in its socket, then what is due."""
        self.datagrams.resume(host)
        self._requests.resume(host)
        self.links.resume(host)
        self._turns.resume(host)
        if host.moved:
            self._tell_addresses(host)

    def _tell_addresses(self, host: Host) -> None:
        """Now, or when the process is run again."""
        host.moved = not host.running
        self._give(host, "on_addresses", (host.endpoint,))

    def _unstall(self, host: Host, life: int) -> None:
        if host.life == life:
            host.stalled = False
            host.settle()
            self._note(host.name, "goes on")
            if host.running:
                self._resume(host)

    def _solve(self, host: Host, effect: SolveStamp) -> None:
        nonce = solve(effect.domain, effect.challenge, effect.bits) if effect.bits <= limits.STAMP_BITS_MAX else None
        core = host.core

        def solved() -> None:
            if host.core == core:
                self._give(host, "on_stamp", effect.job, nonce)

        self._agenda.after(_STAMP_TRY_S * 2 ** min(effect.bits, limits.STAMP_BITS_MAX), solved)


def _facts(arguments: tuple[object, ...]) -> list[object]:
    """What the trace may have of an input: sizes of bytes, and numbers, reasons and addresses."""
    return [len(each) if isinstance(each, bytes) else each for each in arguments]
