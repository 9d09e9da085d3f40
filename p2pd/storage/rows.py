"""Sealed rows: one dataclass a row, all of it in one sealed blob beside the columns that find it.

Knows no row type.
Rules (R42): the blob is a nonce of 24 random bytes and a box, XChaCha20-Poly1305 under a key derived from the master
key, bound to its table and primary key, so that rows cannot be swapped.  Inside is MessagePack by field names: fields
added with a default are read from older rows, and fields taken away are skipped.
Text, and whose a row is, must be found again without being shown: kept as keyed hashes.
"""

import os
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Generic, TypeVar, cast

import msgspec

from p2pd import limits
from p2pd.crypto.sealing import NONCE_SIZE, seal, unseal
from p2pd.domains import Domain, derive_key, framed
from p2pd.errors import DamagedError, PeerError
from p2pd.storage.database import Fields, Parameters
from p2pd.storage.transactions import Turns

Row = TypeVar("Row")
Key = bytes | int
Values = tuple[bytes | str | int | None, ...]
"""The columns of a row but the sealed one, the key's first; or those of the key alone."""

_encode = msgspec.msgpack.Encoder().encode


class Sealer:
    """The keys that seal rows, and that hide text in index columns."""

    def __init__(self, master_key: bytes) -> None:
        self._rows = derive_key(Domain.AT_REST, master_key, b"rows")
        self._index = derive_key(Domain.AT_REST, master_key, b"index")
        self.person = lru_cache(limits.ROWS_REMEMBERED)(self._person)
        """16 bytes that stand for a contact's key in the columns that find rows."""

    def seal(self, plaintext: bytes, table: str, key: tuple[Key, ...]) -> bytes:
        """The blob of one row."""
        nonce = os.urandom(NONCE_SIZE)
        return nonce + seal(self._rows, nonce, plaintext, _place(table, key))

    def unseal(self, blob: bytes, table: str, key: tuple[Key, ...]) -> bytes:
        """What was sealed for that row; PeerError when it was not."""
        return unseal(self._rows, blob[:NONCE_SIZE], blob[NONCE_SIZE:], _place(table, key))

    def _person(self, identity: bytes) -> bytes:
        return derive_key(Domain.AT_REST, self._index, b"person", identity, size=16)

    def hidden(self, purpose: str, text: str) -> bytes:
        """16 bytes that stand for a text, and tell nothing of it without the master key."""
        return derive_key(Domain.AT_REST, self._index, purpose.encode(), text.encode(), size=16)


class Memo(dict[Any, Any]):
    """What is known of the database beside rows; whatever is undone, all of it is forgotten."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        turns.join(self)

    def write_out(self) -> None:
        pass

    def begin_attempt(self) -> None:
        pass

    def undo_attempt(self) -> None:
        self.clear()

    def forget(self) -> None:
        self.clear()


class SealedTable(Generic[Row]):
    """One table: `key` names its primary key's columns, `clear` others that stay readable, `sealed` is the row.

    Changes are kept back until the commit, or until a query that they could change, so a row that changes with every
    message is sealed and written once a transaction.  Up to `remembered` rows stay in memory afterwards, opened.
    """

    def __init__(
        self,
        turns: Turns,
        sealer: Sealer,
        name: str,
        row_type: type[Row],
        *,
        key: tuple[str, ...],
        clear: tuple[str, ...] = (),
        remembered: int = 0,
    ) -> None:
        self._turns = turns
        self._sealer = sealer
        self._name = name
        self._remembered = remembered
        self._key_columns = len(key)
        self._decode = msgspec.msgpack.Decoder(row_type).decode
        # The names are this package's own, so nothing foreign gets into the statements.
        columns = (*key, *clear, "sealed")
        updates = ", ".join(f"{column}=excluded.{column}" for column in columns[len(key) :])
        self._select = f"SELECT {', '.join((*key, 'sealed'))} FROM {name} "  # noqa: S608
        self._delete = f"DELETE FROM {name} "  # noqa: S608
        self._by_key = "WHERE " + " AND ".join(f"{column}=?" for column in key)
        self._update = f"UPDATE {name} SET sealed=? {self._by_key}"  # noqa: S608
        self._save = (
            f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "  # noqa: S608
            f"ON CONFLICT({', '.join(key)}) DO UPDATE SET {updates}"
        )
        self._known: dict[Values, Row | None] = {}
        """Rows by key, as they are or will be; None: there is none."""
        self._written: dict[Values, Values] = {}
        """For some of them the columns that the database certainly holds."""
        self._unsaved: dict[Values, Values | None] = {}
        """What is kept back: the columns of rows in `_known`, None for a removal."""
        self._before: dict[Values, tuple[Row | None, Values | None] | None] = {}
        """Of keys that an attempt has changed or written: what was kept back before it, None for nothing."""
        turns.join(self)

    def save(self, row: Row, *values: bytes | str | int | None) -> None:
        """Inserts or replaces; `values` are the key's columns, then the clear ones."""
        self._turns.check()
        key = values[: self._key_columns]
        self._note(key)
        self._known[key] = row
        self._unsaved[key] = values

    def one(self, *key: Key) -> Row | None:
        """The row with that primary key."""
        if key in self._known:
            return self._known[key]
        found = self._turns.database.rows(self._select + self._by_key, key)
        row = self._opened(found[0]) if found else None
        if not found or len(found[0][-1]) <= limits.ROW_REMEMBERED_BYTES:
            self._known[key] = row
            self._bound()
        return row

    def find(self, rest: str = "", parameters: Parameters = ()) -> list[Row]:
        """All rows that the rest of the statement finds, in its order; DamagedError where one does not open."""
        self.write_out()
        return self.find_written(rest, parameters)

    def kept_back(self) -> Iterator[Row]:
        """The rows that are in the database only when the transaction ends, or something asks for them."""
        return (row for key in self._unsaved if (row := self._known[key]) is not None)

    def find_written(self, rest: str, parameters: Parameters = ()) -> list[Row]:
        """As `find`, but passing over what is kept back."""
        return [self._opened(fields) for fields in self._turns.database.rows(self._select + rest, parameters)]

    def clear(self, sql: str, parameters: Parameters = ()) -> list[Fields]:
        """What a query of the columns in the clear gives."""
        self.write_out()
        return self._turns.database.rows(sql, parameters)

    def number(self, sql: str, parameters: Parameters = ()) -> int:
        """The one number that such a query gives; 0 for none."""
        self.write_out()
        return self._turns.database.number(sql, parameters)

    def remove(self, where: str = "", parameters: Parameters = ()) -> int:
        """Removes rows; how many."""
        self.write_out()
        self._known.clear()
        self._written.clear()
        return self._turns.change(self._delete + where, parameters)

    def remove_one(self, *key: Key) -> None:
        """Removes the row with that primary key, if there is one."""
        self._turns.check()
        self._note(key)
        self._known[key] = self._unsaved[key] = None

    def faults(self) -> list[str]:
        """Rows that do not open."""
        unreadable = 0
        for fields in self._turns.database.rows(self._select):
            try:
                self._opened(fields)
            except DamagedError:
                unreadable += 1
        return [f"{unreadable} unreadable rows in {self._name}"] if unreadable else []

    # --- as `Table`

    def write_out(self) -> None:
        if not self._unsaved:
            return
        unsaved, self._unsaved = self._unsaved, {}
        for key, values in unsaved.items():
            row = self._known[key]
            if self._turns.attempting:
                self._before.setdefault(key, (row, values))
            if values is None or row is None:
                self._written.pop(key, None)
                self._turns.change(self._delete + self._by_key, key)
            else:
                self._write(row, key, values)
        self._bound()

    def begin_attempt(self) -> None:
        self._before.clear()

    def undo_attempt(self) -> None:
        kept = {key: (self._known[key], values) for key, values in self._unsaved.items() if key not in self._before}
        kept |= {key: before for key, before in self._before.items() if before is not None}
        self.forget()
        for key, (row, values) in kept.items():
            self._known[key], self._unsaved[key] = row, values

    def forget(self) -> None:
        for rows in (self._known, self._written, self._unsaved, self._before):
            rows.clear()

    def _note(self, key: Values) -> None:
        if self._turns.attempting and key not in self._before:
            self._before[key] = (self._known[key], self._unsaved[key]) if key in self._unsaved else None

    def _write(self, row: Row, key: Values, values: Values) -> None:
        blob = self._sealer.seal(_encode(row), self._name, cast("tuple[Key, ...]", key))
        if self._written.get(key) == values:  # no index need be touched
            self._turns.change(self._update, (blob, *key))
        else:
            self._turns.change(self._save, (*values, blob))
            self._written[key] = values
        if len(blob) > limits.ROW_REMEMBERED_BYTES:
            self._drop(key)

    def _bound(self) -> None:
        """Forgets the rows known longest, where there are too many and nothing is kept back."""
        if not self._unsaved and len(self._known) > self._remembered:
            for key in list(islice(self._known, len(self._known) - self._remembered)):
                self._drop(key)

    def _drop(self, key: Values) -> None:
        self._known.pop(key, None)
        self._written.pop(key, None)

    def _opened(self, fields: Fields) -> Row:
        *key, blob = fields
        try:
            return self._decode(self._sealer.unseal(blob, self._name, tuple(key)))
        except (PeerError, msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
            raise DamagedError(
                f"a row of {self._name} in {self._turns.database.path} does not open",
                hint="stop p2pd, keep a copy of the home, and run: p2pctl doctor",
            ) from error


def _place(table: str, key: tuple[Key, ...]) -> bytes:
    return framed((table.encode(), *[value.to_bytes(8, "big") if isinstance(value, int) else value for value in key]))
