"""The lab tells the truth: each kind of access maps and filters as its row in docs/nat.md says.

The words are RFC 4787's: a mapping or a filter is independent of the endpoint, or depends on its address, or on
address and port.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.nat.kinds import INSIDE_PORT, KINDS, OUTSIDE_PORT
from tests.nat.lab import NODE_ADDRESSES, Access, Lab
from tests.nat.probe import Address, Probe, Probes, passes, seen

pytestmark = [pytest.mark.nat, pytest.mark.slow]
X, Y = NODE_ADDRESSES[:2]
QUIC_LONG, QUIC_SHORT = b"\xc3quic", b"\x43quic"
INDEPENDENT, BY_ADDRESS, BY_PORT = "endpoint-independent", "address-dependent", "address- and port-dependent"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as made:
        yield made


@dataclass
class Field:
    """A host behind an access, and three sockets of two machines on the internet."""

    access: Access
    host: Probe
    x: Probe
    x_other_port: Probe
    y: Probe


@pytest.fixture
def field(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Field]:
    machine = lab.host("host")
    access = lab.plug(KINDS[request.param], machine)
    with Probes() as probes:
        yield Field(
            access,
            probes.at(machine, INSIDE_PORT),
            probes.at(lab.nodes, 1000, X),
            probes.at(lab.nodes, 2000, X),
            probes.at(lab.nodes, 1000, Y),
        )
    lab.unplug(access)
    lab.remove(machine)


def mapping(field: Field) -> str:
    """How the outside port depends on the destination."""
    at_x, at_other_port, at_y = (
        seen(field.host, place, probe)
        for place, probe in (((X, 1000), field.x), ((X, 2000), field.x_other_port), ((Y, 1000), field.y))
    )
    assert at_x is not None
    if at_x == at_y == at_other_port:
        return INDEPENDENT
    return BY_ADDRESS if at_x == at_other_port else BY_PORT


def filtering(field: Field) -> str:
    """Who is let in, once the host has written to X from its usual port."""
    outside = seen(field.host, (X, 1000), field.x)
    assert outside is not None
    assert passes(field.x, outside, field.host), "answers never come"
    if passes(field.y, outside, field.host):
        return INDEPENDENT
    return BY_ADDRESS if passes(field.x_other_port, outside, field.host) else BY_PORT


BEHAVIOUR = [
    ("public", INDEPENDENT, INDEPENDENT),
    ("full-cone", INDEPENDENT, INDEPENDENT),
    ("address-restricted", INDEPENDENT, BY_ADDRESS),
    ("port-restricted", INDEPENDENT, BY_PORT),
    ("symmetric", BY_PORT, BY_PORT),
    ("double-nat", INDEPENDENT, BY_PORT),
    ("firewalled", INDEPENDENT, BY_PORT),
    ("quic-blocked", INDEPENDENT, BY_PORT),
    ("clashing", INDEPENDENT, BY_PORT),
]
kinds = pytest.mark.parametrize("field", [kind for kind, _, _ in BEHAVIOUR], indirect=True)


@pytest.mark.parametrize(("field", "expected"), [(kind, how) for kind, how, _ in BEHAVIOUR], indirect=["field"])
def test_mapping(field: Field, expected: str) -> None:
    assert mapping(field) == expected


@pytest.mark.parametrize(("field", "expected"), [(kind, how) for kind, _, how in BEHAVIOUR], indirect=["field"])
def test_filtering(field: Field, expected: str) -> None:
    assert filtering(field) == expected


PORTS = {"full-cone": OUTSIDE_PORT, "address-restricted": OUTSIDE_PORT, "symmetric": None}


@kinds
def test_what_the_outside_sees(field: Field) -> None:
    kind = KINDS[field.access.kind.name]
    outside = seen(field.host, (X, 1000), field.x)
    assert outside is not None
    assert outside[0] == field.access.outside
    assert (outside[0] != field.access.inside[0]) == kind.translates
    port = PORTS.get(kind.name, INSIDE_PORT)
    assert outside[1] == port if port else outside[1] != INSIDE_PORT


def unasked(field: Field) -> list[Address]:
    """Where somebody might knock who has never been written to."""
    return [(field.access.outside, port) for port in (INSIDE_PORT, OUTSIDE_PORT)]


@kinds
def test_who_may_knock(field: Field) -> None:
    came = any(passes(field.x, place, field.host) for place in unasked(field))
    assert came == (field.access.kind.name in ("public", "full-cone"))


@pytest.mark.parametrize(
    ("field", "keeps"),
    [("port-restricted", True), ("double-nat", True), ("firewalled", True), ("clashing", False)],
    indirect=["field"],
)
def test_whether_an_early_knock_costs_the_port(field: Field, keeps: bool) -> None:
    """What the input drop is there for; `clashing` lacks it, as a router would that answers for itself."""
    at_y = seen(field.host, (Y, 1000), field.y)
    assert at_y == (field.access.outside, INSIDE_PORT)
    assert not passes(field.x, at_y, field.host)
    at_x = seen(field.host, (X, 1000), field.x)
    assert (at_x == at_y) == keeps


@pytest.mark.parametrize("field", ["port-restricted", "double-nat", "firewalled"], indirect=True)
def test_both_write_and_both_are_let_in(lab: Lab, field: Field) -> None:
    """Hole punching works at all: with the same kind at the other end."""
    machine = lab.host("other")
    access = lab.plug(field.access.kind, machine)
    with Probes() as probes:
        other = probes.at(machine, INSIDE_PORT)
        here, there = seen(field.host, (X, 1000), field.x), seen(other, (X, 1000), field.x)
        assert here is not None
        assert there is not None
        assert not passes(field.host, there, other)
        assert passes(other, here, field.host)
        assert passes(field.host, there, other)
    lab.unplug(access)
    lab.remove(machine)


@pytest.mark.parametrize("field", ["quic-blocked"], indirect=True)
@pytest.mark.parametrize("data", [QUIC_LONG, QUIC_SHORT])
def test_quic_is_dropped_both_ways(field: Field, data: bytes) -> None:
    outside = seen(field.host, (X, 1000), field.x)
    assert outside is not None
    assert not passes(field.host, (X, 1000), field.x, data)
    assert not passes(field.x, outside, field.host, data)
    assert passes(field.x, outside, field.host)


@pytest.mark.parametrize("field", ["firewalled"], indirect=True)
def test_quic_passes_elsewhere(field: Field) -> None:
    assert passes(field.host, (X, 1000), field.x, QUIC_LONG)


@pytest.mark.parametrize("field", ["udp-blocked"], indirect=True)
def test_no_udp_until_it_is_lifted(field: Field) -> None:
    place = (field.access.outside, INSIDE_PORT)
    assert not passes(field.host, (X, 1000), field.x)
    assert not passes(field.x, place, field.host)
    field.access.lift()
    assert passes(field.host, (X, 1000), field.x)
    assert passes(field.x, place, field.host)


def test_two_behind_one_router_cannot_meet_outside(lab: Lab) -> None:
    """There is no hairpin; on their own network they meet."""
    here, there = lab.host("here"), lab.host("there")
    access = lab.plug(KINDS["port-restricted"], here, there)
    with Probes() as probes:
        x = probes.at(lab.nodes, 1000, X)
        one, other = probes.at(here, 4242), probes.at(there, 4343)
        outside = seen(one, (X, 1000), x), seen(other, (X, 1000), x)
        assert None not in outside
        for _ in range(2):
            assert not passes(one, outside[1] or ("", 0), other)
            assert not passes(other, outside[0] or ("", 0), one)
        assert passes(one, (access.inside[1], 4343), other)
    lab.unplug(access)
    lab.remove(here, there)


@kinds
def test_no_way_into_a_home(lab: Lab, field: Field) -> None:
    """The internet has no way to private addresses."""
    if field.access.kind.translates:
        assert not passes(field.x, (field.access.inside[0], INSIDE_PORT), field.host)
