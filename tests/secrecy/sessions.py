"""Sessions under everything that a network, a crash and a restart can do, at any point.

Loss, disorder, repetition, two beginnings at once and restarts are those of `tests/peer/test_sessions.py`; here turns
also break before they are committed, and every message key that sealed what was committed is noted.
"""

import time
import tracemalloc
from contextlib import ExitStack
from random import Random
from statistics import median

from p2pd import limits
from p2pd.crypto import ratchet
from p2pd.crypto.keys import x25519_public
from p2pd.crypto.prekeys import new_prekey
from p2pd.crypto.ratchet import Ratchet, RatchetHeader
from p2pd.errors import PeerError, UndecryptableError
from p2pd.sim import probes
from p2pd.sim.probes import replaced
from tests.cast import Person
from tests.chance import SeededRandom
from tests.peer.test_sessions import Exchange, begin, pair
from tests.secrecy.line import Line, Measure

ROUND = 500
"""Messages of one pair, in up to `limits.SESSIONS_PER_CONTACT` sessions."""
JUMPS = (2**31, 2**32 - 1, 2**32)


class _Keys:
    """The message keys that sealed what was committed, and how often one of them sealed again."""

    def __init__(self) -> None:
        self._turn: list[bytes] = []
        self._used: set[bytes] = set()
        self.sealed = self.again = 0

    def on_message_key(self, key: bytes, sealed: bytes) -> None:
        self._turn.append(key)

    def commit(self) -> None:
        for key in self._turn:
            self.sealed += 1
            self.again += key in self._used
            self._used.add(key)
        self._turn.clear()

    def undo(self) -> None:
        self._turn.clear()


class _BrokenTurnError(Exception):
    """The process ends before its commit."""


class _CrashingExchange(Exchange):
    """An exchange whose turns are committed, or break and are undone as a crash undoes them."""

    keys: _Keys
    undecryptable = 0
    twice = 0
    broken = 0

    def turn(self, person: Person, action) -> None:  # type: ignore[no-untyped-def]
        """One turn of a person's; one in twenty ends before its commit, and the engine is built anew."""
        breaks = self.random.random() < 0.05
        under_way, sent = list(self.under_way), self.sent
        accepted = set(self.accepted)
        try:
            with person.store.attempt():
                action()
                if breaks:
                    raise _BrokenTurnError
        except _BrokenTurnError:
            self.under_way, self.sent, self.accepted = under_way, sent, accepted
            self.keys.undo()
            self.broken += 1
            person.start()
        self.keys.commit()

    def begins_anew(self) -> bool:
        """Within the limits: of more sessions than are kept the oldest is put away, and what was under way in it."""
        one, other = self.sides
        kept = {row.session for row in (*one.store.sessions(other.identity), *other.store.sessions(one.identity))}
        return super().begins_anew() and len(kept) < limits.SESSIONS_PER_CONTACT

    def send(self, side: int) -> None:
        self.turn(self.sides[side], lambda: super(_CrashingExchange, self).send(side))

    def deliver(self, *, keep: bool) -> None:
        place = self.random.randrange(len(self.under_way))
        self.under_way.append(self.under_way.pop(place))
        self.turn(self.sides[self.under_way[-1][0]], lambda: self._deliver_last(keep))

    def _deliver_last(self, keep: bool) -> None:
        chosen, self.random = self.random, _Last(self.random)
        try:
            super().deliver(keep=keep)
        except UndecryptableError:
            self.undecryptable += 1
        except AssertionError as error:
            if "accepted twice" not in str(error):
                raise
            self.twice += 1
        finally:
            self.random = chosen


class _Last(Random):
    """Chooses the last, where `Exchange` draws what arrives next: it was drawn before the turn began."""

    def __init__(self, chance: Random) -> None:
        super().__init__(0)
        self._chance = chance

    def random(self) -> float:
        return self._chance.random()

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return start - 1 if stop is None else self._chance.randrange(start, stop, step)


def run(count: int, seed: int) -> Line:
    """`count` messages, in rounds of a fresh pair each; then counters that jump."""
    keys, sent, undecryptable, twice, broken, unsettled = _Keys(), 0, 0, 0, 0, 0
    with replaced(ratchet, "_cipher", probes._cipher(ratchet._cipher, keys)):  # type: ignore[arg-type]
        while sent < count:
            with ExitStack() as stack:
                exchange = _CrashingExchange(pair(stack), Random(f"{seed} {sent}"))
                exchange.keys = keys
                unsettled += not _play(exchange, min(ROUND, count - sent))
            sent += exchange.sent
            undecryptable += exchange.undecryptable
            twice += exchange.twice
            broken += exchange.broken
    cpu_ms, peak = _jump(seed)
    return Line(
        "sessions",
        sent,
        [
            Measure("undecryptable", undecryptable, most=0),
            Measure("accepted twice", twice, most=0),
            Measure("keys used twice", keys.again, most=0),
            Measure("keys noted", keys.sealed, least=sent),
            Measure("turns broken", broken, least=1),
            Measure("pairs on different sessions", unsettled, most=0),
            Measure("for a counter of 2^32", cpu_ms, most=5, unit=" ms"),
            Measure("for a counter of 2^32", peak, most=2**20, unit=" B"),
        ],
    )


def _play(exchange: _CrashingExchange, messages: int) -> bool:
    """Whether both send on the same session in the end."""
    one, other = exchange.sides
    while not exchange.sent:
        exchange.send(0)
    begin(other, one, exchange.now)  # both begin at once
    exchange.send(1)
    while exchange.sent < messages:
        exchange.step()
    while exchange.under_way:
        exchange.deliver(keep=False)
    for _ in range(2):
        for side in (0, 1):
            exchange.send(side)
            while exchange.under_way:
                exchange.deliver(keep=False)
    mine, theirs = one.sessions.current(other.identity), other.sessions.current(one.identity)
    return mine is not None and theirs is not None and mine.session == theirs.session


def _jump(seed: int) -> tuple[float, int]:
    """Milliseconds of processor time, and bytes at the peak, that the worst header with a huge counter costs."""
    prekey = new_prekey(1, 0, SeededRandom(seed))
    alice = Ratchet.begin(b"s" * 32, x25519_public(prekey.x25519), b"both")
    bob = Ratchet.accept(b"s" * 32, prekey, b"both")
    bob.decrypt(*alice.encrypt(b"hello"))
    header, ciphertext = alice.encrypt(b"text")
    bad = [
        bad
        for number in JUMPS
        for bad in (
            RatchetHeader(header.public, header.previous, number),
            RatchetHeader(b"n" * 32, 0, number),
            RatchetHeader(b"n" * 32, number, 0),
        )
    ]
    worst_ms = max(median(_refused_ms(bob, each, ciphertext) for _ in range(5)) for each in bad)
    tracemalloc.start()
    for each in bad:
        _refused_ms(bob, each, ciphertext)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return worst_ms, peak


def _refused_ms(bob: Ratchet, header: RatchetHeader, ciphertext: bytes) -> float:
    before = time.process_time()
    try:
        bob.decrypt(header, ciphertext)
    except PeerError:
        return (time.process_time() - before) * 1000
    raise AssertionError(f"{header} was opened")
