"""How many questions are under way: few on a narrow line, and no fewer for nodes that are gone or slow on purpose."""

import pytest

from p2pd import limits
from p2pd.dht.counters import Cause
from p2pd.dht.peers import Peer
from p2pd.dht.window import Window
from p2pd.types import Endpoint, Now
from p2pd.wire.rpc import Body, Ping
from tests.dht.virtual import Network

QUICK_S, LATE_S = 0.05, 0.05 + limits.WINDOW_LATE_S + 0.01


def answered(*delays_s: float, since_s: float = 0.0) -> Window:
    """A window after one answer every tenth of a second."""
    window = Window()
    for number, delay_s in enumerate(delays_s):
        window.add(delay_s, delay_s, window.most, since_s + number / 10)
    return window


def test_it_grows_by_one_an_answer_up_to_what_may_be_open_at_all() -> None:
    assert answered(*[QUICK_S] * 10).most == limits.WINDOW_START + 10
    assert answered(*[QUICK_S] * limits.RPCS_OPEN).most == limits.RPCS_OPEN


def test_it_is_halved_once_a_round_trip_where_all_answers_are_late() -> None:
    settled = [QUICK_S, *[LATE_S] * limits.WINDOW_ANSWERS]
    before = limits.WINDOW_START + limits.WINDOW_ANSWERS
    assert answered(*settled).most == before // 2
    assert answered(*settled, LATE_S, LATE_S).most == before // 2
    assert answered(*settled, *[LATE_S] * 200).most == limits.WINDOW_MIN


def test_once_it_was_halved_it_grows_by_one_a_round_trip() -> None:
    late = [LATE_S] * limits.WINDOW_ANSWERS
    half = answered(QUICK_S, *late).most
    assert answered(QUICK_S, *late, *[QUICK_S] * (half - 1)).most == half
    assert answered(QUICK_S, *late, *[QUICK_S] * (half + half + 1)).most == half + 2


@pytest.mark.parametrize("liars", [1, 4, 7])
def test_who_answers_late_on_purpose_changes_nothing(liars: int) -> None:
    turn = [LATE_S] * liars + [QUICK_S] * (limits.WINDOW_ANSWERS - liars)
    assert answered(*turn * 20).most == limits.WINDOW_START + 20 * limits.WINDOW_ANSWERS


def test_a_line_that_is_long_and_not_narrow_is_none() -> None:
    assert answered(*[2.0] * 50).most == limits.WINDOW_START + 50


def test_elsewhere_it_begins_anew() -> None:
    window = answered(QUICK_S, *[LATE_S] * 200)
    window.forget()
    assert window.most == limits.WINDOW_START
    window.add(LATE_S, LATE_S, 1, 100.0)
    assert window.most == limits.WINDOW_START + 1


def test_a_line_that_has_become_longer_is_taken_for_a_narrow_one_for_a_while_only() -> None:
    window = answered(QUICK_S, *[LATE_S] * 200)
    assert window.most == limits.WINDOW_MIN
    for number in range(10):
        window.add(LATE_S, LATE_S, window.most, limits.WINDOW_SHORTEST_S + number)
    assert window.most == limits.WINDOW_MIN
    for number in range(20):
        window.add(LATE_S, LATE_S, window.most, 3 * limits.WINDOW_SHORTEST_S + number)
    assert window.most > limits.WINDOW_MIN


def test_an_answer_that_may_be_to_a_repetition_makes_no_line_short() -> None:
    window = answered(*[1.5] * 8)
    window.add(0.0, 1.6, 8, 1.0)
    for number in range(20):
        window.add(1.5, 1.5, 8, 2.0 + number)
    assert window.most == limits.WINDOW_START + 29


@pytest.mark.parametrize("way_s", [0.55, 0.65])
def test_a_long_line_whose_answers_vary_is_none_either(way_s: float) -> None:
    network = Network("long", latency_s=(way_s, way_s + 0.1))
    hosts = network.grow(6, gap_s=5, settle_s=120)
    assert min(network.machines[host].dht._rpc._window.most for host in hosts) >= limits.WINDOW_START


class Asker:
    """Asks a node's questions of another, and keeps what came of them."""

    def __init__(self) -> None:
        self.network = Network("window")
        self.one, self.other = self.network.grow(2, settle_s=5)
        self.rpc = self.network.machines[self.one].dht._rpc
        self.answers: list[Body | None] = []
        self.causes: list[Cause] = []

    def ask(self, count: int, cause: Cause = Cause.CHECK, *, on_and_on: bool = False) -> None:
        peer = Peer(self.network.machines[self.other].key, Endpoint(self.other, 4242))

        def then(answer: Body | None, now: Now) -> None:
            if on_and_on:
                self.rpc.ask(peer, Ping(), then, now, cause=cause)
            else:
                self.answers.append(answer)
                self.causes.append(cause)

        def asking(now: Now) -> None:
            for _ in range(count):
                self.rpc.ask(peer, Ping(), then, now, cause=cause)

        self.network.world.call(self.one, asking)


def test_what_has_no_room_is_asked_when_answers_come() -> None:
    asker = Asker()
    asker.rpc._window.most = limits.WINDOW_MIN
    asker.ask(100)
    assert len(asker.rpc._open) == limits.WINDOW_MIN
    asker.network.world.run(limits.HELD_S - 0.5)
    assert len(asker.answers) == 100
    assert None not in asker.answers
    assert asker.rpc._waiting == 0


def test_what_waits_too_long_has_failed_unasked() -> None:
    asker = Asker()
    asker.rpc._window.most = limits.WINDOW_MIN
    asker.network.world.kill(asker.other)
    asker.ask(100)
    asker.network.world.run(2 * limits.HELD_S)
    assert asker.answers == [None] * 100
    assert asker.rpc._waiting == 0


def test_who_goes_on_asking_leaves_room_for_those_who_wait() -> None:
    asker = Asker()
    asker.rpc._window.add = lambda *_: None  # type: ignore[method-assign]
    asker.rpc._window.most = limits.WINDOW_MIN
    asker.ask(limits.WINDOW_MIN, on_and_on=True)
    asker.ask(10)
    asker.network.world.run(2 * limits.HELD_S)
    assert len(asker.answers) == 10
    assert None not in asker.answers


def test_what_others_are_given_to_keep_waits_for_what_somebody_waits_for() -> None:
    asker = Asker()
    asker.rpc._window.add = lambda *_: None  # type: ignore[method-assign]
    asker.rpc._window.most = limits.WINDOW_MIN
    asker.ask(1_000, Cause.REFRESH)
    asker.ask(10, Cause.GET)
    asker.network.world.run(3 * limits.HELD_S)
    assert len(asker.answers) == 1_010
    assert asker.causes[: 10 + 2 * limits.WINDOW_MIN].count(Cause.GET) == 10
    assert None not in asker.answers[: 10 + 2 * limits.WINDOW_MIN]
    assert asker.rpc._waiting == 0
