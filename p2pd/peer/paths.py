"""Which path to a contact is used and why so, in words for people and in a word for scripts.

Knows no network and does nothing: it is told what is known, and judges.
"""

from dataclasses import dataclass, field

from p2pd.peer.reach import Candidate
from p2pd.store import PathChoice
from p2pd.types import Endpoint
from p2pd.wire.person import NatKind


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the way to one contact."""

    via: str | None
    """Of the link that is up; None: none is."""
    endpoint: Endpoint | None
    relay: str
    """The relay that carries the link, for people."""
    choice: PathChoice
    ours: NatKind
    theirs: NatKind
    punched: str
    """How the last attempt to make a direct way ended; empty: there was none."""
    joined: bool
    families: tuple[str, str] = ("", "")
    """The one address family that we have, and the one that they have; empty: both, or it is not known."""
    tried: list[Candidate] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Path:
    """The answer: `cause` is one of the words below."""

    via: str
    cause: str
    reason: str
    advice: str = ""


WHERE = {
    NatKind.UNKNOWN: "something unknown",
    NatKind.OPEN: "nothing",
    NatKind.FIREWALLED: "a firewall that lets only answers in",
    NatKind.FULL_CONE: "a NAT with an open port",
    NatKind.RESTRICTED: "a NAT that lets only answers in",
    NatKind.SYMMETRIC: "a symmetric NAT, which gives every destination another port",
    NatKind.NO_QUIC: "something that blocks QUIC",
}
_MAPPING = "map a port on the router in front of {who}, or switch on its UPnP, NAT-PMP or PCP"

_FAMILY = "IPv6 in front of whoever has IPv4 only, or the other way round; the relay has both"


def explain(known: Known) -> Path:
    """The path and its cause."""
    if known.via == "relay":
        return _relayed(known)
    if known.via is not None:
        at = f" to {known.endpoint}" if known.endpoint else ""
        return Path(known.via, "linked", f"a link{at} is up")
    if not known.joined:
        return Path(
            "none",
            "no-network",
            "no other node answers: nobody is known, or UDP is blocked here",
            "see: p2pctl doctor",
        )
    return _by_mail(known)


def _relayed(known: Known) -> Path:
    by = f"a link by the relay {known.relay} is up"
    if known.choice is PathChoice.RELAY_ONLY:
        return Path("relay", "chosen", f"{by}; you chose that they learn no address of yours")
    here, there = known.families
    if here and there and here != there:
        return Path("relay", "no-common-family", f"{by}: you have {here} only, and they have {there} only", _FAMILY)
    narrow = [who for who, nat in (("you", known.ours), ("them", known.theirs)) if nat is NatKind.SYMMETRIC]
    if len(narrow) == 2:
        return Path("relay", "symmetric-both", f"{by}: {_both(known)}", _MAPPING.format(who="either of you"))
    if narrow and known.punched:
        cause = "symmetric-here" if narrow == ["you"] else "symmetric-there"
        return Path("relay", cause, f"{by}: {_both(known)}", _MAPPING.format(who=narrow[0]))
    if not known.punched:
        return Path("relay", "punching", f"{by}, a direct way is being tried: {_both(known)}")
    return Path("relay", "not-punched", f"{by}, a direct way was tried and {known.punched}: {_both(known)}")


def _both(known: Known) -> str:
    return f"in front of you is {WHERE[known.ours]}, in front of them {WHERE[known.theirs]}"


def _by_mail(known: Known) -> Path:
    outcomes = {(each.how, each.outcome) for each in known.tried}
    if NatKind.NO_QUIC in (known.ours, known.theirs):
        return Path(
            "mailbox",
            "quic-blocked",
            f"no link comes about: {_both(known)}",
            "let QUIC (UDP) through there; messages go by the network's mailboxes meanwhile",
        )
    if known.choice is PathChoice.DIRECT and known.theirs in (NatKind.RESTRICTED, NatKind.SYMMETRIC):
        return Path(
            "mailbox",
            "direct-only",
            f"you chose never to use a relay, and in front of them is {WHERE[known.theirs]}",
            "p2pctl path NAME --set auto",
        )
    if known.choice is PathChoice.RELAY_ONLY:
        return Path(
            "mailbox",
            "relay-only",
            "you chose that they learn no address of yours, so it is they who call, by a relay of yours",
        )
    if ("presence", "not found") in outcomes and not any(each.how != "presence" for each in known.tried):
        return Path("mailbox", "away", "they are not there: nobody knows where their node is")
    if ("presence", "nobody answered") in outcomes and not any(each.how != "presence" for each in known.tried):
        return Path("mailbox", "no-answer", "no node that may know where they are has answered")
    if any(each.outcome == "trying" for each in known.tried):
        return Path("mailbox", "trying", "a link is being tried; messages are kept on the network meanwhile")
    if known.tried:
        return Path("mailbox", "no-answer", "they were there lately, but their node does not answer")
    return Path("mailbox", "idle", "no link was wanted; messages are kept on the network")
