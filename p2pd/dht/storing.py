"""Putting records where they belong: the nearest nodes, receipts, second tries.

Knows nothing of what records mean.
Rules:
- records go to the `replicas` nearest that answer; where the key looks crowded, to the whole region (R9);
- whoever has answered and is among the nearest known within the region is asked to keep them while the look-up still
  converges; where it finds nearer ones, they are asked too;
- a put where all holders are known from the one before asks them at once, and looks for others only when one is slow;
- a receipt counts when its signature does; a tombstone has none, and counts when the holder says that it is kept;
- a holder counts once all records are kept there; our own copy never counts;
- `stored` needs 8 holders, or all live servers where there are fewer, at least 2;
- whoever fails is replaced by the next nearest, and tried again while too few have it;
- whoever refuses a record for what it is keeps its place: a record that is out of date must not settle farther off;
- newer records may take the place of those under way: one look-up serves both, and whoever was asked is asked anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.counters import Cause, Counters
from p2pd.dht.exchanges import Exchanges
from p2pd.dht.lookup import Lookup
from p2pd.dht.parcels import Parcel, parcels_of
from p2pd.dht.peers import SPACE_BITS, Peer, by_distance, masked
from p2pd.dht.records import VerifiedRecord, check_receipt
from p2pd.dht.searching import Search, Searches
from p2pd.errors import PeerError
from p2pd.types import NodeKey, Now, RandomSource
from p2pd.wire.record import Single, Tombstone
from p2pd.wire.rpc import Body, Failed, Find, Nodes, Refusal, Store, Stored

_VERDICTS = frozenset(
    (
        Refusal.KEPT,
        Refusal.INVALID,
        Refusal.EXPIRED,
        Refusal.TOO_LONG,
        Refusal.OLDER,
        Refusal.CONFLICT,
        Refusal.DELETED,
    )
)
"""What is said of a record, not of a holder."""


@dataclass(frozen=True, slots=True)
class PutProgress:
    """How far a put is; told when it becomes `stored` and when it is done."""

    receipts: int
    """Holders that have all records."""
    wanted: int
    """Holders that `stored` needs."""
    done: bool
    holders: tuple[NodeKey, ...]
    small_network: bool
    """Fewer servers were found than `stored` needs elsewhere."""
    refused: dict[Refusal, int]
    """How many records were refused by how many holders, by reason."""
    rounds: int
    messages: int

    @property
    def stored(self) -> bool:
        return self.receipts >= self.wanted


Progress = Callable[[PutProgress, Now], None]


@dataclass(slots=True)
class _Holder:
    """One node, and the parcels it has not confirmed yet."""

    peer: Peer
    missing: dict[int, None]
    failed: bool = False
    """Another takes its place; it may still confirm."""
    judged: bool = False
    """It refused a record for what it is: others would too, and it keeps its place."""
    asking: int = 0


@dataclass(slots=True)
class _State:
    copies: int
    live: int
    """Servers that were found; as many as are needed, until the look-up has converged."""
    holders: dict[NodeKey, _Holder] = field(default_factory=dict)
    spare: list[Peer] = field(default_factory=list)
    converged: bool = False
    tries: int = 0
    messages: int = 0
    refused: dict[Refusal, int] = field(default_factory=dict)
    widened: bool = False
    told_stored: bool = False
    done: bool = False


class Putting:
    """One put; all its records lie under one key."""

    def __init__(
        self,
        *,
        searches: Searches,
        exchanges: Exchanges,
        counters: Counters,
        random: RandomSource,
        own: SigningKey,
        cause: Cause,
        records: Sequence[VerifiedRecord],
        replicas: int,
        parallel: int,
        radius: int,
        shown: int,
        known: Sequence[Peer],
        keep: Callable[[Sequence[VerifiedRecord], list[Peer], Now], None],
        remember: Callable[[list[Peer], Now], None],
        progress: Progress,
        now: Now,
    ) -> None:
        self._searches = searches
        self._exchanges = exchanges
        self._counters = counters
        self._random = random
        self._own = own
        self._cause = cause
        self._key = records[0].key
        self._place = int.from_bytes(self._key, "big")
        self._records = records
        self._parcels = parcels_of(records)
        self._replicas = replicas
        self._radius = radius
        self._shown = shown
        self._parallel = parallel
        self._known = known
        self._keep = keep
        self._remember = remember
        self._progress = progress
        self._state = _State(copies=replicas, live=replicas)
        self._search: Search | None = None
        self._near: list[Peer] = []
        if len(known) < replicas:
            self._look_up(now)
        else:
            self._state.converged = True
            self._keep_own(list(known), now)
            self._state.spare = list(known[replicas:])
            for peer in known[:replicas]:
                self._begin(peer, now)

    def is_older(self, record: VerifiedRecord) -> bool:
        """Whether this single is newer than the one that is being put."""
        ours, theirs = self._records[0].content, record.content
        return isinstance(ours, Single) and isinstance(theirs, Single) and ours.sequence < theirs.sequence

    def replace(self, records: Sequence[VerifiedRecord], progress: Progress, now: Now) -> None:
        """Newer ones of the same key take the place of these before all is done; who asked for these hears no more."""
        state = self._state
        self._records, self._parcels, self._progress = records, parcels_of(records), progress
        state.refused, state.told_stored = {}, False
        if state.converged:
            self._keep_own(self._near, now)
        for holder in state.holders.values():
            holder.missing, holder.judged = dict.fromkeys(range(len(self._parcels))), False
            self._store(holder, now)

    def _keep_own(self, near: list[Peer], now: Now) -> None:
        self._near = near
        self._keep(self._records, near, now)

    def _look_up(self, now: Now) -> None:
        self._state.converged = False
        self._search = self._searches.start(
            self._key,
            self,
            now,
            cause=self._cause,
            own=self._own,
            parallel=self._parallel,
            seeds=self._known,
            patient=self._replicas,
            thorough=True,
            on_step=self._on_step,
        )
        if self._search is None:
            self._searches.alarms.at(now.steady, self._finish)

    # --- the look-up's errand

    def question(self, peer: Peer) -> Body:
        bits = self._searches.prefix_bits()
        if self._state.widened:  # asked everywhere in the region, or the crowd at the key hides the rest of it
            bits = min(bits, SPACE_BITS - self._radius.bit_length())
        return Find(masked(self._key, bits, self._random))

    def on_answer(self, peer: Peer, body: Body, now: Now) -> bool:
        return isinstance(body, Nodes)

    def on_end(self, now: Now) -> None:
        search, state = self._search, self._state
        assert search is not None  # noqa: S101 - it is this search that calls
        lookup = search.lookup
        if not state.widened and self._searches.is_crowded(lookup, self._key) and self._widen(lookup, now):
            return
        self._searches.note_density(lookup, self._key)
        near = lookup.nearest(limits.LOOKUP_CANDIDATES)
        self._keep_own(near, now)
        if state.widened:
            within = len(lookup.within(self._radius))
            state.copies = max(self._replicas, min(within, limits.REGION_CEILING * self._replicas))
        state.live = len(near)
        state.converged = True
        state.spare = near[state.copies :] + lookup.further(limits.LOOKUP_CONVERGE)
        for peer in near[: state.copies]:
            self._begin(peer, now)
        self._fill(now)

    def _on_step(self, now: Now) -> None:
        """Who is sure to be among the nearest need not wait for the look-up's end."""
        state, search = self._state, self._search
        if search is None or not search.has_begun or state.converged or state.widened:
            return
        failed = sum(holder.failed for holder in state.holders.values())
        for peer in search.lookup.settled(self._replicas + failed):
            if peer.place ^ self._place <= self._shown and len(state.holders) < 2 * self._replicas:
                self._begin(peer, now)

    def _widen(self, lookup: Lookup, now: Now) -> bool:
        """Look again, at the whole region; False when it cannot be begun."""
        self._counters.reject("crowded", now)
        self._state.widened = True
        search = self._searches.start(
            self._key,
            self,
            now,
            cause=self._cause,
            own=self._own,
            width=limits.REGION_CEILING * self._replicas,
            radius=self._radius,
            seeds=lookup.nearest(limits.LOOKUP_CANDIDATES),
        )
        self._search = search or self._search
        return search is not None

    # --- storing

    def _fill(self, now: Now) -> None:
        """Ask the next nearest until enough have it or are being asked."""
        state = self._state
        self._on_step(now)
        while state.converged and sum(not holder.failed for holder in state.holders.values()) < state.copies:
            if state.spare:
                self._begin(state.spare.pop(0), now)
            elif self._search is None:  # those known from before do not suffice
                self._look_up(now)
            else:
                break
        self._look(now)

    def _begin(self, peer: Peer, now: Now) -> None:
        """Ask a node to keep all of it, unless it was asked."""
        if peer.key not in self._state.holders:
            holder = _Holder(peer, dict.fromkeys(range(len(self._parcels))))
            self._state.holders[peer.key] = holder
            self._store(holder, now)

    def _store(self, holder: _Holder, now: Now) -> None:
        holder.failed = False
        for index in list(holder.missing):
            holder.asking += 1
            self._state.messages += 1
            self._send(holder, index, now)

    def _send(self, holder: _Holder, index: int, now: Now) -> None:
        parcels = self._parcels
        parcel = parcels[index]
        body = Store([record.data for record in parcel.records])

        def then(reply: Body | None, later: Now) -> None:
            holder.asking -= 1
            if parcels is not self._parcels:
                pass  # of what is out of date; the answer to what took its place counts
            elif self._confirms(reply, holder.peer.key, parcel, later):
                holder.missing.pop(index, None)
            elif isinstance(reply, Stored) and any(reply.results) and _VERDICTS.issuperset(reply.results):
                holder.judged = True
            else:
                holder.failed = True
            if not self._state.done:
                self._fill(later)

        if parcel.fits_datagram:
            self._searches.rpc.ask(
                holder.peer,
                body,
                then,
                now,
                cause=self._cause,
                own=self._own,
                on_slow=lambda later: self._on_slow(holder, later),
            )
        else:
            self._exchanges.ask(holder.peer, self._own, body, then, now, self._cause)

    def _on_slow(self, holder: _Holder, now: Now) -> None:
        """Another is asked beside it; it may still confirm."""
        holder.failed = True
        if not self._state.done:
            self._fill(now)

    def _confirms(self, reply: Body | None, holder: NodeKey, parcel: Parcel, now: Now) -> bool:
        match reply:
            case Stored():
                results = reply.results
            case Failed():
                results = [reply.reason] * len(parcel.records)
            case _:
                return False
        for result in results:
            if result and len(self._state.refused) < len(Refusal):
                reason = Refusal(result) if result in tuple(Refusal) else Refusal.UNSUPPORTED
                self._state.refused[reason] = self._state.refused.get(reason, 0) + 1
        if len(results) != len(parcel.records) or any(results) or not isinstance(reply, Stored):
            return False
        return self._receipts_hold(reply.receipts, holder, parcel, now)

    def _receipts_hold(self, receipts: list[bytes], holder: NodeKey, parcel: Parcel, now: Now) -> bool:
        promised = [record for record in parcel.records if not isinstance(record.content, Tombstone)]
        if len(receipts) != len(promised):
            return False
        try:
            for receipt, record in zip(receipts, promised, strict=True):
                check_receipt(receipt, record.digest, record.content.expires_s, holder)
        except PeerError as error:
            self._counters.reject(error.reason, now)
            return False
        return True

    # --- how far it is

    def _look(self, now: Now) -> None:
        state = self._state
        enough = len(self._complete()) >= state.copies
        if self._report(done=False).stored and not state.told_stored:
            state.told_stored = True
            if not state.converged or (self._under_way() and not enough):
                self._progress(self._report(done=False), now)
        if not state.converged:
            return
        if enough:
            self._finish(now)
        elif not self._under_way():
            self._retry_or_finish(now)

    def _retry_or_finish(self, now: Now) -> None:
        state = self._state
        failed = [holder for holder in state.holders.values() if holder.missing and not holder.judged]
        if not failed or state.told_stored or state.tries >= len(limits.PUT_RETRY_S):
            self._finish(now)
            return
        wait_s = limits.PUT_RETRY_S[state.tries]
        state.tries += 1
        self._searches.alarms.at(now.steady + wait_s, lambda later: self._retry(failed, later))

    def _retry(self, failed: list[_Holder], now: Now) -> None:
        if self._state.done:
            return
        for holder in failed:
            self._store(holder, now)
        self._look(now)

    def _complete(self) -> list[NodeKey]:
        return [key for key, holder in self._state.holders.items() if not holder.missing]

    def _under_way(self) -> bool:
        return any(holder.asking for holder in self._state.holders.values())

    def _report(self, *, done: bool) -> PutProgress:
        state = self._state
        usual = min(limits.STORED_RECEIPTS, self._replicas)
        complete = self._complete()
        rounds = messages = 0
        if self._search is not None and self._search.has_begun:
            rounds, messages = self._search.lookup.rounds, self._search.lookup.messages
        return PutProgress(
            receipts=len(complete),
            wanted=max(limits.STORED_RECEIPTS_MIN, min(usual, state.live)),
            done=done,
            holders=tuple(complete),
            small_network=state.live < usual,
            refused=dict(state.refused),
            rounds=rounds + 1,
            messages=messages + state.messages,
        )

    def _finish(self, now: Now) -> None:
        state = self._state
        if not state.done:
            state.done = True
            complete = self._complete()
            if len(complete) >= state.copies and not state.widened:
                nearest = sorted((state.holders[key].peer for key in complete), key=by_distance(self._place))
                self._remember([*nearest[: state.copies], *state.spare[: limits.HOLDERS_SPARE]], now)
            self._progress(self._report(done=True), now)
