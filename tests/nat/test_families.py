"""A small case of IPv6 in every check, and what the cases are made of."""

from collections.abc import Iterator

import pytest

from tests.nat import ipv6
from tests.nat.families import CASES, DUAL, FIREWALLED_V6, ONLY_V4, ONLY_V6, family_of, play
from tests.nat.namespaces import missing_ipv6
from tests.nat.people import Town
from tests.nat.probe import Probes, passes

NODES = 5


@pytest.fixture(scope="module")
def town() -> Iterator[Town]:
    if lacks := missing_ipv6():
        pytest.skip(lacks)
    with Town(NODES, ipv6=True) as made:
        yield made


@pytest.mark.nat
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "unasked", "out", "answered"),
    [("open", True, True, True), ("firewalled", False, True, True), ("broken", False, False, False)],
)
def test_each_access_lets_through_what_its_row_says(
    town: Town, kind: str, unasked: bool, out: bool, answered: bool
) -> None:
    lab = town.lab
    machine = lab.host("host")
    access = ipv6.plug(lab, kind, machine, 200)
    there = ipv6.NODE_ADDRESSES_V6[0]
    with Probes() as probes:
        host, node = probes.at(machine, 4242, "::"), probes.at(lab.nodes, 1000, there)
        assert passes(node, (access.address, 4242), host) is unasked
        assert passes(host, (there, 1000), node) is out
        assert passes(node, (access.address, 4242), host) is answered
    ipv6.unplug(lab, access)
    lab.remove(machine)


@pytest.mark.nat
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("case", ["IPv6 only with IPv6 only", "IPv6 only to IPv4 only"])
def test_a_small_case(town: Town, case: str) -> None:
    """On a machine that is busy with other tests: that the message comes, and by which family; not how fast."""
    finding = play(town, case)
    print(finding.text())
    assert finding.figures["delivered_s"] is not None
    assert finding.figures["family"] in (CASES[case].family, "")


def test_the_family_of_a_link_is_in_the_words_of_path() -> None:
    assert family_of("a link to [3ffe::1]:4242 is up") == "IPv6"
    assert family_of("a link to 192.0.2.1:4242 is up") == "IPv4"
    assert family_of("a link by the relay abcdefgh is up: you have IPv6 only") == ""


def test_every_pair_of_families_is_there() -> None:
    ends = [(case.sender, case.recipient) for case in CASES.values()]
    assert {(DUAL, DUAL), (ONLY_V6, ONLY_V6), (FIREWALLED_V6, FIREWALLED_V6), (ONLY_V6, ONLY_V4)} <= set(ends)
