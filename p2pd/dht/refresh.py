"""Keeping records where they belong while nodes come and go (R11).

Rules:
- every 12 hours, and 10 minutes after a start, each node that should hold what we hold is told 8 bytes of each record,
  answers which it lacks, and is sent those: the neighbours are few, and one digest serves all records they share;
- a server that newly stands among the nearest of a record of ours is offered its digest soon, once;
- nothing is extended and nothing pushed unasked; an item meets its tombstone at the other end and is refused;
- what lies far from us, and what the nearest have all confirmed, is dropped.
The work is cut into turns of a few milliseconds.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.alarms import Alarms
from p2pd.dht.bounded import Recent
from p2pd.dht.counters import Cause
from p2pd.dht.exchanges import Exchanges
from p2pd.dht.holdings import Holdings
from p2pd.dht.peers import Peer
from p2pd.dht.questions import BODY_ROOM_BYTES
from p2pd.dht.routing import Table
from p2pd.dht.rpc import Rpc
from p2pd.types import NodeKey, Now, RandomSource, RecordKey
from p2pd.wire.rpc import Body, Digest, Missing, Store

_STORE_HEAD_BYTES = 16


@dataclass(slots=True)
class _Offer:
    """What one node is to be told of: a digest and the record's key for each."""

    peer: Peer
    digests: list[bytes] = field(default_factory=list)
    keys: list[RecordKey] = field(default_factory=list)


@dataclass(slots=True)
class _Round:
    """One pass over all keys."""

    keys: deque[RecordKey]
    only: NodeKey | None
    offers: dict[NodeKey, _Offer] = field(default_factory=dict)


class Refresh:
    """One server's care for what it holds."""

    def __init__(
        self,
        *,
        node: SigningKey,
        place: int,
        replicas: int,
        table: Table,
        holdings: Holdings,
        rpc: Rpc,
        exchanges: Exchanges,
        alarms: Alarms,
        random: RandomSource,
        serves: Callable[[], bool],
    ) -> None:
        self._node = node
        self._place = place
        self._replicas = replicas
        self._table = table
        self._holdings = holdings
        self._rpc = rpc
        self._exchanges = exchanges
        self._alarms = alarms
        self._random = random
        self._serves = serves
        self._offered: Recent[NodeKey, float] = Recent(limits.SOURCES)
        self._handovers: dict[NodeKey, None] = {}
        self._rounds: deque[_Round] = deque(maxlen=limits.HANDOVERS)
        self._confirmed: Recent[RecordKey, dict[NodeKey, None]] = Recent(limits.SOURCES)
        self.sent = 0
        """Records handed to others so far."""
        self.rounds = 0
        """Times that all was gone through."""

    def start(self, now: Now) -> None:
        """Set the first round."""
        self._set_round(limits.REFRESH_AFTER_START_S, now)

    def on_newcomer(self, peer: Peer, now: Now) -> None:
        """A server is new in the table: it may belong to the nearest of what we hold."""
        last = self._offered.find(peer.key)
        recently = last is not None and now.steady - last < limits.HANDOVER_AGAIN_S
        if recently or peer.key in self._handovers or len(self._handovers) >= limits.HANDOVERS:
            return
        if not self._serves() or not self._holdings.records:
            return
        self._handovers[peer.key] = None
        wait_s = self._random.uniform(*limits.HANDOVER_AFTER_S)
        self._alarms.at(now.steady + wait_s, lambda later: self._hand_over(peer, later))

    def answer(self, digest: Digest) -> Missing:
        """Which of these we lack."""
        return Missing([at for at, short in enumerate(digest.digests) if not self._holdings.holds_digest(short)])

    # --- rounds

    def _set_round(self, wait_s: float, now: Now) -> None:
        spread = self._random.uniform(1 - limits.REFRESH_SPREAD, 1 + limits.REFRESH_SPREAD)
        self._alarms.at(now.steady + wait_s * spread, self._on_time)

    def _on_time(self, now: Now) -> None:
        self._set_round(limits.REFRESH_S, now)
        self._holdings.expire(now)
        self.rounds += 1
        self._begin(None, now)

    def _hand_over(self, peer: Peer, now: Now) -> None:
        self._handovers.pop(peer.key, None)
        if peer.key in self._table:
            self._offered.put(peer.key, now.steady)
            self._begin(peer.key, now)

    def _begin(self, only: NodeKey | None, now: Now) -> None:
        if not self._serves():
            return
        self._rounds.append(_Round(deque(self._holdings.keys()), only))
        if len(self._rounds) == 1:
            self._go_on(now)

    def _go_on(self, now: Now) -> None:
        """Read some keys more; offer what has been gathered when all are read."""
        current = self._rounds[0]
        for _ in range(min(limits.REFRESH_KEYS_PER_TURN, len(current.keys))):
            self._gather(current, current.keys.popleft(), now)
        if not current.keys:
            self._rounds.popleft()
            for offer in current.offers.values():
                self._offer(offer, now)
        if self._rounds:
            self._alarms.at(now.steady + limits.REFRESH_TURN_S, self._go_on)

    def _gather(self, current: _Round, key: RecordKey, now: Now) -> None:
        nearest = self._table.nearest(key, 2 * self._replicas)
        holders = [peer for peer in nearest[: self._replicas] if current.only in (None, peer.key)]
        if not holders:
            return
        digests = [short for short, _ in self._holdings.digests(key)]
        for peer in holders:
            offer = current.offers.get(peer.key)
            if offer is None:
                if len(current.offers) >= limits.REFRESH_NODES:
                    continue
                offer = current.offers[peer.key] = _Offer(peer)
            offer.digests += digests
            offer.keys += [key] * len(digests)
        self._drop_if_far(key, nearest, now)

    def _drop_if_far(self, key: RecordKey, nearest: list[Peer], now: Now) -> None:
        """Twice as many are nearer than need be, and the nearest have all confirmed it lately."""
        place = int.from_bytes(key, "big")
        far = len(nearest) >= 2 * self._replicas and nearest[-1].place ^ place < self._place ^ place
        if far and not self._holdings.rests(now) and len(self._confirmed.find(key) or {}) >= self._replicas:
            self._confirmed.pop(key)
            self._holdings.release(key)

    # --- offers

    def _offer(self, offer: _Offer, now: Now) -> None:
        step = limits.DIGESTS_PER_PACKET
        if len(offer.digests) > limits.PUT_PACKETS * step:
            step = limits.DIGESTS_PER_REQUEST
        for at in range(0, len(offer.digests), step):
            part = _Offer(offer.peer, offer.digests[at : at + step], offer.keys[at : at + step])
            self._ask(part.peer, Digest(part.digests), self._answered(part), now)

    def _answered(self, offer: _Offer) -> Callable[[Body | None, Now], None]:
        def then(body: Body | None, now: Now) -> None:
            if not isinstance(body, Missing):
                return
            missing = dict.fromkeys(at for at in body.positions if at < len(offer.digests))
            for at, key in enumerate(offer.keys):
                if at not in missing:
                    self._confirm(key, offer.peer.key)
            self._send(offer, list(missing), now)

        return then

    def _send(self, offer: _Offer, positions: list[int], now: Now) -> None:
        wanted = {offer.digests[at]: None for at in positions}
        keys = dict.fromkeys(offer.keys[at] for at in positions)
        records = (data for key in keys for short, data in self._holdings.digests(key) if short in wanted)
        for batch in _batches(records, BODY_ROOM_BYTES - _STORE_HEAD_BYTES):
            self.sent += len(batch)
            self._ask(offer.peer, Store(batch), lambda body, later: None, now)

    def _confirm(self, key: RecordKey, holder: NodeKey) -> None:
        holders = self._confirmed.find(key) or {}
        holders[holder] = None
        self._confirmed.put(key, holders)

    def _ask(self, peer: Peer, body: Digest | Store, then: Callable[[Body | None, Now], None], now: Now) -> None:
        """In a datagram where it fits, else over QUIC."""
        if len(body.encode()) <= BODY_ROOM_BYTES:
            self._rpc.ask(peer, body, then, now, cause=Cause.REFRESH)
        else:
            self._exchanges.ask(peer, self._node, body, then, now, Cause.REFRESH)


def _batches(records: Iterator[bytes], room: int) -> Iterator[list[bytes]]:
    """Small records by the datagram, the large ones together, as many as pass in fragments."""
    small: list[bytes] = []
    large: list[bytes] = []
    for data in records:
        if len(data) > room:
            if sum(map(len, large)) + 3 * len(large) + len(data) > limits.FRAGMENTED_BYTES - 2 * _STORE_HEAD_BYTES:
                yield large
                large = []
            large.append(data)
            continue
        full = sum(map(len, small)) + 3 * len(small) + len(data) > room
        if full or len(small) >= limits.RECEIPTS_PER_PACKET:
            yield small
            small = []
        small.append(data)
    if small:
        yield small
    if large:
        yield large
