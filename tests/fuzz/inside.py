"""Targets behind a proof: what a node, or a contact, says that seals well and means ill.

Nothing is refused to the caller here: a machine counts what is wrong, and goes on.  So whatever is raised is a crash.
Each machine lives for `LIFE` inputs, then another takes its place.
"""

from contextlib import ExitStack
from dataclasses import replace

from p2pd.crypto.keys import SigningKey
from p2pd.crypto.sealing import datagram_key, seal
from p2pd.dht.fragments import cut
from p2pd.dht.peers import Peer
from p2pd.dht.questions import Answer, Question
from p2pd.storage.records import SqliteRecordStore
from p2pd.types import Endpoint, MessageId, NodeKey, Now
from p2pd.wire.content import Acknowledgement, Content
from p2pd.wire.datagram import Sealed, network_id
from p2pd.wire.rpc import Fragment, decode_body
from tests.cast import START, after, friends
from tests.dht.virtual import PRIVATE, DhtMachine
from tests.wire.formats import encodings

LIFE = 2_000
STRANGER = SigningKey(b"stranger" * 4)
AT = Endpoint("5.1.1.1", 9)
BODIES = encodings("rpc.")


class Server:
    """A node of the DHT that is asked, in datagrams and in requests."""

    def __init__(self) -> None:
        self._inputs = self.said = 0
        self._begin()

    def _begin(self) -> None:
        self._records = SqliteRecordStore(":memory:")
        self._machine = DhtMachine("fuzzed", PRIVATE, self._records)
        self._now = START
        self._key = datagram_key(STRANGER, self._machine.key)
        with self._records.transaction():
            self._machine.dht.start([], self._now)

    def _turn(self) -> Now:
        self._inputs += 1
        if self._inputs % LIFE == 0:
            self._records.close()
            self._begin()
        self._now = after(1, self._now)
        return self._now

    def datagram(self, plaintext: bytes) -> None:
        """A packet of a stranger's."""
        now = self._turn()
        head = Sealed(network_id("test"), NodeKey(STRANGER.public), self._inputs.to_bytes(24, "big"), b"")
        box = seal(self._key, head.nonce, plaintext, head.header)
        with self._records.transaction():
            self._machine.on_datagram(replace(head, box=box).encode(), AT, now)
            self._machine.on_timer(now)
        self.said += len(list(self._machine.take_effects()))

    def request(self, payload: bytes) -> None:
        """A request of a stranger's over QUIC."""
        now = self._turn()
        with self._records.transaction():
            self._machine.on_request(-self._inputs, NodeKey(STRANGER.public), AT, payload, now)
            self._machine.on_timer(now)
        self.said += len(list(self._machine.take_effects()))


class Holder:
    """A node that holds fragments for somebody whose address is proven, who may say anything in them."""

    def __init__(self) -> None:
        self._records = SqliteRecordStore(":memory:")
        self._machine = DhtMachine("fragments", replace(PRIVATE, source_per_s=1e9, source_burst=1e9), self._records)
        self._now = START
        with self._records.transaction():
            self._machine.dht.start([], self._now)

    def fragment(self, data: bytes) -> Answer | None:
        """A body in a datagram with a token; raises `PeerError` for what the datagram's receiver counts."""
        self._now = after(1, self._now)
        body = decode_body(data)
        asked = Question(Peer(NodeKey(STRANGER.public), AT), body, False, True, self._machine.dht._node, 1_000)
        with self._records.transaction():
            return self._machine.dht.on_question(asked, self._now)


class Friend:
    """Someone whose contact writes what no daemon of ours would."""

    def __init__(self) -> None:
        self._inputs = 0
        self._stack = ExitStack()
        self._begin()

    def _begin(self) -> None:
        self._stack.close()
        self._contact, self._person = friends(self._stack)
        self._now = START

    def content(self, plaintext: bytes) -> None:
        """What a ratchet message of the contact's holds."""
        self._inputs += 1
        if self._inputs % LIFE == 0:
            self._begin()
        contact, person = self._contact, self._person
        session = contact.sessions.current(person.identity)
        assert session is not None
        self._now = after(1, self._now)
        sequence = person.outbox.counters(contact.identity).received + 1
        envelope = contact.sessions.seal(session, sequence, plaintext)
        person.inbox.on_envelope(person.contact(contact), envelope, "direct", self._now)
        for acting in (person.inbox, person.outbox):
            acting.on_timer(self._now)
        person.acted.clear()
        person.effects.take()

    def samples(self) -> list[bytes]:
        """Contents of every kind."""
        acknowledgement = Acknowledgement(self._contact.outbox.counters(self._person.identity).epoch, bytes(8), 0)
        return [
            Content(MessageId(number.to_bytes(16, "big")), START.wall_ms << 16, acknowledgement, body).encode()
            for number, body in enumerate(encodings("content."))
        ]


PACKETS = [
    b"\x95\xc4\x08" + bytes(8) + b"\xc4\x00\xc3" + body + b"\xc4\xc8" + bytes(200) for body in BODIES if len(body) < 800
]
"""A packet around each body: id, no token, serves, the body, padding."""
FRAGMENTS = [
    Fragment(number.to_bytes(8, "big"), at, len(cut(body)), piece).encode()
    for number, body in enumerate(BODIES)
    for at, piece in enumerate(cut(body))
]
"""Every body, in as many fragments as it needs."""
