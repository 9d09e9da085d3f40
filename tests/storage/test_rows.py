"""Sealed rows over the life of their types."""

from dataclasses import dataclass

import pytest

from p2pd.errors import DamagedError
from p2pd.storage.database import Database, Schema
from p2pd.storage.rows import SealedTable, Sealer
from p2pd.storage.transactions import Turns

SCHEMA = Schema(1, (("CREATE TABLE things (name BLOB PRIMARY KEY, sealed BLOB NOT NULL)",),), "none")


@dataclass(frozen=True, slots=True)
class Old:
    name: bytes
    count: int
    gone: str = "x"


@dataclass(frozen=True, slots=True)
class New:
    name: bytes
    count: int
    added: tuple[str, ...] = ("default",)


@dataclass(frozen=True, slots=True)
class Other:
    name: int


def turns() -> Turns:
    return Turns(Database(":memory:", SCHEMA, synchronous="FULL"))


def test_older_rows_are_read_by_newer_types_and_back() -> None:
    shared, sealer = turns(), Sealer(b"k" * 32)
    old = SealedTable(shared, sealer, "things", Old, key=("name",))
    new = SealedTable(shared, sealer, "things", New, key=("name",))
    with shared.transaction():
        old.save(Old(b"one", 1), b"one")
        new.save(New(b"two", 2, ("given",)), b"two")
    assert new.find("ORDER BY name") == [New(b"one", 1, ("default",)), New(b"two", 2, ("given",))]
    assert old.one(b"two") == Old(b"two", 2, "x")
    shared.database.close()


def test_a_row_of_another_type_is_damage() -> None:
    shared, sealer = turns(), Sealer(b"k" * 32)
    with shared.transaction():
        SealedTable(shared, sealer, "things", Old, key=("name",)).save(Old(b"one", 1), b"one")
    with pytest.raises(DamagedError):
        SealedTable(shared, sealer, "things", Other, key=("name",)).one(b"one")
    shared.database.close()


def test_equal_rows_have_unequal_blobs() -> None:
    sealer = Sealer(b"k" * 32)
    assert sealer.seal(b"same", "things", (b"one",)) != sealer.seal(b"same", "things", (b"one",))


def test_hidden_text_depends_on_purpose_and_key() -> None:
    assert Sealer(b"k" * 32).hidden("request", "a") == Sealer(b"k" * 32).hidden("request", "a")
    others = {Sealer(b"k" * 32).hidden("consumer", "a"), Sealer(b"K" * 32).hidden("request", "a")}
    assert len(others | {Sealer(b"k" * 32).hidden("request", "a")}) == 3
