"""What a get fetches over QUIC, and from whom."""

from collections.abc import Callable

import pytest

from p2pd import limits
from p2pd.dht.alarms import Alarms
from p2pd.dht.fetching import Fetching
from p2pd.dht.peers import Peer
from p2pd.types import Endpoint, NodeKey, Now
from p2pd.wire.rpc import Body, Values

NOW = Now(100.0, 1_800_000_000_000)
NOTHING = Values([], 0, [])


def peer(number: int) -> Peer:
    return Peer(NodeKey(bytes([number]) * 32), Endpoint("127.0.0.1", number))


class Fetched:
    """A get that has so many items, and remembers whom it asked."""

    def __init__(self, *totals: int) -> None:
        self.have = 0
        self.now = NOW
        self.asked: dict[int, Callable[[Body | None, Now], None]] = {}
        self.ends = 0
        self.alarms = Alarms()
        self.fetching = Fetching(
            self.alarms,
            0,
            ask=lambda peer, small, then, now: self.asked.__setitem__(peer.endpoint.port, then),
            ours=lambda: self.have,
            take=lambda _, body, now: setattr(self, "have", self.have + len(body.records)),
            on_end=lambda now: setattr(self, "ends", self.ends + 1),
        )
        for number, total in enumerate(totals, 1):
            self.fetching.on_more(peer(number), total)
        self.fetching.go_on(NOW)

    def answer(self, number: int, have: int, body: Body | None = NOTHING) -> None:
        self.have = have
        self.asked[number](body, self.now)

    def wait(self) -> None:
        self.now = Now(self.now.steady + limits.FETCH_NEXT_S, self.now.wall_ms)
        self.alarms.ring_due(self.now)


def test_the_fullest_alone_and_then_all_others_for_what_it_lacks() -> None:
    get = Fetched(5, *[9] * 8)
    (first,) = get.asked
    assert first != 1
    answered = 0
    while not get.ends:
        get.answer(list(get.asked)[answered], 9)
        answered += 1
        assert len(get.asked) - answered <= limits.FETCHED_FROM
    assert len(get.asked) == answered == 9
    assert get.fetching.complete


def test_a_slow_one_is_not_waited_for_when_others_have_told() -> None:
    get = Fetched(*[9] * 9)
    get.wait()
    for number in range(1, 9):
        assert not get.ends
        get.answer(list(get.asked)[number], 9)
    assert get.ends == 1
    assert get.fetching.complete


def test_one_that_has_more_than_fits_a_datagram_is_asked_again() -> None:
    get = Fetched(9, 9)
    first = next(iter(get.asked))
    get.answer(first, 9)
    (other,) = set(get.asked) - {first}
    get.answer(other, 10, Values([], 3, []))
    assert not get.ends
    get.answer(other, 13)
    assert get.ends == 1
    assert get.fetching.complete


def test_where_all_are_slow_they_are_waited_for() -> None:
    get = Fetched(9, 9)
    get.wait()
    get.wait()
    assert not get.ends
    get.answer(1, 9)
    assert get.ends == 1


@pytest.mark.parametrize("total", [9, 100_000])
def test_holders_that_claim_and_do_not_give_are_asked_once_and_told_of(total: int) -> None:
    get = Fetched(*[total] * 2 * limits.FETCHES)
    while not get.ends:
        get.answer(list(get.asked)[-1], 1, None)
    assert get.fetching.count == len(get.asked) == 2 * limits.FETCHES
    assert not get.fetching.complete


def test_one_that_always_has_a_little_more_comes_after_the_others_and_to_an_end() -> None:
    get = Fetched(9, 9, 100_000)
    get.answer(3, 0, Values([b"junk"], 9, []))
    assert set(get.asked) == {1, 2, 3}, "they are asked beside it, and not after it"
    get.answer(1, 1)
    get.answer(2, 1, None)
    while not get.ends:
        get.answer(3, get.have, Values([b"junk"], 9, []))
    assert get.fetching.count == 3 + limits.FETCHES
    assert not get.fetching.complete


def test_what_few_of_many_have_given_is_not_all() -> None:
    """Where anybody can put, a liar can make as much as the silent ones hold."""
    get = Fetched(*[9] * 9)
    for answered in range(limits.FETCHED_FROM):
        get.answer(list(get.asked)[answered], 9)
    while not get.ends:
        get.wait()
    assert not get.fetching.complete
