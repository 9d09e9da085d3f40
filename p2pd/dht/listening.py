"""Hearing at once what arrives under our own open sets: the asking side of `listen`.

Knows nothing of what items mean.
Rules:
- a few of the nearest holders are asked to push, each until a time, and asked again well before it: a renewal is one
  small exchange, a new look-up comes only every few hours, when half of them are gone, or when one is not told anew;
- who does not promise is not asked again before a search is due anyhow, while there are others: it may have no room, or
  be one of those who want the key to themselves; where all are silent it is our line that is cut, and where our clock
  was wrong it is that, and nobody refuses;
- a server that we newly know of and that stands nearer than the furthest of them is found by a look-up soon: who writes
  knows it too, and while a network is young few of the first holders stay among the nearest;
- who does not serve may have a router in front that lets in only answers, for a short while: a small packet now and
  then keeps it open for each holder; and who is somewhere else, or was asleep, asks all of them anew, and each for what
  it took meanwhile;
- what is pushed is verified, given once, and answered always; what one holder pushes beyond what it may have taken is
  read with the rest of the set;
- the set is read once, when listening begins, or by who listens; who newly promises is asked after that, alone, for
  what it took before it knew of us;
- an empty push announces something large: it is asked for where it was announced, and the other holders, who announce
  it too, then only for what is still lacking; where that brings no end, or is slow, a get reads the whole set.
"""

from collections.abc import Callable
from typing import Protocol

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.alarms import Alarm, Alarms
from p2pd.dht.bounded import Recent
from p2pd.dht.counters import Cause, Counters
from p2pd.dht.exchanges import Exchanges
from p2pd.dht.peers import Peer, by_distance, masked
from p2pd.dht.rates import TokenBucket, TokenBuckets
from p2pd.dht.records import VerifiedRecord, check_time, verified
from p2pd.dht.rpc import Rpc
from p2pd.dht.searching import Search, Searches
from p2pd.domains import Domain
from p2pd.errors import PeerError, QuotaError
from p2pd.types import AddressKey, ItemId, NodeKey, Now, RandomSource, RecordKey
from p2pd.wire.record import Family, OpenItem, record_key
from p2pd.wire.rpc import Body, Find, Get, Listen, Listening, Nodes, Values, listen_bytes

OnPush = Callable[[list[VerifiedRecord], Now], None]
"""What came together: one pushed, or all that a reading has found."""
OnFetched = Callable[[list[VerifiedRecord], Now], None]


class AddressSigning(Protocol):
    """The owner's key of an address: an ordinary or a blinded one."""

    @property
    def public(self) -> bytes: ...

    def sign(self, domain: Domain, message: bytes) -> bytes: ...


class ListenHandle:
    """One listen; close it to hear no more."""

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close

    def close(self) -> None:
        """Hear no more; holders forget us when their time is over."""
        self._close()


class Listens:
    """All addresses that this node listens at."""

    def __init__(
        self,
        *,
        searches: Searches,
        rpc: Rpc,
        exchanges: Exchanges,
        alarms: Alarms,
        counters: Counters,
        random: RandomSource,
        fetch: Callable[[AddressKey, OnFetched, Now], None],
        serves: Callable[[], bool],
    ) -> None:
        self.searches = searches
        self.rpc = rpc
        self.exchanges = exchanges
        self.alarms = alarms
        self.counters = counters
        self.random = random
        self.fetch = fetch
        self._serves = serves
        self._ears: dict[RecordKey, Ear] = {}
        self._pushes: TokenBuckets[NodeKey] = TokenBuckets(limits.PUSHES_PER_S, limits.SET_ITEMS)
        self._open_alarm: Alarm | None = None

    def listen(
        self, address: AddressSigning, own: SigningKey, on_push: OnPush, now: Now, *, reads: bool
    ) -> ListenHandle:
        """Hear what arrives under an open set, asking as `own`; raises `QuotaError` beyond `LISTENS`."""
        key = record_key(Family.OPEN_SET, AddressKey(address.public))
        if key not in self._ears and len(self._ears) >= limits.LISTENS:
            raise QuotaError(f"already listening at {limits.LISTENS} addresses; close one first")
        if key in self._ears:
            self._ears[key].close()
        ear = self._ears[key] = Ear(self, address, key, own, on_push)
        ear.search(now)
        if reads:
            ear.fetch(now)
        if self._open_alarm is None:
            self._keep_open(now)

        def close() -> None:
            ear.close()
            if self._ears.get(key) is ear:
                del self._ears[key]

        return ListenHandle(close)

    def renew(self, now: Now) -> None:
        """We are somewhere else, or were away: have all holders push to where we are."""
        for ear in self._ears.values():
            ear.renew(now)

    def forget_refusals(self, now: Now) -> None:
        """What we took for the time was wrong, and with it until when we asked: who refused that may promise now."""
        for ear in self._ears.values():
            ear.forget_refusals(now)

    def _keep_open(self, now: Now) -> None:
        """Have a router in front of us go on letting pushes in, unless everybody reaches us."""
        self._open_alarm = self.alarms.at(now.steady + limits.LISTEN_OPEN_S, self._keep_open) if self._ears else None
        if not self._serves():
            for endpoint in dict.fromkeys(
                peer.endpoint for ear in self._ears.values() for peer in ear.holders.values()
            ):
                self.rpc.keep_open(endpoint)

    def on_kept(self, record: VerifiedRecord, now: Now) -> None:
        """We hold a new item ourselves: nobody needs to push it."""
        ear = self._ears.get(record.key)
        if ear is not None:
            ear.on_records([record], now)

    def on_push(self, holder: Peer, own: SigningKey, data: bytes, now: Now) -> bool:
        """Something was pushed to a key of ours; False when we did not ask this node for it."""
        ears = [ear for ear in self._ears.values() if ear.own is own and holder.key in ear.holders]
        if not ears:
            return False
        if data and self._pushes.take(holder.key, now.steady):
            record = self.checked(data, now)
            ear = next((ear for ear in ears if record is not None and ear.key == record.key), None)
            if record is None or ear is None:
                return False
            ear.on_records([record], now)
            return True
        for ear in ears:
            ear.on_announcement(holder.key, now)
        return True

    def on_newcomer(self, peer: Peer, now: Now) -> None:
        """A server is new in the table: it may belong to those who should push."""
        for ear in self._ears.values():
            ear.on_newcomer(peer, now)

    def on_table_lost(self, key: NodeKey, now: Now) -> None:
        """A node is gone: who relied on it looks again, soon and not all at once."""
        for ear in self._ears.values():
            ear.lose(key, now)

    def checked(self, data: bytes, now: Now) -> VerifiedRecord | None:
        """A record that a holder gave; None where it is not right."""
        try:
            record = verified(data)
            check_time(record, now.wall_s)
        except PeerError as error:
            self.counters.reject(error.reason, now)
            return None
        return record


class Ear:
    """One address that we listen at."""

    def __init__(
        self, listens: Listens, address: AddressSigning, key: RecordKey, own: SigningKey, on_push: OnPush
    ) -> None:
        self._listens = listens
        self._address = address
        self._on_push = on_push
        self.key = key
        self.own = own
        self.holders: dict[NodeKey, Peer] = {}
        """Who is asked to push."""
        self._promised: dict[NodeKey, None] = {}
        """Who of them has said yes."""
        self._refused: Recent[NodeKey, float] = Recent(limits.REPLICAS)
        """Who has not, and when, steady seconds."""
        self._answered_s = float("-inf")
        """When any of them last answered."""
        self._seen: Recent[bytes, ItemId] = Recent(limits.LISTEN_SEEN)
        self._behind: dict[NodeKey, Peer] = {}
        """Holders that may have something that we have not read."""
        self._asked: set[NodeKey] = set()
        """Who is being asked for it in a datagram; one question at a time, however often it pushes."""
        self._fetches = 0
        """Readings of all that lies there, or of something large, under way."""
        self._searched_s = 0.0
        self._fetched_s = -limits.LISTEN_FETCH_SELDOM_S
        self._announced = TokenBucket(1 / limits.LISTEN_FETCH_SELDOM_S, limits.LISTEN_FETCH_BURST)
        self._alarm: Alarm | None = None
        self._fetch_alarm: Alarm | None = None
        self._nearer_alarm: Alarm | None = None
        self._search: Search | None = None
        self._new_meanwhile: list[Peer] = []
        """Servers that became known while a search was under way: the nearest, as many as a search finds."""
        self._is_closed = False

    # --- finding holders: a look-up's errand

    def search(self, now: Now) -> None:
        """Look for the nearest holders, and ask them."""
        if self._is_closed:
            return
        self._searched_s = now.steady
        if self._search is not None:
            self._search.stop()
        self._search = self._listens.searches.start(
            self.key, self, now, cause=Cause.LISTEN, own=self.own, width=2 * limits.LISTEN_HOLDERS
        )
        self._ring_in(limits.LISTEN_RETRY_S, now)

    def question(self, peer: Peer) -> Body:
        return Find(masked(self.key, self._listens.searches.prefix_bits(), self._listens.random))

    def on_answer(self, peer: Peer, body: Body, now: Now) -> bool:
        return isinstance(body, Nodes)

    def on_end(self, now: Now) -> None:
        if self._search is None or self._is_closed:
            return
        since_s = now.steady - limits.LISTEN_SEARCH_S
        near = self._search.lookup.nearest(2 * limits.LISTEN_HOLDERS)
        near.sort(key=lambda peer: (self._refused.find(peer.key) or since_s) > since_s)
        self.holders = {peer.key: self.holders.get(peer.key, peer) for peer in near[: limits.LISTEN_HOLDERS]}
        self._promised = {key: None for key in self._promised if key in self.holders}
        self._renew(now)
        new, self._new_meanwhile = self._new_meanwhile, []
        for peer in new:
            self.on_newcomer(peer, now)

    def on_newcomer(self, peer: Peer, now: Now) -> None:
        """Look again, soon, where it stands nearer than one of ours; once for all that come meanwhile."""
        if self._nearer_alarm is not None or self._is_closed or peer.key in self.holders:
            return
        place = int.from_bytes(self.key, "big")
        if self._search is not None and not self._search.is_over:  # which may find it, or others that are nearer
            self._new_meanwhile = sorted((*self._new_meanwhile, peer), key=by_distance(place))[: limits.LISTEN_HOLDERS]
            return
        farthest = max((holder.place ^ place for holder in self.holders.values()), default=0)
        if len(self.holders) < limits.LISTEN_HOLDERS or peer.place ^ place < farthest:
            due_s = max(now.steady, self._searched_s + limits.LISTEN_NEARER_GAP_S)
            self._nearer_alarm = self._listens.alarms.at(due_s, self._on_nearer)

    def _on_nearer(self, now: Now) -> None:
        self._nearer_alarm = None
        self.search(now)

    # --- asking them

    def forget_refusals(self, now: Now) -> None:
        """Look for holders among those who refused, too."""
        if len(self._refused):
            self._refused.clear()
            self.search(now)

    def renew(self, now: Now) -> None:
        """Ask them anew, now; what they pushed meanwhile went to where we were, or to nobody."""
        if self.holders and not self._is_closed:
            self._promised.clear()
            self._renew(now)

    def _renew(self, now: Now) -> None:
        for peer in list(self.holders.values()):
            self._ask(peer, now)
        wait_s = limits.LISTEN_RENEW_S if self.holders else limits.LISTEN_RETRY_S
        self._ring_in(wait_s * self._listens.random.uniform(0.9, 1.1), now)

    def _ask(self, peer: Peer, now: Now) -> None:
        until_s = now.wall_s + limits.LISTEN_S
        signature = self._address.sign(Domain.SIGN_LISTEN, listen_bytes(self._address.public, self.own.public, until_s))
        self._listens.rpc.accept_as(self.own, peer.key)

        def then(body: Body | None, later: Now) -> None:
            if body is not None:
                self._answered_s = later.steady
            if not isinstance(body, Listening) or not body.until_s:
                if self._answered_s >= now.steady:  # where all are silent it is our line, and they refuse nothing
                    self._refused.put(peer.key, later.steady)
                self.lose(peer.key, later)
            elif peer.key not in self._promised:
                self._promised[peer.key] = None
                self._behind[peer.key] = peer
                self._catch_up(later)

        body = Listen(AddressKey(self._address.public), until_s, signature)
        self._listens.rpc.ask(peer, body, then, now, cause=Cause.LISTEN, own=self.own)

    def _catch_up(self, now: Now) -> None:
        """What they took before they knew of us they pushed to nobody; what is being read now need not come twice."""
        if self._fetches or self._is_closed:
            return
        for peer in [peer for key, peer in self._behind.items() if key not in self._asked]:
            del self._behind[peer.key]
            self._ask_for_more(peer, now)

    def _ask_for_more(self, peer: Peer, now: Now) -> None:
        """What we have not seen, as far as it fits a datagram."""
        self._asked.add(peer.key)

        def then(body: Body | None, later: Now) -> None:
            self._asked.discard(peer.key)
            if self._is_closed:
                return
            is_all = self._take(body, later)
            if not is_all and self._fetches:
                self._behind[peer.key] = peer  # what is being read may not be what it has
            elif not is_all:
                self._fetch_soon(later)
            self._catch_up(later)

        get = Get(self.key, self._seen.values()[-limits.GET_KNOWN_IN_PACKET :])
        self._listens.rpc.ask(peer, get, then, now, cause=Cause.LISTEN, own=self.own)

    def _take(self, body: Body | None, now: Now) -> bool:
        """What a holder gives of all that it has; whether that leaves nothing."""
        if not isinstance(body, Values):
            return False
        given = [record for data in body.records if (record := self._listens.checked(data, now)) is not None]
        self._take_in([record for record in given if record.key == self.key], now)
        return not body.more

    def _take_in(self, records: list[VerifiedRecord], now: Now) -> None:
        # what is there was announced by each holder, and rightly
        self._announced.give(limits.LISTEN_HOLDERS * self.on_records(records, now))

    def lose(self, key: NodeKey, now: Now) -> None:
        """A holder is gone; with half of them left, others are looked for."""
        self._promised.pop(key, None)
        if self.holders.pop(key, None) is not None and len(self.holders) <= limits.LISTEN_HOLDERS // 2:
            self._searched_s = -limits.LISTEN_SEARCH_S
            self._ring_in(limits.LISTEN_RETRY_S * self._listens.random.uniform(0.5, 1.0), now)

    def _ring_in(self, wait_s: float, now: Now) -> None:
        if self._alarm:
            self._alarm.cancel()
        if not self._is_closed:
            self._alarm = self._listens.alarms.at(now.steady + wait_s, self._on_alarm)

    def _on_alarm(self, now: Now) -> None:
        if not self.holders or now.steady - self._searched_s >= limits.LISTEN_SEARCH_S:
            self.search(now)
        else:
            self._renew(now)

    # --- hearing

    def on_records(self, records: list[VerifiedRecord], now: Now) -> int:
        """Give on, once, what is new of these; how many that were."""
        new: list[VerifiedRecord] = []
        for record in records:
            if isinstance(record.content, OpenItem) and record.digest not in self._seen:
                self._seen.put(record.digest, record.item)
                new.append(record)
        if new:
            self._on_push(new, now)
        return len(new)

    def on_announcement(self, holder: NodeKey, now: Now) -> None:
        """One of ours says that something large has arrived there: read it, unless something is read, or was just now.

        It is asked where we asked it to push: where the push seems to come from may be anybody's address.
        """
        self._behind[holder] = self.holders[holder]
        if self._is_closed or self._fetches or self._fetch_alarm is not None:
            return
        if now.steady < self._fetched_s + limits.LISTEN_FETCH_GAP_S:
            self._catch_up(now)  # each of them announces it
        elif self._announced.take(now.steady):  # a holder can always say that there is something
            self._read_at(self._behind.pop(holder), now)
        else:
            self._fetch_at(self._fetched_s + limits.LISTEN_FETCH_SELDOM_S, now)

    def _read_at(self, holder: Peer, now: Now) -> None:
        """All that this one has and we do not know; where it is slow, the whole set as if it had said nothing."""
        self._fetched_s = now.steady
        self._fetches += 1
        is_awaited = True

        def await_no_more() -> None:
            nonlocal is_awaited
            self._fetches -= is_awaited
            is_awaited = False

        def slow(later: Now) -> None:
            await_no_more()
            self.fetch(later)

        def then(body: Body | None, later: Now) -> None:
            is_in_time = is_awaited
            await_no_more()
            if self._is_closed:
                return
            if self._take(body, later) and is_in_time:
                impatience.cancel()
                self._fetch_alarm = None
            self._catch_up(later)

        impatience = self._fetch_alarm = self._listens.alarms.at(now.steady + limits.FETCH_NEXT_S, slow)
        get = Get(self.key, self._seen.values())
        self._listens.exchanges.ask(holder, self.own, get, then, now, Cause.LISTEN)

    def _fetch_soon(self, now: Now) -> None:
        """Read all of it, and once more for what arrives too soon after that."""
        if self._fetch_alarm is not None:
            return
        often = self._announced.take(now.steady)
        self._fetch_at(self._fetched_s + (limits.LISTEN_FETCH_GAP_S if often else limits.LISTEN_FETCH_SELDOM_S), now)

    def _fetch_at(self, due_s: float, now: Now) -> None:
        if self._fetch_alarm is None and now.steady < due_s:
            self._fetch_alarm = self._listens.alarms.at(due_s, self.fetch)
        elif self._fetch_alarm is None:
            self.fetch(now)

    def fetch(self, now: Now) -> None:
        """Read all of it."""
        self._fetch_alarm, self._fetched_s = None, now.steady
        if not self._is_closed:
            self._fetches += 1
            self._listens.fetch(AddressKey(self._address.public), self._on_fetched, now)

    def _on_fetched(self, records: list[VerifiedRecord], now: Now) -> None:
        self._fetches -= 1
        self._take_in(records, now)
        self._catch_up(now)

    def close(self) -> None:
        """Hear no more."""
        self._is_closed = True
        for holder in self.holders:
            self._listens.rpc.accept_no_more(self.own, holder)
        if self._search is not None:
            self._search.stop()
        if self._alarm:
            self._alarm.cancel()
