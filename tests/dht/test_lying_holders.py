"""What one holder says must not make a reader miss what the others hold."""

from collections.abc import Callable

import pytest

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.holdings import Source
from p2pd.dht.questions import Answer, Question
from p2pd.types import Now
from p2pd.wire.record import Family, Record, record_key
from p2pd.wire.rpc import Body, Get, Values
from tests.dht.virtual import Network, item_of, key_of, open_item, set_item

LARGE = bytes(4_096)
"""Fits no datagram, as a contact request."""


class Held:
    """Eight nodes; the seven nearest to a key hold a record each was given, and the eighth reads."""

    def __init__(self, seed: object, family: Family) -> None:
        self.network = Network(seed)
        hosts = self.network.grow(8, settle_s=3)
        self.key: SigningKey = key_of(seed)
        self.family = family
        self.holders = self.network.nearest(record_key(family, self.key.public), 7)
        (self.reader,) = set(hosts) - set(self.holders)

    @property
    def now(self) -> Now:
        return self.network.world.now

    def record(self, seed: object, body: bytes, days: float = 10) -> Record:
        if self.family is Family.SET:
            return set_item(self.key, self.now, item_of(seed), body, days)
        return open_item(self.key, self.now, seed, body, days)

    def give(self, host: str, record: Record) -> None:
        source = Source(b"writer", is_server=True)
        self.network.machines[host].dht._serving.keep(record.encode(), source, self.now)

    def lie(self, host: str, values: Callable[[Get], Body]) -> None:
        """From now on this is what one of them answers who asks for records."""
        serving = self.network.machines[host].dht._serving
        honest = serving.answer

        def answer(question: Question, now: Now) -> Answer | None:
            return Answer(values(question.body)) if isinstance(question.body, Get) else honest(question, now)

        serving.answer = answer  # type: ignore[method-assign]

    def read(self) -> tuple[list[bytes], bool]:
        found = self.network.get(self.reader, self.family, self.key.public)
        return [record.body for record in found.records], found.complete


def test_who_always_has_something_more_is_not_all_that_is_asked() -> None:
    held = Held("a bit more each time", Family.OPEN_SET)
    for host in held.holders[1:]:
        held.give(host, held.record("asked", LARGE))
    junk = iter(range(1_000))
    held.lie(
        held.holders[0],
        lambda get: Values([held.record(("junk", next(junk)), b"junk").encode()], 60_000, []),
    )
    bodies, _ = held.read()
    assert LARGE in bodies


@pytest.mark.parametrize("family", [Family.SET, Family.OPEN_SET])
def test_a_record_that_is_over_does_not_hide_the_others(family: Family) -> None:
    held = Held(("over", family), family)
    for host in held.holders:
        held.give(host, held.record("short", b"short", days=2 / limits.DAY_S))
        held.give(host, held.record("large", LARGE))
        held.give(host, held.record("small", b"small"))
    held.network.world.run(5)
    bodies, complete = held.read()
    assert sorted(bodies) == sorted([b"small", LARGE])
    assert complete


@pytest.mark.slow
def test_a_reader_whose_clock_is_ahead_believes_the_answer_all_the_same() -> None:
    held = Held("clocks differ", Family.SET)
    short, small = held.record("short", b"short", days=2 / limits.DAY_S), held.record("small", b"small")
    held.network.world.run(5)
    for host in held.holders:
        held.lie(host, lambda get: Values([short.encode(), small.encode()], 0, []))
    assert held.read() == ([b"small"], True)


def test_one_word_of_many_completes_nothing() -> None:
    held = Held("one word", Family.SET)
    for host in held.holders[1:]:
        held.give(host, held.record("mail", b"mail"))
    for host in held.holders[1:]:
        held.network.world.kill(host)
    assert held.read() == ([], False)


@pytest.mark.slow
def test_of_one_holder_no_more_is_taken_than_it_may_hold() -> None:
    held = Held("a flood", Family.OPEN_SET)
    for host in held.holders[1:]:
        held.give(host, held.record("asked", LARGE))
    floods = iter([[], *([held.record((number, one), b"junk").encode() for one in range(400)] for number in range(3))])
    held.lie(held.holders[0], lambda get: Values(next(floods, []), 60_000, []))  # the first would be a datagram
    bodies, _ = held.read()
    assert LARGE in bodies
    assert len(bodies) <= 2 * limits.SET_ITEMS + 1
