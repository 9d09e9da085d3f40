"""Reaching contacts: where each one is, and when to try a link again.

Knows no contents.  Rules: a wish for a link stays until the link is up or nobody wants it any more; an attempt tries at
once where the contact was last, and beside it asks the DHT for their presence; attempts that fail are spaced by
`limits.DIAL_GAPS_S`.  A sign of life makes the next attempt immediate.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from p2pd import limits
from p2pd.dht.getting import Found
from p2pd.dht.node import Dht
from p2pd.errors import P2pdError, PeerError
from p2pd.peer.links import Link, Links
from p2pd.peer.published import PRESENCE, open_presence, personal_address
from p2pd.store import Contact, ContactState, UserStore
from p2pd.types import Endpoint, IdentityKey, NodeHint, NodeKey, Now
from p2pd.wire.address import format_hint, parse_node_hint
from p2pd.wire.person import Presence
from p2pd.wire.record import Family, Single
from p2pd.wire.rpc import unpack_endpoint


@dataclass(slots=True)
class Attempt:
    """One wish for a link."""

    failures: int = 0
    due: float = 0.0
    """Steady seconds."""
    pending: int = 0
    """Dials and look-ups under way."""
    tried: list[dict[str, str]] = field(default_factory=list)
    """What the last attempt tried and how it ended, for `path`."""


class Reach:
    """Wishes for links, one a contact."""

    def __init__(self, store: UserStore, dht: Dht, links: Links, on_away: Callable[[IdentityKey, Now], None]) -> None:
        self._store = store
        self._dht = dht
        self._links = links
        self._on_away = on_away
        self._attempts: dict[IdentityKey, Attempt] = {}

    def want(self, contact: IdentityKey, now: Now) -> None:
        """Asks for a link; the attempt begins now unless one failed recently."""
        if self._links.up(contact) or contact in self._attempts:
            return
        self._attempts[contact] = Attempt(due=now.steady)
        self.on_timer(now)

    def alive(self, contact: IdentityKey, now: Now) -> None:
        """Something of theirs arrived by another way: if a link is wanted, try now."""
        attempt = self._attempts.get(contact)
        if attempt is not None and not attempt.pending:
            attempt.failures, attempt.due = 0, now.steady
            self.on_timer(now)

    def forget(self, contact: IdentityKey) -> None:
        """No link with this contact is wanted any more."""
        self._attempts.pop(contact, None)

    def failed(self, contact: IdentityKey) -> bool:
        """Whether the last attempt found nobody."""
        attempt = self._attempts.get(contact)
        return attempt is not None and attempt.failures > 0 and not attempt.pending

    def tried(self, contact: IdentityKey) -> list[dict[str, str]]:
        """The candidates of the last attempt and their outcome, for `path`."""
        attempt = self._attempts.get(contact)
        return list(attempt.tried) if attempt else []

    def on_up(self, contact: IdentityKey, link: Link, now: Now) -> None:
        """The wish is fulfilled; where they were is remembered."""
        self._attempts.pop(contact, None)
        known = self._store.contact(contact)
        if known is not None and link.outgoing and link.endpoint is not None:
            hint = format_hint(NodeHint(link.endpoint, link.node))
            if known.endpoints != (hint,):
                self._store.save_contact(replace(known, endpoints=(hint,)))

    def on_dial_failed(self, contact: IdentityKey, reason: str, now: Now) -> None:
        """One dial ended without a link."""
        self._finish(contact, f"dial: {reason}", now)

    def next_deadline(self) -> float | None:
        """When the next attempt is due, steady seconds."""
        return min((attempt.due for attempt in self._attempts.values() if not attempt.pending), default=None)

    def on_timer(self, now: Now) -> None:
        """Begins the attempts that are due."""
        due = [who for who, attempt in self._attempts.items() if not attempt.pending and attempt.due <= now.steady]
        for contact in due:
            known = self._store.contact(contact)
            if known is None or known.state not in (ContactState.ACCEPTED, ContactState.PENDING):
                del self._attempts[contact]
            else:
                self._try(known, self._attempts[contact], now)

    def _try(self, contact: Contact, attempt: Attempt, now: Now) -> None:
        attempt.tried.clear()
        attempt.pending = 1
        for text in contact.endpoints:
            hint = _parsed(text)
            if hint is not None and hint.key is not None:
                self._dial(contact, hint.key, (hint.endpoint,), attempt, now)
        if contact.secret:
            self._look_up(contact, attempt, now)
        self._finish(contact.identity, "", now)

    def _dial(
        self, contact: Contact, node: NodeKey, endpoints: tuple[Endpoint, ...], attempt: Attempt, now: Now
    ) -> None:
        if self._links.dial(contact, node, endpoints, now) is not None:
            attempt.pending += 1
            attempt.tried.append({"candidate": ", ".join(map(str, endpoints)), "outcome": "trying"})

    def _look_up(self, contact: Contact, attempt: Attempt, now: Now) -> None:
        for day in _days(now):
            address = personal_address(contact.identity, PRESENCE, contact.secret, day)
            attempt.pending += 1

            def found(result: Found, later: Now, day: int = day) -> None:
                self._on_presence(contact, day, result, later)

            self._dht.get(Family.SINGLE, address, found, now)

    def _on_presence(self, contact: Contact, day: int, found: Found, now: Now) -> None:
        attempt = self._attempts.get(contact.identity)
        if attempt is None:
            return
        presence = _newest(contact, day, found)
        if presence is None:
            attempt.tried.append({"candidate": "presence", "outcome": "not found"})
        else:
            endpoints = tuple(_unpacked(presence.endpoints))
            self._dial(contact, presence.node, endpoints, attempt, now)
        self._finish(contact.identity, "", now)

    def _finish(self, contact: IdentityKey, outcome: str, now: Now) -> None:
        attempt = self._attempts.get(contact)
        if attempt is None:
            return
        if outcome:
            for entry in attempt.tried:
                if entry["outcome"] == "trying":
                    entry["outcome"] = outcome
                    break
        if not attempt.pending:  # the end of something that an earlier attempt began
            return
        attempt.pending -= 1
        if attempt.pending == 0:
            attempt.failures += 1
            gap = limits.DIAL_GAPS_S[min(attempt.failures, len(limits.DIAL_GAPS_S) - 1)]
            attempt.due = now.steady + gap
            self._on_away(contact, now)


def _days(now: Now) -> list[int]:
    """Today, and near midnight the day whose key a contact with another clock may use."""
    into_s = now.wall_s % limits.DAY_S
    if into_s < limits.PRESENCE_LIFE_S:
        return [now.day, now.day - 1]
    return [now.day, now.day + 1] if into_s > limits.DAY_S - limits.ROLLOVER_S else [now.day]


def _newest(contact: Contact, day: int, found: Found) -> Presence | None:
    newest: Presence | None = None
    for record in found.records:
        if isinstance(record.content, Single):
            try:
                presence = open_presence(contact.identity, contact.secret, day, record.content)
            except PeerError:
                continue
            if newest is None or presence.made_ms > newest.made_ms:
                newest = presence
    return newest


def _unpacked(packed: list[bytes]) -> list[Endpoint]:
    endpoints: list[Endpoint] = []
    for data in packed:
        try:
            endpoints.append(unpack_endpoint(data))
        except PeerError:
            continue
    return endpoints


def _parsed(text: str) -> NodeHint | None:
    try:
        return parse_node_hint(text)
    except P2pdError:
        return None
