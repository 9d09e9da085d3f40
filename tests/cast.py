"""Who appears in tests of `peer` and `chat`: persons with keys and a store, joined by hand, and a DHT that is scripted.

The store is the real one, in memory.  The DHT stands at the edge: it notes what was asked and answers when told to.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

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
from p2pd.crypto.prekeys import PrekeyPair
from p2pd.dht.getting import Found
from p2pd.dht.records import VerifiedRecord, verified
from p2pd.dht.storing import PutProgress
from p2pd.effects import EffectQueue, SendFrame
from p2pd.peer import own
from p2pd.peer.links import LinkOwner, Links
from p2pd.peer.numbers import LinkNumbers
from p2pd.peer.prekeys import Prekeys
from p2pd.peer.reach import Reach
from p2pd.peer.sessions import Sessions
from p2pd.peer.tries import Tries
from p2pd.storage.user import SqliteUserStore
from p2pd.store import Contact, ContactState
from p2pd.types import AddressKey, Endpoint, IdentityKey, NodeKey, Now
from p2pd.wire.content import (
    Accept,
    Body,
    Content,
    PairProposal,
    Read,
    Recall,
    Recalled,
    Request,
    Text,
    Void,
)
from p2pd.wire.envelope import Envelope
from p2pd.wire.person import ProfileDevice, Waiting
from p2pd.wire.record import Family, Record, Tombstone
from tests.chance import SeededRandom

START = Now(1_000.0, 1_800_000_000_000)


def after(seconds: float, since: Now = START) -> Now:
    """So much later, by both clocks."""
    return Now(since.steady + seconds, since.wall_ms + round(seconds * 1000))


@dataclass
class Get:
    """Something the code asked the DHT for."""

    family: Family
    address: AddressKey
    then: Callable[[Found, Now], None]

    def answer(self, records: list[Record], now: Now, *, holders: int = 4, complete: bool = True) -> None:
        read = [verified(record.encode()) for record in records]
        self.then(Found(read, holders, complete and holders > 0, min(holders, 1), 1, 1.0), now)


@dataclass
class Put:
    """Something the code put on the DHT."""

    records: list[Record]
    progress: Callable[[PutProgress, Now], None]

    @property
    def address(self) -> AddressKey:
        return self.records[0].parse().address

    def answer(self, now: Now, *, receipts: int = 8, wanted: int = 8, done: bool = True) -> None:
        self.progress(PutProgress(receipts, wanted, done, (), wanted < 8, {}, 1, 1), now)


@dataclass
class Listen:
    """An address that the code listens at."""

    public: bytes
    on_push: Callable[[list[VerifiedRecord], Now], None]
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass
class ScriptedDht:
    """Stands in for `p2pd.dht.node.Dht`; `tests/test_cast.py` compares the two."""

    key: NodeKey = NodeKey(b"the one it stands for".ljust(32))
    joined: bool = True
    is_busy: bool = False
    receipts_wanted: int = 8
    quic_blocked: bool = False
    has_looked_around: bool = True
    gets: list[Get] = field(default_factory=list)
    puts: list[Put] = field(default_factory=list)
    listens: list[Listen] = field(default_factory=list)
    neighbours: list[Endpoint] = field(default_factory=list)
    asked: list[tuple[Endpoint, Callable[[NodeKey, Now], None]]] = field(default_factory=list)

    def on_neighbour(self, endpoint: Endpoint, now: Now) -> None:
        self.neighbours.append(endpoint)

    def forget_neighbours(self) -> None:
        self.neighbours.clear()

    def ask_key(self, endpoint, then, now):  # type: ignore[no-untyped-def]
        self.asked.append((endpoint, then))

    def get(self, family, address, then, now, *, all_holders=False, leisurely=False):  # type: ignore[no-untyped-def]
        self.gets.append(Get(family, address, then))

    def put(self, records, progress, now, *, widely=False, leisurely=False):  # type: ignore[no-untyped-def]
        addresses = {verified(record.encode()).key for record in records}
        assert len(addresses) == 1
        self.puts.append(Put(list(records), progress))

    def listen(self, address_signing, on_push, now, *, reads=True):  # type: ignore[no-untyped-def]
        self.listens.append(Listen(address_signing.public, on_push))

        def lies_there(found: Found, later: Now) -> None:
            on_push(found.records, later)

        if reads:
            self.gets.append(Get(Family.OPEN_SET, AddressKey(address_signing.public), lies_there))
        return self.listens[-1]

    def take_puts(self) -> list[Put]:
        taken, self.puts = self.puts, []
        return taken

    def take_gets(self) -> list[Get]:
        taken, self.gets = self.gets, []
        return taken

    def serve(self, records: list[Record], now: Now, *, holders: int = 4) -> int:
        """Answers all gets, and those that follow, from these records as a DHT would; how many there were."""
        count = 0
        while gets := self.take_gets():
            count += len(gets)
            for get in gets:
                get.answer(live(records, get.family, get.address), now, holders=holders)
        return count


@dataclass
class ScriptedRelays:
    """Stands in for `p2pd.peer.relays.Relays` as links see it; every link number in `relays` goes over that relay."""

    relays: dict[int, NodeKey] = field(default_factory=dict)
    called: list[tuple[int, Waiting]] = field(default_factory=list)
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)

    def carries(self, link: int) -> bool:
        return link in self.relays

    def relay_of(self, link: int) -> NodeKey | None:
        return self.relays.get(link)

    def call(self, link: int, at: Waiting, now: Now) -> None:
        self.relays[link] = at.relay
        self.called.append((link, at))

    def send(self, link: int, frame: bytes) -> None:
        self.sent.append((link, frame))

    def close(self, link: int) -> None:
        self.relays.pop(link, None)
        self.closed.append(link)


def live(records: list[Record], family: Family, address: AddressKey) -> list[Record]:
    """The records under an address that no tombstone has ended."""
    parsed = [(record, record.parse()) for record in records]
    here = [(record, content) for record, content in parsed if content.address == address]
    ended = {content.item for _, content in here if isinstance(content, Tombstone)}
    kinds = {Family.SINGLE: "Single", Family.SET: "SetItem", Family.OPEN_SET: "OpenItem"}
    return [
        record
        for record, content in here
        if type(content).__name__ == kinds[family] and getattr(content, "item", None) not in ended
    ]


class Person:
    """One person's keys and machines on a store that outlives them."""

    def __init__(self, name: str, stack: ExitStack, *, now: Now = START) -> None:
        self.name = name
        self.random = SeededRandom(name)
        self.store = SqliteUserStore(own_identity=None, master_key=bytes(32))
        stack.callback(self.store.close)
        stack.enter_context(_undone(self.store))
        own.create(self.store, self.random.bytes(32), self.random, now)
        self.store.own_identity = own.load(self.store).identity_key
        self.dht = ScriptedDht()
        self.endpoints: tuple[Endpoint, ...] = ()
        self.settings: dict[str, Any] = {}
        self.start()

    def start(self) -> None:
        """Everything in memory is made anew from the store."""
        self.keys = own.load(self.store)
        self.effects = EffectQueue()
        self.counts: Counter[str] = Counter()
        self.resyncs: list[IdentityKey] = []
        self.acted: list[tuple[Content, Body, str]] = []
        self.acknowledged: list[tuple[IdentityKey, int]] = []
        self.changed: list[str] = []
        keys, store, random, dht = self.keys, self.store, self.random, self.dht
        self.prekeys = Prekeys(store, keys.device, random)
        self.sessions = Sessions(keys, store, self.prekeys, random)
        self.history = History(store, self.effects)
        self.calls = ScriptedRelays()
        self.links = Links(keys, self.effects, random, LinkNumbers(), self.calls, self._link_owner())
        self.tries = Tries(private=True)
        self.reach = Reach(store, dht, self.links, self.tries, lambda contact, now: self.outbox.on_away(contact, now))
        self.outbox = Outbox(
            keys,
            store,
            self.sessions,
            self.links,
            self.reach,
            dht,
            self.history,
            random,
            self._resync,
            self._acknowledged,
        )
        self.inbox = Inbox(store, self.sessions, self.outbox, self.history, self.act, self._count, self._resync)
        self.requests = Requests(
            keys, store, self.sessions, self.prekeys, self.outbox, self.inbox, self.history, dht, self.effects, random,
            self._count,
        )  # fmt: skip
        self.mailroom = Mailroom(
            keys,
            store,
            dht,
            self.inbox,
            self.requests,
            self.reach,
            self._count,
            inbox_bits=self.settings.get("bits", 0),
        )
        self.people = People(
            keys, store, self.outbox, self.requests, self.reach, self.links, self.history, random,
            accept_requests=self.settings.get("accept_requests", False),
            endpoints=lambda: self.endpoints,
            secret_changed=lambda now: self.changed.append("secret"),
            contacts_changed=lambda contact, now: self.changed.append("contacts"),
        )  # fmt: skip
        self.invites = Invites(keys, store, dht, self.requests, self.people, self.history, random, self._count)
        self.expiry = Expiry(store, self.outbox)
        self.conversation = Conversation(store, self.outbox, self.history, self.expiry, random)
        self.recalls = Recalls(store, self.outbox, self.history)

    @property
    def identity(self) -> IdentityKey:
        return self.keys.identity_key

    def profile_device(self, now: Now = START) -> ProfileDevice:
        return ProfileDevice(self.keys.certificate, self.prekeys.publish(now))

    def prekey(self, id: int) -> PrekeyPair:
        found = self.prekeys.find(id)
        assert found is not None
        return found

    def knows(self, other: "Person", state: ContactState = ContactState.ACCEPTED, **changes: Any) -> Contact:
        """Has the other as a contact from now on, with device, secret and pair secret."""
        certificate = other.keys.certificate.encode()
        contact = Contact(
            other.identity, other.name, state, START.wall_ms, device=other.keys.device_key, certificate=certificate,
            secret=own.secrets(other.store)[0].secret, gave_secret=True, swept_day=START.day,
        )  # fmt: skip
        contact = replace(pairs.with_generation_zero(self.keys, contact, START), **changes)
        self.store.save_contact(contact)
        return contact

    def contact(self, other: "Person") -> Contact:
        return self.contact_of(other.identity)

    def contact_of(self, identity: IdentityKey) -> Contact:
        found = self.store.contact(identity)
        assert found is not None
        return found

    def texts(self, other: "Person") -> list[str]:
        return [message.text for message in self.store.history(other.identity, limit=10_000)]

    def receive(self, sender: "Person", envelope: bytes, now: Now = START, via: str = "direct") -> Any:
        return self.inbox.on_envelope(self.contact(sender), envelope, via, now)

    def act(self, contact: Contact, content: Content, body: Body, via: str, now: Now) -> None:
        self.acted.append((content, body, via))
        match body:
            case Text():
                self.conversation.on_text(contact, content, body, via, now)
            case Read():
                self.conversation.on_read(contact, body, now)
            case Request():
                self.people.on_request(contact, body, content.message, content.clock, via, now)
            case Accept():
                self.people.on_accept(contact, body, now)
            case PairProposal():
                self.people.on_pair_proposal(contact, body, now)
            case Void():
                self.recalls.on_void(contact, content, body.message, now)
            case Recall():
                self.recalls.on_recall(contact, content, body.message, now)
            case Recalled():
                self.recalls.on_recalled(contact, body, now)

    def _link_owner(self) -> LinkOwner:
        return LinkOwner(
            admit=lambda content, certificate, relayed, now: self.store.contact(content.identity),
            on_up=lambda contact, link, now: (self.reach.on_up(contact, link, now), self.outbox.on_up(contact, now)),
            on_down=lambda contact, reason, now: self.outbox.on_down(contact, now),
            on_dial_failed=lambda contact, link, reason, now: self.reach.on_dial_failed(contact, link, reason, now),
            on_envelope=lambda contact, envelope, now: self.inbox.on_envelope(
                self.store.contact(contact), envelope, "direct", now
            ),
            on_typing=lambda contact, for_ms, now: None,
            on_punch=lambda contact, message, now: None,
            count=self._count,
        )

    def _count(self, reason: str) -> None:
        self.counts[reason] += 1

    def _resync(self, contact: Contact, now: Now) -> None:
        self.resyncs.append(contact.identity)

    def _acknowledged(self, contact: IdentityKey, sequence: int, now: Now) -> None:
        self.acknowledged.append((contact, sequence))
        self.people.on_proposal_acknowledged(contact, sequence, now)


@contextmanager
def _undone(store: SqliteUserStore) -> Iterator[None]:
    """One transaction for the whole test: the rows are what matters, not their commit."""
    transaction = store.transaction()
    transaction.__enter__()
    yield
    transaction.__exit__(None, None, None)


def friends(stack: ExitStack) -> tuple[Person, Person]:
    """Two persons who have accepted each other, the lower identity first, with a session that both have used.

    Each knows the epoch of the other's counters; nothing has a number yet.
    """
    one, other = sorted((Person("alice", stack), Person("bob", stack)), key=lambda person: person.identity)
    one.knows(other)
    other.knows(one)
    begun = one.sessions.begin(other.identity, other.profile_device(), START)
    first = one.sessions.seal(begun.session, 0, b"hello")
    assert other.sessions.open(other.contact(one), Envelope.decode(first), START).began
    session = other.sessions.current(one.identity)
    assert session is not None
    back = other.sessions.seal(session, 0, b"hello to you")
    one.sessions.open(one.contact(other), Envelope.decode(back), START)
    for person, friend in ((one, other), (other, one)):
        epoch = friend.outbox.counters(person.identity).epoch
        person.store.save_contact(replace(person.contact(friend), epoch=epoch))
    return one, other


class Cable:
    """One link between two persons, dialled by the first; carries frames when told to."""

    def __init__(self, one: Person, other: Person, now: Now = START) -> None:
        self.ends = (one, other)
        endpoint = Endpoint("192.0.2.1", 4242)
        one.links.close(other.identity, "another try", now)
        one.effects.take()
        dialled = one.links.dial(one.contact(other), other.keys.node_key, (endpoint,), now)
        assert dialled is not None
        self.names = (dialled, -dialled - 1_000)
        self.lost = False
        other.links.on_link_opened(self.names[1], one.keys.node_key, endpoint, b"b" * 32, False, now)
        one.links.on_link_opened(dialled, other.keys.node_key, endpoint, b"b" * 32, True, now)
        self.run(now)

    def run(self, now: Now = START) -> int:
        """Carries all frames and those that they lead to, taking turns with the timers; how many there were."""
        count = 0
        while frames := [
            (place, effect.frame)
            for place, person in enumerate(self.ends)
            for effect in person.effects.take()
            if isinstance(effect, SendFrame)
        ]:
            count += len(frames)
            for place, frame in frames:
                if not self.lost:
                    self.ends[1 - place].links.on_frame(self.names[1 - place], frame, now)
            for person in self.ends:
                person.outbox.on_timer(now)
        return count

    def cut(self, now: Now = START) -> None:
        """The link is gone at both ends."""
        for person, name in zip(self.ends, self.names, strict=True):
            person.effects.take()
            person.links.on_link_closed(name, "gone", now)
