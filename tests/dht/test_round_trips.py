"""When a question is slow, and when it is repeated."""

import pytest

from p2pd import limits
from p2pd.dht.peers import Peer
from p2pd.dht.round_trips import RoundTrips
from p2pd.dht.suspects import Suspects
from p2pd.types import Endpoint, NodeKey

NEAR, FAR, NEW = (NodeKey(bytes([number]) * 32) for number in (1, 2, 3))


def measured(times: RoundTrips, node: NodeKey, sample_s: float, count: int) -> None:
    for _ in range(count):
        times.add(node, sample_s)


def test_before_anything_is_measured() -> None:
    times = RoundTrips()
    assert times.slow_s(NEW) == limits.REQUEST_SLOW_START_S < times.timeout_s(NEW)


def test_a_quick_network_waits_a_moment_and_no_less() -> None:
    times = RoundTrips()
    measured(times, NEAR, 0.001, 20)
    assert times.slow_s(NEAR) == times.slow_s(NEW) == limits.REQUEST_SLOW_MIN_S
    assert times.timeout_s(NEAR) == limits.REQUEST_TIMEOUT_MIN_S


def test_where_no_two_answers_differ_a_busy_moment_is_no_silence() -> None:
    times = RoundTrips()
    measured(times, NEAR, 0.06, 200)
    assert times.slow_s(NEAR) == pytest.approx(0.06 + limits.REQUEST_MARGIN_S / 2, rel=0.01)
    assert times.timeout_s(NEAR) == pytest.approx(0.06 + limits.REQUEST_MARGIN_S, rel=0.01)


def test_what_was_measured_in_a_busy_hour_is_judged_by_the_others() -> None:
    times = RoundTrips()
    times.add(FAR, 0.4)
    measured(times, NEAR, 0.02, 60)
    assert times.slow_s(FAR) < 0.05
    assert times.timeout_s(FAR) > 1


def test_answers_that_wait_for_a_disk_are_given_longer() -> None:
    times = RoundTrips(limits.RECEIPT_SLOW_MIN_S)
    measured(times, NEAR, 0.001, 20)
    assert times.slow_s(NEAR) == limits.RECEIPT_SLOW_MIN_S


def test_a_suspect_is_a_key_at_one_endpoint() -> None:
    suspects = Suspects()
    here, elsewhere = (Peer(NEAR, Endpoint("192.0.2.1", port)) for port in (1, 2))
    suspects.add(elsewhere)
    assert here not in suspects
    suspects.clear(here)
    assert elsewhere in suspects
    suspects.clear(elsewhere)
    assert len(suspects) == 0


def test_a_line_that_has_become_slow_is_waited_for_until_it_is_measured_again() -> None:
    trips = RoundTrips()
    node = NodeKey(bytes(32))
    trips.add(node, 0.1)
    usual = trips.timeout_s(node)
    for _ in range(limits.SILENCES):
        assert trips.timeout_s(node) == usual
        trips.unanswered()
    assert trips.timeout_s(node) == 2 * usual
    for _ in range(100):
        trips.unanswered()
    assert trips.timeout_s(node) == limits.REQUEST_TIMEOUT_MAX_S
    trips.add(node, 0.1)
    assert trips.timeout_s(node) < 2 * usual
