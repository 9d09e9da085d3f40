"""What the core needs kept: the rows, and the two stores as protocols.

Knows no database.  `storage/` keeps these rows in SQLite; tests use the same code on a database in memory.
Rules: what must survive is here, what is in the core's memory may vanish at any instant.
`UserStore` changes only inside a turn's transaction, and is durable when the turn ends.
`RecordStore` holds what strangers gave us and what we know of other nodes; it is durable when the driver says so.
Writing raises `StorageError` where the disk refuses; a row that cannot be read back raises `DamagedError`.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

from p2pd import limits
from p2pd.types import DeviceKey, IdentityKey, ItemId, MessageId, NodeKey, RecordKey
from p2pd.wire.invite import Invitation

# --- one user's ------------------------------------------------------------------------------------------------------


class ContactState(StrEnum):
    """Where two people stand; `requested` and `rejected` are never in the contact list."""

    PENDING = "pending"
    """We added them; they have not answered yet."""
    REQUESTED = "requested"
    """They asked; our user has not answered yet."""
    ACCEPTED = "accepted"
    BLOCKED = "blocked"
    REJECTED = "rejected"


class PathChoice(StrEnum):
    """Which ways to a contact our user allows."""

    AUTO = "auto"
    DIRECT = "direct"
    """Never by a relay."""
    RELAY_ONLY = "relay-only"
    """Never without one, and of our choice: they learn no address of ours."""


class PairSecret(Struct, frozen=True):
    """One generation of the secret that two devices share for addresses and seals."""

    generation: int
    secret: bytes
    made_ms: int
    proposed_sequence: int = 0
    """The sequence of the item by which we proposed it; 0 where they did, or for generation 0."""
    usable: bool = True
    """For writing: the reader is known to have it."""
    retired_ms: int = 0
    """When a later one came into use, wall clock; 0 where none has."""


class Contact(Struct, frozen=True):
    """A person that our user knows of, and the one device that we talk to."""

    identity: IdentityKey
    petname: str
    state: ContactState
    added_ms: int
    claimed_name: str = ""
    verified: bool = False
    device: DeviceKey | None = None
    certificate: bytes = b""
    """Their device's certificate, encoded."""
    secret: bytes = b""
    """The contact secret S that they gave us; empty: not yet."""
    gave_secret: bool = False
    """Whether they were sent ours."""
    pair_secrets: tuple[PairSecret, ...] = ()
    endpoints: tuple[str, ...] = ()
    """Where their node was last, as `nodekey@host:port` hints for dialling and bootstrapping."""
    request_id: MessageId | None = None
    """The message id of their contact request, while it waits for an answer."""
    request_text: str = ""
    request_ms: int = 0
    request_clock: int = 0
    request_event: int = 0
    """The cursor of the event that told of it."""
    swept_day: int = 0
    """The last day whose mailboxes were read completely."""
    mail_day: int = 0
    mail_index: int = 0
    """The last mailbox in which mail of theirs was seen."""
    epoch: bytes = b""
    """8 random bytes that their device chose when its counters began."""
    path: PathChoice = PathChoice.AUTO
    """Which ways to them may be used."""
    invitation: Invitation | None = None
    """By which we ask them, until it is answered or expired; None: in their public inbox."""
    invited: bool = False
    """They ask by an invite of ours: our user is not asked."""
    said_clock: int = 0
    """The newest of their clocks that was too far ahead to count, while something is missing that was said before."""


class Counters(Struct, frozen=True):
    """What one contact's device and ours have exchanged; changes with every message."""

    epoch: bytes = b""
    """8 random bytes, chosen when these counters began."""
    next_sequence: int = 1
    acknowledged: int = 0
    """All of ours up to here are committed there."""
    received: int = 0
    """All of theirs up to here are committed here."""
    received_above: tuple[int, ...] = ()
    """Theirs beyond that, ascending, fewer than `limits.UNACKNOWLEDGED`."""
    marks: tuple[bytes, ...] = ()
    """Sequence, 8 bytes, and mark of their envelopes committed here last, at most `limits.ITEMS_MARKED`."""
    acknowledgement_due: bool = False
    """Something of theirs was committed, and no acknowledgement of it has left."""
    heard_ms: int = 0
    """When something of theirs last arrived."""
    rung_ms: int = 0
    rings: int = 0
    """Rings since they last acknowledged something new; since they said something new, beyond one."""
    mailbox_day: int = 0
    mailbox_index: int = 0
    mailbox_items: int = 0
    """Where today's mail to them goes, and how many items it has had."""

    def mark(self, sequence: int) -> bytes:
        """The mark of the envelope that was committed under this number; empty where it is not known any more."""
        number = sequence.to_bytes(8, "big")
        return next((entry[8:] for entry in reversed(self.marks) if entry.startswith(number)), b"")


class Session(Struct, frozen=True):
    """One ratchet with one contact's device."""

    contact: IdentityKey
    session: bytes
    ours: bool
    """Whether we began it."""
    made_ms: int
    ratchet: bytes
    associated: bytes
    header: bytes = b""
    """The first-contact header, sent along until they have answered; empty afterwards and where they began."""
    superseded_ms: int = 0


class Posted(Struct, frozen=True):
    """A record in which an item was put on the DHT."""

    day: int
    index: int
    generation: int
    item: ItemId
    expires_s: int
    holders: int = 0
    """Nodes that gave a receipt for it, or that should have."""
    ended: int = 0
    """Nodes that have confirmed its tombstone."""


class OutboxItem(Struct, frozen=True):
    """One item under way to one contact, until acknowledged."""

    contact: IdentityKey
    sequence: int
    message: MessageId
    body: bytes
    """The encoded content body."""
    made_ms: int
    clock: int
    parents: tuple[bytes, ...] = ()
    expires_ms: int = 0
    session: bytes = b""
    envelope: bytes = b""
    """What it became in that session; every retry and path carries these bytes."""
    request: bytes = b""
    """A contact request's body for the public inbox."""
    attempts: int = 0
    retry_ms: int = 0
    """Not tried again before."""
    put_day: int = 0
    put_index: int = 0
    put_generation: int = 0
    put_item: ItemId = ItemId(b"")
    """Where it lies on the DHT; an empty id: nowhere."""
    put_ms: int = 0
    receipts: int = 0
    wanted: int = 0
    record_expires_ms: int = 0
    left: bool = False
    """It was sealed, in this session or another, and so may have left this machine."""
    posted: tuple[Posted, ...] = ()
    """Every place in which it was put, the newest `limits.PUTS_REMEMBERED`."""
    recalls: bool = False
    """It asks for the recall of the message."""


class Direction(StrEnum):
    """Of a message, as seen from here."""

    IN = "in"
    OUT = "out"


class MessageState(StrEnum):
    """`interface.md`'s states, both directions'."""

    QUEUED = "queued"
    STORED = "stored"
    DELIVERED = "delivered"
    READ = "read"
    EXPIRED = "expired"
    RECALLING = "recalling"
    RECALLED = "recalled"
    FAILED = "failed"
    RECEIVED = "received"


class Step(Struct, frozen=True):
    """One thing that happened to a message, for `why`."""

    at_ms: int
    what: str
    detail: dict[str, str | int] = field(default_factory=dict)


class RecallOutcome(StrEnum):
    """What had become of a message at its recipient's when it was recalled."""

    ASKED = "asked"
    """They have not said."""
    UNSEEN = "unseen"
    SHOWN = "shown"
    READ = "read"
    GONE = "gone"
    """They do not have it, and had it come before its end they would have forgotten that by now."""


class Retraction(Struct, frozen=True):
    """A message is taken back; its text is gone."""

    outcome: RecallOutcome
    records: tuple[Posted, ...] = ()
    """Where its parts lay; of messages of ours only."""
    attempts: int = 0
    retry_ms: int = 0
    """The records' tombstones are not put again before."""
    known: RecallOutcome = RecallOutcome.ASKED
    """What was known without asking: that it had been delivered, or read."""


class Message(Struct, frozen=True):
    """One text of a conversation."""

    contact: IdentityKey
    message: MessageId
    direction: Direction
    text: str
    clock: int
    """The hybrid logical clock: order key with the sender and the id."""
    sent_ms: int
    received_ms: int = 0
    state: MessageState = MessageState.QUEUED
    via: str = ""
    reply: bytes = b""
    gap: bool = False
    """A parent of it is not here yet."""
    first_sequence: int = 0
    last_sequence: int = 0
    """The outbox items that carry it; outgoing only."""
    request_id: str = ""
    """The caller's id of the call that sent it."""
    expires_ms: int = 0
    """When both ends forget it; 0: never."""
    recall: Retraction | None = None
    events: tuple[int, ...] = ()
    """Cursors of the events that repeat its text."""
    steps: tuple[Step, ...] = ()
    """What happened to it, for `why`: how it began, and the newest."""
    had_end_ms: int = 0
    """The end of a text whose words went otherwise, by which its recipient forgets it; 0: none."""
    said_clock: int = 0
    """Its sender's clock, where that was too far ahead to be this message's; 0: it is."""

    def went(self, step: Step, **changes: Any) -> "Message":
        """This message, with one more thing that happened to it, and the fields that it changed."""
        first, later = self.steps[: limits.STEPS_FIRST], self.steps[limits.STEPS_FIRST :]
        steps = (*first, *later, step) if len(later) < limits.STEPS_NEWEST else (*first, *later[1:], step)
        return replace(self, steps=steps, **changes)


class Part(Struct, frozen=True):
    """One part of a text that has not arrived whole."""

    contact: IdentityKey
    message: MessageId
    part: int
    parts: int
    body: bytes
    expires_ms: int = 0


class Event(Struct, frozen=True):
    """One entry of the durable log; `data` is JSON text."""

    cursor: int
    at_ms: int
    type: str
    data: str


class Invite(Struct, frozen=True):
    """An invite of ours: it is removed when several have used it up, it is revoked, or expired and read to the end."""

    id: int
    """From 1, never used twice; its one-time prekey's too."""
    secret: bytes
    made_ms: int
    expires_ms: int
    one_time: bytes = b""
    """The secret half of its one-time prekey; empty: it lets several in."""
    petname: str = ""
    """What our user wants to call who comes by it; empty: what they call themselves."""
    let_in: tuple[IdentityKey, ...] = ()
    """Who came in by it; fewer than `limits.INVITE_PERSONS`."""
    read_day: int = 0
    """The last day whose inbox was read completely."""
    spent: bool = False
    """Its one-time prekey is used and deleted: it lets nobody in, and shows who comes too late."""
    late: tuple[IdentityKey, ...] = ()
    """Who says to have come by it since; `limits.INVITE_PERSONS` at most."""


class Prekey(Struct, frozen=True):
    """The private halves of a prekey."""

    id: int
    made_ms: int
    published_ms: int
    """Last; it is kept `limits.PREKEY_KEEP_S` from then on."""
    secret: bytes


class UserStore(Protocol):
    """One user's data."""

    def transaction(self) -> AbstractContextManager[None]:
        """Everything changed inside is durable when it ends, or nothing is, where an exception passes."""
        ...

    def attempt(self) -> AbstractContextManager[None]:
        """A part of a transaction: an exception that passes undoes this part alone."""
        ...

    # single values: keys, name, settings that the daemon changes
    def value(self, name: str) -> bytes | None: ...
    def set_value(self, name: str, value: bytes) -> None: ...

    # contacts
    def contacts(self) -> list[Contact]:
        """All, by petname."""
        ...

    def contact(self, identity: IdentityKey) -> Contact | None: ...
    def save_contact(self, contact: Contact) -> None:
        """Inserts or replaces; the caller keeps petnames of accepted and pending contacts apart."""
        ...

    def remove_contact(self, identity: IdentityKey) -> None:
        """The contact with its counters, sessions, outbox and parts; its messages stay."""
        ...

    def counters(self, contact: IdentityKey) -> Counters: ...
    def save_counters(self, contact: IdentityKey, counters: Counters) -> None: ...

    # sessions
    def sessions(self, contact: IdentityKey) -> list[Session]:
        """The oldest first."""
        ...

    def session(self, contact: IdentityKey, id: bytes) -> Session | None: ...
    def save_session(self, session: Session) -> None: ...
    def remove_session(self, session: Session) -> None: ...

    # prekeys
    def prekeys(self) -> list[Prekey]:
        """By id."""
        ...

    def save_prekey(self, prekey: Prekey) -> None: ...
    def remove_prekey(self, id: int) -> None: ...

    # invites
    def invites(self) -> list[Invite]:
        """By id."""
        ...

    def invite(self, id: int) -> Invite | None: ...
    def save_invite(self, invite: Invite) -> None: ...
    def remove_invite(self, id: int) -> None: ...

    # outbox
    def outbox(self, contact: IdentityKey, *, after: int = 0, limit: int = 1_000_000) -> list[OutboxItem]:
        """Items with a sequence above `after`, in order."""
        ...

    def outbox_item(self, contact: IdentityKey, sequence: int) -> OutboxItem | None: ...
    def outbox_contacts(self) -> list[IdentityKey]:
        """Who has anything under way."""
        ...

    def outbox_count(self, contact: IdentityKey | None = None) -> int: ...
    def save_outbox_item(self, item: OutboxItem) -> None: ...
    def remove_outbox_item(self, contact: IdentityKey, sequence: int) -> None: ...

    # messages
    def message(self, message: MessageId, *, contact: IdentityKey | None = None) -> Message | None: ...
    def messages_by_prefix(self, low: bytes, high: bytes) -> list[Message]:
        """Those whose id lies in [low, high], at most three."""
        ...

    def message_by_request(self, request_id: str) -> Message | None: ...
    def save_message(self, message: Message) -> None: ...
    def remove_message(self, contact: IdentityKey, message: MessageId) -> None: ...
    def expired_messages(self, now_ms: int, *, limit: int) -> list[Message]:
        """Those whose `expires_ms` has come, the first first."""
        ...

    def next_expiry_ms(self) -> int:
        """The first `expires_ms` of a message or a part; 0 for none."""
        ...

    def history(self, contact: IdentityKey, *, since_ms: int = 0, limit: int) -> list[Message]:
        """The newest `limit`, in conversation order: clock, sender's key, id.

        `since_ms` is of when we wrote it, or when it came here.
        """
        ...

    def position(self, message: Message) -> int:
        """How many messages of the conversation come before it."""
        ...

    def newest_messages(self, contact: IdentityKey, limit: int) -> list[MessageId]:
        """The last, in conversation order: parents of the next one."""
        ...

    def unread_count(self, contact: IdentityKey) -> int: ...
    def unread_through(self, message: Message, *, limit: int) -> list[Message]:
        """What of its conversation is unread, up to this message and with it: the newest, the oldest of them first."""
        ...

    def steps(self, message: MessageId) -> list[Step]: ...
    # parts of incoming texts
    def parts(self, contact: IdentityKey, message: MessageId) -> list[Part]: ...
    def save_part(self, part: Part) -> None: ...
    def remove_parts(self, contact: IdentityKey, message: MessageId) -> None: ...
    def remove_expired_parts(self, now_ms: int) -> None: ...
    def parts_bytes(self, contact: IdentityKey) -> int:
        """What a contact's parts take, each at least `limits.PART_ROW_BYTES`."""
        ...

    def unfinished_texts(self, contact: IdentityKey) -> list[MessageId]:
        """The messages that parts are kept of, the one begun first first."""
        ...

    # events
    def add_event(self, type: str, data: str, at_ms: int, *, about: bytes = b"") -> int:
        """Its cursor; `about` names the message that it goes with.

        The oldest beyond `limits.EVENTS_KEPT` go, `limits.EVENTS_TRIM` at a time.
        """
        ...

    def remove_events(self, about: MessageId) -> None: ...
    def wipe_deleted(self) -> None:
        """Once this transaction is committed, no file holds any bytes of a row that was deleted or replaced."""
        ...

    def events(self, after: int, *, limit: int, types: tuple[str, ...] = ()) -> list[Event]: ...
    def event(self, cursor: int) -> Event | None: ...
    def save_event(self, event: Event) -> None:
        """Replaces the one with its cursor; it goes with no message any more."""
        ...

    def newest_cursor(self) -> int: ...
    def consumer(self, name: str) -> int:
        """The cursor that it acknowledged; 0 for a new one."""
        ...

    def save_consumer(self, name: str, cursor: int) -> None: ...


# --- the DHT's -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HeldRecord:
    """A record held for others (or our own copy of one of ours)."""

    key: RecordKey
    item: bytes
    """The item's id; empty for a single."""
    family: int
    tombstone: bool
    sequence: int
    expires_s: int
    digest: bytes
    data: bytes
    """The encoded `Record`."""
    stamp_bits: int = 0


@dataclass(frozen=True, slots=True)
class KnownNode:
    """A node that once answered us."""

    key: NodeKey
    endpoint: str
    """`host:port`"""
    first_seen_s: int
    last_seen_s: int


class RecordStore(Protocol):
    """Other people's records, and nodes we know."""

    def transaction(self) -> AbstractContextManager[None]:
        """Groups changes; an exception undoes them."""
        ...

    def attempt(self) -> AbstractContextManager[None]:
        """A part of a transaction: an exception that passes undoes this part alone."""
        ...

    def commit(self, *, durable: bool) -> None:
        """Makes all changes since the last commit survive a crash of the process, and if `durable` of the machine."""
        ...

    def held(self, key: RecordKey) -> list[HeldRecord]:
        """All under one key, tombstones included, by item."""
        ...

    def hold(self, record: HeldRecord) -> None:
        """Inserts or replaces under (key, item)."""
        ...

    def release(self, key: RecordKey, item: bytes) -> None: ...
    def expire(self, now_s: int) -> int:
        """Removes what has expired, the earliest first and `limits.EXPIRE_RECORDS` at most; how many."""
        ...

    def usage(self) -> tuple[int, int]:
        """Records and bytes held."""
        ...

    def usage_by_kind(self) -> dict[tuple[int, bool], tuple[int, int]]:
        """The same by family, and by whether they are tombstones."""
        ...

    def keys_held(self) -> list[RecordKey]:
        """All record keys, ascending."""
        ...

    def known_nodes(self) -> list[KnownNode]:
        """The last seen first."""
        ...

    def save_node(self, node: KnownNode) -> None:
        """Keeps the `limits.NODES_KEPT` seen last, and the `limits.NODES_FIRST_KEPT` known longest."""
        ...

    def forget_node(self, key: NodeKey) -> None: ...
