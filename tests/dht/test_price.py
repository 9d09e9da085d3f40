"""What room costs in a store that somebody fills: a small simulation of a month, at a 128th of the real sizes."""

from dataclasses import dataclass, field

import pytest

from p2pd import limits
from p2pd.dht.holdings import Holdings, Source
from p2pd.dht.records import VerifiedRecord
from p2pd.storage.records import SqliteRecordStore
from p2pd.types import AddressKey, ItemId, Now, RecordKey
from p2pd.wire.record import Family, Record, SetItem
from p2pd.wire.rpc import Refusal
from tests.dht.test_holdings import KEY, NOW, later, take
from tests.dht.virtual import item_of, key_of, set_item, single, tombstone

SCALE = 128
QUOTA, PER_DAY = limits.QUOTA_BYTES // SCALE, limits.PER_SOURCE_STORE_BYTES_PER_DAY // SCALE
RECORD_BYTES = 128
"""As 16 KiB in a store of the real size."""
LIFE_DAYS, DAYS = 15, 32
HONEST = 20
"""People of as many networks, with a record each every day."""


@dataclass
class Siege:
    """One store, attackers in so many networks who bring all day whatever it takes, and people."""

    networks: int
    store: Holdings = field(
        default_factory=lambda: Holdings(SqliteRecordStore(), quota_bytes=QUOTA, source_bytes_per_day=PER_DAY)
    )
    taken: list[int] = field(default_factory=list)
    """Records of the attackers on each day."""
    kept = refused = _count = 0

    @property
    def fill(self) -> float:
        return self.store.bytes / QUOTA

    def run(self) -> "Siege":
        for day in range(DAYS):
            now = later(day * limits.DAY_S)
            self.store.expire(now)
            sources = [Source(b"attacker %d" % number) for number in range(self.networks)]
            self.taken.append(sum(self._fill(source, now) for source in sources))
            for number in range(HONEST):
                stored = self._bring(Source(b"person %d" % number), now)
                self.kept, self.refused = self.kept + stored, self.refused + (not stored)
        return self

    def _fill(self, source: Source, now: Now) -> int:
        count = 0
        while self._bring(source, now):
            count += 1
        return count

    def _bring(self, source: Source, now: Now) -> bool:
        """Whether a record of the longest life is taken; signatures are checked before a store is asked."""
        self._count += 1
        name = self._count.to_bytes(32, "big")
        content = SetItem(AddressKey(name), ItemId(name[16:]), now.wall_s + LIFE_DAYS * limits.DAY_S, b"")
        record = VerifiedRecord(
            Record(b"", bytes(64)), content, Family.SET, RecordKey(name), name, name.ljust(RECORD_BYTES, b"x")
        )
        return self.store.take(record, source, now).refusal is Refusal.KEPT


@pytest.mark.slow
@pytest.mark.parametrize(("networks", "fullest"), [(1, 0.30), (5, 0.62), (25, 0.70), (180, 0.99)])
def test_who_fills_a_store_pays_more_and_more_and_people_are_stored(networks: int, fullest: float) -> None:
    siege = Siege(networks).run()
    print(f"{networks} networks: {siege.fill:.0%} full, {siege.kept} of {siege.kept + siege.refused} records of people")
    assert siege.fill <= fullest
    assert (siege.kept, siege.refused) == (HONEST * DAYS, 0)
    if networks > 1:
        assert min(siege.taken) < siege.taken[0] / 4, "what the same networks bring in a day becomes less"


@pytest.mark.slow
def test_the_promise_ends_where_protocol_md_says() -> None:
    cost = limits.PRICE_FROM + limits.PRICE_DOUBLES * (2**7 - 1) + (0.5 - 7 * limits.PRICE_DOUBLES) * limits.PRICE_MAX
    a_network = LIFE_DAYS * limits.PER_SOURCE_STORE_BYTES_PER_DAY / limits.QUOTA_BYTES
    a_server = LIFE_DAYS * limits.PER_SERVER_STORE_BYTES_PER_DAY / limits.QUOTA_BYTES
    assert (round(cost), -(-cost // a_network), round(cost / a_server), -(-1 // a_network)) == (45, 194, 12, 5)
    assert Siege(240).run().refused > 0


@pytest.mark.slow
def test_without_a_price_a_few_networks_shut_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PRICE_MAX", 1)
    siege = Siege(20).run()
    assert siege.fill > 0.99
    assert siege.refused > siege.kept


def test_the_highest_price_leaves_everybody_a_record_of_any_size_a_day() -> None:
    assert limits.PER_SOURCE_STORE_BYTES_PER_DAY // limits.PRICE_MAX >= limits.RECORD_BYTES


@pytest.mark.parametrize(
    ("fill", "price"),
    [(0, 1), (0.49, 1), (0.52, 1), (0.53, 2), (0.56, 4), (0.61, 16), (0.67, 64), (0.68, 128), (1, 128)],
)
def test_the_price_doubles_with_every_fortieth_beyond_half(fill: float, price: int) -> None:
    held = Holdings(SqliteRecordStore(), quota_bytes=QUOTA, source_bytes_per_day=PER_DAY)
    held.bytes = int(fill * QUOTA)
    assert held.price == price


def test_what_replaces_or_ends_something_costs_its_size_in_the_fullest_store() -> None:
    key, other = key_of("other"), Source(b"other")
    held = Holdings(SqliteRecordStore(), quota_bytes=QUOTA, source_bytes_per_day=4_000)
    assert take(held, single(KEY, NOW, 1, b"presence"), other) is Refusal.KEPT
    assert take(held, set_item(key, NOW, item_of(1), b"x" * 200), other) is Refusal.KEPT
    held.bytes = QUOTA - 10_000
    assert take(held, set_item(key, NOW, item_of(2), b"x" * 200), Source(b"new")) is Refusal.QUOTA
    assert [take(held, single(KEY, NOW, number, b"presence"), Source(b"new")) for number in (2, 3, 4)] == [
        Refusal.KEPT
    ] * 3
    assert take(held, tombstone(key, NOW, item_of(1), Family.SET), Source(b"new")) is Refusal.KEPT
