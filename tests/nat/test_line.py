"""Lines do what their conditions say: one direction by itself, and a real one between two namespaces."""

import random
import time
from collections.abc import Iterator

import pytest

from tests.nat.lab import NODE_ADDRESSES, Lab
from tests.nat.line import Conditions, Way
from tests.nat.namespaces import missing_tun
from tests.nat.probe import Probes, passes, seen

X = NODE_ADDRESSES[0]
PACKETS = [bytes([number % 256]) * 1_000 for number in range(1_000)]


def carried(conditions: Conditions, packets: list[bytes], seed: int = 1, every_s: float = 0.001) -> list[bytes]:
    """What comes out when packets go in at that pace."""
    way, out = Way(conditions, random.Random(seed)), []
    for number, packet in enumerate(packets):
        out += way.arrived(number * every_s)
        way.take(packet, number * every_s)
    return out + way.arrived(1e9)


def test_without_conditions_all_comes_in_order() -> None:
    assert carried(Conditions(), PACKETS) == PACKETS


def test_loss() -> None:
    assert 650 < len(carried(Conditions(loss=0.3), PACKETS)) < 750


def test_duplication() -> None:
    assert 1_050 < len(carried(Conditions(duplication=0.1), PACKETS)) < 1_150


def test_jitter_lets_packets_overtake() -> None:
    numbered = [number.to_bytes(4, "big") for number in range(100)]
    out = carried(Conditions(delay_s=0.05, jitter_s=0.02), numbered)
    assert out != numbered
    assert sorted(out) == numbered


def test_the_same_seed_is_the_same_fate() -> None:
    conditions = Conditions(loss=0.3, duplication=0.1, jitter_s=0.02)
    assert carried(conditions, PACKETS, seed=5) == carried(conditions, PACKETS, seed=5)
    assert carried(conditions, PACKETS, seed=5) != carried(conditions, PACKETS, seed=6)


def test_delay() -> None:
    way = Way(Conditions(delay_s=1.0), random.Random(1))
    way.take(b"packet", 5.0)
    assert way.next_deadline() == 6.0
    assert way.arrived(5.999) == []
    assert way.arrived(6.0) == [b"packet"]
    assert way.next_deadline() is None


def test_rate() -> None:
    """8,000 bits at 64 kbit/s take an eighth of a second each."""
    way = Way(Conditions(rate_bits_per_s=64_000), random.Random(1))
    for _ in range(8):
        way.take(bytes(1_000), 0.0)
    assert [len(way.arrived((number + 1) / 8 + 1e-9)) for number in range(8)] == [1] * 8


def test_what_no_queue_holds_is_dropped() -> None:
    conditions = Conditions(rate_bits_per_s=64_000, queue_bytes=10_000)
    assert 10 <= len(carried(conditions, PACKETS, every_s=0.0)) <= 12


def test_too_large_packets_vanish() -> None:
    assert carried(Conditions(mtu_bytes=1_200), [bytes(1_201), bytes(1_200)]) == [bytes(1_200)]


@pytest.fixture
def lab() -> Iterator[Lab]:
    if reason := missing_tun():
        pytest.skip(reason)
    with Lab() as made:
        yield made


@pytest.mark.nat
@pytest.mark.slow
def test_a_real_line_has_its_delay_and_its_mtu(lab: Lab) -> None:
    host = lab.host("host")
    access = lab.plug_line(Conditions(delay_s=0.3, mtu_bytes=1_200), host)
    with Probes() as probes:
        here, x = probes.at(host, 4242), probes.at(lab.nodes, 1000, X)
        begun = time.monotonic()
        assert seen(here, (X, 1000), x) == (access.outside, 4242)
        assert time.monotonic() - begun >= 0.3
        assert seen(x, (access.outside, 4242), here) == (X, 1000)
        assert time.monotonic() - begun >= 0.6
        assert seen(here, (X, 1000), x, bytes(1_200 - 28)) is not None
        assert seen(here, (X, 1000), x, bytes(1_200 - 27)) is None
    lab.unplug(access)
    assert access.line is not None
    assert access.line.poll() is not None


@pytest.mark.nat
@pytest.mark.slow
def test_a_real_line_loses_both_ways(lab: Lab) -> None:
    host = lab.host("host")
    access = lab.plug_line(Conditions(loss=0.5), host, seed=3)
    with Probes() as probes:
        here, x = probes.at(host, 4242), probes.at(lab.nodes, 1000, X)
        out = sum(passes(here, (X, 1000), x) for _ in range(12))
        back = sum(passes(x, (access.outside, 4242), here) for _ in range(12))
    assert 0 < out < 12
    assert 0 < back < 12
    lab.unplug(access)
