"""Reading records: one look-up that ends at the first value that verifies, or a union over all holders.

Knows nothing of what records mean.
Rules:
- whatever arrives is verified before it counts (R1), and belongs to the key that was asked for;
- a single ends a grace after its first value, half a round trip, in which those asked beside it may bring a newer one;
- sets are asked of all holders; what did not fit their datagrams comes over QUIC, from as few as hold more;
- nodes outside the key's region are asked for nodes near a place that shares only its first bits (R14).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.alarms import Alarm
from p2pd.dht.counters import Cause, Counters
from p2pd.dht.exchanges import Exchanges
from p2pd.dht.peers import Peer, masked
from p2pd.dht.records import VerifiedRecord, check_time, verified
from p2pd.dht.searching import Searches
from p2pd.errors import PeerError
from p2pd.types import ItemId, NodeKey, Now, RandomSource, RecordKey
from p2pd.wire.record import Family, Single, Tombstone
from p2pd.wire.rpc import Body, Find, Get, Nodes, Values


@dataclass(frozen=True, slots=True)
class Found:
    """What a get brought: the newest value of a single, the live items of a set; nothing where nothing is."""

    records: list[VerifiedRecord]
    holders_asked: int
    rounds: int
    """Hops to the farthest node that answered."""
    messages: int
    elapsed_ms: float


@dataclass(slots=True)
class Gathered:
    """What has arrived of one key, each item once."""

    key: RecordKey
    known: dict[ItemId, None]
    items: dict[tuple[ItemId, bytes], VerifiedRecord] = field(default_factory=dict)
    ended: dict[ItemId, VerifiedRecord] = field(default_factory=dict)
    newest: VerifiedRecord | None = None

    def add(self, data: bytes, wall_s: int) -> None:
        """One record as it came; raises `PeerError`."""
        record = verified(data)
        if record.key != self.key:
            raise PeerError("not_asked", "a record of another key")
        check_time(record, wall_s)
        match record.content:
            case Single():
                held = self.newest.content if self.newest else None
                if not isinstance(held, Single) or record.content.sequence > held.sequence:
                    self.newest = record
            case Tombstone():
                self.ended[record.item] = record
            case _:
                if record.item not in self.known:
                    self.items[(record.item, record.digest)] = record

    @property
    def live(self) -> list[VerifiedRecord]:
        if self.newest is not None:
            return [self.newest]
        return [record for (item, _), record in self.items.items() if item not in self.ended]

    @property
    def seen(self) -> list[ItemId]:
        """Ids that need not be sent again."""
        ids = [*self.known, *dict.fromkeys(item for item, _ in self.items), *self.ended]
        return ids[-limits.SET_ITEMS :]


Then = Callable[[Found, Now], None]


class Getting:
    """One get."""

    def __init__(
        self,
        *,
        searches: Searches,
        exchanges: Exchanges,
        counters: Counters,
        random: RandomSource,
        own: SigningKey,
        family: Family,
        key: RecordKey,
        width: int,
        replicas: int,
        radius: int,
        known: Collection[ItemId],
        all_holders: bool,
        held: list[bytes],
        then: Then,
        now: Now,
    ) -> None:
        self._searches = searches
        self._exchanges = exchanges
        self._counters = counters
        self._random = random
        self._own = own
        self._single = family is Family.SINGLE
        self._place = int.from_bytes(key, "big")
        self._replicas = replicas
        self._radius = radius
        self._widened = False
        self._all_holders = all_holders or not self._single
        self._then = then
        self._began_s = now.steady
        self._gathered = Gathered(key, dict.fromkeys(list(known)[-limits.SET_ITEMS :]))
        self._totals: dict[NodeKey, tuple[Peer, int]] = {}
        """Holders by how many live items they hold beyond those we knew."""
        self._asked: dict[NodeKey, None] = {}
        self._fetching = 0
        self._fetches = 0
        self._grace: Alarm | None = None
        self._is_over = False
        for data in held:
            self._add(data, now)
        self._search = searches.start(key, self, now, cause=Cause.LOOKUP, own=own, width=width)
        if self._search is None:
            searches.alarms.at(now.steady, self._finish)

    # --- the look-up's errand

    def question(self, peer: Peer) -> Body:
        """Nearer than the region's edge: the question itself; farther: only the way."""
        if peer.place ^ self._place > self._radius:
            return Find(masked(self._gathered.key, self._searches.prefix_bits(), self._random))
        self._asked[peer.key] = None
        newest = self._gathered.newest
        sequence = newest.content.sequence if newest and isinstance(newest.content, Single) else 0
        return Get(self._gathered.key, self._gathered.seen[-limits.GET_KNOWN_IN_PACKET :], sequence)

    def on_answer(self, peer: Peer, body: Body, now: Now) -> bool:
        if isinstance(body, Nodes):
            return True
        if not isinstance(body, Values) or not all([self._add(data, now) for data in body.records]):
            return False
        if body.more:
            self._totals[peer.key] = (peer, len(body.records) + body.more)
            if self._single:
                self._fetch(peer, now)
        if self._single and self._gathered.newest and not self._all_holders and self._grace is None:
            grace_s = self._searches.rpc.round_trips.typical_s / 2
            self._grace = self._searches.alarms.at(now.steady + grace_s, self._finish)
        return True

    def on_end(self, now: Now) -> None:
        if self._widen(now):
            return
        self._note_density()
        if self._single:
            if self._fetching == 0 or self._gathered.newest:
                self._finish(now)
        else:
            self._fetch_next(now)

    def _widen(self, now: Now) -> bool:
        """Ask the whole region once where the key looks crowded: those who crowd it may hide what is there (R9)."""
        search = self._search
        if search is None or self._widened or not self._searches.is_crowded(search.lookup, self._gathered.key):
            return False
        self._widened = True
        again = self._searches.start(
            self._gathered.key,
            self,
            now,
            cause=Cause.LOOKUP,
            own=self._own,
            width=limits.REGION_CEILING * self._replicas,
            radius=self._radius,
            seeds=search.lookup.nearest(limits.LOOKUP_CANDIDATES),
        )
        self._search = again or search
        return again is not None

    # --- over QUIC

    def _fetch_next(self, now: Now) -> None:
        """Ask the holder with the most that we may lack, until nobody has more than we do."""
        fullest = max(self._totals.values(), key=lambda pair: pair[1], default=None)
        enough = fullest is None or fullest[1] <= len(self._gathered.items) + len(self._gathered.ended)
        if fullest is None or enough or self._fetches >= limits.FETCHES:
            if self._fetching == 0:
                self._finish(now)
            return
        del self._totals[fullest[0].key]
        self._fetch(fullest[0], now)

    def _fetch(self, peer: Peer, now: Now) -> None:
        if self._fetches >= limits.FETCHES:
            return
        self._fetches += 1
        self._fetching += 1
        impatience = self._searches.alarms.at(now.steady + limits.FETCH_NEXT_S, self._on_impatience)

        def on_response(body: Body | None, later: Now) -> None:
            impatience.cancel()
            self._fetching -= 1
            if isinstance(body, Values):
                for data in body.records:
                    self._add(data, later)
            if not self._is_over:
                self._go_on(later)

        self._exchanges.ask(
            peer, self._own, Get(self._gathered.key, self._gathered.seen), on_response, now, Cause.LOOKUP
        )

    def _on_impatience(self, now: Now) -> None:
        if not self._is_over and not self._single:
            self._fetch_next(now)

    def _go_on(self, now: Now) -> None:
        searching = self._search is not None and not self._search.is_over
        if not self._single:
            self._fetch_next(now)
        elif (self._gathered.newest and not self._all_holders) or (not searching and self._fetching == 0):
            self._finish(now)

    # --- the end

    def _add(self, data: bytes, now: Now) -> bool:
        try:
            self._gathered.add(data, now.wall_s)
        except PeerError as error:
            self._counters.reject(error.reason, now)
            return False
        return True

    def _finish(self, now: Now) -> None:
        if self._is_over:
            return
        self._is_over = True
        rounds = messages = 0
        if self._search is not None:
            rounds, messages = self._search.lookup.rounds, self._search.lookup.messages
            self._search.stop()
        elapsed_ms = (now.steady - self._began_s) * 1000
        found = Found(self._gathered.live, len(self._asked), rounds, messages + self._fetches, elapsed_ms)
        self._then(found, now)

    def _note_density(self) -> None:
        if self._search is not None:
            self._searches.note_density(self._search.lookup, self._gathered.key)
