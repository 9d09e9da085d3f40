"""What this node answers to others.

Knows how to answer; whether the asker may ask so often was decided before.
Rules:
- a client answers pings and pushes, reaches others for servers, and refuses the rest;
- an answer never measures more than the room it was given (R5): records come first, nodes while they fit;
- storing needs a proven address, since quotas count by it;
- nodes are named by the asker's address family, as far as they are known by it;
- in an open network local addresses are told to no one but askers at local addresses.
"""

from collections.abc import Sequence

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.clock import Clock
from p2pd.dht.counters import Counters
from p2pd.dht.holdings import Holdings, Source
from p2pd.dht.listeners import Listeners
from p2pd.dht.listening import Listens
from p2pd.dht.peers import Peer, contact_of, may_tell, networks
from p2pd.dht.questions import Answer, Question
from p2pd.dht.records import VerifiedRecord, signed_receipt, verified
from p2pd.dht.refresh import Refresh
from p2pd.dht.roles import Roles
from p2pd.dht.routing import Table
from p2pd.errors import PeerError
from p2pd.types import ItemId, Now
from p2pd.wire import rpc
from p2pd.wire.record import Tombstone
from p2pd.wire.rpc import Contact, Failed, Get, Nodes, Pong, Refusal, Stored, Values, pack_endpoint

_REPLY_HEAD_BYTES = 16
"""A reply's array, tag, counts and the heads of its lists."""
_RECORD_HEAD_BYTES = 3
_CONTACT_HEAD_BYTES = 1 + 2 + 32 + 2


class Serving:
    """The answers of one node."""

    def __init__(
        self,
        *,
        node: SigningKey,
        private: bool,
        table: Table,
        holdings: Holdings,
        listeners: Listeners,
        listens: Listens,
        refresh: Refresh,
        roles: Roles,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._node = node
        self._private = private
        self._table = table
        self._holdings = holdings
        self._listeners = listeners
        self._listens = listens
        self._refresh = refresh
        self._roles = roles
        self._clock = clock
        self._counters = counters

    def answer(self, question: Question, now: Now) -> Answer | None:
        """The answer to a question in a datagram; None for silence."""
        match question.body:
            case rpc.Ping():
                return Answer(Pong(self._clock.raw.wall_ms, pack_endpoint(question.asker.endpoint)))
            case rpc.Push(record=data):
                known = self._listens.on_push(question.asker, question.own, data, now)
                return Answer(rpc.Pushed() if known else Failed(Refusal.UNSUPPORTED))
            case rpc.Reached():
                return None
            case rpc.Reach():
                return Answer(self._roles.on_reach(question.body, question, now))
        if not self._roles.serves_to(question.asker.endpoint):
            return Answer(Failed(Refusal.CLIENT))
        return self._answer_as_server(question, now)

    def _answer_as_server(self, question: Question, now: Now) -> Answer:
        match question.body:
            case rpc.Find(target=target):
                return Answer(Nodes(self._contacts(target, question.asker, question.room_bytes - _REPLY_HEAD_BYTES)))
            case Get():
                return Answer(self._values(question.body, question.asker, question.room_bytes, now))
            case rpc.Store(records=records):
                return self._store(records, question, now)
            case rpc.Listen():
                return Answer(self._listeners.on_listen(question.body, question, now))
            case rpc.Digest():
                return Answer(self._refresh.answer(question.body))
            case rpc.Probe():
                return Answer(self._roles.on_probe(question, now))
            case _:
                return Answer(Failed(Refusal.UNSUPPORTED))

    # --- reading

    def _values(self, get: Get, asker: Peer, room: int, now: Now) -> Values:
        """Live records first, a few tombstones, then nodes nearer to the key: whoever has a single asks nobody else."""
        room -= _REPLY_HEAD_BYTES
        known = dict.fromkeys(get.known)
        rows = [
            row
            for row in self._holdings.held(get.key, now)
            if (row.sequence > get.sequence if not row.item else ItemId(row.item) not in known)
        ]
        given: list[bytes] = []
        more = tombstones = 0
        for row in rows:
            size = len(row.data) + _RECORD_HEAD_BYTES
            if row.tombstone and tombstones >= limits.GET_TOMBSTONES:
                continue
            if size <= room and len(given) < limits.RECORDS_PER_REQUEST:
                given.append(row.data)
                room -= size
                tombstones += row.tombstone
            else:
                more += not row.tombstone
        is_found = bool(given) and not rows[0].item
        return Values(given, more, [] if is_found else self._contacts(get.key, asker, room))

    def _contacts(self, target: bytes, asker: Peer, room: int) -> list[Contact]:
        contacts: list[Contact] = []
        for peer in self._table.nearest(target, limits.CONTACTS_PER_REPLY + 1, asker.endpoint):
            contact = contact_of(peer)
            room -= _CONTACT_HEAD_BYTES + len(contact.endpoint)
            if room < 0 or len(contacts) >= limits.CONTACTS_PER_REPLY:
                break
            if peer.key != asker.key and (self._private or may_tell(peer, asker)):
                contacts.append(contact)
        return contacts

    # --- storing

    def _store(self, records: Sequence[bytes], question: Question, now: Now) -> Answer:
        if not question.proven:
            return Answer(Failed(Refusal.TOKEN))
        source = self._source(question.asker, question.serves)
        results: list[int] = []
        receipts: list[bytes] = []
        for data in records:
            refusal, record = self.keep(data, source, now)
            results.append(refusal)
            if record is not None and refusal is Refusal.KEPT and not isinstance(record.content, Tombstone):
                receipts.append(signed_receipt(record.digest, record.content.expires_s, self._node))
        return Answer(Stored(results, receipts), after_records=Refusal.KEPT in results)

    def keep(self, data: bytes, source: Source, now: Now) -> tuple[Refusal, VerifiedRecord | None]:
        """Verify and keep one record; listeners hear of a new one."""
        try:
            record = verified(data)
        except PeerError as error:
            self._counters.reject(error.reason, now)
            return Refusal.INVALID, None
        kept = self._holdings.take(record, source, now)
        if kept.refusal is not Refusal.KEPT:
            self._counters.reject(f"store_{kept.refusal.name.lower()}", now)
        elif kept.is_new:
            self._listeners.on_kept(record, now)
            self._listens.on_kept(record, now)
        return kept.refusal, record

    def _source(self, asker: Peer, serves: bool) -> Source:
        name = asker.key if self._private else networks(asker.endpoint.host)[0]
        return Source(name, serves and asker.key in self._table)
