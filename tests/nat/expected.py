"""What has to come out where: one table, by which `make nat` judges.

Knows neither lab nor p2pd.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.nat.kinds import CLASHING, MATRIX, PORT_RESTRICTED, QUIC_BLOCKED, SYMMETRIC, UDP_BLOCKED, Kind

DIRECT_S = 3.0
"""From the sender's joining to a direct path, where both ends allow one."""
RELAYED_S = 3.0
"""From `send` to `delivered`, where only a node between them helps."""
MAILBOX_S = 10.0
"""The same where no link of any kind can be."""
LIFTED_S = 60.0
"""From the end of a block to `delivered`."""
LAN_S = 2.0
"""From `send` to `delivered` between two on one network."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """How one cell must go."""

    paths: tuple[str, ...]
    """Any of these may `p2pctl path` say at the sender, right after the delivery and a minute later."""
    delivered_s: float
    causes: tuple[str, str] = ("", "")
    """What `path` must give as the cause at the sender and at the recipient; empty where that end cannot know."""
    direct_s: float = 0.0
    """Where a direct path is a must: within this."""
    blocked: bool = False
    """Nothing may arrive before the block is lifted; `delivered_s` counts from there."""


_LETTERS = {
    "D": Expectation(("direct",), DIRECT_S, ("linked", "linked"), direct_s=DIRECT_S),
    "R": Expectation(("relay",), RELAYED_S),
    "M": Expectation(("mailbox",), MAILBOX_S),
    "-": Expectation(("none", "mailbox"), LIFTED_S, blocked=True),
}
_UNDER_WAY = ("punching", "trying")
"""What a path may give as its cause at first, while a better one is still being tried."""

# Rows are senders and columns recipients, both in the order of MATRIX; it is symmetric, since either end may dial.
_TABLE = """
    D D D D D D D M -    public
    D D D D D D D M -    full-cone
    D D D D D D D M -    address-restricted
    D D D D R D D M -    port-restricted
    D D D R R R R M -    symmetric
    D D D D R D D M -    double-nat
    D D D D R D D M -    firewalled
    M M M M M M M M -    quic-blocked
    - - - - - - - - -    udp-blocked
"""
_GRID = {
    (row.name, column.name): _LETTERS[letter]
    for row, line in zip(MATRIX, _TABLE.strip().splitlines(), strict=True)
    for column, letter in zip(MATRIX, line.split()[:-1], strict=True)
}
HAIRPIN = {
    "without LAN discovery": Expectation(("direct", "relay"), RELAYED_S),
    "with LAN discovery": Expectation(("lan",), LAN_S, ("linked", "linked")),
}
"""Two behind one port-restricted router without hairpin: their own network is the only short way."""


def expected(sender: Kind, recipient: Kind) -> Expectation:
    """How a cell of the matrix must go; `clashing` like `port-restricted`, which it is where nobody knocks early."""
    one, other = (kind.name.replace(CLASHING.name, PORT_RESTRICTED.name) for kind in (sender, recipient))
    found = _GRID[one, other]
    return found if found.causes[0] else replace(found, causes=_causes(one, other))


def _causes(one: str, other: str) -> tuple[str, str]:
    """The injected cause as either end must give it, where the path is not direct."""
    if UDP_BLOCKED.name in (one, other):
        here, there = ("no-network" if name == UDP_BLOCKED.name else "" for name in (one, other))
        return here, there
    if QUIC_BLOCKED.name in (one, other):
        return "quic-blocked", "quic-blocked"
    if one == other:
        return "symmetric-both", "symmetric-both"
    here, there = "symmetric-here", "symmetric-there"
    return (here, there) if one == SYMMETRIC.name else (there, here)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one look at a cell has shown."""

    path: str
    causes: tuple[str, str]
    """At the sender and at the recipient."""


def complaints(
    wanted: Expectation, delivered_s: float | None, direct_s: float | None, readings: Sequence[Reading], early: bool
) -> list[str]:
    """What was not as it must be; empty where all was.

    Args:
        delivered_s: from `send`, or from the end of the block; None where it never came.
        direct_s: from the sender's joining to a direct path; None where there was none.
        readings: what `path` said at first, and a minute later where that was waited for.
        early: whether something came through a block.
    """
    found = []
    if early:
        found.append("delivered through the block")
    if delivered_s is None:
        found.append("not delivered")
    elif delivered_s > wanted.delivered_s:
        found.append(f"delivered in {delivered_s:.1f} s, not {wanted.delivered_s:.0f}")
    if wanted.direct_s and (direct_s is None or direct_s > wanted.direct_s):
        found.append("never direct" if direct_s is None else f"direct in {direct_s:.1f} s, not {wanted.direct_s:.0f}")
    for when, reading in zip(("", " after a minute"), readings, strict=False):
        if reading.path not in wanted.paths:
            found.append(f"path {reading.path}{when}, not {' or '.join(wanted.paths)}")
            continue  # its cause is another path's
        for end, cause, must in zip(("sender", "recipient"), reading.causes, wanted.causes, strict=True):
            under_way = not when and reading.path != "direct" and cause in _UNDER_WAY
            if must and cause != must and not under_way:
                found.append(f"the {end} gives the cause {cause or 'none'}{when}, not {must}")
    return found
