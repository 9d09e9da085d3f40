"""The table of expectations, and what counts as a complaint."""

import pytest

from tests.nat.expected import Expectation, Reading, complaints, expected
from tests.nat.homes import NUMBERS, satisfies
from tests.nat.kinds import KINDS, MATRIX

DIRECT = Expectation(("direct",), 3.0, ("linked", "linked"), direct_s=3.0)
RELAY = Expectation(("relay",), 3.0, ("symmetric-here", "symmetric-there"))
NOTHING = Expectation(("none",), 60.0, ("no-network", ""), blocked=True)
LINK = Reading("direct", ("linked", "linked"))
RELAYED = Reading("relay", ("symmetric-here", "symmetric-there"))
PUNCHING = Reading("relay", ("punching", "punching"))


def test_either_end_may_write_first() -> None:
    for one in MATRIX:
        for other in MATRIX:
            there, back = expected(one, other), expected(other, one)
            assert there.paths == back.paths
            if one != other and "both" not in there.causes[0]:
                here, at_them = there.causes
                assert back.causes == (at_them, here)


@pytest.mark.parametrize(
    ("one", "other", "path", "causes"),
    [
        ("port-restricted", "double-nat", "direct", ("linked", "linked")),
        ("symmetric", "address-restricted", "direct", ("linked", "linked")),
        ("symmetric", "port-restricted", "relay", ("symmetric-here", "symmetric-there")),
        ("firewalled", "symmetric", "relay", ("symmetric-there", "symmetric-here")),
        ("symmetric", "symmetric", "relay", ("symmetric-both", "symmetric-both")),
        ("clashing", "symmetric", "relay", ("symmetric-there", "symmetric-here")),
        ("clashing", "full-cone", "direct", ("linked", "linked")),
        ("public", "quic-blocked", "mailbox", ("quic-blocked", "quic-blocked")),
        ("quic-blocked", "udp-blocked", "none", ("", "no-network")),
    ],
)
def test_goals(one: str, other: str, path: str, causes: tuple[str, str]) -> None:
    wanted = expected(KINDS[one], KINDS[other])
    assert wanted.paths[0] == path
    assert wanted.causes == causes


@pytest.mark.parametrize(
    ("wanted", "delivered_s", "direct_s", "readings", "early"),
    [
        (DIRECT, 0.5, 0.4, [LINK, LINK], False),
        (RELAY, 0.5, None, [RELAYED], False),
        (RELAY, 0.5, None, [PUNCHING, RELAYED], False),
        (NOTHING, 20.0, None, [Reading("none", ("no-network", "away"))], False),
    ],
)
def test_what_is_as_expected(
    wanted: Expectation, delivered_s: float, direct_s: float | None, readings: list[Reading], early: bool
) -> None:
    assert complaints(wanted, delivered_s, direct_s, readings, early) == []


@pytest.mark.parametrize(
    ("wanted", "delivered_s", "direct_s", "readings", "early", "said"),
    [
        (DIRECT, None, 0.4, [LINK], False, "not delivered"),
        (DIRECT, 3.5, 0.4, [LINK], False, "delivered in 3.5 s, not 3"),
        (DIRECT, 0.5, None, [LINK], False, "never direct"),
        (DIRECT, 0.5, 3.2, [LINK], False, "direct in 3.2 s, not 3"),
        (DIRECT, 0.5, 0.4, [LINK, RELAYED], False, "path relay after a minute, not direct"),
        (RELAY, 0.5, None, [LINK], False, "path direct, not relay"),
        (
            RELAY,
            0.5,
            None,
            [Reading("relay", ("symmetric-here", "not-punched"))],
            False,
            "the recipient gives the cause not-punched, not symmetric-there",
        ),
        (
            RELAY,
            0.5,
            None,
            [RELAYED, PUNCHING],
            False,
            "the sender gives the cause punching after a minute, not symmetric-here",
        ),
        (NOTHING, 0.5, None, [Reading("none", ("no-network", ""))], True, "delivered through the block"),
    ],
)
def test_what_is_complained_of(
    wanted: Expectation,
    delivered_s: float | None,
    direct_s: float | None,
    readings: list[Reading],
    early: bool,
    said: str,
) -> None:
    assert said in complaints(wanted, delivered_s, direct_s, readings, early)


def test_node_numbers_satisfy_the_puzzle() -> None:
    """Else each daemon of the lab makes a key of its own, which takes seconds."""
    assert len(NUMBERS) == len(set(NUMBERS))
    assert all(map(satisfies, NUMBERS[:20])), "find others: python -m tests.nat.homes 1000000"
