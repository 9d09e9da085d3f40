"""The corrected clock: whose word counts, and what the application is told."""

import pytest

from p2pd import limits
from p2pd.dht.clock import Clock
from p2pd.types import Endpoint, NodeKey, Now

SEEN_AT = Endpoint("198.51.100.7", 4242)
DAYS_BEHIND_MS = 3 * limits.DAY_MS


def clock_hearing(offsets_ms: list[int]) -> Clock:
    """A clock at wall time 1,000,000 ms that so many peers have told of theirs."""
    clock = Clock()
    clock.enter(Now(1.0, 1_000_000))
    for number, offset_ms in enumerate(offsets_ms):
        clock.add(NodeKey(bytes([number]) * 32), 1_000_000 + offset_ms, 0.0, SEEN_AT)
    return clock


def test_below_five_peers_our_clock_stands():
    assert clock_hearing([DAYS_BEHIND_MS] * (limits.CLOCK_PEERS_MIN - 1)).told == Now(1.0, 1_000_000)


def test_a_clock_that_most_find_wrong_is_corrected_although_two_lie():
    clock = clock_hearing([DAYS_BEHIND_MS] * 3 + [-DAYS_BEHIND_MS] * 2)
    assert clock.told == Now(1.0, 1_000_000 + DAYS_BEHIND_MS)


def test_a_clock_that_is_nearly_right_keeps_its_own_milliseconds():
    clock = clock_hearing([limits.CLOCK_WRONG_MS - 1] * 9)
    assert clock.told == Now(1.0, 1_000_000)
    assert clock.current.wall_ms == 1_000_000 + limits.CLOCK_WRONG_MS - 1


def test_within_a_turn_a_moment_is_corrected_once():
    clock = clock_hearing([DAYS_BEHIND_MS] * 9)
    assert clock.within(clock.told) == clock.told
    assert clock.within(Now(2.0, 1_000_500)) == Now(2.0, 1_000_500 + DAYS_BEHIND_MS)


def test_each_of_those_asked_last_has_a_voice_in_where_we_are():
    clock = clock_hearing([0] * 3)
    elsewhere = Endpoint("198.51.100.8", 4242)
    clock.add(NodeKey(bytes([0]) * 32), 1_000_000, 0.0, elsewhere)  # the same node again
    assert sorted(clock.voices, key=str) == [SEEN_AT, SEEN_AT, elsewhere]
    for number in range(2 * limits.OBSERVERS):
        clock.add(NodeKey((1_000 + number).to_bytes(32, "big")), 1_000_000, 0.0, elsewhere)
    assert clock.voices == [elsewhere] * limits.OBSERVERS


def test_after_a_move_no_voice_counts_but_the_time_does():
    clock = clock_hearing([DAYS_BEHIND_MS] * limits.CLOCK_PEERS_MIN)
    clock.forget_voices()
    assert clock.voices == []
    assert clock.offset_ms == DAYS_BEHIND_MS


@pytest.mark.parametrize("set_by_ms", [-DAYS_BEHIND_MS, DAYS_BEHIND_MS])
def test_what_peers_said_of_a_clock_is_forgotten_when_it_is_set(set_by_ms: int) -> None:
    clock = clock_hearing([-set_by_ms] * 9)
    assert clock.enter(Now(61.0, 1_060_000 + limits.CLOCK_WRONG_MS - 1)).wall_ms != 1_060_000
    assert not clock.was_set
    assert clock.enter(Now(62.0, 1_061_000 + limits.CLOCK_WRONG_MS - 1 + set_by_ms)).wall_ms > 1_000_000 + set_by_ms
    assert clock.was_set
    assert clock.offset_ms == 0


def test_peers_who_have_the_time_go_to_and_fro_are_followed_but_told_of_seldom() -> None:
    clock, told = Clock(), 0
    for second in range(1, 601):
        clock.enter(Now(float(second), 1_000_000 + second * 1_000))
        offset_ms = DAYS_BEHIND_MS if second % 2 else 0
        for number in range(limits.CLOCK_PEERS_MIN):
            clock.add(NodeKey(bytes([number]) * 32), clock.raw.wall_ms + offset_ms, 0.0, SEEN_AT)
        told += clock.take_move()
    assert clock.offset_ms == 0
    assert limits.TIME_MOVES <= told <= limits.TIME_MOVES + 1
