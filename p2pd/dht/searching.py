"""Look-ups put to work: each one's questions go out over the wire, its end is told to whoever wants it.

Knows no records: what is asked of a node, and what else its answer holds, is the caller's.
Rules: at most so many at once, the others wait in order; each ends by itself after `LOOKUP_S`.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.alarms import Alarm, Alarms
from p2pd.dht.counters import LEISURELY, Cause
from p2pd.dht.lookup import Lookup
from p2pd.dht.measures import Timings
from p2pd.dht.peers import SPACE_BITS, Peer, has_family, may_tell, peers_of
from p2pd.dht.puzzles import Puzzles
from p2pd.dht.routing import Table
from p2pd.dht.rpc import Rpc
from p2pd.dht.settings import DhtSettings
from p2pd.dht.sizing import NetworkSize
from p2pd.types import NodeKey, Now
from p2pd.wire.rpc import Body, Contact, Nodes, Values


class Errand(Protocol):
    """What a search is for."""

    def question(self, peer: Peer) -> Body:
        """What to ask this node."""
        ...

    def on_answer(self, peer: Peer, body: Body, now: Now) -> bool:
        """An answer came; False: it was not right, and what it names is not followed."""
        ...

    def on_end(self, now: Now) -> None:
        """The search is over, and was not stopped."""
        ...


class Search:
    """One look-up under way."""

    def __init__(
        self,
        searches: "Searches",
        errand: Errand,
        *,
        cause: Cause,
        own: SigningKey | None,
        make_lookup: Callable[[], Lookup],
        on_step: Callable[[Now], None] | None,
    ) -> None:
        self._searches = searches
        self._errand = errand
        self._cause = cause
        self._own = own
        self._make_lookup = make_lookup
        self._on_step = on_step
        self._lookup: Lookup | None = None
        self._deadline: Alarm | None = None
        self.began_s = 0.0
        self.is_over = False
        self._is_resting = False

    @property
    def is_leisurely(self) -> bool:
        """Whether nobody waits for it."""
        return self._cause in LEISURELY

    @property
    def lookup(self) -> Lookup:
        """The state; once it has begun."""
        assert self._lookup is not None  # noqa: S101 - an errand is only called back by a search that runs
        return self._lookup

    @property
    def has_begun(self) -> bool:
        """Whether its turn has come."""
        return self._lookup is not None

    def begin(self, now: Now) -> None:
        self.began_s = now.steady
        self._lookup = self._make_lookup()
        self._deadline = self._searches.alarms.at(now.steady + limits.LOOKUP_S, self._end)
        for peer in self._lookup.next_asks():
            self._ask(peer, now)
        if self._lookup.is_over:  # nobody to ask; its owner does not expect the end before the beginning
            self._searches.alarms.at(now.steady, self._end)

    def rest(self) -> None:
        """Ask nobody more: end with the answers that are under way."""
        self._is_resting = True

    def stop(self) -> None:
        """End without telling the errand; answers still on their way are forgotten."""
        if self.is_over:
            return
        self.is_over = True
        if self._deadline:
            self._deadline.cancel()
        if self._lookup:
            self._lookup.end()
        self._searches.on_over(self)

    def go_on(self, now: Now) -> None:
        """Ask whoever comes next; the end, where there is nobody; nothing, where an answer has ended it."""
        if self.is_over:
            return
        if self._is_resting:
            if not self.lookup.in_flight:
                self._end(now)
            return
        for peer in self.lookup.next_asks():
            self._ask(peer, now)
        if self.lookup.is_over:
            self._end(now)
        elif self._on_step:
            self._on_step(now)

    def _ask(self, peer: Peer, now: Now) -> None:
        self._searches.rpc.ask(
            peer,
            self._errand.question(peer),
            lambda body, later: self._on_answer(peer, body, later),
            now,
            cause=self._cause,
            own=self._own,
            on_slow=lambda later: self._on_slow(peer, later),
        )

    def _on_slow(self, peer: Peer, now: Now) -> None:
        if not self.is_over:
            self.lookup.on_slow(peer)
            self.go_on(now)

    def _on_answer(self, peer: Peer, body: Body | None, now: Now) -> None:
        if self.is_over:
            return
        if isinstance(body, Nodes | Values) and self._errand.on_answer(peer, body, now):
            self.lookup.on_answered(peer, [] if self._is_resting else self._searches.told(peer, body.contacts, now))
        else:
            self.lookup.on_failed(peer)
        self.go_on(now)

    def _end(self, now: Now) -> None:
        if self.is_over:
            return
        self.stop()
        self._searches.timings.add((now.steady - self.began_s) * 1000, self.lookup.rounds)
        self._errand.on_end(now)


class Searches:
    """All look-ups of a node."""

    def __init__(
        self,
        *,
        own: NodeKey,
        settings: DhtSettings,
        table: Table,
        rpc: Rpc,
        alarms: Alarms,
        puzzles: Puzzles,
        size: NetworkSize,
        on_named: Callable[[Peer, Now], None],
    ) -> None:
        self.addresses = settings.own
        """This machine's: who is named by a family that it does not have cannot be asked."""
        self._on_named = on_named
        self._own = own
        self._settings = settings
        self._table = table
        self._puzzles = puzzles
        self._size = size
        self.rpc = rpc
        self.alarms = alarms
        self.timings = Timings()
        """Of look-ups that went to their end; one that found what it was for is stopped, and not among them."""
        self.crowded = 0
        """Look-ups whose region looked as if someone had put nodes there."""
        self._active: dict[Search, None] = {}
        self._waiting: deque[Search] = deque()
        self._idling: deque[Search] = deque()
        """Those that wait, and for which nobody waits: they begin after all others."""

    def start(
        self,
        target: bytes,
        errand: Errand,
        now: Now,
        *,
        cause: Cause,
        own: SigningKey | None = None,
        width: int | None = None,
        radius: int = 0,
        seeds: Sequence[Peer] = (),
        parallel: int | None = None,
        patient: int = 0,
        thorough: bool = False,
        grows: bool = False,
        on_step: Callable[[Now], None] | None = None,
    ) -> Search | None:
        """Begin a look-up, now or when its turn comes; None when too many wait already.

        It starts from what the table knows and `seeds`, and looks at the nearest `width`, or at those within `radius`;
        does not end before the nearest `patient` have answered or failed, with `thorough` suspects too; one that
        `grows` asks more at once the longer it lasts.  `on_step` is called with each answer or silence that has not
        ended it.
        """
        is_leisurely = cause in LEISURELY
        if self.waiting >= limits.LOOKUPS_OPEN or (is_leisurely and len(self._idling) >= limits.LOOKUPS_BUSY):
            return None
        make = partial(
            self._new_lookup,
            target,
            width or self._settings.converge,
            radius,
            seeds,
            parallel or self._settings.parallel,
            patient,
            thorough,
            grows,
        )
        search = Search(self, errand, cause=cause, own=own, make_lookup=make, on_step=on_step)
        (self._idling if is_leisurely else self._waiting).append(search)
        self._begin_waiting(now)
        return search

    @property
    def waiting(self) -> int:
        """How many look-ups have not begun."""
        return len(self._waiting) + len(self._idling)

    @property
    def is_busy(self) -> bool:
        """Whether so many wait, for which somebody waits, that what can come later should."""
        return len(self._waiting) >= limits.LOOKUPS_BUSY

    def told(self, teller: Peer, contacts: list[Contact], now: Now) -> list[Peer]:
        """Those of the nodes it named that are well formed, that it may know, and that can be asked."""
        peers = [peer for peer in peers_of(contacts) if has_family(self.addresses, peer.endpoint)]
        if not self._settings.private:
            peers = [peer for peer in peers if may_tell(peer, teller)]
        for peer in peers:
            self._on_named(peer, now)
        return peers

    def on_over(self, search: Search) -> None:
        """One ended: another may begin."""
        if self._active.pop(search, True) is None and self.waiting:
            self.alarms.at(0.0, self._begin_waiting)

    def is_crowded(self, lookup: Lookup, target: bytes) -> bool:
        """Whether the nearest stand so much denser than the network that someone put them there (R9)."""
        count = max(self._settings.replicas, limits.BUCKET_SIZE)  # fewer lie close together by chance
        nearest = lookup.nearest(count)
        if len(nearest) < count:
            return False
        farthest = nearest[-1].place ^ int.from_bytes(target, "big")
        crowded = farthest < self._size.radius(count) / limits.CROWDED
        self.crowded += crowded
        return crowded

    def note_density(self, lookup: Lookup, target: bytes) -> None:
        """A converged look-up tells how large the network is."""
        self._size.add(lookup.converged, target)

    def prefix_bits(self) -> int:
        """How much of a key those outside its region are shown (R14)."""
        return min(SPACE_BITS, self._size.estimate().bit_length() + limits.PREFIX_BITS_EXTRA)

    def _new_lookup(
        self,
        target: bytes,
        width: int,
        radius: int,
        seeds: Sequence[Peer],
        parallel: int,
        patient: int,
        thorough: bool,
        grows: bool,
    ) -> Lookup:
        settings = self._settings
        return Lookup(
            target,
            [*seeds, *self._table.nearest(target, max(width, limits.BUCKET_SIZE))],
            own=self._own,
            width=width,
            radius=radius,
            paths=settings.paths,
            parallel=parallel,
            caps=None if settings.private else (settings.result_per_24, settings.result_per_16),
            admit=lambda peer: self._puzzles.satisfied(peer.key),
            suspect=self.rpc.suspects.__contains__,
            patient=patient,
            thorough=thorough,
            grows=grows,
        )

    def _begin_waiting(self, now: Now) -> None:
        while (search := self._next_waiting()) is not None:
            if not search.is_over:
                self._active[search] = None
                search.begin(now)

    def _next_waiting(self) -> Search | None:
        """Whose turn has come, if there is a place."""
        if len(self._active) >= limits.LOOKUPS_ACTIVE:
            return None
        if self._waiting:
            return self._waiting.popleft()
        has_place = self._idling and sum(search.is_leisurely for search in self._active) < limits.LOOKUPS_LEISURELY
        return self._idling.popleft() if has_place else None
