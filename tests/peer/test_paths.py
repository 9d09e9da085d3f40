"""Why a path is used: each cause, and what would make it better."""

from dataclasses import replace

import pytest

from p2pd.peer.paths import Known, explain
from p2pd.peer.reach import Candidate
from p2pd.store import PathChoice
from p2pd.types import Endpoint
from p2pd.wire.person import NatKind

IDLE = Known(
    via=None,
    endpoint=None,
    relay="",
    choice=PathChoice.AUTO,
    ours=NatKind.RESTRICTED,
    theirs=NatKind.RESTRICTED,
    punched="",
    joined=True,
)
RELAYED = replace(IDLE, via="relay", relay="abcdefgh")
AWAY = [Candidate("presence", "", outcome="not found")]
TRYING = [Candidate("direct", "192.0.2.1:4242", 1)]
FAILED = [Candidate("direct", "192.0.2.1:4242", 1, "no answer")]
SYMMETRIC = NatKind.SYMMETRIC


@pytest.mark.parametrize(
    ("known", "via", "cause"),
    [
        (replace(IDLE, via="direct", endpoint=Endpoint("192.0.2.1", 4242)), "direct", "linked"),
        (replace(IDLE, via="lan"), "lan", "linked"),
        (RELAYED, "relay", "punching"),
        (replace(RELAYED, choice=PathChoice.RELAY_ONLY), "relay", "chosen"),
        (replace(RELAYED, punched="nothing came through"), "relay", "not-punched"),
        (replace(RELAYED, ours=SYMMETRIC, theirs=SYMMETRIC), "relay", "symmetric-both"),
        (replace(RELAYED, ours=SYMMETRIC), "relay", "punching"),
        (replace(RELAYED, ours=SYMMETRIC, punched="nothing came through"), "relay", "symmetric-here"),
        (replace(RELAYED, theirs=SYMMETRIC, punched="nothing came through"), "relay", "symmetric-there"),
        (replace(RELAYED, families=("IPv6", "IPv4")), "relay", "no-common-family"),
        (replace(RELAYED, families=("IPv4", "IPv4")), "relay", "punching"),
        (replace(RELAYED, families=("IPv6", "")), "relay", "punching"),
        (replace(IDLE, joined=False), "none", "no-network"),
        (replace(IDLE, ours=NatKind.NO_QUIC), "mailbox", "quic-blocked"),
        (replace(IDLE, theirs=NatKind.NO_QUIC, tried=FAILED), "mailbox", "quic-blocked"),
        (replace(IDLE, choice=PathChoice.RELAY_ONLY), "mailbox", "relay-only"),
        (replace(IDLE, choice=PathChoice.DIRECT), "mailbox", "direct-only"),
        (replace(IDLE, choice=PathChoice.DIRECT, theirs=NatKind.OPEN), "mailbox", "idle"),
        (replace(IDLE, tried=AWAY), "mailbox", "away"),
        (replace(IDLE, tried=[*FAILED, *AWAY]), "mailbox", "no-answer"),
        (replace(IDLE, tried=[*FAILED, *TRYING]), "mailbox", "trying"),
        (replace(IDLE, tried=FAILED), "mailbox", "no-answer"),
        (IDLE, "mailbox", "idle"),
    ],
)
def test_every_state_has_its_cause(known: Known, via: str, cause: str) -> None:
    path = explain(known)
    assert (path.via, path.cause) == (via, cause)
    assert path.reason


def test_words_name_the_relay_the_endpoint_and_the_routers() -> None:
    assert "192.0.2.1:4242" in explain(replace(IDLE, via="direct", endpoint=Endpoint("192.0.2.1", 4242))).reason
    both = explain(replace(RELAYED, ours=SYMMETRIC, theirs=SYMMETRIC))
    assert "abcdefgh" in both.reason
    assert both.reason.count("another port") == 2
    assert "either of you" in both.advice
    apart = explain(replace(RELAYED, families=("IPv6", "IPv4")))
    assert "you have IPv6 only, and they have IPv4 only" in apart.reason
    here = explain(replace(RELAYED, ours=SYMMETRIC, punched="nothing came through"))
    assert "in front of you" in here.advice
    assert "p2pctl doctor" in explain(replace(IDLE, joined=False)).advice


@pytest.mark.parametrize("ours", list(NatKind))
@pytest.mark.parametrize("theirs", list(NatKind))
@pytest.mark.parametrize("choice", list(PathChoice))
def test_every_pair_of_routers_can_be_explained(ours: NatKind, theirs: NatKind, choice: PathChoice) -> None:
    for known in (IDLE, RELAYED, replace(RELAYED, punched="nothing came through")):
        assert explain(replace(known, ours=ours, theirs=theirs, choice=choice)).reason
