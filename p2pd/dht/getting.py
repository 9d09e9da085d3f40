"""Reading records: one look-up that ends at the first value that verifies, or a union over all holders.

Knows nothing of what records mean.
Rules:
- whatever arrives is verified before it counts (R1), and belongs to the key that was asked for; what has expired by our
  clock alone is left out, and no lie;
- with the first value of a single nobody else is asked; it ends when those asked beside it have answered, which may
  bring a newer one, or after a grace of half a round trip;
- that nothing is there is said only when the nearest have all answered or failed, however slow they are;
- sets are asked of all holders, however slow; what did not fit their datagrams comes over QUIC (`fetching`);
- of one holder no more is looked at than it may hold;
- nodes outside the key's region are asked for nodes near a place that shares only its first bits (R14).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.alarms import Alarm
from p2pd.dht.counters import Cause, Counters
from p2pd.dht.exchanges import Exchanges
from p2pd.dht.fetching import Fetching
from p2pd.dht.peers import Peer, masked
from p2pd.dht.records import UNTIMELY, VerifiedRecord, check_time, verified
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
    complete: bool
    """Whether enough near the key answered, or most of them, nobody is known to hold more, and this is no island."""
    rounds: int
    """Hops to the farthest node that answered."""
    messages: int
    elapsed_ms: float


@dataclass(slots=True)
class Gathered:
    """What has arrived of one key, each item once."""

    key: RecordKey
    items: dict[tuple[ItemId, bytes], VerifiedRecord] = field(default_factory=dict)
    ended: dict[ItemId, VerifiedRecord] = field(default_factory=dict)
    newest: VerifiedRecord | None = None
    taken: dict[bytes, VerifiedRecord] = field(default_factory=dict)
    """As they came: most holders give the same bytes, whose signature is checked once."""

    def add(self, data: bytes, wall_s: int) -> VerifiedRecord:
        """One record as it came; raises `PeerError`."""
        known = self.taken.get(data)
        if known is not None:
            return known
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
                self.items[(record.item, record.digest)] = record
        self.taken[data] = record
        return record

    @property
    def live(self) -> list[VerifiedRecord]:
        if self.newest is not None:
            return [self.newest]
        return [record for (item, _), record in self.items.items() if item not in self.ended]

    @property
    def seen(self) -> list[ItemId]:
        """Ids that need not be sent again."""
        ids = [*dict.fromkeys(item for item, _ in self.items), *self.ended]
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
        cause: Cause,
        family: Family,
        key: RecordKey,
        width: int,
        replicas: int,
        radius: int,
        all_holders: bool,
        held: list[bytes],
        remember: Callable[[list[Peer], Now], None],
        then: Then,
        now: Now,
    ) -> None:
        self._searches = searches
        self._exchanges = exchanges
        self._counters = counters
        self._random = random
        self._own = own
        self._cause = cause
        self._single = family is Family.SINGLE
        self._place = int.from_bytes(key, "big")
        self._width = width
        self._replicas = replicas
        self._radius = radius
        self._widened = False
        self._all_holders = all_holders or not self._single
        self._remember = remember
        self._then = then
        self._began_s = now.steady
        self._gathered = Gathered(key)
        self._asked: dict[NodeKey, int] = {}
        """Who was asked, and how many of the items named to them as known are live."""
        self._answered = 0
        self._given: dict[NodeKey, int] = {}
        """Records that nobody had given before."""
        self._fetching = Fetching(
            searches.alarms, self._place, ask=self._fetch, ours=self._ours, take=self._take, on_end=self._on_fetched
        )
        self._grace: Alarm | None = None
        self._is_over = False
        self._add(held, now)
        self._search = searches.start(
            key,
            self,
            now,
            cause=self._cause,
            own=own,
            width=width,
            parallel=width if self._all_holders else limits.GET_PARALLEL,
            patient=width,
            thorough=not self._single,
            grows=True,
        )
        if self._search is None:
            searches.alarms.at(now.steady, self._finish)

    # --- the look-up's errand

    def question(self, peer: Peer) -> Body:
        """Nearer than the region's edge: the question itself; farther: only the way."""
        if peer.place ^ self._place > self._radius:
            return Find(masked(self._gathered.key, self._searches.prefix_bits(), self._random))
        named = self._gathered.seen[-limits.GET_KNOWN_IN_PACKET :]
        self._asked[peer.key] = sum(item not in self._gathered.ended for item in named)
        newest = self._gathered.newest
        sequence = newest.content.sequence if newest and isinstance(newest.content, Single) else 0
        return Get(self._gathered.key, named, sequence)

    def on_answer(self, peer: Peer, body: Body, now: Now) -> bool:
        if isinstance(body, Nodes):
            return True
        if not isinstance(body, Values):
            return False
        given = self._add(self._within_bounds(peer, body.records), now)
        if given is None:
            return False
        self._answered += 1
        if body.more:
            live = sum(not isinstance(record.content, Tombstone) for record in given)
            self._fetching.on_more(peer, self._asked.get(peer.key, 0) + live + body.more)
            if self._single:
                self._fetching.fetch(peer, now)
        if self._single and self._search is not None and self._gathered.live:
            self._search.lookup.patient = 0
            if not self._all_holders and self._grace is None:
                self._search.rest()
                grace_s = self._searches.rpc.round_trips.typical_s / 2
                self._grace = self._searches.alarms.at(now.steady + grace_s, self._finish)
        return True

    def on_end(self, now: Now) -> None:
        if self._widen(now):
            return
        self._note_density()
        if not self._single:
            self._fetching.go_on(now)
        elif self._gathered.newest or not self._fetching.under_way:
            self._finish(now)

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
            cause=self._cause,
            own=self._own,
            width=limits.REGION_CEILING * self._replicas,
            radius=self._radius,
            seeds=search.lookup.nearest(limits.LOOKUP_CANDIDATES),
        )
        self._search = again or search
        return again is not None

    # --- over QUIC

    def _fetch(self, peer: Peer, small: bool, then: Callable[[Body | None, Now], None], now: Now) -> None:
        get = Get(self._gathered.key, self._gathered.seen)
        if small and len(get.known) <= limits.GET_KNOWN_IN_PACKET:
            self._searches.rpc.ask(peer, get, then, now, cause=self._cause, own=self._own)
        else:
            self._exchanges.ask(peer, self._own, get, then, now, self._cause)

    def _ours(self) -> int:
        # What has ended is not counted: who holds nothing else has just as much to give.
        return len(self._gathered.live)

    def _take(self, peer: Peer, body: Values, now: Now) -> None:
        self._add(self._within_bounds(peer, body.records), now)
        if self._gathered.newest and not self._all_holders:
            self._finish(now)

    def _on_fetched(self, now: Now) -> None:
        if self._search is None or self._search.is_over:
            self._finish(now)

    # --- the end

    def _within_bounds(self, peer: Peer, records: list[bytes]) -> list[bytes]:
        """Without what is more than a holder keeps, items and tombstones: each costs us work, and them little."""
        few: list[bytes] = []
        for data in records:
            if data not in self._gathered.taken:
                if self._given.get(peer.key, 0) >= 2 * limits.SET_ITEMS:
                    continue
                self._given[peer.key] = self._given.get(peer.key, 0) + 1
            few.append(data)
        return few

    def _add(self, records: list[bytes], now: Now) -> list[VerifiedRecord] | None:
        """Those that are of now; None where one of them is not right."""
        given: list[VerifiedRecord] = []
        are_right = True
        for data in records:
            try:
                given.append(self._gathered.add(data, now.wall_s))
            except PeerError as error:
                self._counters.reject(error.reason, now)
                are_right = are_right and error.reason in UNTIMELY
        return given if are_right else None

    def _finish(self, now: Now) -> None:
        if self._is_over:
            return
        self._is_over = True
        rounds = messages = 0
        if self._search is not None:
            rounds, messages = self._search.lookup.rounds, self._search.lookup.messages
            if self._all_holders and self._gathered.live and not self._widened:
                self._remember(self._search.lookup.nearest(self._replicas + limits.HOLDERS_SPARE), now)
            self._search.stop()
        self._fetching.stop()
        found = Found(
            records=self._gathered.live,
            holders_asked=len(self._asked),
            complete=self._is_told_by_most and self._fetching.complete,
            rounds=rounds,
            messages=messages + self._fetching.count,
            elapsed_ms=(now.steady - self._began_s) * 1000,
        )
        self._then(found, now)

    @property
    def _is_told_by_most(self) -> bool:
        """One word for it that nothing is there is one holder's, and those that say nothing may have it."""
        return self._answered >= self._width or 2 * self._answered > len(self._asked)

    def _note_density(self) -> None:
        if self._search is not None:
            self._searches.note_density(self._search.lookup, self._gathered.key)
