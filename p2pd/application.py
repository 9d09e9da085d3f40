"""What an application may ask of a node: oneself, people, messages, the network.

Knows no clock, socket or disk, and nothing of how inputs come: `Engine` adds that, and makes the machines named here.
Rules: every method belongs to a turn of the driver's; what it returns are plain values, for the control API to show.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from msgspec.structs import replace

from p2pd import limits
from p2pd.chat.conversation import Conversation, checked_text
from p2pd.chat.invites import Invites, invitation
from p2pd.chat.outbox import Outbox
from p2pd.chat.people import People
from p2pd.chat.recalls import Recalls
from p2pd.crypto.keys import SigningKey
from p2pd.dht.node import Dht
from p2pd.dht.peers import node_id
from p2pd.dht.settings import DhtSettings
from p2pd.domains import Domain, derive_key
from p2pd.errors import AmbiguousError, FailedError, NoNetworkError, NotFoundError, PeerError, UsageError
from p2pd.peer import own
from p2pd.peer.own import OwnKeys
from p2pd.peer.paths import Path
from p2pd.peer.published import signed_record
from p2pd.peer.publisher import Publisher
from p2pd.peer.ways import Ways
from p2pd.store import (
    Contact,
    ContactState,
    Event,
    Invite,
    Message,
    MessageState,
    PathChoice,
    Step,
    UserStore,
)
from p2pd.types import AddressKey, Endpoint, IdentityKey, NodeHint, Now, RandomSource
from p2pd.wire.address import (
    HINTS_IN_LINK,
    Link,
    decode_letters,
    encode_address,
    encode_letters,
    encode_node_key,
    id_range,
    looks_like_address,
    parse_link,
    parse_node_hint,
)
from p2pd.wire.content import (
    NewName,
)
from p2pd.wire.record import Family, Single

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What a user may set of a node."""

    network: str = "main"
    bootstrap: tuple[NodeHint, ...] = ()
    listening: tuple[Endpoint, ...] = ()
    """Where this machine is by itself, until `on_addresses` tells: none of them a wildcard."""
    dht: DhtSettings = field(default_factory=DhtSettings)
    accept_requests: bool = False
    public_presence: bool = False
    inbox_bits: int = limits.PUBLIC_INBOX_BITS
    """The price of the public inbox; nothing in a private network."""
    storage_only: bool = False
    """Serves the DHT and has no person."""
    lan: bool = False
    """Announces itself on the local network, and looks for others there."""
    carries: bool = True
    """Carries frames between others, where it serves."""


class Application:
    """The interface of a node; a base of `Engine`, which makes what stands here without a value."""

    counts: Counter[str]
    """What was refused by the machines of persons, by reason."""
    _settings: EngineSettings
    _store: UserStore
    _random: RandomSource
    _keys: OwnKeys
    _dht: Dht
    _ways: Ways
    _people: People
    _invites: Invites
    _outbox: Outbox
    _publisher: Publisher
    _conversation: Conversation
    _recalls: Recalls
    _for_network: deque[Callable[[Now], None]]

    # --- oneself ---

    @property
    def identity(self) -> IdentityKey:
        """Our user's key."""
        return self._keys.identity_key

    @property
    def address(self) -> str:
        """Our user's address."""
        return encode_address(self.identity)

    @property
    def fingerprint(self) -> str:
        """Our user's key for reading aloud."""
        return own.fingerprint(self.identity)

    @property
    def name(self) -> str:
        """The name that our user claims."""
        return own.name(self._store)

    def link(self, now: Now) -> str:
        """The contact link: address and up to three nodes."""
        return Link(self.identity, self._hints()).encode()

    def _hints(self) -> tuple[NodeHint, ...]:
        known = self._dht.own_hints(HINTS_IN_LINK)
        if self._dht.serves and all(hint.key != self._keys.node_key for hint in known):
            own_hints = [NodeHint(endpoint, self._keys.node_key) for endpoint in self._ways.whereabouts.own[:1]]
            known = [*own_hints, *known]
        return tuple(known[:HINTS_IN_LINK])

    def set_name(self, name: str, now: Now) -> None:
        """Claims a name, to contacts and in the profile; raises `UsageError`."""
        now = self._dht.enter(now)
        name = name.strip()
        if len(name) > limits.NAME_CHARS or any(not letter.isprintable() for letter in name):
            raise UsageError(f"a name has at most {limits.NAME_CHARS} printable characters")
        self._store.set_value("name", name.encode())
        self._publisher.profile_changed(now)
        for contact in self._people.listed():
            if contact.state is ContactState.ACCEPTED:
                self._outbox.add(contact.identity, NewName(name).encode(), now)
                self._outbox.pump(contact.identity, now)

    # --- people ---

    def resolve(self, text: str) -> IdentityKey:
        """The contact whom a user means; raises `NotFoundError` or `AmbiguousError`."""
        return self._people.find(text).identity

    def contact(self, text: str) -> Contact:
        """The same, as the contact."""
        return self._people.find(text)

    def petname(self, identity: IdentityKey) -> str:
        """What our user calls someone; empty for one who is no contact any more."""
        contact = self._store.contact(identity)
        return "" if contact is None else contact.petname

    def contacts(self) -> list[Contact]:
        """The contact list."""
        return self._people.listed()

    def online(self, identity: IdentityKey) -> bool:
        """Whether a link with this contact is up."""
        return self._ways.links.up(identity) is not None

    def contact_add(
        self, who: str, now: Now, *, name: str = "", message: str = "", path: PathChoice = PathChoice.AUTO
    ) -> Contact:
        """Adds a person by address, link or invite, and asks them."""
        now = self._dht.enter(now)
        link = parse_link(who)
        self._join_by(link, now)
        contact, sent = self._people.add(link, now, name=name, text=message, path=path)
        if path is PathChoice.RELAY_ONLY:
            self._ways.relays.need_changed(now)
        if message and sent is None:  # they had asked us, so there is no request of ours that could carry it
            self._conversation.send(contact, message, now)
        return contact

    def rename(self, text: str, new: str, now: Now) -> Contact:
        """Calls a contact something else."""
        now = self._dht.enter(now)
        return self._people.rename(self._people.find(text), new, now)

    def block(self, text: str, now: Now) -> Contact:
        """Hears nothing of a contact any more; an address that is no contact yet can be blocked too."""
        now = self._dht.enter(now)
        return self._people.block(self._people.find(text), now)

    def unblock(self, text: str, now: Now) -> Contact:
        """Hears a blocked contact again."""
        now = self._dht.enter(now)
        return self._people.unblock(self._people.find(text), now)

    def safety_code(self, text: str) -> str:
        """What our user and a contact compare by voice."""
        return own.safety_code(self.identity, self._people.find(text).identity)

    def verify(self, text: str, code: str) -> Contact:
        """Marks a contact as verified, if the code they read out is the one shown here; raises `FailedError`."""
        return self._people.verify(self._people.find(text), code)

    def remove(self, text: str, now: Now) -> None:
        """Forgets a contact; what was said stays."""
        now = self._dht.enter(now)
        self._people.remove(self._people.find(text), now)

    def requests(self) -> list[Contact]:
        """Who asks to be a contact."""
        return self._people.requests()

    def request(self, id_or_prefix: str) -> Contact:
        """One of them, by id, address or claimed name."""
        return self._people.find_request(id_or_prefix)

    def accept(self, id_or_prefix: str, now: Now, *, name: str = "") -> Contact:
        """Says yes to a request."""
        now = self._dht.enter(now)
        return self._people.accept(self._people.find_request(id_or_prefix), now, name=name)

    def reject(self, id_or_prefix: str, now: Now) -> None:
        """Says nothing to a request, for good."""
        now = self._dht.enter(now)
        self._people.reject(self._people.find_request(id_or_prefix), now)

    def invite(self, now: Now, *, life_s: int, once: bool = False, name: str = "") -> tuple[Invite, str]:
        """A new invite and its link: who comes by it is accepted without asking, and called `name` if one is given."""
        now = self._dht.enter(now)
        invite = self._invites.make(now, life_s=life_s, once=once, name=name)
        return invite, Link(self.identity, self._hints(), invitation(invite)).encode()

    def invites(self) -> list[Invite]:
        """The open ones, the oldest first."""
        return self._invites.listed()

    def revoke_invite(self, id: str, now: Now) -> Invite:
        """Nobody comes in by this invite any more; raises `NotFoundError`."""
        return self._invites.revoke(id, self._dht.enter(now))

    def _join_by(self, link: Link, now: Now) -> None:
        for hint in link.hints:
            self._dht.add_hint(hint, now)

    # --- messages ---

    def send(
        self, to: str, text: str, now: Now, *, reply: str = "", expire_s: int = 0, request_id: str = ""
    ) -> Message:
        """Takes a text; to a bare address it is the contact request, or goes after it where it is too long for one."""
        now = self._dht.enter(now)
        if request_id and (known := self._store.message_by_request(request_id)):
            if known.text not in ("", text):  # it would be lost, its caller being told that it was sent
                raise FailedError(
                    f"request_id {request_id[:40]} was used for another text", hint="give every text one of its own"
                )
            return known
        checked_text(text, expire_s)  # first, so that a text which cannot go adds nobody
        answered = self.message(reply).message if reply else b""
        try:
            contact = self._people.find(to)
            if contact.state is ContactState.PENDING and "/" in to and parse_link(to).invitation is not None:
                self._people.add(parse_link(to), now)  # from now on they are asked by it
        except NotFoundError as error:
            if isinstance(error, AmbiguousError) or not looks_like_address(to):
                raise
            message = self._send_to_stranger(to, "" if expire_s else text, now, request_id)
            if message is not None:
                return message
            contact = self._people.find(to)
        return self._conversation.send(contact, text, now, reply=answered, expire_s=expire_s, request_id=request_id)

    def _send_to_stranger(self, to: str, text: str, now: Now, request_id: str) -> Message | None:
        link = parse_link(to)
        self._join_by(link, now)
        first = text if len(text.encode(errors="replace")) <= limits.REQUEST_TEXT_BYTES else ""
        _, message = self._people.add(link, now, text=first)
        if message is not None and request_id:
            message = replace(message, request_id=request_id)
            self._store.save_message(message)
        return message

    def message(self, id_prefix: str) -> Message:
        """The message of an id or its beginning; raises `NotFoundError` or `AmbiguousError`."""
        found = self._store.messages_by_prefix(*id_range(id_prefix))
        if not found:
            raise NotFoundError(f"no message has the id {id_prefix[:26]}", hint="see `p2pctl history NAME`")
        if len(found) > 1:
            raise AmbiguousError(f"more than one message's id begins with {id_prefix[:26]}", hint="give more letters")
        return found[0]

    def why(self, id_prefix: str) -> tuple[Message, list[Step], Facts | None]:
        """What happened to a message, and, while it is stored, the receipts."""
        message = self.message(id_prefix)
        items = [
            item
            for item in self._store.outbox(message.contact, after=message.first_sequence - 1, limit=limits.PARTS)
            if message.first_sequence and item.sequence <= message.last_sequence and item.receipts
        ]
        receipts: Facts | None = None
        if items and message.state is MessageState.STORED:
            worst = min(items, key=lambda item: item.receipts)
            receipts = {"have": worst.receipts, "want": worst.wanted, "expires_at_ms": worst.record_expires_ms}
        return message, list(message.steps), receipts

    def recall(self, id_prefix: str, now: Now) -> Message:
        """Takes a message of our user's back; the message as it is then."""
        now = self._dht.enter(now)
        self._recalls.recall(self.message(id_prefix), now)
        return self.message(id_prefix)

    def mark_read(self, id_prefix: str, now: Now) -> Message:
        """Our user has seen a message; its sender is told."""
        now = self._dht.enter(now)
        message = self.message(id_prefix)
        self._conversation.mark_read(message, now)
        return self.message(id_prefix)

    def history(self, to: str, *, since_ms: int = 0, limit: int = limits.HISTORY_DEFAULT) -> list[Message]:
        """The newest messages with someone, the oldest of them first; with a former contact by full address."""
        try:
            identity = self._people.find(to).identity
        except NotFoundError:
            if not looks_like_address(to):
                raise
            identity = parse_link(to).identity
        return self._store.history(identity, since_ms=since_ms, limit=min(limit, limits.HISTORY_MAX))

    def events(self, after: int, limit: int, types: tuple[str, ...]) -> list[Event]:
        """The durable log after a cursor."""
        return self._store.events(after, limit=limit, types=types)

    def consumer(self, name: str) -> int:
        """Where a named consumer is."""
        return self._store.consumer(name)

    def acknowledge(self, name: str, cursor: int) -> None:
        """A named consumer has dealt with everything up to here."""
        if not 0 <= cursor <= self._store.newest_cursor():
            raise UsageError(f"no event has the cursor {cursor}")
        self._store.save_consumer(name, cursor)

    def newest_cursor(self) -> int:
        """The newest event's cursor."""
        return self._store.newest_cursor()

    # --- the network ---

    def status(self, now: Now) -> Facts:
        """What `p2pctl status` shows of the node."""
        dht = self._dht.status()
        return {
            "node_id": encode_node_key(self._dht.id),
            "dht": {
                "nodes": dht.nodes,
                "records": dht.records,
                "record_bytes": dht.record_bytes,
                "network_size": dht.network_size,
                "serves": dht.serves,
                "endpoint": str(dht.endpoint) if dht.endpoint else None,
                "clock_offset_ms": dht.clock_offset_ms,
            },
            "lan": {
                "on": self._settings.lan,
                "neighbours": self._ways.neighbours.heard(now),
                "island": self._dht.is_island,
            },
            "reach": self._reach_facts(),
            "links": len(self._ways.links.contacts_up),
            "outbox": self._store.outbox_count(),
        }

    def _reach_facts(self) -> Facts:
        where = self._ways.whereabouts
        return {
            "nat": self._ways.nat.name.lower().replace("_", "-"),
            "endpoints": [str(endpoint) for endpoint in where.endpoints],
            "mapped": str(where.mapped) if where.mapped else None,
        }

    def peers(self, now: Now) -> list[Facts]:
        """The nodes in the table, the last heard of first."""
        entries = sorted(self._dht.table(), key=lambda entry: -entry.seen_s)
        return [
            {
                "node_id": encode_node_key(entry.peer.id),
                "endpoint": str(entry.peer.endpoint),
                "rtt_ms": self._dht.round_trip_ms(entry.peer),
                "last_seen_s": round(now.steady - entry.seen_s, 3),
            }
            for entry in entries
        ]

    def dht_table(self, now: Now) -> list[Facts]:
        """The same, with each node's bucket: how many bits its place shares with ours."""
        own_place = int.from_bytes(self._dht.id, "big")
        places = {encode_node_key(entry.peer.id): own_place ^ entry.peer.place for entry in self._dht.table()}
        return [{**row, "shared_bits": 256 - places[row["node_id"]].bit_length()} for row in self.peers(now)]

    def dht_stats(self, now: Now) -> Facts:
        """What the DHT holds for others, and how its look-ups go."""
        dht = self._dht.status()
        shown: Facts = self.status(now)["dht"]
        more = {"round_trip_ms": round(dht.round_trip_ms, 1), "listeners": dht.listeners}
        return {**shown, **more, **self._dht.figures()}

    def net_stats(self, now: Now) -> Facts:
        """Bytes by cause and rejections by reason."""
        dht = self._dht.status()
        rejected = Counter(dht.rejected) + self.counts
        bytes_ = {"sent": dht.sent_bytes, "received": dht.received_bytes, "over_quic": dht.over_quic_bytes}
        return {**bytes_, "rejected": dict(sorted(rejected.items()))}

    def path(self, to: str, now: Now) -> Facts:
        """How a contact is reached now, and why so."""
        contact = self._people.find(to)
        if contact.state is ContactState.ACCEPTED:
            path = self._ways.path(contact)
        else:
            path = Path("none", contact.state.value, f"the contact is {contact.state.value}")
        tried = self._ways.reach.tried(contact.identity)
        return {
            "to": contact.petname,
            "via": path.via,
            "reason": path.reason,
            "cause": path.cause,
            "advice": path.advice,
            "choice": contact.path.value,
            "candidates": [{"candidate": each.where, "how": each.how, "outcome": each.outcome} for each in tried],
        }

    def set_path(self, to: str, choice: PathChoice, now: Now) -> None:
        """Chooses which ways to a contact may be used."""
        now = self._dht.enter(now)
        contact = self._people.set_path(self._people.find(to), choice, now)
        self._ways.neighbours.contact_changed(contact.identity, now)
        self._ways.relays.need_changed(now)

    def relay_status(self) -> Facts:
        """What this node carries for others, and the relays at which it waits."""
        carried = self._ways.relaying.carried
        waiting = [
            {
                "node_id": encode_node_key(node_id(way.relay)),
                "endpoint": str(way.endpoint),
                "state": "waiting" if way.reserved else "asked",
                "channels": len(way.channels),
            }
            for way in self._ways.relays.stations
        ]
        return {"carries": self._settings.carries and self._dht.serves, "carried": asdict(carried), "waits_at": waiting}

    def add_node(self, hint_text: str, now: Now) -> None:
        """Tells the node of another one."""
        now = self._dht.enter(now)
        self._dht.add_hint(parse_node_hint(hint_text), now)

    def dht_put(self, value: bytes, ttl_s: int, now: Now, then: Callable[[Facts], None]) -> None:
        """Stores a small signed record under a new key of the node's own; `then` gets the key and the receipts."""
        now = self._dht.enter(now)
        if len(value) > limits.BODY_BYTES:
            raise UsageError(f"a record holds {limits.BODY_BYTES} bytes at most")
        if not 0 < ttl_s <= limits.RECORD_LIFE_MAX_S:
            raise UsageError(f"a record lives 1 to {limits.RECORD_LIFE_MAX_S} seconds")
        signer = SigningKey(derive_key(Domain.DEMO_KEY, self._keys.node.seed, self._random.bytes(16)))
        address = AddressKey(signer.public)
        record = signed_record(Single(address, now.wall_ms, now.wall_s + ttl_s, value), signer)

        told = False

        def progress(result: Any, later: Now) -> None:
            nonlocal told
            if not told and (result.stored or result.done):
                told = True
                then({"key": encode_letters(address), "receipts": result.receipts, "wanted": result.wanted})

        self._in_network(lambda later: self._dht.put([record], progress, later), now)

    def dht_get(self, key_text: str, now: Now, then: Callable[[Facts | NoNetworkError | None], None]) -> None:
        """Looks up a record of `dht_put`'s; `then` gets None where nothing valid is found.

        It gets the error where too few answered: nothing is known then.  `NoNetworkError` is raised where nobody is
        known to ask.
        """
        now = self._dht.enter(now)
        try:
            address = AddressKey(decode_letters(key_text.strip()))
        except PeerError:
            address = AddressKey(b"")
        if len(address) != limits.KEY_BYTES:
            raise UsageError("not a key: it is the 52 letters that `p2pctl dht put` prints")

        def found(result: Any, later: Now) -> None:
            singles = [record.content for record in result.records if isinstance(record.content, Single)]
            facts = {"rounds": result.rounds, "messages": result.messages, "elapsed_ms": result.elapsed_ms}
            if singles:
                then({"key": key_text.strip(), "value": singles[0].body, **facts})
            elif result.complete:
                then(None)
            else:
                then(NoNetworkError("the nodes near the key do not answer", hint="try again; see: p2pctl status"))

        self._in_network(lambda later: self._dht.get(Family.SINGLE, address, found, later), now)

    def _in_network(self, do: Callable[[Now], None], now: Now) -> None:
        """At once, or as soon as the first of those who are tried has answered."""
        if self._dht.joined:
            do(now)
        elif self._dht.has_whom_to_ask:
            self._for_network.append(do)
        else:
            raise NoNetworkError("no other node is known", hint="name one: p2pctl peer add HOST:PORT")
