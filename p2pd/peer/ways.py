"""Every way between this node and others that carries a link: the machines of reaching, put together.

Knows no contents.  It routes what the world tells of links to the machine whose link it is, and says what path to a
contact is used and why.

| machine | what it does |
|---|---|
| `whereabouts` | where we can be reached, and what router is in front of us |
| `reach` | which ways to a contact are tried, and when |
| `links` | the persons at both ends proven; one link a contact |
| `relays` | waiting at relays, and calling by them |
| `neighbours` | contacts on the local network |
| `punching` | a direct way in place of a relayed one |
| `relaying` | carrying for others |
"""

from collections.abc import Callable
from dataclasses import dataclass

from p2pd import limits
from p2pd.dht.node import Dht
from p2pd.dht.peers import has_family, is_local
from p2pd.effects import EffectQueue
from p2pd.peer.links import Link, LinkOwner, Links
from p2pd.peer.neighbours import Neighbours
from p2pd.peer.numbers import LinkNumbers
from p2pd.peer.own import OwnKeys
from p2pd.peer.paths import Known, Path, explain
from p2pd.peer.punching import Punching
from p2pd.peer.reach import Reach
from p2pd.peer.relaying import Relaying
from p2pd.peer.relays import Relays
from p2pd.peer.tries import Tries
from p2pd.peer.whereabouts import Whereabouts
from p2pd.store import Contact, ContactState, PathChoice, UserStore
from p2pd.types import Endpoint, IdentityKey, NodeKey, Now, RandomSource
from p2pd.wire.address import encode_node_key
from p2pd.wire.datagram import network_id
from p2pd.wire.link import Punch, PunchNow
from p2pd.wire.person import DeviceCertificate, DeviceContent, NatKind, Presence
from p2pd.wire.rpc import pack_endpoint


@dataclass(frozen=True, slots=True)
class WaysOwner:
    """Whom the ways report to."""

    admit: Callable[[DeviceContent, DeviceCertificate, bool, Now], Contact | None]
    on_up: Callable[[IdentityKey, Now], None]
    on_down: Callable[[IdentityKey, Now], None]
    on_away: Callable[[IdentityKey, Now], None]
    on_envelope: Callable[[IdentityKey, bytes, Now], None]
    on_typing: Callable[[IdentityKey, int, Now], None]
    on_presence: Callable[[Now], None]
    """What our presence has to say may be another."""
    count: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class WaysSettings:
    """What a user may set of them."""

    network: str
    private: bool
    own: tuple[Endpoint, ...]
    """This machine's addresses, as far as it knows itself."""
    lan: bool
    """Whether the local network is used."""
    carries: bool
    """Whether frames of others are carried, where this node serves."""


class Ways:
    """See the module; inputs are `on_…`."""

    def __init__(
        self,
        keys: OwnKeys,
        store: UserStore,
        dht: Dht,
        effects: EffectQueue,
        random: RandomSource,
        settings: WaysSettings,
        owner: WaysOwner,
    ) -> None:
        self._keys = keys
        self._store = store
        self._dht = dht
        self._owner = owner
        self._served = dht.serves
        self._joined = dht.joined
        self._blocked = False
        self._looked_around = dht.has_looked_around
        numbers = LinkNumbers()
        self._tries = Tries(private=settings.private)
        self._tries.on_addresses(settings.own)
        self.whereabouts = Whereabouts(dht, settings.own, private=settings.private, on_changed=owner.on_presence)
        self.relaying = Relaying(
            effects, lambda: settings.carries and dht.serves, owner.count, lambda: self.whereabouts.public
        )
        self.relays = Relays(
            dht,
            effects,
            random,
            numbers,
            private=settings.private,
            wanted=self._wants_relays,
            kept_out=self._kept_out,
            on_changed=owner.on_presence,
            count=owner.count,
        )
        self.links = Links(keys, effects, random, numbers, self.relays, self._link_owner())
        self.relays.user = self.links
        self.reach = Reach(store, dht, self.links, self._tries, owner.on_away)
        self.neighbours = Neighbours(
            keys,
            store,
            dht,
            effects,
            random,
            announces=settings.lan,
            on_found=self._on_beside,
            count=owner.count,
        )
        self.neighbours.on_addresses(settings.own)
        self.reach.beside = self.neighbours.candidates
        self.punching = Punching(
            network_id(settings.network),
            effects,
            random,
            self.links,
            self.whereabouts,
            self._tries,
            self.reach.on_way,
            owner.count,
        )
        self.machines = (self.links, self.relays, self.neighbours, self.reach, self.punching)

    def _link_owner(self) -> LinkOwner:
        owner = self._owner
        return LinkOwner(
            admit=owner.admit,
            on_up=self._on_up,
            on_down=self._on_down,
            on_dial_failed=lambda contact, link, reason, now: self.reach.on_dial_failed(contact, link, reason, now),
            on_envelope=owner.on_envelope,
            on_typing=owner.on_typing,
            on_punch=self._on_punch,
            count=owner.count,
        )

    def _wants_relays(self) -> bool:
        """Who does not serve cannot be dialled, nor who has IPv6 only by most others; and who shall learn no address of
        ours must call by a relay."""
        if not self._dht.serves or self._has_only_v6:
            return True
        return any(
            contact.path is PathChoice.RELAY_ONLY and contact.state in (ContactState.ACCEPTED, ContactState.PENDING)
            for contact in self._store.contacts()
        )

    @property
    def _has_only_v6(self) -> bool:
        own = self.whereabouts.own
        return bool(own) and all(endpoint.is_v6 for endpoint in own)

    def _kept_out(self) -> set[NodeKey]:
        """Nodes of contacts who shall learn no address of ours, as far as they are known."""
        shielded = [contact for contact in self._store.contacts() if contact.path is PathChoice.RELAY_ONLY]
        return {node for contact in shielded for node in self.reach.their_nodes(contact)}

    # --- inputs ---

    def start(self, now: Now) -> None:
        """The node has joined."""
        self.relays.start(now)

    def look(self, now: Now) -> None:
        """After anything has happened: whether we serve, whom we know and whether QUIC passes may be others."""
        if self._joined is not self._dht.joined:
            self._joined = self._dht.joined
            if self._joined:  # anew, as after a move to another address family
                self.relays.need_changed(now)
                self.reach.on_joined(now)
                self._owner.on_presence(now)
        if self._served is not self._dht.serves:
            self._served = self._dht.serves
            self.relays.need_changed(now)
            self._owner.on_presence(now)
        if self._blocked is not self._dht.quic_blocked:
            self._blocked = self._dht.quic_blocked
            self._owner.on_presence(now)
            if not self._blocked:
                self.relays.need_changed(now)
                self.reach.on_passage(now)
        if self._looked_around is not self._dht.has_looked_around:
            self._looked_around = self._dht.has_looked_around
            if self._looked_around:
                self.relays.on_looked_around(now)

    def on_addresses(self, own: tuple[Endpoint, ...], now: Now) -> None:
        """The machine is somewhere else, or was asleep: every link is in doubt, and every wish is tried anew."""
        self._tries.on_addresses(own)
        self.neighbours.on_addresses(own)
        self.whereabouts.on_addresses(own, now)
        self.relays.on_addresses(own, now)
        for contact in self.links.contacts_up:
            link = self.links.up(contact)
            if link is not None and link.endpoint is not None and not has_family(own, link.endpoint):
                self.links.close(contact, "no address of its family is left", now)
            else:
                self.links.check(contact)
        self.reach.on_addresses(now)
        self.punching.on_addresses(now)

    def on_link_opened(
        self, link: int, node: NodeKey, endpoint: Endpoint, binding: bytes, outgoing: bool, now: Now
    ) -> None:
        """A link between persons is up."""
        self.links.on_link_opened(link, node, endpoint, binding, outgoing, now)

    def on_relay_opened(self, link: int, node: NodeKey, outgoing: bool, now: Now) -> None:
        """A link with a relay is up, or we are the relay."""
        if outgoing:
            self.relays.on_opened(link, now)
        else:
            self.relaying.on_opened(link, node, now)

    def on_frame(self, link: int, frame: bytes, now: Now) -> None:
        """The next frame of a link."""
        if self.relaying.owns(link):
            self.relaying.on_frame(link, frame, now)
        elif self.relays.owns(link):
            self.relays.on_frame(link, frame, now)
        else:
            self.links.on_frame(link, frame, now)

    def on_link_closed(self, link: int, reason: str, now: Now) -> None:
        """A link is down, not by us."""
        if self.relaying.owns(link):
            self.relaying.on_closed(link)
        elif self.relays.owns(link):
            self.relays.on_closed(link, reason, now)
        else:
            self.links.on_link_closed(link, reason, now)

    def on_link_failed(self, link: int, reason: str, now: Now) -> None:
        """A link we asked for did not come up."""
        if self.relays.owns(link):
            self.relays.on_closed(link, reason, now)
        else:
            self.links.on_link_failed(link, reason, now)

    # --- between the machines ---

    def _on_beside(self, contact: IdentityKey, now: Now) -> None:
        """Discovery on the local network has shown where a contact is."""
        link = self.links.up(contact)
        if link is not None:
            link.is_lan = self.neighbours.is_near(contact, link.endpoint, now)
        self.reach.on_beside(contact, now)

    def _on_up(self, contact: IdentityKey, link: Link, now: Now) -> None:
        link.is_lan = self.neighbours.is_near(contact, link.endpoint, now)
        self.reach.on_up(contact, link, now)
        if self._may_punch(contact):
            self.punching.on_up(contact, link, now)
        self._owner.on_up(contact, now)

    def _on_down(self, contact: IdentityKey, reason: str, now: Now) -> None:
        self.punching.forget(contact)
        self.reach.on_down(contact, reason, now)
        self._owner.on_down(contact, now)

    def _on_punch(self, contact: IdentityKey, message: Punch | PunchNow, now: Now) -> None:
        if self._may_punch(contact):
            self.punching.on_message(contact, message, now)

    def _may_punch(self, contact: IdentityKey) -> bool:
        known = self._store.contact(contact)
        return known is not None and known.path is PathChoice.AUTO

    # --- what is told ---

    def presence(self) -> Presence:
        """Where we are, for contacts; without a time."""
        where = [pack_endpoint(endpoint) for endpoint in self.whereabouts.endpoints[: limits.ENDPOINTS]]
        waiting = self.relays.waiting[: limits.RELAYS]
        return Presence(0, self._keys.node_key, where, waiting, self.nat)

    @property
    def nat(self) -> NatKind:
        """What stands in front of us."""
        return NatKind.NO_QUIC if self.relays.shut_out or self._dht.quic_blocked else self.whereabouts.nat

    def path(self, contact: Contact) -> Path:
        """How a contact is reached now, and why so."""
        link = self.links.up(contact.identity)
        effort = self.punching.effort(contact.identity)
        where = self.reach.their_endpoints(contact.identity)
        theirs = self.reach.their_nat(contact.identity)
        if effort is not None and effort.their_nat is not NatKind.UNKNOWN:
            theirs = effort.their_nat  # they said so themselves, and later
        if effort is not None and effort.their_endpoints:
            where = effort.their_endpoints
        return explain(
            Known(
                via=link.via if link is not None else None,
                endpoint=link.endpoint if link is not None else None,
                relay=encode_node_key(link.relay)[:8] if link is not None and link.relay is not None else "",
                choice=contact.path,
                ours=self.nat,
                theirs=theirs,
                punched=effort.outcome if effort is not None and effort.rounds else "",
                joined=self._dht.joined,
                families=(_only(self.whereabouts.public), _only(where)),
                tried=self.reach.tried(contact.identity),
            )
        )


def _only(endpoints: tuple[Endpoint, ...]) -> str:
    """The one address family by which strangers reach these, for people; "" where there are both, or none."""
    public = (endpoint for endpoint in endpoints if not is_local(endpoint.host))
    families = dict.fromkeys("IPv6" if endpoint.is_v6 else "IPv4" for endpoint in public)
    return next(iter(families)) if len(families) == 1 else ""
