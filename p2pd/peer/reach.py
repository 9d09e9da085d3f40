"""Reaching contacts: where each one is, which ways lead there, and when to try them again.

Knows no contents.
Rules: a wish for a link stays until the link is up or nobody wants it any more.  An attempt dials at once where the
contact was last, asks the DHT for their presence beside it, dials what that says, and a moment later calls by the
relays where they wait, one after the other; whatever is first is used, and a relayed link is replaced by a direct one
that comes later.  Attempts that fail are spaced by `limits.DIAL_GAPS_S`, and by `limits.DIAL_WANTED_S` at most where
something is to be said; a sign of life makes the next one immediate, unless QUIC does not pass here or there: then it
waits so long.  Links that fall as soon as they are up are spaced alike: whoever closes each, as one whose disk is full
does, would be dialled without a pause.
Which ways are used at all is the user's to say, for each contact: `PathChoice`.  Who shall learn no address of ours is
not even called by a relay: they name it, so it may be theirs.  They call us, by relays that we have chosen.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from p2pd import limits
from p2pd.dht.deadlines import Deadlines
from p2pd.dht.getting import Found
from p2pd.dht.node import Dht
from p2pd.errors import P2pdError, PeerError
from p2pd.peer.links import Link, Links
from p2pd.peer.published import PRESENCE, open_presence, personal_address
from p2pd.peer.tries import Tries
from p2pd.store import Contact, ContactState, PathChoice, UserStore
from p2pd.types import Endpoint, IdentityKey, NodeHint, NodeKey, Now
from p2pd.wire.address import encode_node_key, format_hint, parse_node_hint
from p2pd.wire.person import NatKind, Presence, Waiting, nat_kind
from p2pd.wire.record import Family, Single
from p2pd.wire.rpc import pack_endpoint, unpack_endpoint

TRYING = "trying"
NO_PLACE = "no place where a node can be"


@dataclass(slots=True)
class Candidate:
    """One way that is tried, for `path`."""

    how: str
    """`direct`, `punched`, `relay`, or `presence`, which is asked for the others."""
    where: str
    link: int = 0
    outcome: str = TRYING

    @property
    def calls(self) -> bool:
        """Whether it is a call that may still succeed."""
        return self.how == "relay" and self.outcome == TRYING


@dataclass(slots=True)
class Attempt:
    """One wish for a link."""

    failures: int = 0
    due: float = 0.0
    """When it is made, or made again, steady seconds."""
    begun: float = 0.0
    """When it was made last, or wished for."""
    looking: int = 0
    """Look-ups under way."""
    heard: bool = False
    """Whether anybody near the key has answered one."""
    looked_again: int = 0
    look_at: float | None = None
    """When they are looked for once more, since nobody has; steady seconds."""
    found: bool = False
    """Whether one has brought their presence."""
    tried: list[Candidate] = field(default_factory=list)
    """What the last attempt tried and how it ended."""
    relays: list[Waiting] = field(default_factory=list)
    """Where they wait and have not been called yet."""
    call_at: float = 0.0
    """When the next of these is called, steady seconds."""

    @property
    def busy(self) -> bool:
        """Whether anything may still come of it."""
        looks = self.looking > 0 or self.look_at is not None
        return looks or bool(self.relays) or any(each.outcome == TRYING for each in self.tried)

    @property
    def next(self) -> float | None:
        """When the next attempt, or the next step of this one, is due, steady seconds."""
        if self.relays:
            return self.call_at if self.look_at is None else min(self.call_at, self.look_at)
        if self.look_at is not None:
            return self.look_at
        return None if self.busy else self.due


@dataclass(slots=True)
class Standing:
    """How the links with a contact stand."""

    since: float
    """When the last one came up, steady seconds."""
    way: Candidate
    falls: int = 0
    """So many in a row fell before `limits.LINK_STANDS_S`."""


class Reach:
    """Wishes for links, one a contact."""

    def __init__(
        self, store: UserStore, dht: Dht, links: Links, tries: Tries, on_away: Callable[[IdentityKey, Now], None]
    ) -> None:
        self._store = store
        self._dht = dht
        self._links = links
        self._tries = tries
        self._on_away = on_away
        self.beside: Callable[[IdentityKey, Now], tuple[NodeHint, ...]] = lambda contact, now: ()
        """Where a contact is on the local network: who knows says so here."""
        self._attempts: dict[IdentityKey, Attempt] = {}
        self._deadlines: Deadlines[IdentityKey] = Deadlines(self._due_of)
        self._last: dict[IdentityKey, list[Candidate]] = {}
        self._seen: dict[IdentityKey, Presence] = {}
        self._standing: dict[IdentityKey, Standing] = {}

    def has_link(self, contact: IdentityKey) -> bool:
        """Whether they can be written to now."""
        return self._links.up(contact) is not None

    def want(self, contact: IdentityKey, now: Now) -> None:
        """Asks for a link, as there is something to be said; the attempt begins now unless one failed recently."""
        if self._links.up(contact) is not None:
            return
        attempt = self._attempt(contact)
        if attempt is None:
            self._begin(contact, now)
        elif not attempt.busy and attempt.due > attempt.begun + limits.DIAL_WANTED_S:
            attempt.due = attempt.begun + limits.DIAL_WANTED_S
            self.on_timer(now)

    def doubt(self, contact: IdentityKey, now: Now) -> None:
        """What was sent over their link is not answered: ask whether it leads anywhere, or call by another relay."""
        link = self._links.up(contact)
        if link is None or now.steady - link.since < limits.DOUBT_AFTER_S:
            return
        if link.relay is None:
            self._links.check(contact)
        else:
            self._begin(contact, now)

    def _begin(self, contact: IdentityKey, now: Now) -> None:
        if contact in self._attempts:
            return
        standing = self._standing.get(contact)
        failures = max(0, standing.falls - 1) if standing is not None else 0
        attempt = Attempt(failures, now.steady + _gap_s(failures), begun=now.steady)
        if standing is not None and failures:
            attempt.tried = [standing.way]
        self._attempts[contact] = attempt
        self._deadlines.touch(contact)
        self.on_timer(now)

    def alive(self, contact: IdentityKey, now: Now) -> None:
        """Something of theirs arrived by another way: if a link is wanted, try now."""
        if not self._is_hopeless(contact):
            self._try_now(contact, now)

    def _try_now(self, contact: IdentityKey, now: Now) -> None:
        attempt = self._attempt(contact)
        if attempt is not None and not attempt.busy:
            attempt.failures, attempt.due = 0, now.steady
            self.on_timer(now)

    def _is_hopeless(self, contact: IdentityKey) -> bool:
        """Whether QUIC does not pass here or there: a link is tried now and then, and not at every sign of life."""
        return self._dht.quic_blocked or self.their_nat(contact) is NatKind.NO_QUIC

    def on_passage(self, now: Now) -> None:
        """QUIC passes again."""
        self.on_addresses(now)

    def on_addresses(self, now: Now) -> None:
        """We are somewhere else: whoever is wanted may be reached from here."""
        for standing in self._standing.values():
            standing.falls = 0
        for contact, attempt in self._attempts.items():
            self._deadlines.touch(contact)
            attempt.failures, attempt.due = 0, min(attempt.due, now.steady)
        self.on_timer(now)

    def on_joined(self, now: Now) -> None:
        """Other nodes are known again: of whoever is wanted can be asked, also while a dial hangs."""
        for contact, attempt in self._attempts.items():
            known = self._store.contact(contact)
            if known is not None and known.secret and attempt.busy and not (attempt.found or attempt.looking):
                self._look_up(known, attempt, now)
        self.on_addresses(now)

    def forget(self, contact: IdentityKey) -> None:
        """No link with this contact is wanted any more."""
        self._attempts.pop(contact, None)
        self._last.pop(contact, None)
        self._seen.pop(contact, None)
        self._standing.pop(contact, None)

    def failed(self, contact: IdentityKey) -> bool:
        """Whether the last attempt found nobody."""
        attempt = self._attempts.get(contact)
        return attempt is not None and attempt.failures > 0 and not attempt.busy

    def tried(self, contact: IdentityKey) -> list[Candidate]:
        """The candidates of the last attempt and their outcome, for `path`."""
        attempt = self._attempts.get(contact)
        return attempt.tried if attempt is not None else self._last.get(contact, [])

    def their_nat(self, contact: IdentityKey) -> NatKind:
        """What stands in front of them, by their last presence."""
        seen = self._seen.get(contact)
        return nat_kind(seen.nat) if seen is not None else NatKind.UNKNOWN

    def their_nodes(self, contact: Contact) -> set[NodeKey]:
        """Their node, by their last presence, and by what was kept of those before a restart."""
        seen = self._seen.get(contact.identity)
        kept = {hint.key for hint in _parsed(contact.endpoints) if hint.key is not None}
        return kept if seen is None else kept | {seen.node}

    def their_endpoints(self, contact: IdentityKey) -> tuple[Endpoint, ...]:
        """Where they are, by their last presence."""
        seen = self._seen.get(contact)
        return _unpacked(seen.endpoints) if seen is not None else ()

    def on_up(self, contact: IdentityKey, link: Link, now: Now) -> None:
        """The wish is fulfilled; where they were is remembered."""
        attempt = self._attempts.pop(contact, None)
        if attempt is not None:
            self._last[contact] = attempt.tried
        self._note(contact, link.id, "up")
        standing = self._standing.get(contact)
        self._standing[contact] = Standing(now.steady, _way(link), standing.falls if standing is not None else 0)
        if link.endpoint is None:
            return
        self._tries.proven(link.endpoint, now)
        known = self._store.contact(contact)
        hint = format_hint(NodeHint(link.endpoint, link.node))
        if known is not None and link.outgoing and known.endpoints != (hint,):
            self._store.save_contact(replace(known, endpoints=(hint,)))

    def on_down(self, contact: IdentityKey, reason: str, now: Now) -> None:
        """Their link has fallen: another one is wanted, though not at once where they fall time and again."""
        standing = self._standing.get(contact)
        if standing is not None:
            stood_s = now.steady - standing.since
            standing.falls = standing.falls + 1 if stood_s < limits.LINK_STANDS_S else 0
            standing.way.outcome = f"fell after {stood_s:.0f} s: {reason}"
        self.want(contact, now)

    def on_way(self, contact: IdentityKey, endpoint: Endpoint, now: Now) -> None:
        """A way through both routers was found: dial there."""
        known, seen = self._store.contact(contact), self._seen.get(contact)
        if known is None or seen is None:
            return
        self._links.stop_dialling(contact, "a way was punched", now)
        link = self._links.dial(known, seen.node, (endpoint,), now)
        if link is not None:
            tried = self.tried(contact)
            # rounds go on, perhaps for months, and each may find a way that no dial comes through
            tried[:] = [each for each in tried if each.how != "punched" or each.outcome == TRYING]
            tried.append(Candidate("punched", str(endpoint), link))

    def on_beside(self, contact: IdentityKey, now: Now) -> None:
        """They were found on the local network: dial there, unless a direct link is up."""
        up, known = self._links.up(contact), self._store.contact(contact)
        if known is None or (up is not None and up.relay is None):
            return
        attempt = self._attempt(contact)
        if attempt is None or not attempt.busy:
            self._begin(contact, now)
            self._try_now(contact, now)
            return
        ways = {str(hint.endpoint) for hint in self.beside(contact, now)}
        if not any(each.outcome == TRYING and ways & set(each.where.split(", ")) for each in attempt.tried):
            self._links.stop_dialling(contact, "they are on the local network", now)
            self._dial_hints(known, attempt, now)

    def on_dial_failed(self, contact: IdentityKey, link: int, reason: str, now: Now) -> None:
        """One dial or call ended without a link."""
        self._note(contact, link, reason)
        attempt = self._attempt(contact)
        if attempt is not None and attempt.relays and not any(each.calls for each in attempt.tried):
            self._call_next(contact, attempt, now)
        self._settle(contact, now)

    def next_deadline(self) -> float | None:
        """When the next attempt, or the next call of one, is due, steady seconds."""
        return self._deadlines.next()

    def _due_of(self, contact: IdentityKey) -> float | None:
        attempt = self._attempts.get(contact)
        return None if attempt is None else attempt.next

    def _attempt(self, contact: IdentityKey) -> Attempt | None:
        """The one with this contact, to be changed: its time is looked at again."""
        self._deadlines.touch(contact)
        return self._attempts.get(contact)

    def on_timer(self, now: Now) -> None:
        """Begins the attempts that are due, and goes on with those under way."""
        for contact in self._deadlines.due(now):
            attempt = self._attempts.get(contact)
            if attempt is None:
                continue
            if attempt.relays and attempt.call_at <= now.steady:
                self._call_next(contact, attempt, now)
                self._settle(contact, now)
            if attempt.look_at is not None and attempt.look_at <= now.steady:
                self._look_again(contact, attempt, now)
            if attempt.busy or attempt.due > now.steady or self._attempts.get(contact) is not attempt:
                continue
            known = self._store.contact(contact)
            if known is None or known.state not in (ContactState.ACCEPTED, ContactState.PENDING):
                del self._attempts[contact]
            else:
                self._try(known, attempt, now)

    # --- one attempt ---

    def _try(self, contact: Contact, attempt: Attempt, now: Now) -> None:
        attempt.tried, attempt.found, attempt.heard, attempt.looked_again = [], False, False, 0
        attempt.begun = now.steady
        self._dial_hints(contact, attempt, now)
        if contact.secret:
            self._look_up(contact, attempt, now)
        self._settle(contact.identity, now)

    def _dial_hints(self, contact: Contact, attempt: Attempt, now: Now) -> None:
        """Where they are on the local network, and where they were last; one dial for each node."""
        if contact.path is PathChoice.RELAY_ONLY:
            return
        ways: dict[NodeKey, list[Endpoint]] = {}
        for hint in (*self.beside(contact.identity, now), *_parsed(contact.endpoints)):
            ways.setdefault(hint.key or NodeKey(b""), []).append(hint.endpoint)
        seen = self._seen.get(contact.identity)
        if seen is not None and not any(self._tries.is_of_ours(each) for found in ways.values() for each in found):
            ways.setdefault(seen.node, []).extend(_unpacked(seen.endpoints))  # by the family that is left
        for node, endpoints in ways.items():
            self._dial(contact, node, tuple(dict.fromkeys(endpoints)), attempt, now)

    def _dial(
        self, contact: Contact, node: NodeKey, endpoints: tuple[Endpoint, ...], attempt: Attempt, now: Now
    ) -> None:
        fresh = self._links.undialled(contact.identity, node, endpoints)
        if not fresh:
            return
        allowed = self._tries.allowed(fresh, now)
        link = self._links.dial(contact, node, allowed, now)
        if link is not None:
            attempt.tried.append(Candidate("direct", ", ".join(map(str, allowed)), link))
        elif not allowed:
            outcome = self._why_not(fresh)
            attempt.tried.append(Candidate("direct", ", ".join(map(str, fresh)), outcome=outcome))

    def _why_not(self, endpoints: tuple[Endpoint, ...]) -> str:
        """Why none of them is tried."""
        if not any(map(self._tries.is_of_ours, endpoints)):
            return "no address of that family here"
        return "tried often enough for now" if any(map(self._tries.is_place, endpoints)) else NO_PLACE

    def _look_up(self, contact: Contact, attempt: Attempt, now: Now) -> None:
        attempt.look_at = None
        for day in _days(now):
            address = personal_address(contact.identity, PRESENCE, contact.secret, day)
            attempt.looking += 1

            def found(result: Found, later: Now, day: int = day) -> None:
                if self._attempt(contact.identity) is attempt:
                    attempt.looking -= 1
                    self._on_presence(contact, day, result, attempt, later)

            self._dht.get(Family.SINGLE, address, found, now)

    def _on_presence(self, contact: Contact, day: int, found: Found, attempt: Attempt, now: Now) -> None:
        presence = _newest(contact, day, found)
        attempt.heard = attempt.heard or found.rounds > 0
        if presence is None and not attempt.looking and not attempt.found:
            self._not_found(attempt, now)
        elif presence is not None:
            attempt.found = True
            self._seen[contact.identity] = presence
            if contact.path is PathChoice.RELAY_ONLY:
                self._keep(contact.identity, presence)
            else:
                self._dial(contact, presence.node, _unpacked(presence.endpoints), attempt, now)
            if contact.path is PathChoice.AUTO and presence.relays:
                attempt.relays = self._in_order(contact.identity, presence)
                attempt.call_at = now.steady + limits.RELAY_AFTER_S
                self.on_timer(now)
        self._settle(contact.identity, now)

    def _not_found(self, attempt: Attempt, now: Now) -> None:
        """Where nobody answered that says nothing: who has just joined may know one node, and that may be slow."""
        if not attempt.heard and attempt.looked_again < len(limits.LOOK_AGAIN_S):
            attempt.look_at = now.steady + limits.LOOK_AGAIN_S[attempt.looked_again]
            attempt.looked_again += 1
        else:
            outcome = "not found" if attempt.heard else "nobody answered"
            attempt.tried.append(Candidate("presence", "", outcome=outcome))

    def _look_again(self, identity: IdentityKey, attempt: Attempt, now: Now) -> None:
        attempt.look_at = None
        contact = self._store.contact(identity)
        if contact is not None and contact.secret:
            self._look_up(contact, attempt, now)
        self._settle(identity, now)

    def _keep(self, identity: IdentityKey, presence: Presence) -> None:
        """No link will tell where their node is, and after a restart none of our relays may be theirs."""
        known = self._store.contact(identity)
        hints = tuple(format_hint(NodeHint(each, presence.node)) for each in _unpacked(presence.endpoints)[:1])
        if known is not None and hints and known.endpoints != hints:
            self._store.save_contact(replace(known, endpoints=hints))

    def _in_order(self, contact: IdentityKey, presence: Presence) -> list[Waiting]:
        """The relay of a link that is in doubt comes last; that they wait at us as well helps nobody who calls."""
        up = self._links.up(contact)
        doubted = up.relay if up is not None else None
        others = (waiting for waiting in presence.relays if waiting.relay != self._dht.key)
        return sorted(others, key=lambda waiting: waiting.relay == doubted)

    def _call_next(self, identity: IdentityKey, attempt: Attempt, now: Now) -> None:
        """Calls by the next relay that can be called; the one after it has its turn if nothing comes of that."""
        contact = self._store.contact(identity)
        while contact is not None and attempt.relays:
            waiting = attempt.relays.pop(0)
            allowed = self._tries.allowed(_unpacked(waiting.endpoints), now)
            at = Waiting(waiting.relay, list(map(pack_endpoint, allowed)), waiting.callee)
            link = self._links.call(contact, at, now)
            if link is not None:
                where = f"{encode_node_key(waiting.relay)[:8]}@{allowed[0]}"
                attempt.tried.append(Candidate("relay", where, link))
                attempt.call_at = now.steady + limits.RELAY_NEXT_S
                return

    def _note(self, contact: IdentityKey, link: int, outcome: str) -> None:
        self._deadlines.touch(contact)
        for candidate in self.tried(contact):
            if candidate.link == link and candidate.outcome == TRYING:
                candidate.outcome = outcome

    def _settle(self, contact: IdentityKey, now: Now) -> None:
        """An attempt of which nothing can come any more has failed; where a link in doubt has stayed, it is enough."""
        attempt = self._attempt(contact)
        if attempt is None or attempt.busy or attempt.due > now.steady:
            return
        if self._links.up(contact) is not None:
            self._last[contact] = attempt.tried
            del self._attempts[contact]
            return
        attempt.failures += 1
        least_s = limits.DIAL_WANTED_S if self._is_hopeless(contact) else 0
        attempt.due = now.steady + max(_gap_s(attempt.failures), least_s)
        self._on_away(contact, now)


def _gap_s(failures: int) -> float:
    return limits.DIAL_GAPS_S[min(failures, len(limits.DIAL_GAPS_S) - 1)]


def _way(link: Link) -> Candidate:
    """How a link leads there."""
    if link.relay is not None:
        return Candidate("relay", encode_node_key(link.relay)[:8], link.id)
    return Candidate("direct", str(link.endpoint), link.id)


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


def _unpacked(packed: list[bytes]) -> tuple[Endpoint, ...]:
    return tuple(unpack_endpoint(data) for data in packed)  # checked as they were decoded


def _parsed(hints: tuple[str, ...]) -> list[NodeHint]:
    parsed: list[NodeHint] = []
    for text in hints:
        try:
            hint = parse_node_hint(text)
        except P2pdError:
            continue
        if hint.key is not None:
            parsed.append(hint)
    return parsed
