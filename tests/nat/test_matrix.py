"""A small matrix in every check, and how the whole one is chosen, played and printed."""

import pytest

from tests.nat.cell import Outcome
from tests.nat.kinds import KINDS, MATRIX
from tests.nat.matrix import complaints, failed, pair_job, play, repeated, shown, table, whole_matrix
from tests.nat.people import Town

SMALL = [("public", "port-restricted"), ("port-restricted", "full-cone"), ("symmetric", "symmetric")]
NODES = 5


@pytest.mark.nat
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_small_matrix() -> None:
    """On a machine that is busy with other tests: that all is delivered and nothing breaks, not how fast."""
    jobs = [pair_job(KINDS[sender], KINDS[recipient]) for sender, recipient in SMALL]
    with Town(NODES) as town:
        outcomes = list(play(town, jobs, busy=len(jobs), minute=False))
    assert {(outcome.sender, outcome.recipient) for outcome in outcomes} == set(SMALL)
    broken = [outcome for outcome in outcomes if outcome.delivered_s is None or outcome.broken]
    assert not broken, "\n".join(complaints(broken))


def test_the_whole_matrix_has_every_pair_both_ways() -> None:
    jobs = whole_matrix()
    pairs = [(job.sender, job.recipient) for job in jobs]
    assert len(pairs) == len(set(pairs)) == len(MATRIX) ** 2 + 2


def outcome(sender: str, recipient: str, path: str, delivered_s: float | None, *wrong: str, after: str = "") -> Outcome:
    return Outcome(
        sender, recipient, path=path, delivered_s=delivered_s, path_after=after or path, complaints=list(wrong)
    )


def test_a_cell_in_print() -> None:
    assert shown(outcome("public", "public", "direct", 0.34)) == "direct 0.3"
    assert shown(outcome("public", "public", "direct", 0.34, after="relay")) == "direct 0.3>relay"
    assert shown(outcome("public", "public", "mailbox", None, "not delivered")) == "mailbox never !"


def test_the_table_has_senders_as_rows_and_shows_the_worst_run() -> None:
    seen = [
        outcome("symmetric", "public", "direct", 0.5),
        outcome("public", "symmetric", "relay", 1.5, "path relay, not direct"),
        outcome("public", "symmetric", "direct", 2.5),
        outcome("hairpin-off", "with LAN discovery", "lan", 0.2),
    ]
    assert table(seen).splitlines() == [
        "from \\ to  public      symmetric",
        "public                 relay 1.5 !",
        "symmetric  direct 0.5",
        "hairpin-off, with LAN discovery: lan 0.2",
    ]
    assert complaints(seen) == ["public to symmetric: path relay, not direct"]


def test_one_run_of_a_hundred_may_go_another_way_but_must_arrive() -> None:
    well = [outcome("public", "public", "direct", 0.5)] * 99
    late = outcome("public", "public", "direct", 3.5, "delivered in 3.5 s, not 3")
    lost = outcome("public", "public", "direct", None, "not delivered")
    assert failed([*well, late]) == []
    assert failed([*well, late, late]) == failed([*well, lost]) == failed([late]) == [("public", "public")]
    assert repeated([*well, late]) == [
        "public to public: 99 of 100 as expected, delivered in 0.5 s in the middle, 3.5 s at most"
    ]
    assert repeated([late]) == []
