"""Coming into the network and staying in it: first nodes, the look-up of oneself, pings, stale buckets.

Rules:
- while the table is empty, hints and nodes known from before are tried for ever, many of them soon at first,
  then a few every 8 s (R13): nothing tells that a network that let nothing through does again;
- hints that are not in the table go on being tried, seldom: the network may have fallen in two;
- who was found on the local network is tried where the table takes local addresses; on an island (only such are known)
  the rest of the network goes on being looked for as if nobody were;
- idle traffic is one ping a minute, one look-up of our own place an hour, and of a bucket only when it is stale.
"""

from collections import deque
from collections.abc import Callable, Sequence

from p2pd import limits
from p2pd.dht.alarms import Alarm, Alarms
from p2pd.dht.bounded import Recent
from p2pd.dht.clock import Clock
from p2pd.dht.counters import Cause
from p2pd.dht.holdings import Holdings
from p2pd.dht.peers import SPACE_BITS, Peer
from p2pd.dht.rates import TokenBucket
from p2pd.dht.routing import Table
from p2pd.dht.rpc import Rpc
from p2pd.dht.searching import Search, Searches
from p2pd.errors import PeerError, UsageError
from p2pd.store import KnownNode, RecordStore
from p2pd.types import Endpoint, NodeHint, NodeId, NodeKey, Now, RandomSource
from p2pd.wire.address import parse_endpoint
from p2pd.wire.rpc import Body, Find, Nodes, Ping, Pong, unpack_endpoint

_UNKNOWN = NodeKey(b"")


class Joining:
    """One node's way in, and its upkeep."""

    def __init__(
        self,
        *,
        own: NodeId,
        table: Table,
        rpc: Rpc,
        searches: Searches,
        alarms: Alarms,
        clock: Clock,
        store: RecordStore,
        holdings: Holdings,
        random: RandomSource,
    ) -> None:
        self._own = own
        self._table = table
        self._rpc = rpc
        self._searches = searches
        self._alarms = alarms
        self._clock = clock
        self._store = store
        self._holdings = holdings
        self._random = random
        self._hints: dict[Endpoint, NodeKey | None] = {}
        self._neighbours: Recent[Endpoint, NodeKey] = Recent(limits.NEIGHBOURS)
        """On the local network, apart from hints, so that whoever is there cannot push these out; keys once known."""
        self._was_island = False
        self._known: deque[Peer] = deque(maxlen=limits.JOIN_KNOWN)
        self._retry: Alarm | None = None
        self._retry_s = limits.JOIN_RETRY_MIN_S
        self._has_looked = False
        self.has_looked_around = False
        """The first look-up of ourselves is over: servers of many places are known, not only those we came by."""
        self._saved: Recent[NodeKey, float] = Recent(limits.SOURCES)
        self._challenged: Recent[Peer, float] = Recent(limits.SOURCES)
        self._challenges = TokenBucket(limits.CHALLENGES_PER_S, limits.CHALLENGES_BURST)

    def start(self, bootstrap: Sequence[NodeHint], now: Now) -> None:
        """Begin with these and with the nodes known from before."""
        self._known.extend(_peers(self._store.known_nodes()[: limits.JOIN_KNOWN]))
        for hint in bootstrap:
            self._hint(hint)
        self._try(now)
        self._alarms.at(now.steady + self._spread(limits.CHECK_S), self._check)
        self._alarms.at(now.steady + self._spread(limits.SELF_LOOKUP_S), self._look_again)
        self._alarms.at(now.steady + self._spread(limits.BUCKET_REFRESH_S), self._refresh_buckets)

    def add_hint(self, hint: NodeHint, now: Now) -> None:
        """Someone told us of a node: try it now."""
        self._hint(hint)
        self._call(hint.endpoint, now)

    def on_neighbour(self, endpoint: Endpoint, now: Now) -> None:
        """Somebody on the local network says that a node is there."""
        if endpoint not in self._neighbours:
            self._neighbours.put(endpoint, _UNKNOWN)
            self._try_neighbour(endpoint, now)

    def forget_neighbours(self) -> None:
        """We are on another local network."""
        self._neighbours.clear()

    @property
    def has_whom_to_ask(self) -> bool:
        """Whether anybody is tried: a hint, a neighbour, or a node known from before."""
        return bool(self._hints or self._known or len(self._neighbours))

    # --- finding the first

    def _hint(self, hint: NodeHint) -> None:
        key = hint.key or self._hints.pop(hint.endpoint, None)
        self._hints.pop(hint.endpoint, None)
        self._hints[hint.endpoint] = key
        if len(self._hints) > limits.HINTS:
            del self._hints[next(iter(self._hints))]

    def _try(self, now: Now) -> None:
        """Try some that are not in the table, each in its turn; set the next time."""
        is_found = len(self._table) > 0 and not self._table.is_island
        longest_s = limits.JOIN_RETRY_JOINED_MAX_S if is_found else limits.JOIN_RETRY_MAX_S
        most = limits.JOIN_ASK if is_found or self._retry_s < longest_s else limits.JOIN_ASK_LATE
        for endpoint in list(self._hints)[:most]:
            key = self._hints.pop(endpoint)
            self._hints[endpoint] = key
            if key is None or key not in self._table:
                self._call(endpoint, now)
        for endpoint in list(self._neighbours)[: limits.JOIN_ASK]:
            self._try_neighbour(endpoint, now)
        if not is_found:
            for peer in list(self._known)[:most]:
                self._known.rotate(-1)
                self.ping(peer, now)
        self._retry_s = min(self._retry_s, longest_s)
        self._retry = self._alarms.at(now.steady + self._retry_s * self._random.uniform(0.8, 1.2), self._try)
        self._retry_s *= 2

    def _call(self, endpoint: Endpoint, now: Now) -> None:
        key = self._hints.get(endpoint)
        if key is None:
            self._rpc.hello(endpoint)
        else:
            self.ping(Peer(key, endpoint), now)

    def _try_neighbour(self, endpoint: Endpoint, now: Now) -> None:
        key = self._neighbours.find(endpoint)
        if self._table.takes_local and (not key or key not in self._table):
            self._rpc.hello(endpoint)

    def on_welcome(self, peer: Peer, now: Now) -> None:
        """A node at a bare endpoint says who it is: believed once it answers under that key."""
        if peer.endpoint in self._hints:
            self._hints[peer.endpoint] = peer.key
        if peer.endpoint in self._neighbours:
            self._neighbours.put(peer.endpoint, peer.key)
        self.ping(peer, now)

    # --- who is there

    def ping(self, peer: Peer, now: Now, cause: Cause = Cause.JOIN) -> None:
        """Challenge a node: its answer brings it into the table."""
        sent_s = now.steady

        def then(body: Body | None, later: Now) -> None:
            if not isinstance(body, Pong):
                return
            try:
                observed = unpack_endpoint(body.observed)
            except PeerError:
                return
            self._clock.add(peer.key, body.wall_ms, later.steady - sent_s, observed)

        self._rpc.ask(peer, Ping(), then, now, cause=cause)

    def on_asked(self, peer: Peer, now: Now) -> None:
        """A server with a proven address asked us something: challenge it, where the table has a place (R4)."""
        if not self._table.wants(peer):
            return
        last = self._challenged.find(peer)
        if last is not None and now.steady - last < limits.CHALLENGE_AGAIN_S:
            return
        if self._challenges.take(now.steady):
            self._challenged.put(peer, now.steady)
            self.ping(peer, now)

    def on_named(self, peer: Peer, now: Now) -> None:
        """Somebody names a node: one of ours may be reached by the other address family as well."""
        if peer.key in self._table:
            self.on_asked(peer, now)

    def on_seen(self, peer: Peer, now: Now, *, is_new: bool) -> None:
        """A server answered and is in the table."""
        if self._table.is_island is not self._was_island:
            self._was_island, self._has_looked = self._table.is_island, False
        if is_new and self._has_looked and peer.endpoint in self._hints:
            self._look(self._own, now)  # it may stand for a whole part of the network that we did not know
        saved = self._saved.find(peer.key)
        if (saved is None or now.steady - saved >= limits.SAVE_NODE_S) and not self._holdings.rests(now):
            self._saved.put(peer.key, now.steady)
            self._store.save_node(KnownNode(peer.key, str(peer.endpoint), now.wall_s, now.wall_s))
        if not self._has_looked:
            self._has_looked = True
            self._look(self._own, now, self._on_looked_around)
            self._alarms.at(now.steady + limits.JOIN_SPREAD_S[0], self.look_at_ourselves)
            for wait_s in limits.JOIN_SPREAD_S:
                self._alarms.at(now.steady + wait_s, lambda later: self._look(self._anywhere(), later))

    def on_refused(self) -> None:
        """The disk has refused what was written last: nodes too, which are to be written again."""
        self._saved.clear()

    def ask_the_time(self, now: Now) -> None:
        """Ask more nodes than have to answer."""
        self.look_at_ourselves(now, 2 * limits.CLOCK_PEERS_MIN)

    def look_at_ourselves(self, now: Now, most: int = limits.OBSERVERS_ASKED) -> None:
        """Ask some nodes where they see us, and what time it is."""
        entries = self._table.entries()
        for _ in range(min(most, len(entries))):
            entry = entries.pop(int(self._random.uniform(0, len(entries))))
            self.ping(entry.peer, now)
            if entry.other is not None:
                self.ping(entry.other, now)

    def announce(self, now: Now) -> None:
        """Tell our neighbours of us, by looking for them."""
        self._look(self._own, now)

    def on_lost(self, now: Now) -> None:
        """A node lost its place; with none left, begin again."""
        if len(self._table) == 0:
            self._has_looked = self.has_looked_around = False
            self._retry_s = limits.JOIN_RETRY_MIN_S
            if self._retry:
                self._retry.cancel()
            self._try(now)

    # --- upkeep

    def _check(self, now: Now) -> None:
        self._alarms.at(now.steady + self._spread(limits.CHECK_S), self._check)
        entry = self._table.silent_longest()
        if entry is not None and now.steady - entry.seen_s >= limits.CHECK_SILENT_S:
            self.ping(entry.peer, now, Cause.CHECK)

    def _look_again(self, now: Now) -> None:
        self._alarms.at(now.steady + self._spread(limits.SELF_LOOKUP_S), self._look_again)
        self._look(self._own, now)
        self.look_at_ourselves(now)

    def _refresh_buckets(self, now: Now) -> None:
        self._alarms.at(now.steady + self._spread(limits.BUCKET_REFRESH_S), self._refresh_buckets)
        for low, high in self._table.stale_ranges(now.steady - limits.BUCKET_REFRESH_S):
            within = int.from_bytes(self._anywhere(), "big") % (high - low + 1)
            self._look((low + within).to_bytes(SPACE_BITS // 8, "big"), now)

    def _on_looked_around(self) -> None:
        self.has_looked_around = True

    def _look(self, target: bytes, now: Now, then: Callable[[], None] = lambda: None) -> None:
        if len(self._table):
            walk = _Walk(self._searches, target, then)
            walk.search = self._searches.start(target, walk, now, cause=Cause.LOOKUP, width=limits.BUCKET_SIZE)

    def _anywhere(self) -> bytes:
        return self._random.bytes(SPACE_BITS // 8)

    def _spread(self, wait_s: float) -> float:
        return wait_s * self._random.uniform(0.8, 1.2)


class _Walk:
    """A look-up for its own sake: whoever answers comes into the table."""

    def __init__(self, searches: Searches, target: bytes, then: Callable[[], None]) -> None:
        self._searches = searches
        self._target = target
        self._then = then
        self.search: Search | None = None

    def question(self, peer: Peer) -> Body:
        return Find(self._target)

    def on_answer(self, peer: Peer, body: Body, now: Now) -> bool:
        return isinstance(body, Nodes)

    def on_end(self, now: Now) -> None:
        if self.search is not None:
            self._searches.note_density(self.search.lookup, self._target)
        self._then()


def _peers(known: Sequence[KnownNode]) -> list[Peer]:
    """Those whose endpoint can be read."""
    peers = []
    for node in known:
        try:
            peers.append(Peer(node.key, parse_endpoint(node.endpoint)))
        except (UsageError, PeerError):
            continue
    return peers
