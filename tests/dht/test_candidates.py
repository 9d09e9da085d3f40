"""What a look-up knows of a node: claims beside each other, and the credit of those who made them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pd import limits
from p2pd.dht.candidates import Candidate, Claim, State
from p2pd.dht.lookup import Lookup
from p2pd.dht.peers import Peer, by_distance
from p2pd.sim.chance import SeededRandom
from p2pd.types import Endpoint, NodeKey

OWN = NodeKey(bytes(32))
TARGET = SeededRandom("candidates").bytes(32)


def peer(number: int, host: str = "1.1.1.1") -> Peer:
    return Peer(NodeKey(SeededRandom(("candidates", number)).bytes(32)), Endpoint(host, 4242))


def known(number: int = 0, host: str = "1.1.1.1") -> Candidate:
    """One of our own table."""
    return Candidate(Claim(peer(number, host), is_own=True), number, 0, 1)


def named(source: Candidate, number: int, host: str = "1.1.1.1") -> Candidate:
    """One that this node was the first to name."""
    candidate = Candidate(Claim(peer(number, host)), number, 0, 2)
    candidate.hear(peer(number, host), source)
    return candidate


def test_our_own_word_charges_nobody() -> None:
    source, one = known(), known(1)
    one.hear(one.peer, source)
    assert one.claim.votes == 2
    one.ask()
    one.fail(one.peer)
    assert one.claim.charged is None
    assert source.has_credit


def test_credit_is_lost_by_what_is_under_way_and_regained_by_answers() -> None:
    source = known()
    first, second, third = (named(source, number) for number in (1, 2, 3))
    first.ask()
    assert not third.doubtful
    second.ask()
    assert third.doubtful
    assert not source.is_false
    first.answer(first.peer)
    assert not third.doubtful
    second.be_slow()
    second.fail(second.peer)
    assert source.has_credit
    assert not third.doubtful


def test_the_charge_stays_with_whoever_was_first_with_credit() -> None:
    broke, source = known(), known(1)
    for number in range(limits.LOOKUP_CREDIT):
        named(broke, 10 + number).ask()
    one = named(broke, 20)
    assert one.doubtful
    one.hear(one.peer, source)
    assert not one.doubtful
    one.ask()
    assert one.claim.charged is source


def test_the_endpoint_with_the_most_votes_is_tried_first_and_the_other_when_it_is_slow() -> None:
    liar, *others = [known(number) for number in range(3)]
    one = named(liar, 9, "9.9.9.9")
    for other in others:
        one.hear(peer(9), other)
    assert one.peer == peer(9)
    one.ask()
    one.be_slow()
    assert (one.state, one.peer) == (State.KNOWN, peer(9, "9.9.9.9"))
    assert one.may_yet_answer
    one.ask()
    one.answer(peer(9))
    assert (one.state, one.peer) == (State.ANSWERED, peer(9))
    assert not one.may_yet_answer
    one.fail(peer(9, "9.9.9.9"))
    assert one.state is State.ANSWERED


def test_who_loses_credit_takes_its_votes_along() -> None:
    liar, other = known(), known(1)
    one = named(liar, 9, "9.9.9.9")
    one.hear(peer(9), other)
    assert one.peer.endpoint.host == "9.9.9.9"
    for number in range(limits.LOOKUP_CREDIT):
        named(liar, 20 + number).ask()
    assert one.peer == peer(9)
    assert not one.doubtful


def test_another_endpoint_is_tried_as_soon_as_somebody_with_credit_says_so() -> None:
    source, broke = known(), known(1)
    for number in range(limits.LOOKUP_CREDIT):
        named(broke, 20 + number).ask()
    one = named(source, 9)
    one.ask()
    one.be_slow()
    one.hear(peer(9, "9.9.9.9"), broke)
    assert one.state is State.SLOW
    broke.made[0][0].answer(broke.made[0][0].peer)
    assert (one.state, one.peer) == (State.KNOWN, peer(9, "9.9.9.9"))


def test_a_failure_after_an_answer_and_a_second_answer_change_nothing() -> None:
    source = known()
    one = named(source, 9)
    one.ask()
    one.answer(one.peer)
    one.answer(one.peer)
    one.fail(one.peer)
    assert one.state is State.ANSWERED
    rest = [named(source, 20 + number) for number in range(limits.LOOKUP_CREDIT + 1)]
    for other in rest:
        assert source.has_credit
        other.ask()
    assert not source.has_credit


# --- any sequence of events


def recount(lookup: Lookup) -> None:
    """What is kept as a number is what is true of the claims."""
    candidates = list(lookup._candidates.values())
    assert lookup.in_flight == sum(each.state is State.ASKED for each in candidates)
    for number, path in enumerate(lookup._paths):
        asked = [each for each in candidates if each.state is State.ASKED and each.on_path and each.path == number]
        assert path.asking == len(asked)
    for each in candidates:
        assert each.peer is each.claim.peer
        assert each.claim in each.claims
        assert len({claim.peer.endpoint for claim in each.claims}) == len(each.claims)
        charged = [c for one in candidates for c in one.claims if c.charged is each]
        silent = sum(claim.state in (State.SLOW, State.FAILED) for claim in charged)
        under_way = sum(claim.state is State.ASKED for claim in charged)
        most = sum(claim.state is State.ANSWERED for claim in charged) + limits.LOOKUP_CREDIT
        assert each.has_credit is (silent + under_way < most)
        assert each.is_false is (silent >= most)
        assert not each.doubtful or each.state is not State.ANSWERED
        for claim in each.claims:
            assert claim.sources or claim.is_own
            assert len({id(source) for source in claim.sources}) == len(claim.sources)
            assert claim.votes == claim.is_own + sum(source.has_credit for source in claim.sources)
            assert (claim.state is State.KNOWN) or claim.is_own or claim.charged in claim.sources
        left = [claim.votes for claim in each.claims if claim.state is State.KNOWN]
        if each.state is State.KNOWN and not lookup._caps:
            assert each.claim.votes == max(left)
        if each.state is State.ASKED:
            assert each.claim.state is State.ASKED
        if each.state is State.FAILED:
            assert not left
        if each.state is State.SLOW:
            assert not any(left)


HOSTS = ("1.1.1.1", "1.1.1.2", "1.1.2.3", "2.2.2.2")


@pytest.mark.slow
@settings(deadline=None)
@given(st.data())
def test_whatever_happens_the_accounts_are_right_and_there_is_an_end(data: st.DataObject) -> None:
    some = st.builds(peer, st.integers(0, 24), st.sampled_from(HOSTS))
    suspects = data.draw(st.frozensets(st.integers(0, 24), max_size=6))
    unwanted = data.draw(st.frozensets(st.integers(0, 24), max_size=3))
    lookup = Lookup(
        TARGET,
        data.draw(st.lists(some, max_size=6)),
        own=peer(24).key,
        width=data.draw(st.integers(1, 12)),
        parallel=data.draw(st.integers(1, 6)),
        caps=data.draw(st.sampled_from([None, (2, 4)])),
        admit=lambda one: one.key not in {peer(number).key for number in unwanted},
        suspect=lambda one: one.key in {peer(number).key for number in suspects},
        patient=data.draw(st.integers(0, 4)),
        thorough=data.draw(st.booleans()),
        grows=data.draw(st.booleans()),
    )
    waiting: list[tuple[Peer, bool]] = []
    """Who was asked, and whether it has been slow."""
    asked: list[Peer] = []
    while True:
        new = lookup.next_asks()
        asked += new
        waiting += [(one, False) for one in new]
        recount(lookup)
        if not waiting:
            break
        one, is_slow = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
        event = data.draw(st.sampled_from(["answered", "failed"] if is_slow else ["answered", "failed", "slow"]))
        if event == "slow":
            lookup.on_slow(one)
            waiting.append((one, True))
        elif event == "failed":
            lookup.on_failed(one)
        else:
            lookup.on_answered(one, data.draw(st.lists(some, max_size=8)))
        recount(lookup)
        lookup.further(8)
        assert lookup.settled(4) == sorted(lookup.settled(4), key=by_distance(int.from_bytes(TARGET, "big")))
    assert len({(one.key, one.endpoint) for one in asked}) == len(asked) == lookup.messages
    assert lookup.in_flight == 0
    assert lookup.is_over
