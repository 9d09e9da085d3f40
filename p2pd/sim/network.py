"""A small virtual world: many nodes, one clock, one heap, links and datagrams instead of a network.

Knows no protocol: it performs effects and delivers inputs, as the driver of a daemon does.
Rules: the same seed gives the same course of events; nothing here reads a clock or the system's chance.
A turn of a node is the driver's: inputs inside the transaction of its store, then its effects, then its timer.
Where an effect waits for the records database (`after_records`), that is committed first.

A datagram is lost with the chance `loss`; everything else arrives, as over QUIC, after one latency (frames, responses),
two (an opened link) or three (requests, with their handshake).
A `silent` node takes everything and does nothing; an absent one is not there.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from random import Random
from typing import Any, Protocol

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.crypto.stamp import solve
from p2pd.effects import (
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
from p2pd.types import Endpoint, NodeKey, Now

START_WALL_MS = 1_800_000_000_000
PORT = 4_242


class Machine(Protocol):
    """What every node offers; the inputs for links, requests and stamps are called where it has them."""

    key: NodeKey

    def on_datagram(self, data: bytes, source: Endpoint, now: Now) -> None: ...

    def on_timer(self, now: Now) -> None: ...

    def next_deadline(self) -> float | None: ...

    def take_effects(self) -> Iterable[Effect]: ...


class SeededRandom:
    """A `RandomSource` from a seed."""

    def __init__(self, seed: object) -> None:
        self._random = Random(repr(seed))

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


@dataclass(slots=True)
class _Link:
    """One end of a link: the other end, and whether this one is still open."""

    host: str
    link: int
    node: NodeKey


@dataclass(slots=True)
class _Place:
    """A host, and what runs there."""

    endpoint: Endpoint
    machine: Any = None
    life: int = 0
    """Which of the machines that ran here it is: what was under way for another is lost."""
    silent: bool = False
    links: dict[int, _Link] = field(default_factory=dict)
    incoming: int = 0
    exchanges: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    """Requests of others under way here: who asked, under which number, in which life."""
    timer: float | None = None
    sent_bytes: int = 0
    received_bytes: int = 0


class World:
    """All nodes and what is under way between them; latencies are one way, in seconds."""

    def __init__(self, seed: object = 0, *, latency_s: tuple[float, float] = (0.005, 0.040), loss: float = 0.0) -> None:
        self._random = Random(repr(seed))
        self._latency_s = latency_s
        self.loss = loss
        self._steady = 0.0
        self.wall_offset_ms = START_WALL_MS
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._places: dict[str, _Place] = {}
        self._cut: Callable[[str, str], bool] = lambda _a, _b: False
        self.taps: list[Callable[[str, Endpoint, bytes], None]] = []
        """Called with every datagram that is sent: host, destination, bytes."""
        self.datagrams = 0

    # --- the cast

    @property
    def now(self) -> Now:
        return Now(self._steady, self.wall_offset_ms + int(self._steady * 1000))

    def add(self, host: str, port: int = PORT) -> Endpoint:
        """A host's address; what runs there comes with `run_at`."""
        place = self._places.setdefault(host, _Place(Endpoint(host, port)))
        return place.endpoint

    def run_at(self, host: str, machine: Machine, start: Callable[[Now], None] | None = None) -> None:
        """From now on this machine runs there, in place of any before it; `start` is its first input."""
        self.add(host)
        place = self._places[host]
        place.machine, place.life, place.silent = machine, place.life + 1, False
        place.links, place.exchanges, place.timer = {}, {}, None
        self.turn(host, start or (lambda _now: None))

    def kill(self, host: str) -> None:
        """What runs there is gone; its links break."""
        place = self._places[host]
        for link, other in list(place.links.items()):
            self._close(host, link, other, "gone")
        place.machine, place.life = None, place.life + 1

    def silence(self, host: str, silent: bool = True) -> None:
        """The host takes what comes and does nothing, as a stopped process does."""
        self._places[host].silent = silent
        self._arm(host)

    def partition(self, cut: Callable[[str, str], bool]) -> None:
        """From now on nothing passes between hosts for which this says so."""
        self._cut = cut

    def traffic(self, host: str) -> tuple[int, int]:
        """Bytes of datagrams and requests that the host sent and was sent."""
        return self._places[host].sent_bytes, self._places[host].received_bytes

    # --- time

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self._steady + seconds
        while self._heap and self._heap[0][0] <= end:
            self._step()
        self._steady = end

    def run_until(self, predicate: Callable[[], bool], limit_s: float) -> bool:
        """Let time pass until the predicate holds; whether it did in time."""
        end = self._steady + limit_s
        while not predicate():
            if not self._heap or self._heap[0][0] > end:
                self._steady = end
                return predicate()
            self._step()
        return True

    def _step(self) -> None:
        when, _, happen = heapq.heappop(self._heap)
        self._steady = max(self._steady, when)
        happen()

    def _after(self, wait_s: float, happen: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self._steady + wait_s, self._count, happen))

    def _latency(self) -> float:
        return self._random.uniform(*self._latency_s)

    # --- turns

    def turn(self, host: str, step: Callable[[Now], None]) -> None:
        """One turn of the machine there with one input, as the driver does it."""
        place = self._places[host]
        machine = place.machine
        store = getattr(machine, "store", None)
        if store is None:
            step(self.now)
        else:
            with store.transaction():
                step(self.now)
        for effect in machine.take_effects():
            if getattr(effect, "after_records", False) and getattr(machine, "records", None) is not None:
                machine.records.commit(durable=True)
            self._perform(host, effect)
        self._arm(host)

    def _input(self, host: str, life: int, name: str, *arguments: object) -> None:
        """Deliver an input, unless whoever it was for is gone."""
        place = self._places.get(host)
        if place is None or place.machine is None or place.silent or place.life != life:
            return
        handler = getattr(place.machine, name, None)
        if handler is not None:
            self.turn(host, lambda now: handler(*arguments, now))

    def _arm(self, host: str) -> None:
        place = self._places[host]
        deadline = place.machine.next_deadline() if place.machine is not None and not place.silent else None
        if deadline is None or (place.timer is not None and place.timer <= deadline):
            return
        place.timer = deadline
        life = place.life
        self._after(max(0.0, deadline - self._steady), lambda: self._ring(host, life, deadline))

    def _ring(self, host: str, life: int, deadline: float) -> None:
        place = self._places[host]
        if place.life != life or place.timer != deadline:
            return
        place.timer = None
        due = place.machine.next_deadline() if not place.silent else None
        if due is not None and due <= self._steady:
            self._input(host, life, "on_timer")
        else:
            self._arm(host)

    # --- effects

    def _perform(self, host: str, effect: Effect) -> None:
        match effect:
            case SendDatagram():
                self._send(host, effect)
            case Request():
                self._request(host, effect)
            case Respond():
                self._respond(host, effect)
            case OpenLink():
                self._open(host, effect)
            case SendFrame():
                self._frame(host, effect)
            case CloseLink():
                other = self._places[host].links.get(effect.link)
                if other is not None:
                    self._close(host, effect.link, other, effect.reason)
            case SolveStamp():
                nonce = solve(effect.domain, effect.challenge, effect.bits)
                life = self._places[host].life
                self._after(0.1, lambda: self._input(host, life, "on_stamp", effect.job, nonce))
            case Notify():
                pass

    def _reaches(self, sender: str, receiver: str) -> _Place | None:
        place = self._places.get(receiver)
        there = place is not None and place.machine is not None and not place.silent
        return place if there and not self._cut(sender, receiver) else None

    def _send(self, host: str, effect: SendDatagram) -> None:
        for tap in self.taps:
            tap(host, effect.to, effect.data)
        self.datagrams += 1
        self._places[host].sent_bytes += len(effect.data)
        place = self._reaches(host, effect.to.host)
        lost = self.loss and self._random.random() < self.loss
        if place is None or lost or place.endpoint != effect.to or len(effect.data) > limits.DATAGRAM_BYTES:
            return
        place.received_bytes += len(effect.data)
        source, life, to = self._places[host].endpoint, place.life, effect.to.host
        self._after(self._latency(), lambda: self._input(to, life, "on_datagram", effect.data, source))

    def _request(self, host: str, effect: Request) -> None:
        asker = self._places[host]
        asker.sent_bytes += len(effect.payload)
        place = self._reaches(host, effect.endpoint.host)
        life = asker.life
        if place is None or place.machine.key != effect.node or len(effect.payload) > limits.REQUEST_BYTES:
            self._after(limits.EXCHANGE_S, lambda: self._input(host, life, "on_response", effect.exchange, None))
            return
        place.incoming -= 1
        place.exchanges[place.incoming] = (host, effect.exchange, life)
        place.received_bytes += len(effect.payload)
        key = NodeKey(SigningKey(effect.signer_seed).public)
        arguments = (place.incoming, key, asker.endpoint, effect.payload)
        to, its_life = effect.endpoint.host, place.life
        self._after(3 * self._latency(), lambda: self._input(to, its_life, "on_request", *arguments))

    def _respond(self, host: str, effect: Respond) -> None:
        place = self._places[host]
        asked = place.exchanges.pop(effect.exchange, None)
        if asked is None:
            return
        to, exchange, life = asked
        place.sent_bytes += len(effect.payload)
        if self._reaches(host, to) is not None:
            self._places[to].received_bytes += len(effect.payload)
            self._after(self._latency(), lambda: self._input(to, life, "on_response", exchange, effect.payload))

    # --- links

    def _open(self, host: str, effect: OpenLink) -> None:
        for endpoint in effect.endpoints:
            place = self._reaches(host, endpoint.host)
            if place is not None and place.endpoint == endpoint and place.machine.key == effect.node:
                self._connect(host, effect, place)
                return
        life = self._places[host].life
        self._after(limits.DIAL_S, lambda: self._input(host, life, "on_link_failed", effect.link, "unreachable"))

    def _connect(self, host: str, effect: OpenLink, place: _Place) -> None:
        caller, to = self._places[host], place.endpoint
        own = caller.machine.key
        place.incoming -= 1
        incoming = place.incoming
        caller.links[effect.link] = _Link(to.host, incoming, effect.node)
        place.links[incoming] = _Link(host, effect.link, own)
        self._count += 1
        binding = blake2b(b"%d" % self._count + own + effect.node, digest_size=32).digest()
        arrived = (incoming, own, caller.endpoint, binding, False)
        opened = (effect.link, effect.node, to, binding, True)
        life, its_life, wait_s = caller.life, place.life, 2 * self._latency()
        self._after(wait_s, lambda: self._input(to.host, its_life, "on_link_opened", *arrived))
        self._after(wait_s, lambda: self._input(host, life, "on_link_opened", *opened))

    def _frame(self, host: str, effect: SendFrame) -> None:
        other = self._places[host].links.get(effect.link)
        if other is None or self._reaches(host, other.host) is None:
            return
        life = self._places[other.host].life
        # One latency for all frames keeps them in order.
        wait_s = self._latency_s[1]
        self._after(wait_s, lambda: self._input(other.host, life, "on_frame", other.link, effect.frame))

    def _close(self, host: str, link: int, other: _Link, reason: str) -> None:
        self._places[host].links.pop(link, None)
        peer = self._places[other.host]
        if peer.links.pop(other.link, None) is not None:
            life, wait_s = peer.life, self._latency_s[1]
            self._after(wait_s, lambda: self._input(other.host, life, "on_link_closed", other.link, reason))
