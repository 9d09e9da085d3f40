"""The records' store, in memory and in a file alike."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from p2pd import limits
from p2pd.storage.records import SqliteRecordStore
from p2pd.store import KnownNode, RecordStore
from p2pd.types import NodeKey
from tests.storage.samples import held_record


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteRecordStore]:
    made = SqliteRecordStore(":memory:" if request.param == "memory" else str(tmp_path / "dht.db"))
    yield made
    made.close()


def node(number: int, *, first: int, last: int) -> KnownNode:
    return KnownNode(NodeKey(number.to_bytes(32, "big")), f"192.0.2.1:{number}", first, last)


def test_it_keeps_the_protocol(store: SqliteRecordStore) -> None:
    kept: RecordStore = store
    assert kept.usage() == (0, 0)


def test_records_come_by_item_and_are_replaced(store: SqliteRecordStore) -> None:
    first, second = held_record(item=b"a" * 16), replace(held_record(item=b"b" * 16), tombstone=True)
    with store.transaction():
        store.hold(second)
        store.hold(replace(first, sequence=0, data=b"older and longer"))
        store.hold(first)
        store.hold(held_record(2))
    assert store.held(first.key) == [first, second]
    assert store.usage() == (3, 12)
    assert store.keys_held() == [held_record(1).key, held_record(2).key]
    with store.transaction():
        store.release(first.key, first.item)
        store.release(first.key, b"none")
    assert store.held(first.key) == [second]
    assert store.usage() == (2, 8)


def test_what_has_expired_goes(store: SqliteRecordStore) -> None:
    with store.transaction():
        for number in range(10):
            store.hold(held_record(number, expires_s=100 + number))
        assert store.expire(104) == 5
        assert store.expire(104) == 0
    assert store.usage() == (5, 20)


def test_one_turn_removes_a_bounded_number_the_earliest_first(store: SqliteRecordStore) -> None:
    with store.transaction():
        for number in range(limits.EXPIRE_RECORDS + 5):
            store.hold(held_record(number, expires_s=1_000_000 - number))
        assert store.expire(2_000_000) == limits.EXPIRE_RECORDS
    assert store.keys_held() == [held_record(number).key for number in range(5)]


def test_an_exception_undoes_its_turn_and_not_the_one_before(store: SqliteRecordStore) -> None:
    with store.transaction():
        store.hold(held_record(1))

    def break_off() -> None:
        with store.transaction():
            store.hold(held_record(2))
            store.release(held_record(1).key, b"")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    store.commit(durable=True)
    assert store.keys_held() == [held_record(1).key]
    assert store.usage() == (1, 4)


def test_nested_use_is_a_bug(store: SqliteRecordStore) -> None:
    with store.transaction(), pytest.raises(RuntimeError), store.transaction():
        pass
    with store.transaction(), pytest.raises(RuntimeError):
        store.commit(durable=False)


def test_nodes_come_the_last_seen_first(store: SqliteRecordStore) -> None:
    with store.transaction():
        store.save_node(node(1, first=10, last=20))
        store.save_node(node(2, first=10, last=30))
        store.save_node(node(1, first=15, last=40))
        store.save_node(node(3, first=10, last=35))
        store.forget_node(node(3, first=0, last=0).key)
    assert store.known_nodes() == [node(1, first=10, last=40), node(2, first=10, last=30)]


def test_nodes_known_longest_are_kept_beside_those_seen_last(store: SqliteRecordStore) -> None:
    with store.transaction():
        for number in range(limits.NODES_KEPT + 50):
            store.save_node(node(number, first=number, last=number))
    numbers = sorted(each.last_seen_s for each in store.known_nodes())
    assert numbers == [*range(limits.NODES_FIRST_KEPT), *range(50, limits.NODES_KEPT + 50)]


@pytest.mark.parametrize("durable", [False, True])
def test_only_what_is_committed_is_seen_from_outside(tmp_path: Path, durable: bool) -> None:
    store = SqliteRecordStore(str(tmp_path / "dht.db"))
    other = sqlite3.connect(tmp_path / "dht.db")
    with store.transaction():
        store.hold(held_record())
    assert other.execute("SELECT count(*) FROM held").fetchone() == (0,)
    store.commit(durable=durable)
    assert other.execute("SELECT count(*) FROM held").fetchone() == (1,)
    other.close()
    store.close()


def test_usage_is_told_by_kind(store: SqliteRecordStore) -> None:
    item = held_record(item=b"a" * 16)
    tombstone = replace(held_record(item=b"b" * 16), tombstone=True, data=b"ended")
    with store.transaction():
        store.hold(item)
        store.hold(tombstone)
        store.hold(replace(held_record(2), family=1))
    kinds = store.usage_by_kind()
    assert kinds[(item.family, False)] == (1, len(item.data))
    assert kinds[(item.family, True)] == (1, 5)
    assert kinds[(1, False)][0] == 1
    assert store.usage() == (3, sum(size for _, size in kinds.values()))
    with store.transaction():
        store.hold(replace(item, tombstone=True, data=b"it too"))
        store.release(held_record(2).key, held_record(2).item)
    kinds = store.usage_by_kind()
    assert kinds[(item.family, False)] == (0, 0)
    assert kinds[(item.family, True)] == (2, 11)
    assert kinds[(1, False)] == (0, 0)
    assert store.usage() == (2, 11)
