"""What a storer takes, and what outranks what."""

from collections.abc import Callable
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from p2pd import limits
from p2pd.dht.holdings import Holdings, Source
from p2pd.dht.records import VerifiedRecord, check_receipt, signed_receipt, verified
from p2pd.errors import PeerError
from p2pd.storage.records import SqliteRecordStore
from p2pd.types import NodeKey, Now
from p2pd.wire.record import Family, Record, record_key
from p2pd.wire.rpc import Refusal
from tests.dht.virtual import item_in, item_of, key_of, open_item, set_item, single, stamped_item, tombstone

NOW = Now(100.0, 1_800_000_000_000)
KEY = key_of("holdings")
SOURCE = Source(b"source")


def holdings(quota: int = limits.QUOTA_BYTES, per_day: int = limits.MIB) -> Holdings:
    return Holdings(SqliteRecordStore(), quota_bytes=quota, source_bytes_per_day=per_day)


def take(into: Holdings, record: Record, source: Source = SOURCE, now: Now = NOW) -> Refusal:
    return into.take(verified(record.encode()), source, now).refusal


def bodies(of: Holdings, family: Family, now: Now = NOW) -> list[bytes]:
    rows = of.held(record_key(family, KEY.public), now)  # type: ignore[arg-type]
    return sorted(verified(row.data).body for row in rows if not row.tombstone)


def later(seconds: float) -> Now:
    return Now(NOW.steady + seconds, NOW.wall_ms + int(seconds * 1000))


class TestSingles:
    def test_the_highest_sequence_stays_whatever_the_order(self) -> None:
        records = [single(KEY, NOW, number, b"%d" % number) for number in (1, 2, 3)]
        for order in permutations(records):
            held = holdings()
            for record in order:
                take(held, record)
            assert bodies(held, Family.SINGLE) == [b"3"]

    def test_two_values_of_one_sequence_end_both(self) -> None:
        held = holdings()
        assert take(held, single(KEY, NOW, 5, b"one")) is Refusal.KEPT
        assert take(held, single(KEY, NOW, 5, b"two")) is Refusal.CONFLICT
        assert bodies(held, Family.SINGLE) == []
        assert take(held, single(KEY, NOW, 5, b"one")) is Refusal.CONFLICT
        assert take(held, single(KEY, NOW, 6, b"next")) is Refusal.KEPT
        assert bodies(held, Family.SINGLE) == [b"next"]

    def test_the_same_again_is_kept_again(self) -> None:
        held, record = holdings(), single(KEY, NOW, 1)
        assert take(held, record) is take(held, record) is Refusal.KEPT
        assert held.records == 1


class TestSets:
    @pytest.mark.parametrize("make", [set_item, open_item])
    def test_a_tombstone_wins_in_either_order(self, make: Callable[..., Record]) -> None:
        family = Family.SET if make is set_item else Family.OPEN_SET
        item = make(KEY, NOW, item_of(1))
        end = tombstone(KEY, NOW, item_in(item), family)
        for order in ((item, end), (end, item)):
            held = holdings()
            for record in order:
                take(held, record)
            assert bodies(held, family) == []
            assert take(held, item) is Refusal.DELETED

    def test_a_tombstone_outlives_what_it_ended(self) -> None:
        held = holdings()
        item = set_item(KEY, NOW, item_of(1), days=10)
        take(held, item)
        take(held, tombstone(KEY, NOW, item_of(1), Family.SET, days=1))
        after = later(3 * limits.DAY_S)
        held.expire(after)
        assert take(held, item, now=after) is Refusal.DELETED

    @pytest.mark.parametrize("make", [set_item, open_item])
    def test_what_is_held_is_not_replaced(self, make: Callable[..., Record]) -> None:
        held = holdings()
        take(held, make(KEY, NOW, item_of(1), b"first"))
        assert take(held, make(KEY, NOW, item_of(1), b"second")) is Refusal.CONFLICT
        assert bodies(held, Family.SET if make is set_item else Family.OPEN_SET) == [b"first"]

    def test_in_an_open_set_the_end_of_one_is_the_end_of_no_other(self) -> None:
        """Whoever holds a request and signs junk beside it must not have both ended when its owner ends the junk."""
        held = holdings()
        asked, junk = open_item(KEY, NOW, 1, b"a request"), open_item(KEY, NOW, 2, b"junk")
        assert item_in(asked) != item_in(junk)
        take(held, asked)
        take(held, junk)
        take(held, tombstone(KEY, NOW, item_in(junk), Family.OPEN_SET))
        assert bodies(held, Family.OPEN_SET) == [b"a request"]

    @pytest.mark.slow
    def test_a_full_set_refuses_and_keeps(self) -> None:
        held = holdings()
        for number in range(limits.SET_ITEMS):
            assert take(held, set_item(KEY, NOW, item_of(number))) is Refusal.KEPT
        assert take(held, set_item(KEY, NOW, item_of("more"))) is Refusal.FULL
        assert take(held, tombstone(KEY, NOW, item_of(0), Family.SET)) is Refusal.KEPT
        assert take(held, set_item(KEY, NOW, item_of("more"))) is Refusal.KEPT

    @pytest.mark.parametrize("make", [set_item, open_item])
    def test_what_has_been_ended_takes_room_too(
        self, make: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Or who puts an item and ends it, over and over, has its holders read ever more for each question."""
        monkeypatch.setattr(limits, "SET_ITEMS", 4)
        monkeypatch.setattr(limits, "SET_RECORDS", 8)
        family, held = Family.SET if make is set_item else Family.OPEN_SET, holdings()
        ends = [tombstone(KEY, NOW, item_in(item), family) for item in (make(KEY, NOW, item_of(n)) for n in range(10))]
        assert [take(held, end) for end in ends].count(Refusal.KEPT) == limits.SET_ITEMS
        for number in range(20, 40):
            item = make(KEY, NOW, item_of(number))
            if take(held, item) is Refusal.KEPT:
                assert take(held, tombstone(KEY, NOW, item_in(item), family)) is Refusal.KEPT
        assert held.records == limits.SET_RECORDS
        assert take(held, make(KEY, NOW, item_of("more"))) is Refusal.FULL

    @pytest.mark.slow
    def test_in_a_full_open_set_work_wins(self) -> None:
        held = holdings()
        for number in range(limits.OPEN_SET_ITEMS):
            assert take(held, stamped_item(KEY, NOW, number, 1), now=later(number)) is Refusal.KEPT
        dear = stamped_item(KEY, NOW, "more", 11)
        assert take(held, dear, now=later(1_000)) is Refusal.KEPT
        rows = held.held(record_key(Family.OPEN_SET, KEY.public), NOW)  # type: ignore[arg-type]
        assert len(rows) == limits.OPEN_SET_ITEMS
        assert verified(rows[0].data).item == item_in(dear)

    @pytest.mark.parametrize("bytes_each", [10, 4_000])
    @pytest.mark.slow
    def test_in_an_open_set_what_is_paid_and_what_is_free_have_room_of_their_own(
        self, bytes_each: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A storer of an inbox that asks no price must not end what lies there by junk with stamps of a bit."""
        monkeypatch.setattr(limits, "OPEN_SET_ITEMS", 4)
        monkeypatch.setattr(limits, "OPEN_SET_BYTES", 12_700)
        held = holdings()
        asked = open_item(KEY, NOW, "asked", b"a request")
        assert take(held, asked) is Refusal.KEPT
        paid = [take(held, stamped_item(KEY, NOW, number, 1, bytes(bytes_each))) for number in range(30)]
        assert paid.count(Refusal.KEPT) >= 3
        assert b"a request" in bodies(held, Family.OPEN_SET)
        free = [take(held, open_item(KEY, NOW, number, bytes(bytes_each))) for number in range(30, 60)]
        assert free.count(Refusal.KEPT) == 3
        assert b"a request" in bodies(held, Family.OPEN_SET)
        assert take(held, stamped_item(KEY, NOW, "dear", 9, bytes(bytes_each))) is Refusal.KEPT

    def test_stamps_are_checked_at_a_bounded_rate(self) -> None:
        held = holdings()
        outcomes = [take(held, stamped_item(KEY, NOW, number, 0)) for number in range(limits.STAMPS_BURST + 5)]
        assert outcomes.count(Refusal.BUSY) == 5


class TestTimeAndQuota:
    def test_expired_and_immortal_records_are_refused(self) -> None:
        held = holdings()
        assert take(held, single(KEY, NOW, days=-0.01)) is Refusal.EXPIRED
        assert take(held, single(KEY, NOW, days=15.1)) is Refusal.TOO_LONG
        assert take(held, single(KEY, NOW, days=15)) is Refusal.KEPT

    def test_nothing_is_held_after_its_time(self) -> None:
        held = holdings()
        take(held, single(KEY, NOW, days=1))
        held.expire(later(limits.DAY_S + 1))
        assert bodies(held, Family.SINGLE) == []
        assert (held.records, held.bytes) == (0, 0)

    def test_the_quota_holds_and_nothing_is_evicted(self) -> None:
        held = holdings(quota=2_000, per_day=limits.MIB)
        outcomes = [take(held, set_item(KEY, NOW, item_of(number), b"x" * 300)) for number in range(8)]
        kept = outcomes.count(Refusal.KEPT)
        assert held.bytes <= 2_000
        assert outcomes == [Refusal.KEPT] * kept + [Refusal.QUOTA] * (8 - kept)

    def test_one_source_fills_only_its_share(self) -> None:
        held = holdings(per_day=1_000)
        greedy = [take(held, set_item(KEY, NOW, item_of(number), b"x" * 300)) for number in range(5)]
        assert Refusal.QUOTA in greedy
        assert take(held, set_item(KEY, NOW, item_of("other")), Source(b"other")) is Refusal.KEPT
        assert take(held, set_item(KEY, NOW, item_of("next day")), now=later(limits.DAY_S)) is Refusal.KEPT


def test_after_the_disk_has_refused_nothing_is_written_for_a_while_and_what_is_there_is_counted() -> None:
    store = SqliteRecordStore()
    held = Holdings(store, quota_bytes=limits.QUOTA_BYTES, source_bytes_per_day=limits.MIB)
    kept, lost, other = (single(key_of(str(number)), NOW, 1, b"value") for number in range(3))
    with store.transaction():
        assert take(held, kept) is Refusal.KEPT
    store.commit(durable=True)
    with store.transaction():
        assert take(held, lost) is Refusal.KEPT
        store.release(verified(lost.encode()).key, b"")  # as when the disk refuses the commit
    held.on_refused(NOW)
    assert (held.records, held.bytes) == store.usage() == (1, len(kept.encode()))
    assert take(held, kept) is Refusal.KEPT, "it is on the disk"
    assert take(held, other) is Refusal.QUOTA
    expired = later(limits.DAY_S * 30)
    held.on_refused(expired)
    held.expire(expired)
    assert store.usage()[0] == 1
    rested = later(limits.DAY_S * 30 + limits.RECORDS_REST_S)
    with store.transaction():
        held.expire(rested)
    assert held.records == store.usage()[0] == 0
    with store.transaction():
        assert take(held, single(key_of("9"), rested, 1, b"value"), now=rested) is Refusal.KEPT


def test_receipts_speak_of_one_record_and_one_holder() -> None:
    holder, other = key_of("holder"), key_of("other holder")
    record = verified(single(KEY, NOW).encode())
    expires_s = record.content.expires_s
    receipt = signed_receipt(record.digest, expires_s, holder)
    check_receipt(receipt, record.digest, expires_s, NodeKey(holder.public))
    for digest, until, key in (
        (bytes(32), expires_s, holder),
        (record.digest, expires_s + 1, holder),
        (record.digest, expires_s, other),
    ):
        with pytest.raises(PeerError):
            check_receipt(receipt, digest, until, NodeKey(key.public))


RECORDS = [
    single(KEY, NOW, 1),
    set_item(KEY, NOW, item_of(1)),
    open_item(KEY, NOW, item_of(1)),
    stamped_item(KEY, NOW, 2, 0),
    tombstone(KEY, NOW, item_of(1), Family.SET),
]


@given(st.sampled_from(RECORDS), st.data())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_changed_record_is_accepted(record: Record, data: st.DataObject) -> None:
    encoded = bytearray(record.encode())
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PeerError):
        verified(bytes(encoded))


@given(st.binary(max_size=400))
def test_any_bytes_raise_only_peer_errors(data: bytes) -> None:
    with pytest.raises(PeerError):
        verified(data)


class Model(RuleBasedStateMachine):
    """Any records in any order: items that were ended stay ended, accounts agree with the store."""

    def __init__(self) -> None:
        super().__init__()
        self.store = SqliteRecordStore()
        self.held = Holdings(self.store, quota_bytes=4_000, source_bytes_per_day=limits.MIB)
        self.now = NOW
        self.ended: dict[tuple[Family, int], int] = {}
        self.highest = 0

    def _take(self, record: Record) -> tuple[Refusal, VerifiedRecord]:
        checked = verified(record.encode())
        return self.held.take(checked, SOURCE, self.now).refusal, checked

    @rule(sequence=st.integers(1, 5), body=st.sampled_from([b"a", b"b"]))
    def put_single(self, sequence: int, body: bytes) -> None:
        refusal, _ = self._take(single(KEY, NOW, sequence, body))
        if refusal is Refusal.KEPT:
            assert sequence >= self.highest
            self.highest = sequence

    @rule(number=st.integers(0, 4), body=st.sampled_from([b"a", b"b" * 500]), open=st.booleans())
    def put_item(self, number: int, body: bytes, open: bool) -> None:
        family = Family.OPEN_SET if open else Family.SET
        refusal, _ = self._take((open_item if open else set_item)(KEY, NOW, item_of(number), body))
        assert refusal is not Refusal.KEPT or (family, number) not in self.ended

    @rule(number=st.integers(0, 4), open=st.booleans())
    def put_tombstone(self, number: int, open: bool) -> None:
        family = Family.OPEN_SET if open else Family.SET
        item = item_in(open_item(KEY, NOW, item_of(number))) if open else item_of(number)
        refusal, _ = self._take(tombstone(KEY, NOW, item, family))
        if refusal is Refusal.KEPT:
            self.ended[(family, number)] = 1

    @rule()
    def restart(self) -> None:
        self.held = Holdings(self.store, quota_bytes=4_000, source_bytes_per_day=limits.MIB)

    @rule()
    def expire(self) -> None:
        self.held.expire(self.now)

    @invariant()
    def accounts_agree(self) -> None:
        assert (self.held.records, self.held.bytes) == self.store.usage()
        assert self.held.bytes <= 4_000


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
