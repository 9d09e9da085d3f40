"""Sealed rows: one dataclass a row, all of it in one sealed blob beside the columns that find it.

Knows no row type.
Rules (R42): the blob is a nonce of 24 random bytes and a box, XChaCha20-Poly1305 under a key derived from the master
key, bound to its table and primary key, so that rows cannot be swapped.  Inside is MessagePack by field names: fields
added with a default are read from older rows, and fields taken away are skipped.
Text that must be found again without being shown is kept as a keyed hash.
"""

import os
from typing import Generic, TypeVar

import msgspec

from p2pd.crypto.sealing import NONCE_SIZE, seal, unseal
from p2pd.domains import Domain, derive_key, framed
from p2pd.errors import DamagedError, PeerError
from p2pd.storage.database import Fields, Parameters
from p2pd.storage.transactions import Turns

Row = TypeVar("Row")
Key = bytes | int

_encode = msgspec.msgpack.Encoder().encode


class Sealer:
    """The keys that seal rows, and that hide text in index columns."""

    def __init__(self, master_key: bytes) -> None:
        self._rows = derive_key(Domain.AT_REST, master_key, b"rows")
        self._index = derive_key(Domain.AT_REST, master_key, b"index")

    def seal(self, plaintext: bytes, table: str, key: tuple[Key, ...]) -> bytes:
        """The blob of one row."""
        nonce = os.urandom(NONCE_SIZE)
        return nonce + seal(self._rows, nonce, plaintext, _place(table, key))

    def unseal(self, blob: bytes, table: str, key: tuple[Key, ...]) -> bytes:
        """What was sealed for that row; PeerError when it was not."""
        return unseal(self._rows, blob[:NONCE_SIZE], blob[NONCE_SIZE:], _place(table, key))

    def hidden(self, purpose: str, text: str) -> bytes:
        """16 bytes that stand for a text, and tell nothing of it without the master key."""
        return derive_key(Domain.AT_REST, self._index, purpose.encode(), text.encode(), size=16)


class SealedTable(Generic[Row]):
    """One table: `key` names its primary key's columns, `clear` others that stay readable, `sealed` is the row."""

    def __init__(
        self,
        turns: Turns,
        sealer: Sealer,
        name: str,
        row_type: type[Row],
        *,
        key: tuple[str, ...],
        clear: tuple[str, ...] = (),
    ) -> None:
        self._turns = turns
        self._sealer = sealer
        self._name = name
        self._key_columns = len(key)
        self._decode = msgspec.msgpack.Decoder(row_type).decode
        # The names are this package's own, so nothing foreign gets into the statements.
        columns = (*key, *clear, "sealed")
        updates = ", ".join(f"{column}=excluded.{column}" for column in columns[len(key) :])
        self._select = f"SELECT {', '.join((*key, 'sealed'))} FROM {name} "  # noqa: S608
        self._delete = f"DELETE FROM {name} "  # noqa: S608
        self._by_key = "WHERE " + " AND ".join(f"{column}=?" for column in key)
        self._save = (
            f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "  # noqa: S608
            f"ON CONFLICT({', '.join(key)}) DO UPDATE SET {updates}"
        )

    def save(self, row: Row, *values: bytes | str | int | None) -> None:
        """Inserts or replaces; `values` are the key's columns, then the clear ones."""
        blob = self._sealer.seal(_encode(row), self._name, _key(values[: self._key_columns]))
        self._turns.change(self._save, (*values, blob))

    def one(self, *key: Key) -> Row | None:
        """The row with that primary key."""
        found = self.find(self._by_key, key)
        return found[0] if found else None

    def find(self, rest: str = "", parameters: Parameters = ()) -> list[Row]:
        """All rows that the rest of the statement finds, in its order; DamagedError where one does not open."""
        return [self._opened(fields) for fields in self._turns.database.rows(self._select + rest, parameters)]

    def remove(self, where: str = "", parameters: Parameters = ()) -> int:
        """Removes rows; how many."""
        return self._turns.change(self._delete + where, parameters)

    def remove_one(self, *key: Key) -> None:
        """Removes the row with that primary key, if there is one."""
        self.remove(self._by_key, key)

    def faults(self) -> list[str]:
        """Rows that do not open."""
        unreadable = 0
        for fields in self._turns.database.rows(self._select):
            try:
                self._opened(fields)
            except DamagedError:
                unreadable += 1
        return [f"{unreadable} unreadable rows in {self._name}"] if unreadable else []

    def _opened(self, fields: Fields) -> Row:
        *key, blob = fields
        try:
            return self._decode(self._sealer.unseal(blob, self._name, tuple(key)))
        except (PeerError, msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
            raise DamagedError(
                f"a row of {self._name} in {self._turns.database.path} does not open",
                hint="stop p2pd, keep a copy of the home, and run: p2pctl doctor",
            ) from error


def _key(values: tuple[bytes | str | int | None, ...]) -> tuple[Key, ...]:
    return tuple(value for value in values if isinstance(value, bytes | int))


def _place(table: str, key: tuple[Key, ...]) -> bytes:
    parts = (value.to_bytes(8, "big") if isinstance(value, int) else value for value in key)
    return framed((table.encode(), *parts))
