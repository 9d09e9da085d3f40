"""One node of the DHT: the parts put together, and what the application asks of them.

Knows nothing of chat.
Rules: pure: inputs are `on_x(..., now)`, effects go into the queue given, time comes in as an argument; callbacks come
within a later input's turn, never before the call that asked for them has returned.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.alarms import Alarms
from p2pd.dht.bounded import Recent
from p2pd.dht.clock import Clock
from p2pd.dht.contacted import Contacted
from p2pd.dht.counters import Cause, Counters
from p2pd.dht.exchanges import Exchanges
from p2pd.dht.fragments import Fragments
from p2pd.dht.getting import Found, Getting
from p2pd.dht.holdings import Holdings, Source
from p2pd.dht.joining import Joining
from p2pd.dht.listeners import Listeners
from p2pd.dht.listening import AddressSigning, ListenHandle, Listens, OnFetched, OnPush
from p2pd.dht.measures import Timings
from p2pd.dht.peers import Peer, has_family, is_local, node_id, source_prefix
from p2pd.dht.puzzles import Puzzles
from p2pd.dht.questions import Answer, Question
from p2pd.dht.rates import TokenBuckets
from p2pd.dht.records import VerifiedRecord, verified
from p2pd.dht.refresh import Refresh
from p2pd.dht.roles import Roles
from p2pd.dht.routing import Entry, Table
from p2pd.dht.rpc import Rpc
from p2pd.dht.searching import Searches
from p2pd.dht.serving import Serving
from p2pd.dht.settings import DhtSettings
from p2pd.dht.sizing import NetworkSize
from p2pd.dht.status import DhtStatus
from p2pd.dht.storing import Progress, PutProgress, Putting
from p2pd.dht.throwaways import Throwaways
from p2pd.effects import EffectQueue, Respond
from p2pd.errors import PeerError, UsageError
from p2pd.store import RecordStore
from p2pd.types import AddressKey, Endpoint, NodeHint, NodeKey, Now, RandomSource, RecordKey
from p2pd.wire.record import Family, Record, Single, record_key
from p2pd.wire.rpc import Body, Failed, Fragment, Refusal, Rest, Store, decode_body

_SHOWN_FACTOR = 4
"""Nodes within the radius that should hold so many times `replicas` are shown the key itself (R14)."""
_RECORDS_PER_CHARGE = 8
"""Records in a request over QUIC that cost as much of the asker's rate as a datagram: signatures to check."""


class Dht:
    """One node."""

    def __init__(
        self,
        *,
        node: SigningKey,
        network: str,
        settings: DhtSettings,
        records: RecordStore,
        effects: EffectQueue,
        random: RandomSource,
    ) -> None:
        self._settings = settings
        self._node = node
        self._effects = effects
        self.key = NodeKey(node.public)
        self.id = node_id(self.key)
        caps = None if settings.private else (settings.bucket_per_24, settings.table_per_24, settings.table_per_16)
        self._random = random
        self._gets, self._puts = Timings(), Timings()
        self._alarms = Alarms()
        self._clock = Clock()
        self.time_moved = 0
        """How often what is taken for the time became another: our clock was set, or peers corrected it."""
        self.contacted = Contacted()
        """Whom we have sent anything to lately, over links as well."""
        effects.watch = self.contacted.on_effect
        self._counters = Counters()
        self._puzzles = Puzzles(settings.puzzle_bits)
        self._table = Table(self.id, caps=caps)
        self._size = NetworkSize(self._table, self.id)
        self._throwaways = Throwaways(node)
        self._asked_keys: Recent[Endpoint, Callable[[NodeKey, Now], None]] = Recent(limits.NEIGHBOURS)
        self._singles: dict[RecordKey, Putting] = {}
        """Puts of singles that are under way."""
        self._holders: Recent[RecordKey, tuple[float, list[Peer]]] = Recent(limits.HOLDERS_KNOWN)
        self._holdings = Holdings(
            records, quota_bytes=settings.quota_bytes, source_bytes_per_day=settings.store_bytes_per_day
        )
        self._request_rates: TokenBuckets[bytes] = TokenBuckets(settings.source_per_s, settings.source_burst)
        self._rpc = Rpc(
            node=node,
            network=network,
            settings=settings,
            effects=effects,
            alarms=self._alarms,
            counters=self._counters,
            random=random,
            handler=self,
        )
        self._exchanges = Exchanges(self._rpc, effects, self._alarms, self._counters, random)
        self._fragments = Fragments(self._answer_in_fragments, private=settings.private)
        self._roles = Roles(
            settings=settings,
            table=self._table,
            rpc=self._rpc,
            contacted=self.contacted,
            alarms=self._alarms,
            random=random,
            on_serving=self._on_serving,
        )
        self._searches = Searches(
            own=self.key,
            settings=settings,
            table=self._table,
            rpc=self._rpc,
            alarms=self._alarms,
            puzzles=self._puzzles,
            size=self._size,
            on_named=lambda peer, now: self._joining.on_named(peer, now),
        )
        self._joining = Joining(
            own=self.id,
            table=self._table,
            rpc=self._rpc,
            searches=self._searches,
            alarms=self._alarms,
            clock=self._clock,
            store=records,
            holdings=self._holdings,
            random=random,
        )
        self._listens = Listens(
            searches=self._searches,
            rpc=self._rpc,
            exchanges=self._exchanges,
            alarms=self._alarms,
            counters=self._counters,
            random=random,
            fetch=self._fetch,
            serves=lambda: self.serves,
        )
        self._listeners = Listeners(self._rpc, self._alarms, private=settings.private)
        self._refresh = Refresh(
            node=node,
            place=int.from_bytes(self.id, "big"),
            replicas=settings.replicas,
            table=self._table,
            holdings=self._holdings,
            rpc=self._rpc,
            exchanges=self._exchanges,
            alarms=self._alarms,
            random=random,
            # what was kept for neighbours is handed on when servers elsewhere are found
            serves=lambda: self.serves or self._roles.had_neighbours,
        )
        self._serving = Serving(
            node=node,
            private=settings.private,
            table=self._table,
            holdings=self._holdings,
            listeners=self._listeners,
            listens=self._listens,
            refresh=self._refresh,
            roles=self._roles,
            clock=self._clock,
            counters=self._counters,
        )

    # --- inputs

    def enter(self, now: Now) -> Now:
        """A turn of the application's begins; the moment it should go by: ours, unless most others think otherwise."""
        self._enter(now)
        return self._clock.told

    def start(self, bootstrap: Sequence[NodeHint], now: Now) -> None:
        """Join by these nodes and those known from before; never gives up."""
        now = self._enter(now)
        self._joining.start(bootstrap, now)
        self._roles.start(now)
        self._refresh.start(now)
        self._alarms.at(now.steady + limits.EXPIRE_S, self._expire)

    def add_hint(self, hint: NodeHint, now: Now) -> None:
        """A node that may be there."""
        self._joining.add_hint(hint, self._within(now))

    def on_neighbour(self, endpoint: Endpoint, now: Now) -> None:
        """Discovery on the local network has found a node there."""
        now = self._enter(now)
        self._roles.on_neighbour(endpoint.host)
        self._joining.on_neighbour(endpoint, now)

    def forget_neighbours(self) -> None:
        """This machine is on another local network."""
        self._roles.forget_neighbours()
        self._joining.forget_neighbours()

    def ask_key(self, endpoint: Endpoint, then: Callable[[NodeKey, Now], None], now: Now) -> None:
        """Ask a bare endpoint which node is there; what it says is proven by nothing yet."""
        now = self._within(now)
        self._asked_keys.put(endpoint, then)
        self._rpc.hello(endpoint)

    def on_datagram(self, data: bytes, source: Endpoint, now: Now) -> None:
        """A datagram of the DHT's arrived."""
        self._rpc.on_datagram(data, source, self._enter(now))

    def on_request(self, exchange: int, node_key: NodeKey, endpoint: Endpoint, payload: bytes, now: Now) -> None:
        """Someone who proved this key and address asks over QUIC; answered by a `Respond` effect."""
        now = self._enter(now)
        self._counters.received(Cause.ANSWER, len(payload), over_quic=True)
        if not is_local(endpoint.host):
            self._exchanges.passage.on_passed(now)
        answer = self._answer_request(Peer(node_key, endpoint), payload, limits.RESPONSE_BYTES, now)
        said = answer.body.encode()
        self._counters.sent(Cause.ANSWER, len(said))
        self._effects.append(Respond(exchange, said, answer.after_records))

    def on_linked(self, link: int, endpoint: Endpoint, now: Now) -> None:
        """A link is up, by whomever it was dialled."""
        self.contacted.on_linked(link, endpoint)
        if not is_local(endpoint.host):  # what passes in a house says nothing of the line
            self._exchanges.passage.on_passed(now)

    def on_response(self, exchange: int, payload: bytes | None, now: Now) -> None:
        """The answer to a `Request`; None: there was no whole one."""
        self._exchanges.on_response(exchange, payload, self._enter(now))

    def on_records_refused(self, now: Now) -> None:
        """The disk has refused what was kept since the last commit of the records: it is gone."""
        self._holdings.on_refused(now)
        self._joining.on_refused()

    def on_timer(self, now: Now) -> None:
        """The time of `next_deadline` has come."""
        self._alarms.ring_due(self._enter(now))

    def next_deadline(self) -> float | None:
        """When `on_timer` wants to be called, on the steady clock."""
        return self._alarms.next()

    # --- what the application asks

    def get(
        self,
        family: Family,
        address: AddressKey,
        then: Callable[[Found, Now], None],
        now: Now,
        *,
        all_holders: bool = False,
        leisurely: bool = False,
    ) -> None:
        """Read what lies under an address: of a single the first verified value, of a set all items.

        `leisurely` is for what nobody waits for.
        """
        now = self._within(now)
        key = record_key(family, address)
        Getting(
            searches=self._searches,
            exchanges=self._exchanges,
            counters=self._counters,
            random=self._random,
            own=self._throwaways.key(key, now.day),
            cause=Cause.SWEEP if leisurely else Cause.GET,
            family=family,
            key=key,
            width=self._settings.get_width,
            replicas=self._settings.replicas,
            radius=self._shown(),
            all_holders=all_holders,
            held=[row.data for row in self._holdings.held(key, now)],
            remember=lambda holders, later: self._holders.put(key, (later.steady, holders)),
            then=lambda found, _: self._found(found, then),
            now=now,
        )

    def put(
        self,
        records: Sequence[Record],
        progress: Progress,
        now: Now,
        *,
        widely: bool = False,
        leisurely: bool = False,
    ) -> None:
        """Store records that share one key; UsageError for none, several keys, or a bad signature.

        `widely` is for what must reach everybody whom a put in a hurry may have asked: twice as many as usual.
        `leisurely` is for what nobody waits for.
        A newer single takes the place of one that is still being put, whose `progress` is told nothing more.
        """
        now = self._within(now)
        try:
            checked = [verified(record.encode()) for record in records]
        except PeerError as error:
            raise UsageError(f"this record would be refused everywhere: {error}") from error
        if len({record.key for record in checked}) != 1:
            raise UsageError("one put stores records of one key")
        key = checked[0].key
        began_s = now.steady

        def told(report: PutProgress, later: Now) -> None:
            if report.done:
                self._singles.pop(key, None)
            self._stored(report, later.steady - began_s, progress)

        under_way = self._singles.get(key)
        if under_way is not None and under_way.is_older(checked[0]):
            under_way.replace(checked, told, now)
            return
        putting = Putting(
            searches=self._searches,
            exchanges=self._exchanges,
            counters=self._counters,
            random=self._random,
            own=self._throwaways.key(key, now.day),
            cause=Cause.SWEEP if leisurely else Cause.PUT,
            records=checked,
            replicas=self._settings.replicas * (2 if widely else 1),
            parallel=self._settings.paths + self._settings.parallel,
            radius=self._size.radius(limits.REGION_FACTOR * self._settings.replicas),
            shown=self._shown(),
            known=() if widely else self._known_holders(key, now),
            remember=lambda holders, later: self._holders.put(key, (later.steady, holders)),
            keep=self._keep_own,
            progress=told,
            now=now,
        )
        if isinstance(checked[0].content, Single):
            self._singles[key] = putting

    def listen(
        self,
        address_signing: AddressSigning,
        on_push: OnPush,
        now: Now,
        *,
        reads: bool = True,
    ) -> ListenHandle:
        """Hear at once what arrives under our open set, and with `reads` what lies there; raises `QuotaError`."""
        now = self._within(now)
        key = record_key(Family.OPEN_SET, AddressKey(address_signing.public))
        own = self._throwaways.key(key, now.day)
        return self._listens.listen(
            address_signing, own, lambda records, _: on_push(records, self._clock.told), now, reads=reads
        )

    def _shown(self) -> int:
        """Those within see the key; in a small network everybody, ourselves beside them."""
        return self._size.radius(_SHOWN_FACTOR * self._settings.replicas + 1)

    def _known_holders(self, key: RecordKey, now: Now) -> list[Peer]:
        """Who took the last put there, all of it, not long ago."""
        at_s, holders = self._holders.find(key) or (0.0, [])
        return holders if now.steady - at_s < limits.HOLDERS_KNOWN_S else []

    # --- what it tells

    @property
    def joined(self) -> bool:
        """Whether another server is known: without one nothing can be looked up or stored."""
        return len(self._table) > 0

    @property
    def is_busy(self) -> bool:
        """Whether so many look-ups wait that what can come later should."""
        return self._searches.is_busy

    @property
    def receipts_wanted(self) -> int:
        """How many a put should want, as far as we know of servers that might give one."""
        usual = min(limits.STORED_RECEIPTS, self._settings.replicas)
        return max(limits.STORED_RECEIPTS_MIN, min(usual, len(self.servers())))

    @property
    def has_looked_around(self) -> bool:
        """Whether servers of many places are known, and not only those by which we came."""
        return self._joining.has_looked_around

    @property
    def has_whom_to_ask(self) -> bool:
        """Whether there is anybody by whom the network may be found."""
        return self.joined or self._joining.has_whom_to_ask

    @property
    def is_island(self) -> bool:
        """Whether the only servers known are on the local network, in an open one."""
        return self._table.is_island

    @property
    def serves(self) -> bool:
        """Whether others may store here and learn of us."""
        return self._roles.serves

    @property
    def quic_blocked(self) -> bool:
        """Whether other nodes answer, but QUIC does not pass."""
        return self._exchanges.passage.blocked

    def serves_to(self, peer: Endpoint) -> bool:
        """Whether those there may, on an island too."""
        return self._roles.serves_to(peer)

    @property
    def clock_offset_ms(self) -> int:
        """What to add to our wall clock, by the median of at least five peers."""
        return self._clock.offset_ms

    @property
    def endpoint(self) -> Endpoint | None:
        """Where most others see us."""
        return self._clock.endpoint

    def voices(self) -> list[Endpoint]:
        """Where each of the nodes asked last sees us."""
        return self._clock.voices

    def on_addresses(self, own: tuple[Endpoint, ...], now: Now) -> None:
        """This machine is somewhere else, or was asleep: what others saw of us is of before."""
        now = self._within(now)
        self._clock.forget_voices()
        self._rpc.forget_tokens()
        self._searches.addresses = own
        gone = self._table.keep(lambda endpoint: has_family(own, endpoint))
        for key in gone:
            self._listens.on_table_lost(key, now)
        if gone:
            self._joining.on_lost(now)
        self._exchanges.passage.forget()
        self._roles.on_addresses(own, now)
        self._joining.look_at_ourselves(now)
        self._listens.renew(now)

    def servers(self) -> list[Peer]:
        """The nodes of the table, all of which others can reach."""
        return [entry.peer for entry in self._table.entries() if not entry.strikes]

    def table(self) -> list[Entry]:
        """The rows of the table."""
        return self._table.entries()

    def round_trip_ms(self, peer: Peer) -> float | None:
        """The smoothed round trip to a node; None where none was measured lately."""
        return self._rpc.round_trips.mean_ms(peer.key)

    def own_hints(self, count: int) -> list[NodeHint]:
        """Nodes that someone could begin with: ourselves if we serve, then those known longest."""
        own = [NodeHint(self._clock.endpoint, self.key)] if self.serves and self._clock.endpoint else []
        healthy = [entry for entry in self._table.entries() if not entry.strikes]
        oldest = sorted(healthy, key=lambda entry: entry.first_seen_s)
        return [*own, *(NodeHint(entry.peer.endpoint, entry.peer.key) for entry in oldest)][:count]

    def status(self) -> DhtStatus:
        """How it does."""
        return DhtStatus(
            nodes=len(self._table),
            network_size=self._size.estimate(),
            serves=self.serves,
            records=self._holdings.records,
            record_bytes=self._holdings.bytes,
            listeners=self._listeners.count,
            endpoint=self._clock.endpoint,
            clock_offset_ms=self._clock.offset_ms,
            round_trip_ms=self._rpc.round_trips.typical_s * 1000,
            sent_bytes={cause.value: size for cause, size in self._counters.sent_bytes.items()},
            received_bytes={cause.value: size for cause, size in self._counters.received_bytes.items()},
            over_quic_bytes={cause.value: size for cause, size in self._counters.over_quic_bytes.items()},
            rejected=dict(self._counters.rejected),
        )

    def figures(self) -> dict[str, Any]:
        """What it holds and how its work goes, for who looks after the node."""
        return {
            "quota_bytes": self._settings.quota_bytes,
            "records_by_kind": self._holdings.by_kind(),
            "lookups": self._searches.timings.facts(),
            "gets": self._gets.facts(),
            "puts": self._puts.facts(),
            "refresh": {"rounds": self._refresh.rounds, "records_sent": self._refresh.sent},
            "crowded": self._searches.crowded,
        }

    # --- the rpc's handler

    def on_question(self, question: Question, now: Now) -> Answer | None:
        """Someone asks in a datagram."""
        self._roles.on_unasked(question.asker, now)
        if question.serves and question.proven and question.own.public == self.key:
            self._joining.on_asked(question.asker, now)
        if isinstance(question.body, Fragment | Rest):
            if not self.serves_to(question.asker.endpoint):
                return Answer(Failed(Refusal.CLIENT))
            return self._fragments.answer(question, question.body, now)
        return self._serving.answer(question, now)

    def on_answered(self, peer: Peer, serves: bool, now: Now) -> None:
        """A node answered our challenge: a server whose key has cost enough may enter the table (R4, R6)."""
        self._roles.on_observed(self._clock.endpoint, now)
        if not serves:
            if self._table.left(peer):
                self._on_lost(peer, now)
            return
        if peer.key not in self._table and not self._puzzles.satisfied(peer.key):
            self._counters.reject("puzzle", now)
            return
        is_new = self._table.seen(peer, now.steady)
        if peer.key in self._table:
            self._joining.on_seen(peer, now, is_new=is_new)
        if is_new:
            self._refresh.on_newcomer(peer, now)
            self._listens.on_newcomer(peer, now)
            self._introduce(peer, now)

    def on_unanswered(self, peer: Peer, now: Now) -> None:
        """A node left a question unanswered, twice."""
        if self._table.struck(peer):
            self._on_lost(peer, now)

    def on_welcome(self, peer: Peer, now: Now) -> None:
        """A bare endpoint told us its key."""
        then = self._asked_keys.pop(peer.endpoint)
        if then is not None:
            then(peer.key, self._clock.told)
        self._joining.on_welcome(peer, now)

    # --- inside

    def _on_lost(self, peer: Peer, now: Now) -> None:
        """A node has lost its place in the table."""
        self._listens.on_table_lost(peer.key, now)
        self._joining.on_lost(now)

    def _found(self, found: Found, then: Callable[[Found, Now], None]) -> None:
        if self.is_island:  # what lies elsewhere nobody here can know
            found = replace(found, complete=False)
        self._gets.add(found.elapsed_ms, found.rounds, went_well=found.complete or bool(found.records))
        then(found, self._clock.told)

    def _stored(self, report: PutProgress, elapsed_s: float, progress: Progress) -> None:
        if report.done:
            self._puts.add(elapsed_s * 1000, report.rounds, went_well=report.receipts >= report.wanted)
        progress(report, self._clock.told)

    def _introduce(self, peer: Peer, now: Now) -> None:
        """Let a neighbour that does not know us yet challenge us: its answer gave the token that proves our address."""
        if self.serves_to(peer.endpoint) and peer in self._table.nearest(self.id, limits.LOOKUP_CONVERGE):
            self._joining.ping(peer, now)

    def _within(self, now: Now) -> Now:
        self._puzzles.now_s = self.contacted.now_s = now.steady
        return self._clock.within(now)

    def _enter(self, now: Now) -> Now:
        self._puzzles.now_s = self.contacted.now_s = now.steady
        entered = self._clock.enter(now)
        if self._clock.was_set:
            self._clock.was_set = False
            self._alarms.at(now.steady, self._joining.ask_the_time)
        if self._clock.take_move():
            self._alarms.at(now.steady, self._on_time_moved)
        return entered

    def _on_time_moved(self, now: Now) -> None:
        self.time_moved += 1
        self._listens.forget_refusals(now)

    def _answer_in_fragments(self, asker: Peer, payload: bytes, now: Now) -> Answer:
        return self._answer_request(asker, payload, limits.FRAGMENTED_BYTES, now)

    def _answer_request(self, asker: Peer, payload: bytes, most_bytes: int, now: Now) -> Answer:
        """The answer, of so many bytes at most, to a question that was no datagram."""
        try:
            body = decode_body(payload)
            name = asker.key if self._settings.private else source_prefix(asker.endpoint.host)
            if not self._request_rates.take(name, now.steady, 1 + _weight(body)):
                raise PeerError("rate")
            question = Question(asker, body, asker.key in self._table, True, self._node, most_bytes - limits.KIB)
            return self._serving.answer(question, now) or Answer(Failed(Refusal.UNSUPPORTED))
        except PeerError as error:
            self._counters.reject(error.reason, now)
            return Answer(Failed(Refusal.BUSY if error.reason == "rate" else Refusal.INVALID))

    def _on_serving(self, now: Now) -> None:
        """We have become a server: a look-up of ourselves tells our neighbours."""
        self._joining.announce(now)

    def _expire(self, now: Now) -> None:
        self._holdings.expire(now)
        self._listeners.expire(now)
        self._fragments.expire(now)
        self._alarms.at(now.steady + limits.EXPIRE_S, self._expire)

    def _keep_own(self, records: Sequence[VerifiedRecord], near: Sequence[Peer], now: Now) -> None:
        """Hold a copy ourselves where we belong to the nearest; it counts for no receipt."""
        place = int.from_bytes(records[0].key, "big")
        own = int.from_bytes(self.id, "big") ^ place
        nearer = sum(peer.place ^ place < own for peer in near)
        if (self.serves or self._roles.serves_neighbours) and nearer < self._settings.replicas:
            for record in records:
                self._serving.keep(record.data, Source(self.key, is_server=True), now)

    def _fetch(self, address: AddressKey, then: OnFetched, now: Now) -> None:
        """All that lies under an open set that we listen at."""
        self.get(Family.OPEN_SET, address, lambda found, later: then(found.records, later), self._clock.told)


def _weight(body: Body) -> float:
    return len(body.records) / _RECORDS_PER_CHARGE if isinstance(body, Store) else 0.0
