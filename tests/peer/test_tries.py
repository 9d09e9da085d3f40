"""Where may be tried, and how often: whatever others say where they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.peer.tries import Tries
from p2pd.types import Endpoint
from p2pd.wire.rpc import unpack_endpoint
from tests.cast import START, after

OPEN = Endpoint("203.0.113.9", 4242)


@pytest.fixture
def tries() -> Tries:
    return Tries(private=False)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",  # noqa: S104  an address to refuse
        "127.0.0.1",
        "127.9.9.9",
        "224.0.0.251",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "ff02::fb",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.1.1",
        "172.31.255.1",
        "192.168.1.1",
        "fd00::1",
        "fe80::1",
    ],
)
def test_nobody_is_dialled_where_no_contact_can_be(tries: Tries, host: str) -> None:
    tries.on_addresses((Endpoint("198.51.100.1", 4242), Endpoint("2001:db8::1", 4242)))
    assert not tries.is_place(Endpoint(host, 4242))
    assert tries.allowed((Endpoint(host, 4242),), START) == ()
    assert Tries(private=True).is_place(Endpoint(host, 22)), "in a private network all of these may be nodes"


@pytest.mark.parametrize("port", [1, 22, 53, 443, limits.PORT_MIN - 1])
def test_services_of_the_system_are_no_nodes(tries: Tries, port: int) -> None:
    assert tries.allowed((Endpoint(OPEN.host, port),), START) == ()
    assert tries.is_place(Endpoint(OPEN.host, limits.PORT_MIN))


@pytest.mark.parametrize(
    ("own", "beside", "elsewhere"),
    [
        ("192.168.7.7", "192.168.1.1", "10.0.0.1"),
        ("10.1.0.1", "10.1.200.1", "10.2.0.1"),
        ("fd00:1:2:3::1", "fd00:1:2:3::99", "fd00:1:2:4::99"),
    ],
)
def test_private_addresses_are_of_a_network_that_we_are_in(tries: Tries, own: str, beside: str, elsewhere: str) -> None:
    tries.on_addresses((Endpoint(own, 4242),))
    assert tries.is_place(Endpoint(beside, 4242))
    assert not tries.is_place(Endpoint(elsewhere, 4242))
    tries.on_addresses(())
    assert not tries.is_place(Endpoint(beside, 4242))


def test_one_address_is_tried_four_times_a_minute_whatever_the_port(tries: Tries) -> None:
    allowed = [Endpoint(OPEN.host, 2_000 + number) for number in range(50)]
    assert len(tries.allowed(tuple(allowed), START)) == limits.TRIES_PER_ADDRESS
    assert not tries.take(OPEN, after(1))
    total = sum(len(tries.allowed(tuple(allowed), after(second))) for second in range(2, 600, 5))
    assert total == limits.TRIES_PER_ADDRESS * 9
    assert tries.take(Endpoint("203.0.113.10", 4242), after(1)), "its neighbour has tries of its own"


def test_a_machine_with_a_whole_network_of_ipv6_is_one(tries: Tries) -> None:
    many = tuple(Endpoint(f"2001:db8::{number:x}", 4242) for number in range(1, 100))
    assert len(tries.allowed(many, START)) == limits.TRIES_PER_ADDRESS


def test_where_the_right_node_has_answered_may_be_tried_freely_for_a_while(tries: Tries) -> None:
    tries.proven(OPEN, START)
    assert all(tries.take(OPEN, after(second)) for second in range(100))
    other = Endpoint(OPEN.host, OPEN.port + 1)
    assert sum(tries.take(other, START) for _ in range(10)) == limits.TRIES_PER_ADDRESS, "it is that endpoint only"
    later = after(limits.CONTACTED_S)
    assert sum(tries.take(OPEN, later) for _ in range(10)) == limits.TRIES_PER_ADDRESS


def test_the_same_place_named_twice_is_tried_once(tries: Tries) -> None:
    assert tries.allowed((OPEN, OPEN, OPEN), START) == (OPEN,)


def test_many_nodes_of_a_private_network_may_have_one_address() -> None:
    tries = Tries(private=True)
    many = tuple(Endpoint("10.0.0.1", 2_000 + number) for number in range(20))
    assert tries.allowed(many, START) == many


def test_any_number_of_addresses_takes_bounded_room(tries: Tries) -> None:
    for number in range(limits.TRIES_REMEMBERED + 100):
        tries.take(Endpoint(f"20.{number >> 16}.{number >> 8 & 255}.{number & 255}", 4242), START)
        tries.proven(Endpoint("20.0.0.1", 1 + number), START)
    assert len(tries._proven) == len(tries._tried) == limits.TRIES_REMEMBERED


def test_what_this_machine_has_no_address_for_is_not_tried_and_costs_nothing(tries: Tries) -> None:
    six = Endpoint("2a00::1", 4242)
    assert tries.allowed((six, OPEN), START) == (six, OPEN), "nothing is known of ours"
    tries.on_addresses((Endpoint("198.51.100.1", 4242),))
    for _ in range(limits.TRIES_PER_ADDRESS):
        assert tries.allowed((six,), START) == ()
    tries.on_addresses((Endpoint("2a00::2", 4242),))
    assert tries.allowed((six, OPEN), START) == (six,)


@given(st.binary(min_size=6, max_size=18))
def test_any_endpoint_that_can_be_said_can_be_judged(data: bytes) -> None:
    tries = Tries(private=False)
    tries.on_addresses((Endpoint("192.168.1.2", 4242), Endpoint("fd00::1", 4242)))
    try:
        endpoint = unpack_endpoint(data)
    except PeerError:
        return
    assert len(tries.allowed((endpoint,), START)) == tries.is_place(endpoint)
