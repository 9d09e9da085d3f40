"""Contacts on the local network: what we announce there, whom we recognise, and where they are.

Knows no multicast: who announces and hears is the world's affair.
An announcement is a salt, which begins with the hour, and a tag that only those can compute who hold the announcer's
contact secret: so contacts recognise each other, and nobody else learns who is there, or that it is the same as an hour
ago.  What is heard is a stranger's word until a link has proven it: it only says where to ask and to dial.
Rules: announced are a new salt and tag at the start, every hour or so, and when our contact secret changes; what is
heard is bounded in number, compared at a bounded rate, and forgotten; to one address go few questions a minute.

| a neighbour | next |
|---|---|
| heard | recognised by its tag; else only a node for the DHT |
| recognised | asked for its node key, again after `limits.LAN_ASK_S` |
| answered | found: a way to the contact, until it has not been heard for `limits.LAN_LIFE_S` |
"""

from collections.abc import Callable
from dataclasses import dataclass

from p2pd import limits
from p2pd.crypto.keys import equal
from p2pd.dht.bounded import Recent
from p2pd.dht.node import Dht
from p2pd.dht.rates import TokenBucket, TokenBuckets
from p2pd.domains import Domain, derive_key
from p2pd.effects import Announce, EffectQueue
from p2pd.peer import own
from p2pd.peer.own import OwnKeys
from p2pd.store import Contact, ContactState, PathChoice, UserStore
from p2pd.types import Endpoint, IdentityKey, NodeHint, NodeKey, Now, RandomSource

OnFound = Callable[[IdentityKey, Now], None]


@dataclass(slots=True)
class _Neighbour:
    """What was announced last for one endpoint."""

    endpoint: Endpoint
    salt: bytes
    tag: bytes
    heard: float
    """Steady seconds."""
    contact: IdentityKey | None = None
    """Whose tag it is."""
    key: NodeKey | None = None
    """Of the node there, as it says itself."""
    asked: int = 0
    ask_at: float | None = None
    """When it is asked for its key again, steady seconds."""


class Neighbours:
    """See the module; `announces` is whether the local network is used at all."""

    def __init__(
        self,
        keys: OwnKeys,
        store: UserStore,
        dht: Dht,
        effects: EffectQueue,
        random: RandomSource,
        *,
        announces: bool,
        on_found: OnFound,
        count: Callable[[str], None],
    ) -> None:
        self._keys = keys
        self._store = store
        self._dht = dht
        self._effects = effects
        self._random = random
        self._announces = announces
        self._on_found = on_found
        self._count = count
        self._announce_at: float | None = 0.0 if announces else None
        self._quiet_until = 0.0
        """Nobody is dialled before, steady seconds."""
        self._strangers: Recent[Endpoint, _Neighbour] = Recent(limits.NEIGHBOURS)
        self._contacts: Recent[Endpoint, _Neighbour] = Recent(limits.LAN_CONTACTS)
        self._hosts: set[str] = set()
        """This machine's addresses."""
        self._found: dict[IdentityKey, None] = {}
        """Contacts whose dial waits for `_quiet_until`."""
        self._secrets: dict[IdentityKey, bytes] | None = None
        self._checks = TokenBucket(limits.LAN_CHECKS_PER_S, limits.LAN_CHECKS_BURST)
        self._asks: TokenBuckets[str] = TokenBuckets(
            limits.LAN_TRIES_PER_MINUTE / limits.MINUTE_S, limits.LAN_TRIES_PER_MINUTE, limits.NEIGHBOURS
        )

    # --- inputs ---

    def on_neighbour(self, endpoint: Endpoint, salt: bytes, tag: bytes, now: Now) -> None:
        """An announcement was heard, or is still there."""
        if not self._announces or len(salt) != limits.LAN_SALT_BYTES or len(tag) != limits.LAN_TAG_BYTES:
            self._count("announcement")
            return
        known = self._known_at(endpoint)
        if known is not None and (known.salt, known.tag) == (salt, tag):
            known.heard = now.steady
            if known.contact is not None and known.key is None and known.ask_at is None:
                known.asked = 0
                self._ask(known, now)
            return
        if not self._checks.take(now.steady):
            self._count("announcements")
            return
        self._dht.on_neighbour(endpoint, now)
        self._strangers.pop(endpoint)
        self._contacts.pop(endpoint)
        heard = _Neighbour(endpoint, salt, tag, now.steady)
        if not _is_of_now(salt, now):
            self._count("old_announcement")
        else:
            heard.contact = self._whose(salt, tag)
        if heard.contact is None:
            self._strangers.put(endpoint, heard)
        else:
            self._recognised(heard, heard.contact, now)

    def contact_changed(self, contact: IdentityKey, now: Now) -> None:
        """A contact was accepted, blocked or removed, or has another secret: perhaps they are beside us already."""
        known = self._store.contact(contact)
        if known is None or not _may_be_near(known):
            for heard in self._of(contact):
                self._contacts.pop(heard.endpoint)
            self._found.pop(contact, None)
            if self._secrets is not None:
                self._secrets.pop(contact, None)
            return
        if self._secrets is not None:
            self._secrets[contact] = known.secret
        for heard in self._strangers.values():
            if _is_of_now(heard.salt, now) and equal(heard.tag, lan_tag(known.secret, heard.salt, contact)):
                self._strangers.pop(heard.endpoint)
                self._recognised(heard, contact, now)

    def on_addresses(self, own: tuple[Endpoint, ...]) -> None:
        """This machine's addresses: where none of them stays, those around it are others too."""
        hosts = {endpoint.host for endpoint in own}
        if self._hosts and not self._hosts & hosts:
            self._strangers.clear()
            self._contacts.clear()
            self._found.clear()
            self._dht.forget_neighbours()
        self._hosts = hosts

    def secret_changed(self, now: Now) -> None:
        """Our contact secret is another: who holds the old one shall recognise us no longer."""
        if self._announces:
            self._announce_at = now.steady

    def next_deadline(self) -> float | None:
        """When something is to be announced, asked or told, steady seconds."""
        due = [heard.ask_at for heard in self._contacts.values() if heard.ask_at is not None]
        due += [self._announce_at] if self._announce_at is not None else []
        due += [self._quiet_until] if self._found else []
        return min(due, default=None)

    def on_timer(self, now: Now) -> None:
        """Does what is due."""
        if self._announce_at is not None and self._announce_at <= now.steady:
            self._announce(now)
        for heard in self._contacts.values():
            if heard.ask_at is not None and heard.ask_at <= now.steady:
                self._ask(heard, now)
        if self._found and self._quiet_until <= now.steady:
            found, self._found = self._found, {}
            for contact in found:
                self._on_found(contact, now)

    # --- what it tells ---

    def candidates(self, contact: IdentityKey, now: Now) -> tuple[NodeHint, ...]:
        """Where a contact's nodes are beside us, the one heard last first; an unproven word."""
        alive = sorted((each for each in self._of(contact) if _is_alive(each, now)), key=lambda each: -each.heard)
        return tuple(NodeHint(heard.endpoint, heard.key) for heard in alive if heard.key is not None)

    def is_near(self, contact: IdentityKey, endpoint: Endpoint | None, now: Now) -> bool:
        """Whether discovery has shown this contact at this endpoint."""
        return any(heard.endpoint == endpoint and _is_alive(heard, now) for heard in self._of(contact))

    def heard(self, now: Now) -> int:
        """How many nodes are announced around us."""
        return sum(_is_alive(heard, now) for heard in (*self._strangers.values(), *self._contacts.values()))

    # --- inside ---

    def _announce(self, now: Now) -> None:
        if self._quiet_until == 0.0:
            self._quiet_until = now.steady + limits.LAN_DIAL_AFTER_S
        self._announce_at = now.steady + limits.LAN_ROTATE_S * self._random.uniform(0.8, 1.2)
        hour = (now.wall_s // limits.HOUR_S).to_bytes(limits.LAN_HOUR_BYTES, "big")
        salt = hour + self._random.bytes(limits.LAN_SALT_BYTES - limits.LAN_HOUR_BYTES)
        secret = own.secret(self._store) or self._random.bytes(limits.KEY_BYTES)
        self._effects.append(Announce(salt, lan_tag(secret, salt, self._keys.identity_key)))

    def _whose(self, salt: bytes, tag: bytes) -> IdentityKey | None:
        if self._secrets is None:
            listed = (contact for contact in self._store.contacts() if _may_be_near(contact))
            self._secrets = {contact.identity: contact.secret for contact in listed}
        for identity, secret in self._secrets.items():
            if equal(tag, lan_tag(secret, salt, identity)):
                return identity
        return None

    def _recognised(self, heard: _Neighbour, contact: IdentityKey, now: Now) -> None:
        heard.contact = contact
        others = sorted(self._of(contact), key=lambda each: each.heard)
        if len(others) >= limits.LAN_WAYS:
            self._contacts.pop(others[0].endpoint)
        self._contacts.put(heard.endpoint, heard)
        self._ask(heard, now)

    def _ask(self, heard: _Neighbour, now: Now) -> None:
        """Ask which node is there; a dial needs its key."""
        heard.ask_at = now.steady + limits.LAN_ASK_S[heard.asked] if heard.asked < len(limits.LAN_ASK_S) else None
        heard.asked += 1
        if self._asks.take(heard.endpoint.host, now.steady):
            self._dht.ask_key(heard.endpoint, lambda key, later: self._on_key(heard, key, later), now)

    def _on_key(self, heard: _Neighbour, key: NodeKey, now: Now) -> None:
        heard.ask_at = None
        if heard.contact is None or self._known_at(heard.endpoint) is not heard:
            return
        heard.key = key
        self._found[heard.contact] = None
        self.on_timer(now)

    def _known_at(self, endpoint: Endpoint) -> _Neighbour | None:
        return self._contacts.find(endpoint) or self._strangers.find(endpoint)

    def _of(self, contact: IdentityKey) -> list[_Neighbour]:
        return [heard for heard in self._contacts.values() if heard.contact == contact]


def lan_tag(secret: bytes, salt: bytes, identity: IdentityKey) -> bytes:
    """What only the holders of a person's contact secret can compute of an announcement's salt."""
    return derive_key(Domain.LAN_TAG, secret, salt, identity, size=limits.LAN_TAG_BYTES)


def _is_alive(heard: _Neighbour, now: Now) -> bool:
    return now.steady - heard.heard < limits.LAN_LIFE_S


def _may_be_near(contact: Contact) -> bool:
    """Whether they may be recognised and dialled: a link would show our address to whom it shall not be shown."""
    accepted = contact.state is ContactState.ACCEPTED and contact.path is not PathChoice.RELAY_ONLY
    return accepted and bool(contact.secret)


def _is_of_now(salt: bytes, now: Now) -> bool:
    hour = int.from_bytes(salt[: limits.LAN_HOUR_BYTES], "big")
    return abs(hour - now.wall_s // limits.HOUR_S) <= limits.LAN_HOURS
