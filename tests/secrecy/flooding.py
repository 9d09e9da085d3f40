"""Who floods a daemon: processes of their own, with real sockets at many loopback addresses.

Each tells over its pipe what it has done, and goes on until it is told to stop; then it is gone without a word, or says
good-bye where whoever watches has no time to wait for the time-outs.
Rules: no faster than told, so that what is measured beside it is the daemon and not the machine.
"""

import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from random import Random
from typing import Any

from aioquic.quic.connection import QuicConnection

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.net.connection import Connection, Credentials, client_configuration
from p2pd.net.quic import QuicEndpoint
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint, NodeKey
from p2pd.wire.datagram import Hello, network_id
from tests.net.pair import SeededRandom
from tests.net.test_quic_private import BEYOND, lie_about_the_window

PLACES = 64
"""Loopback addresses that a crowd stands at."""
KEYS = 64
"""Node keys that it has: a private network counts connections by these, and 32 of them fill it."""
TUNING = QuicTuning(private=True, outgoing=1 << 20)
Opened = Callable[[Connection, int], None]


class Flood:
    """One such process, and what it says."""

    def __init__(self, work: Callable[..., None], endpoint: str, *words: Any) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, endpoint, *words), daemon=True)
        self._process.start()
        theirs.close()
        self._done = False
        assert self._hears() == "ready"

    def begin(self) -> None:
        """From here on it floods."""
        self._pipe.send("begin")

    def is_done(self) -> bool:
        """Whether it has begun all that it was to begin; what it holds it holds on to."""
        self._done = self._done or (self._pipe.poll() and self._pipe.recv() == "done")
        return self._done

    def end(self) -> Any:
        """It goes; what it counted."""
        while not self.is_done():
            time.sleep(0.05)
        self._pipe.send("end")
        counted = self._hears()
        self._process.join(30)
        assert self._process.exitcode == 0
        return counted

    def _hears(self) -> Any:
        assert self._pipe.poll(300), "the flood says nothing"
        return self._pipe.recv()


def split(endpoint: str) -> Endpoint:
    """An endpoint as a daemon shows it."""
    host, _, port = endpoint.rpartition(":")
    return Endpoint(host, int(port))


# --- datagrams that are no handshake


def garbage(pipe: Pipe, endpoint: str, seed: int, per_s: int, seconds: float) -> None:
    """Garbage of every kind; says how many datagrams a second, and what came back for a byte."""
    chance = Random(seed)
    pool = [bytes([chance.choice((0x20, 0x21, 0x40, 0xC0, 0))]) + chance.randbytes(99) for _ in range(512)]
    pool += [Hello(network_id("main"), chance.randbytes(8)).encode() for _ in range(4)]
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    host, _, port = endpoint.rpartition(":")
    line.connect((host, int(port)))
    line.setblocking(False)
    pipe.send("ready")
    pipe.recv()
    began = time.monotonic()
    sent = sent_bytes = back_bytes = 0
    while (elapsed := time.monotonic() - began) < seconds:
        for data in pool[: max(0, min(len(pool), int(elapsed * per_s) - sent))]:
            try:
                sent_bytes += line.send(data)
                sent += 1
            except OSError:
                continue
        back_bytes += sum(len(data) for data in _waiting(line))
        os.sched_yield()
    pipe.send("done")
    pipe.recv()
    pipe.send((sent / seconds, back_bytes / sent_bytes))


def half_open(pipe: Pipe, endpoint: str, count: int, per_s: float) -> None:
    """First packets of diallers of whom nothing more is heard; says what came back for a byte, at the worst place."""
    victim = split(endpoint)
    places = _places(min(count, 8 * PLACES))
    configuration = client_configuration(Credentials.of(SigningKey(bytes(31) + b"h"), SeededRandom(1)), TUNING)
    packets = []
    for _ in range(count):
        quic = QuicConnection(configuration=configuration)
        quic.connect(victim, 0.0)
        packets.append(quic.datagrams_to_send(0.0)[0][0])
    sent, back = [0] * len(places), [0] * len(places)
    pipe.send("ready")
    pipe.recv()
    began = time.monotonic()
    for number, data in enumerate(packets):
        while time.monotonic() - began < number / per_s:
            time.sleep(0.001)
        place = number % len(places)
        sent[place] += places[place].sendto(data, (victim.host, victim.port))
        back[place] += sum(len(data) for data in _waiting(places[place]))
    pipe.send("done")
    pipe.recv()  # what is repeated to who never answers counts too
    for place, line in enumerate(places):
        back[place] += sum(len(data) for data in _waiting(line))
    pipe.send(max(one / other for one, other in zip(back, sent, strict=True)))


# --- connections that work


class _Opened:
    """Owner of a connection of the crowd's: does its harm as soon as it stands, and keeps it."""

    def __init__(self, crowd: "_Crowd") -> None:
        self._crowd = crowd

    def on_ready(self, connection: Connection, now: float) -> None:
        connection.keep_alive = True
        self._crowd.opened += 1
        self._crowd.harm(connection, self._crowd.opened)

    def on_stream(self, connection: Connection, stream: int, data: bytes, end: bool, now: float) -> None:
        pass

    def on_reset(self, connection: Connection, stream: int, now: float) -> None:
        pass

    def on_progress(self, connection: Connection, now: float) -> None:
        pass

    def on_ended(self, connection: Connection, reason: str, now: float) -> None:
        self._crowd.gone += 1


class _Crowd:
    """Diallers at many places with many keys; `opened` connections stood at some time, `gone` are over."""

    def __init__(self, endpoint: str, node: NodeKey, harm: Opened) -> None:
        self.victim, self.node, self.harm = split(endpoint), node, harm
        self.opened = self.gone = 0
        self.sent_bytes = self.back_bytes = 0
        self._lines = _places(PLACES)
        self._readable = selectors.DefaultSelector()
        self._ends = []
        keys = [SigningKey(bytes(30) + bytes([7, number])) for number in range(KEYS)]
        self._credentials = [Credentials.of(key, SeededRandom(number)) for number, key in enumerate(keys)]
        for line in self._lines:
            # what the victim repeats for a connection that is over looks like the first packet of another
            end = QuicEndpoint(
                self._credentials[0],
                TUNING,
                lambda _, data, _cause, line=line: self._send(line, data),
                lambda: _Opened(self),
            )
            self._readable.register(line, selectors.EVENT_READ, end)
            self._ends.append(end)

    def open(self, number: int) -> None:
        """One more."""
        credentials = self._credentials[number % KEYS]
        end = self._ends[number % PLACES]
        end.dial(self.victim, self.node, _Opened(self), time.monotonic(), credentials)
        end.flush(time.monotonic())

    def run(self, within_s: float) -> None:
        """Take what comes, and do what is due."""
        for key, _ in self._readable.select(within_s):
            for data in _waiting(key.fileobj):
                self.back_bytes += len(data)
                key.data.on_datagram(data, self.victim, time.monotonic())
            key.data.flush(time.monotonic())
        for end in self._ends:
            deadline = end.next_deadline()
            if deadline is not None and deadline <= time.monotonic():
                end.on_timer(time.monotonic())
                end.flush(time.monotonic())

    def close(self) -> None:
        """Good-bye."""
        for end in self._ends:
            end.close_all(time.monotonic())

    def _send(self, line: socket.socket, data: bytes) -> None:
        try:
            self.sent_bytes += line.sendto(data, (self.victim.host, self.victim.port))
        except BlockingIOError:
            return


def idle(pipe: Pipe, endpoint: str, node: bytes, count: int, per_s: float, polite: bool) -> None:
    """So many connections, each proven and left; says how many stood, how many to the end, and what came back."""
    _crowd(pipe, _Crowd(endpoint, NodeKey(node), lambda connection, number: None), count, per_s, polite)


def gaps(pipe: Pipe, endpoint: str, node: bytes, count: int, per_s: float, polite: bool) -> None:
    """The same, and on each bytes far out in a stream, or, on three of four, just within all windows."""

    def harm(connection: Connection, number: int) -> None:
        streams = limits.CONNECTION_WINDOW_BYTES // limits.STREAM_WINDOW_BYTES
        if number % 4 == 0:
            lie_about_the_window(connection.quic, BEYOND)
        else:
            for stream in range(streams):
                lie_about_the_window(connection.quic, limits.STREAM_WINDOW_BYTES - 1, 4 * stream)

    _crowd(pipe, _Crowd(endpoint, NodeKey(node), harm), count, per_s, polite)


def _crowd(pipe: Pipe, crowd: _Crowd, count: int, per_s: float, polite: bool) -> None:
    pipe.send("ready")
    pipe.recv()
    began = time.monotonic()
    for number in range(count):
        while (ahead := number / per_s - (time.monotonic() - began)) > 0:
            crowd.run(ahead)
        crowd.open(number)
        crowd.run(0.0)
    pipe.send("done")
    while not pipe.poll():
        crowd.run(0.1)
    pipe.recv()
    counted = crowd.opened, crowd.opened - crowd.gone, crowd.back_bytes / crowd.sent_bytes
    if polite:
        crowd.close()
    pipe.send(counted)


# --- sockets


def _places(count: int) -> list[socket.socket]:
    lines = []
    for number in range(count):
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        line.bind((f"127.{16 + number // 250}.{number % 250}.9", 0))
        line.setblocking(False)
        lines.append(line)
    return lines


def _waiting(line: Any) -> Iterator[bytes]:
    try:
        while True:
            yield line.recv(2_048)
    except OSError:
        return
