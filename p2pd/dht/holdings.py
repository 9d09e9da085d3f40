"""The records that this node keeps for others: what is taken, what outranks what, how much.

Knows no network: who brought a record is a name to count under.
Rules (R2, R10):

| family | held | arrives | then |
|---|---|---|---|
| single | sequence n | higher sequence | replaces it |
| single | sequence n | n, other bytes | both are dropped; only a higher sequence is taken from then on |
| sets | item or nothing | tombstone | replaces it; it stays until it and the item have expired |
| sets | tombstone | item | refused |
| sets | item | same id, other bytes | refused: what is held is never evicted |
| open set | its half for stamped items full | item with more stamp bits than the least | replaces that one |
| open set | its half for items without a stamp full | one more | refused |
| sets | `SET_RECORDS` items and tombstones | item | refused: each may leave a tombstone, and all are read for any |

What the store grows by costs the more of its source's bytes of a day, the fuller it is (R34): to fill it takes very
many networks, and who brings little finds room.  What replaces or ends something costs its size.
"""

from dataclasses import dataclass

from p2pd import limits
from p2pd.crypto.stamp import stamp_bits
from p2pd.dht.rates import TokenBucket, TokenBuckets
from p2pd.dht.records import VerifiedRecord, check_time
from p2pd.domains import Domain
from p2pd.errors import PeerError
from p2pd.store import HeldRecord, RecordStore
from p2pd.types import Now, RecordKey
from p2pd.wire.record import Family, OpenItem, Single, Tombstone
from p2pd.wire.rpc import Refusal

DIGEST_BYTES = 8
"""Of a record's digest, in refreshes."""
_KINDS = {Family.SINGLE: "single", Family.SET: "set", Family.OPEN_SET: "open_set"}
_TOMBSTONE = "tombstone"
_DAY_S = float(limits.DAY_S)


@dataclass(frozen=True, slots=True)
class Source:
    """Whom a record comes from, for the quota; a server of our table may hand over more."""

    name: bytes
    is_server: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a record."""

    refusal: Refusal
    is_new: bool = False


class Holdings:
    """One node's records for others."""

    def __init__(self, store: RecordStore, *, quota_bytes: int, source_bytes_per_day: int) -> None:
        self._store = store
        self._quota_bytes = quota_bytes
        self.records, self.bytes = store.usage()
        self._stamps = TokenBucket(limits.STAMPS_PER_S, limits.STAMPS_BURST)
        per_server = float(limits.PER_SERVER_STORE_BYTES_PER_DAY)
        self._strangers: TokenBuckets[bytes] = TokenBuckets(source_bytes_per_day / _DAY_S, float(source_bytes_per_day))
        self._servers: TokenBuckets[bytes] = TokenBuckets(per_server / _DAY_S, per_server)
        self._digests: dict[bytes, None] | None = None
        self._rests_until = float("-inf")

    def on_refused(self, now: Now) -> None:
        """The disk has refused what was kept last: count what there is, and keep nothing for a while."""
        self.records, self.bytes = self._store.usage()
        self._digests = None
        self._rests_until = now.steady + limits.RECORDS_REST_S

    def rests(self, now: Now) -> bool:
        """Whether the disk refused something lately, and nothing is to be written."""
        return now.steady < self._rests_until

    # --- reading

    def held(self, key: RecordKey, now: Now) -> list[HeldRecord]:
        """All that can be given to others, tombstones last, most stamp bits first."""
        rows = [row for row in self._store.held(key) if row.data and row.expires_s > now.wall_s]
        return sorted(rows, key=lambda row: (row.tombstone, -row.stamp_bits))

    def keys(self) -> list[RecordKey]:
        return self._store.keys_held()

    def digests(self, key: RecordKey) -> list[tuple[bytes, bytes]]:
        """For each record under the key, its 8 bytes for a refresh and its data."""
        return [(row.digest[:DIGEST_BYTES], row.data) for row in self._store.held(key) if row.data]

    def holds_digest(self, short: bytes) -> bool:
        """Whether a record with these 8 bytes of digest is held."""
        if self._digests is None:  # only servers that are asked pay for the index
            self._digests = {short: None for key in self.keys() for short, _ in self.digests(key)}
        return short in self._digests

    @property
    def price(self) -> int:
        """How many of its source's bytes of a day a byte costs now."""
        beyond = self.bytes / self._quota_bytes - limits.PRICE_FROM if self._quota_bytes else 1.0
        doublings = int(max(0.0, beyond) / limits.PRICE_DOUBLES)
        return int(min(2**doublings, limits.PRICE_MAX))

    def by_kind(self) -> dict[str, dict[str, int]]:
        """Records and bytes of each kind, for who looks after the node."""
        found = {kind: {"records": 0, "bytes": 0} for kind in (*_KINDS.values(), _TOMBSTONE)}
        for (family, tombstone), (records, size_bytes) in self._store.usage_by_kind().items():
            of_kind = found[_TOMBSTONE if tombstone else _KINDS[Family(family)]]
            of_kind["records"] += records
            of_kind["bytes"] += size_bytes
        return found

    # --- taking

    def take(self, record: VerifiedRecord, source: Source, now: Now) -> Kept:
        """Keep the record, or say why not."""
        try:
            check_time(record, now.wall_s)
        except PeerError as error:
            return Kept(Refusal.EXPIRED if error.reason == "expired" else Refusal.TOO_LONG)
        rows = self._store.held(record.key)
        if any(row.digest == record.digest and row.data for row in rows):
            return Kept(Refusal.KEPT)
        if self.rests(now):
            return Kept(Refusal.QUOTA)
        match record.content:
            case Single():
                return self._take_single(record, record.content, rows, source, now)
            case Tombstone():
                return self._take_tombstone(record, record.content, rows, source, now)
            case _:
                return self._take_item(record, rows, source, now)

    def release(self, key: RecordKey) -> None:
        """Drop all under the key: nearer nodes have it."""
        for row in self._store.held(key):
            self._forget(row)

    def expire(self, now: Now) -> None:
        """Drop what has expired."""
        if not self.rests(now) and self._store.expire(now.wall_s):
            self.records, self.bytes = self._store.usage()
            self._digests = None

    def _take_single(
        self, record: VerifiedRecord, content: Single, rows: list[HeldRecord], source: Source, now: Now
    ) -> Kept:
        held = rows[0] if rows else None
        if held is not None and held.sequence > content.sequence:
            return Kept(Refusal.OLDER)
        if held is not None and held.sequence == content.sequence:
            self._replace([held], _row(record, b"", b""))
            return Kept(Refusal.CONFLICT)
        return self._keep(record, b"", rows, source, now)

    def _take_tombstone(
        self, record: VerifiedRecord, content: Tombstone, rows: list[HeldRecord], source: Source, now: Now
    ) -> Kept:
        ended = [row for row in rows if row.item == content.item]
        if any(row.tombstone for row in ended):
            return Kept(Refusal.KEPT)
        if not ended and sum(row.tombstone for row in rows) >= limits.SET_ITEMS:
            return Kept(Refusal.FULL)
        # It outlives what it ends, or that would come back with a refresh.
        expires_s = max([content.expires_s, *(row.expires_s for row in ended)])
        return self._keep(record, content.item, ended, source, now, expires_s=expires_s)

    def _take_item(self, record: VerifiedRecord, rows: list[HeldRecord], source: Source, now: Now) -> Kept:
        same = [row for row in rows if row.item == record.item]
        if same:
            return Kept(Refusal.DELETED if same[0].tombstone else Refusal.CONFLICT)
        if len(rows) >= limits.SET_RECORDS:
            return Kept(Refusal.FULL)
        items = [row for row in rows if not row.tombstone]
        if not isinstance(record.content, OpenItem):
            if len(items) >= limits.SET_ITEMS or _size(items) + len(record.data) > limits.SET_BYTES:
                return Kept(Refusal.FULL)
            return self._keep(record, record.item, [], source, now)
        return self._take_open(record, record.content, items, source, now)

    def _take_open(
        self, record: VerifiedRecord, content: OpenItem, items: list[HeldRecord], source: Source, now: Now
    ) -> Kept:
        """Half of the room is for those with a stamp, half for those without: neither keeps out nor outdoes the other.

        Where nothing is paid, nothing that pays may end what was taken; and what is free must not fill a priced inbox.
        """
        bits = 0
        if content.stamp:
            if not self._stamps.take(now.steady):
                return Kept(Refusal.BUSY)
            bits = stamp_bits(Domain.STAMP, content.challenge, content.stamp)
        alike = [row for row in items if bool(row.stamp_bits) is bool(bits)]
        lacking = _size(alike) + len(record.data) - limits.OPEN_SET_BYTES
        outdone: list[HeldRecord] = []
        if len(alike) >= limits.OPEN_SET_ITEMS or lacking > 0:
            least = min(alike, key=lambda row: row.stamp_bits)
            if least.stamp_bits >= bits or len(least.data) < lacking:
                return Kept(Refusal.FULL)
            outdone = [least]
        return self._keep(record, record.item, outdone, source, now, bits=bits)

    def _keep(
        self,
        record: VerifiedRecord,
        slot: bytes,
        replaced: list[HeldRecord],
        source: Source,
        now: Now,
        *,
        expires_s: int = 0,
        bits: int = 0,
    ) -> Kept:
        size = len(record.data)
        if self.bytes + size - _size(replaced) > self._quota_bytes:
            return Kept(Refusal.QUOTA)
        sources = self._servers if source.is_server else self._strangers
        growth = max(0, size - _size(replaced))
        if not sources.take(source.name, now.steady, size + growth * (self.price - 1)):
            return Kept(Refusal.QUOTA)
        self._replace(replaced, _row(record, slot, record.data, expires_s=expires_s, bits=bits))
        return Kept(Refusal.KEPT, is_new=True)

    def _replace(self, replaced: list[HeldRecord], row: HeldRecord) -> None:
        for old in replaced:
            self._forget(old)
        self._store.hold(row)
        self.records += 1
        self.bytes += len(row.data)
        if self._digests is not None and row.data:
            self._digests[row.digest[:DIGEST_BYTES]] = None

    def _forget(self, row: HeldRecord) -> None:
        self._store.release(row.key, row.item)
        self.records -= 1
        self.bytes -= len(row.data)
        if self._digests is not None:
            self._digests.pop(row.digest[:DIGEST_BYTES], None)


def _row(record: VerifiedRecord, slot: bytes, data: bytes, *, expires_s: int = 0, bits: int = 0) -> HeldRecord:
    """A row; without data it marks a sequence that two values claimed."""
    return HeldRecord(
        key=record.key,
        item=slot,
        family=record.family,
        tombstone=isinstance(record.content, Tombstone),
        sequence=record.content.sequence if isinstance(record.content, Single) else 0,
        expires_s=expires_s or record.content.expires_s,
        digest=record.digest,
        data=data,
        stamp_bits=bits,
    )


def _size(rows: list[HeldRecord]) -> int:
    return sum(len(row.data) for row in rows)
