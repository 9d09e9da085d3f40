"""One user's whole node: what the world tells it, and what it wants of the world; `application` is what may be asked.

It knows no clock, socket or disk: `now`, a random source and two stores are given to it.
It wires the machines of `dht`, `peer` and `chat` together, hands every input to the one it concerns, and merges their
deadlines; the decisions are theirs.  `docs/architecture.md` follows a message through them.
Rules: whatever is in memory here can be thrown away between two turns and built anew from the stores.
"""

from collections import Counter, deque
from collections.abc import Callable
from typing import assert_never

from p2pd import limits
from p2pd.application import Application, EngineSettings
from p2pd.chat import pairs
from p2pd.chat.conversation import Conversation
from p2pd.chat.expiry import Expiry
from p2pd.chat.history import History
from p2pd.chat.inbox import Inbox
from p2pd.chat.invites import Invites
from p2pd.chat.mailroom import Mailroom
from p2pd.chat.outbox import Outbox
from p2pd.chat.people import People
from p2pd.chat.recalls import Recalls
from p2pd.chat.requests import Requests
from p2pd.chat.restored import begin_anew_where_restored
from p2pd.dht.node import Dht
from p2pd.effects import Effect, EffectQueue
from p2pd.errors import PeerError
from p2pd.peer import own
from p2pd.peer.prekeys import Prekeys
from p2pd.peer.publisher import Publisher
from p2pd.peer.sessions import Sessions
from p2pd.peer.ways import Ways, WaysOwner, WaysSettings
from p2pd.store import (
    Contact,
    ContactState,
    PathChoice,
    RecordStore,
    UserStore,
)
from p2pd.types import Endpoint, IdentityKey, NodeKey, Now, RandomSource
from p2pd.wire.content import (
    Accept,
    Body,
    Content,
    NewName,
    NewSecret,
    Nothing,
    PairProposal,
    Read,
    Recall,
    Recalled,
    Request,
    Text,
    Void,
)
from p2pd.wire.person import DeviceCertificate, DeviceContent


class Engine(Application):
    """See the module; inputs are `on_…`; what an application may ask is `Application`'s."""

    def __init__(self, settings: EngineSettings, store: UserStore, records: RecordStore, random: RandomSource) -> None:
        self.counts: Counter[str] = Counter()
        self._settings = settings
        self._store = store
        self._random = random
        self._effects = EffectQueue()
        self._keys = own.load(store)
        self._started = self._joined = self._on_island = False
        self._rejoin_at = float("-inf")
        self._house_at: float | None = None
        self._time_moved = 0
        self._resynced: dict[IdentityKey, float] = {}
        self._for_network: deque[Callable[[Now], None]] = deque(maxlen=limits.CALLS_FOR_NETWORK)
        """What the user asked of a network that is not there yet; who asked gives up in time, and the oldest first."""
        self._dht = Dht(
            node=self._keys.node,
            network=settings.network,
            settings=settings.dht,
            records=records,
            effects=self._effects,
            random=random,
        )
        self._wire()

    def _wire(self) -> None:
        keys, store, random, dht = self._keys, self._store, self._random, self._dht
        bits = 0 if self._settings.dht.private else self._settings.inbox_bits
        prekeys = self._prekeys = Prekeys(store, keys.device, random)
        sessions = self._sessions = Sessions(keys, store, prekeys, random)
        history = self._history = History(store, self._effects)
        ways = self._ways = Ways(keys, store, dht, self._effects, random, self._ways_settings(), self._ways_owner())
        links, reach = ways.links, ways.reach
        self._outbox = Outbox(
            keys, store, sessions, links, reach, dht, history, random, self._resync, self._on_acknowledged
        )
        self._inbox = Inbox(store, sessions, self._outbox, history, self._act, self._count, self._resync)
        self._requests = Requests(
            keys, store, sessions, prekeys, self._outbox, self._inbox, history, dht, self._effects, random, self._count
        )
        self._mailroom = Mailroom(keys, store, dht, self._inbox, self._requests, reach, self._count, inbox_bits=bits)
        self._publisher = Publisher(
            keys,
            store,
            prekeys,
            dht,
            random,
            inbox_bits=bits,
            public_presence=self._settings.public_presence,
            where=ways.presence,
        )
        self._people = People(
            keys,
            store,
            self._outbox,
            self._requests,
            reach,
            links,
            history,
            random,
            accept_requests=self._settings.accept_requests,
            endpoints=lambda: ways.whereabouts.endpoints,
            secret_changed=self._on_secret_changed,
            contacts_changed=self._on_contact_changed,
        )
        self._invites = Invites(keys, store, dht, self._requests, self._people, history, random, self._count)
        self._expiry = Expiry(store, self._outbox)
        self._conversation = Conversation(store, self._outbox, history, self._expiry, random)
        self._recalls = Recalls(store, self._outbox, history)
        self._machines = (
            *ways.machines,
            self._requests,
            self._outbox,
            self._inbox,
            self._mailroom,
            self._invites,
            self._publisher,
            self._expiry,
        )

    # --- inputs ---

    def on_datagram(self, data: bytes, source: Endpoint, now: Now) -> None:
        """A datagram of the DHT's, or a knock."""
        if self._ways.punching.is_knock(data):
            self._ways.punching.on_knock(data, source, self._dht.enter(now))
            return
        self._dht.on_datagram(data, source, now)
        self._publisher.on_heard()
        self._look_for_network(self._dht.enter(now))

    def on_link_opened(
        self, link: int, node: NodeKey, endpoint: Endpoint, binding: bytes, outgoing: bool, now: Now
    ) -> None:
        """A link to a proven node is up."""
        now = self._dht.enter(now)
        self._dht.on_linked(link, endpoint, now)
        self._ways.on_link_opened(link, node, endpoint, binding, outgoing, now)

    def on_relay_opened(self, link: int, node: NodeKey, endpoint: Endpoint, outgoing: bool, now: Now) -> None:
        """A link of the kind RELAY is up: we dialled a relay, or somebody comes to us as to one."""
        now = self._dht.enter(now)
        self._dht.on_linked(link, endpoint, now)
        self._ways.on_relay_opened(link, node, outgoing, now)

    def on_link_failed(self, link: int, reason: str, now: Now) -> None:
        """A link we asked for did not come up."""
        now = self._dht.enter(now)
        self._dht.contacted.on_unlinked(link)
        self._ways.on_link_failed(link, reason, now)

    def on_frame(self, link: int, frame: bytes, now: Now) -> None:
        """The next frame of a link."""
        self._ways.on_frame(link, frame, self._dht.enter(now))

    def on_link_closed(self, link: int, reason: str, now: Now) -> None:
        """A link is down, not by us."""
        now = self._dht.enter(now)
        self._dht.contacted.on_unlinked(link)
        self._ways.on_link_closed(link, reason, now)

    def on_link_taken(self, link: int, size_bytes: int, now: Now) -> None:
        """Another end has taken so much more: of what we carry to it, since acknowledgements pace what we say."""
        self._dht.enter(now)
        self._ways.relaying.on_taken(link, size_bytes)

    def on_request(self, exchange: int, node: NodeKey, endpoint: Endpoint, payload: bytes, now: Now) -> None:
        """A node asks over QUIC."""
        self._dht.on_request(exchange, node, endpoint, payload, now)

    def on_response(self, exchange: int, payload: bytes | None, now: Now) -> None:
        """A node has answered over QUIC, or not."""
        self._dht.on_response(exchange, payload, now)

    def on_stamp(self, job: int, nonce: bytes | None, now: Now) -> None:
        """A proof of work is done."""
        self._requests.on_stamp(job, nonce, self._dht.enter(now))

    def on_addresses(self, endpoints: tuple[Endpoint, ...], now: Now) -> None:
        """Where this machine is now, by itself: first of all, after every change, and when it wakes from a sleep."""
        now = self._dht.enter(now)
        self._ways.on_addresses(endpoints, now)
        self._look_at_the_day(now)

    def on_mapped(self, endpoint: Endpoint | None, method: str, now: Now) -> None:
        """A router lets everything for this endpoint through to us; None: no more."""
        self._ways.whereabouts.on_mapped(endpoint, method, self._dht.enter(now))

    def on_neighbour(self, endpoint: Endpoint, salt: bytes, tag: bytes, now: Now) -> None:
        """Somebody announces a node on the local network."""
        self._ways.neighbours.on_neighbour(endpoint, salt, tag, self._dht.enter(now))

    def on_records_refused(self, now: Now) -> None:
        """The disk has refused what was kept for others since the last commit; outside of a turn."""
        self._dht.on_records_refused(now)

    def on_timer(self, now: Now) -> None:
        """Something is due."""
        if not self._started:
            self._started = True
            self._house_at = now.steady + limits.HOUSEKEEPING_FIRST_S
            begin_anew_where_restored(self._store, self._prekeys, self._sessions, self._outbox, self._random, now)
            self._dht.start(self._settings.bootstrap, now)
        self._dht.on_timer(now)
        now = self._dht.enter(now)
        if self._time_moved != self._dht.time_moved:
            self._time_moved = self._dht.time_moved
            self._look_at_the_day(now)
        for machine in self._machines:
            machine.on_timer(now)
        if self._house_at is not None and self._house_at <= now.steady:
            self._keep_house(now)
        self._look_for_network(now)

    def next_deadline(self) -> float | None:
        """When something is due next, steady seconds; at once until the node has started."""
        if not self._started:
            return 0.0
        due = [when for machine in (self._dht, *self._machines) if (when := machine.next_deadline()) is not None]
        if self._house_at is not None:
            due.append(self._house_at)
        if not self._joined and self._dht.joined:
            due.append(self._rejoin_at)
        return min(due, default=None)

    def take_effects(self) -> list[Effect]:
        """What the turn wants of the world."""
        return self._effects.take()

    # --- between the machines ---

    def _look_at_the_day(self, now: Now) -> None:
        """The wall's clock may have gone on, or back, by any time: what goes by days is looked at now."""
        for machine in (self._mailroom, self._invites, self._publisher):
            machine.on_woken(now)

    def _look_for_network(self, now: Now) -> None:
        """The first node is in the table: ask, read and send what somebody may wait for, then publish and listen."""
        self._ways.look(now)
        while self._for_network and self._dht.joined:
            self._for_network.popleft()(now)
        if not self._dht.joined:
            self._joined = False
        if not self._dht.joined or (self._joined and self._on_island is self._dht.is_island):
            return
        if not self._joined:
            if now.steady < self._rejoin_at:
                return
            self._rejoin_at = now.steady + limits.REJOIN_GAP_S
        self._joined = True
        self._on_island = self._dht.is_island  # from one to the other is to join anew, and so is to come back
        if self._settings.storage_only:
            return
        listed = self._people.listed()
        settle_s = limits.SETTLE_S if listed else 0.0
        self._requests.start(now)
        self._mailroom.start(now, settle_s)
        self._invites.start(now, settle_s)
        self._outbox.start(now)
        self._ways.start(now)
        self._publisher.start(now, settle_s)
        accepted = [contact for contact in listed if contact.state is ContactState.ACCEPTED]
        for contact in accepted[: limits.LINKS_AT_START]:
            self._ways.reach.want(contact.identity, now)

    def _keep_house(self, now: Now) -> None:
        self._house_at = now.steady + limits.HOUSEKEEPING_S
        self._outbox.expire(now)
        self._prekeys.expire(now)  # before the ids of sessions begun with them, or one might begin once more
        self._people.rotate_pairs(now)
        if not self._settings.storage_only:
            own.drop_old_secrets(self._store, now)
        for contact in self._people.listed():
            self._sessions.expire(contact.identity, now)
        self._store.wipe_deleted()

    def _ways_settings(self) -> WaysSettings:
        settings = self._settings
        return WaysSettings(settings.network, settings.dht.private, settings.listening, settings.lan, settings.carries)

    def _ways_owner(self) -> WaysOwner:
        return WaysOwner(
            admit=self._admit,
            on_up=lambda contact, now: self._outbox.on_up(contact, now),
            on_down=lambda contact, now: self._outbox.on_down(contact, now),
            on_away=lambda contact, now: self._outbox.on_away(contact, now),
            on_envelope=self._on_envelope,
            on_typing=lambda contact, for_ms, now: None,
            on_presence=lambda now: self._publisher.place_changed(now),
            count=self._count,
        )

    def _admit(self, content: DeviceContent, certificate: DeviceCertificate, relayed: bool, now: Now) -> Contact | None:
        """A caller's contact, if we added them or accepted them, with the device that calls."""
        contact = self._store.contact(content.identity)
        if contact is None or contact.state not in (ContactState.ACCEPTED, ContactState.PENDING):
            return None
        if contact.path is (PathChoice.DIRECT if relayed else PathChoice.RELAY_ONLY):
            return None
        moved = pairs.with_device(self._keys, contact, certificate, now)
        if moved is not contact:
            self._store.save_contact(moved)
            self._history.device_event(contact, moved, now)
        return moved

    def _on_envelope(self, identity: IdentityKey, envelope: bytes, now: Now) -> None:
        contact = self._store.contact(identity)
        link = self._ways.links.up(identity)
        if contact is not None and contact.state in (ContactState.ACCEPTED, ContactState.PENDING):
            self._inbox.on_envelope(contact, envelope, link.via if link is not None else "direct", now)

    def _act(self, contact: Contact, content: Content, body: Body, via: str, now: Now) -> None:
        contact = self._store.contact(contact.identity) or contact
        if contact.state is ContactState.REQUESTED and not isinstance(body, Request):
            if contact.request_id is None:
                self._store.remove_contact(contact.identity)
            raise PeerError("not_a_request")
        match body:
            case Text():
                self._conversation.on_text(contact, content, body, via, now)
            case Request():
                self._people.on_request(contact, body, content.message, content.clock, via, now)
            case Accept():
                self._people.on_accept(contact, body, now)
            case Read():
                self._conversation.on_read(contact, body, now)
            case NewSecret():
                self._people.on_new_secret(contact, body)
                self._ways.neighbours.contact_changed(contact.identity, now)
            case PairProposal():
                self._people.on_pair_proposal(contact, body, now)
            case NewName():
                self._people.on_new_name(contact, body)
            case Void():
                self._recalls.on_void(contact, content, body.message, now)
            case Recall():
                self._recalls.on_recall(contact, content, body.message, now)
            case Recalled():
                self._recalls.on_recalled(contact, body, now)
            case Nothing():
                pass
            case _:
                assert_never(body)

    def _on_acknowledged(self, contact: IdentityKey, sequence: int, now: Now) -> None:
        self._people.on_proposal_acknowledged(contact, sequence, now)

    def _on_contact_changed(self, contact: IdentityKey, now: Now) -> None:
        self._mailroom.contacts_changed(contact, now)
        self._ways.neighbours.contact_changed(contact, now)

    def _on_secret_changed(self, now: Now) -> None:
        self._ways.neighbours.secret_changed(now)
        self._publisher.presence_changed(now)
        self._mailroom.secret_changed(now)

    def _resync(self, contact: Contact, now: Now) -> None:
        """No session with an accepted contact serves any more: begin one, at most hourly."""
        last = self._resynced.get(contact.identity)
        if self._sessions.awaits_answer(contact.identity, now):
            return
        if contact.state is not ContactState.ACCEPTED or not self._joined:
            return
        if last is None or now.steady - last >= limits.RESYNC_S:
            self._resynced[contact.identity] = now.steady
            self._requests.read_profile(contact.identity, now)

    def _count(self, reason: str) -> None:
        if reason in self.counts or len(self.counts) < limits.REASONS:
            self.counts[reason] += 1
