"""Whom a node has sent anything to, by whatever way, and for how long that counts."""

import pytest

from p2pd import limits
from p2pd.dht.contacted import Contacted
from p2pd.effects import CloseLink, OpenLink, Request, SendDatagram
from p2pd.types import Endpoint, NodeKey

HERE, THERE = Endpoint("77.1.0.1", 4242), Endpoint("78.1.0.1", 4242)
NODE = NodeKey(bytes(32))


@pytest.mark.parametrize("effect", [SendDatagram(HERE, b""), Request(1, NODE, HERE, bytes(32), b"")], ids=repr)
def test_what_was_sent_counts_for_a_while_and_for_the_whole_host(effect) -> None:
    contacted = Contacted()
    contacted.on_effect(effect)
    assert contacted.has(HERE)
    assert contacted.has(Endpoint(HERE.host, 9))
    assert not contacted.has(THERE)
    contacted.now_s += limits.CONTACTED_S + 1
    assert not contacted.has(HERE)


@pytest.mark.parametrize("ends", ["by us", "by them"])
def test_a_link_counts_as_long_as_it_is_open_and_a_while_longer(ends: str) -> None:
    contacted = Contacted()
    contacted.on_effect(OpenLink(7, NODE, (HERE, THERE)))
    assert contacted.has(HERE)
    assert contacted.has(THERE)
    contacted.on_linked(7, THERE)
    contacted.now_s += limits.DAY_S
    assert contacted.has(THERE)
    if ends == "by us":
        contacted.on_effect(CloseLink(7, "over"))
    else:
        contacted.on_unlinked(7)
    contacted.now_s += limits.CONTACTED_S - 1
    assert contacted.has(THERE)
    contacted.now_s += 2
    assert not contacted.has(THERE)


def test_a_dial_that_came_to_nothing_counts_for_all_that_it_tried() -> None:
    contacted = Contacted()
    contacted.on_effect(OpenLink(7, NODE, (HERE, THERE)))
    contacted.now_s += limits.CONTACTED_S
    contacted.on_unlinked(7)
    assert contacted.has(HERE)
    assert contacted.has(THERE)


def test_a_flood_of_incoming_links_is_bounded() -> None:
    contacted = Contacted()
    for number in range(limits.CONTACTED + 5):
        contacted.on_linked(-number, Endpoint(f"77.{number // 250}.{number % 250}.1", 4242))
    assert len(contacted._linked) == limits.CONTACTED
