"""Other people's records and the nodes we know, on SQLite: `p2pd.store.RecordStore`.

Knows no format of records.
Rules: strangers' bytes are ciphertext already and are kept as they came.  Turns share commits; a commit that is not
durable costs no wait for the disk, and survives a crash of the process.
"""

from contextlib import AbstractContextManager

from p2pd import limits
from p2pd.storage.database import MEMORY, Database, Fields, Opens, Schema
from p2pd.storage.transactions import SharedCommit
from p2pd.store import HeldRecord, KnownNode
from p2pd.types import NodeKey, RecordKey

_FIRST = (
    """CREATE TABLE held (
        key BLOB, item BLOB,
        family INTEGER NOT NULL, tombstone INTEGER NOT NULL, sequence INTEGER NOT NULL, expires_s INTEGER NOT NULL,
        digest BLOB NOT NULL, data BLOB NOT NULL, stamp_bits INTEGER NOT NULL,
        PRIMARY KEY (key, item))""",
    "CREATE INDEX held_by_expiry ON held (expires_s)",
    # Counts that need not be counted: every record that comes is measured against the quota.
    "CREATE TABLE totals (records INTEGER NOT NULL, bytes INTEGER NOT NULL)",
    "INSERT INTO totals VALUES (0, 0)",
    """CREATE TRIGGER held_added AFTER INSERT ON held BEGIN
        UPDATE totals SET records = records + 1, bytes = bytes + length(NEW.data); END""",
    """CREATE TRIGGER held_replaced AFTER UPDATE ON held BEGIN
        UPDATE totals SET bytes = bytes + length(NEW.data) - length(OLD.data); END""",
    """CREATE TRIGGER held_removed AFTER DELETE ON held BEGIN
        UPDATE totals SET records = records - 1, bytes = bytes - length(OLD.data); END""",
    """CREATE TABLE nodes (
        key BLOB PRIMARY KEY, endpoint TEXT NOT NULL, first_seen_s INTEGER NOT NULL, last_seen_s INTEGER NOT NULL)""",
)

_SECOND = (
    # The counts by kind: whoever looks after a node wants to know what it holds.
    "DROP TRIGGER held_added",
    "DROP TRIGGER held_replaced",
    "DROP TRIGGER held_removed",
    "DROP TABLE totals",
    """CREATE TABLE totals (
        family INTEGER, tombstone INTEGER, records INTEGER NOT NULL, bytes INTEGER NOT NULL,
        PRIMARY KEY (family, tombstone)) WITHOUT ROWID""",
    """INSERT INTO totals SELECT family, tombstone, count(*), sum(length(data)) FROM held GROUP BY family, tombstone""",
    """CREATE TRIGGER held_added AFTER INSERT ON held BEGIN
        INSERT INTO totals VALUES (NEW.family, NEW.tombstone, 1, length(NEW.data))
        ON CONFLICT DO UPDATE SET records = records + 1, bytes = bytes + length(NEW.data); END""",
    """CREATE TRIGGER held_replaced AFTER UPDATE ON held BEGIN
        UPDATE totals SET records = records - 1, bytes = bytes - length(OLD.data)
        WHERE family = OLD.family AND tombstone = OLD.tombstone;
        INSERT INTO totals VALUES (NEW.family, NEW.tombstone, 1, length(NEW.data))
        ON CONFLICT DO UPDATE SET records = records + 1, bytes = bytes + length(NEW.data); END""",
    """CREATE TRIGGER held_removed AFTER DELETE ON held BEGIN
        UPDATE totals SET records = records - 1, bytes = bytes - length(OLD.data)
        WHERE family = OLD.family AND tombstone = OLD.tombstone; END""",
)

RECORDS_SCHEMA = Schema(
    application_id=0x70327072,  # "p2pr"
    migrations=(_FIRST, _SECOND),
    damaged_hint="it holds only other people's records: run p2pctl doctor --set-aside dht.db, and start again",
)

_COLUMNS = "key, item, family, tombstone, sequence, expires_s, digest, data, stamp_bits"
_SELECT = f"SELECT {_COLUMNS} FROM held WHERE key=? ORDER BY item"  # noqa: S608 (our own column names)
_HOLD = f"""INSERT INTO held ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (key, item) DO UPDATE SET
    family=excluded.family, tombstone=excluded.tombstone, sequence=excluded.sequence, expires_s=excluded.expires_s,
    digest=excluded.digest, data=excluded.data, stamp_bits=excluded.stamp_bits"""  # noqa: S608 (our own column names)
_SAVE_NODE = """INSERT INTO nodes (key, endpoint, first_seen_s, last_seen_s) VALUES (?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET endpoint=excluded.endpoint, last_seen_s=excluded.last_seen_s,
    first_seen_s=min(first_seen_s, excluded.first_seen_s)"""
_TRIM_NODES = """DELETE FROM nodes WHERE
    key NOT IN (SELECT key FROM nodes ORDER BY last_seen_s DESC, key LIMIT ?) AND
    key NOT IN (SELECT key FROM nodes ORDER BY first_seen_s, key LIMIT ?)"""


class SqliteRecordStore:
    """`RecordStore` in a file, or in memory for tests and the simulator; for the rest as `SqliteUserStore`."""

    def __init__(self, path: str = MEMORY, *, read_only: bool = False, database: Opens = Database) -> None:
        self._database = database(path, RECORDS_SCHEMA, synchronous="NORMAL", read_only=read_only)
        self._shared = SharedCommit(self._database)

    def transaction(self) -> AbstractContextManager[None]:
        return self._shared.transaction()

    def attempt(self) -> AbstractContextManager[None]:
        return self._shared.attempt()

    def commit(self, *, durable: bool) -> None:
        self._shared.commit(durable=durable)

    def close(self) -> None:
        """Ends; what is not committed is gone."""
        self._database.close()

    def faults(self) -> list[str]:
        """What is damaged, in words, for `doctor`; reads everything."""
        return self._database.faults()

    # --- records ---

    def held(self, key: RecordKey) -> list[HeldRecord]:
        return [_held_record(fields) for fields in self._database.rows(_SELECT, (key,))]

    def hold(self, record: HeldRecord) -> None:
        self._shared.change(
            _HOLD,
            (
                record.key,
                record.item,
                record.family,
                record.tombstone,
                record.sequence,
                record.expires_s,
                record.digest,
                record.data,
                record.stamp_bits,
            ),
        )

    def release(self, key: RecordKey, item: bytes) -> None:
        self._shared.change("DELETE FROM held WHERE key=? AND item=?", (key, item))

    def expire(self, now_s: int) -> int:
        due = "SELECT rowid FROM held WHERE expires_s<=? ORDER BY expires_s LIMIT ?"
        parameters = (now_s, limits.EXPIRE_RECORDS)
        if self._database.row(due, (now_s, 1)) is None:
            return 0
        return self._shared.change(f"DELETE FROM held WHERE rowid IN ({due})", parameters)  # noqa: S608 (just above)

    def usage(self) -> tuple[int, int]:
        by_kind = self.usage_by_kind().values()
        return sum(records for records, _ in by_kind), sum(size_bytes for _, size_bytes in by_kind)

    def usage_by_kind(self) -> dict[tuple[int, bool], tuple[int, int]]:
        rows = self._database.rows("SELECT family, tombstone, records, bytes FROM totals ORDER BY family, tombstone")
        return {(family, bool(tombstone)): (records, size_bytes) for family, tombstone, records, size_bytes in rows}

    def keys_held(self) -> list[RecordKey]:
        return [RecordKey(key) for (key,) in self._database.rows("SELECT DISTINCT key FROM held ORDER BY key")]

    # --- nodes ---

    def known_nodes(self) -> list[KnownNode]:
        rows = self._database.rows(
            "SELECT key, endpoint, first_seen_s, last_seen_s FROM nodes ORDER BY last_seen_s DESC, key"
        )
        return [KnownNode(NodeKey(key), endpoint, first, last) for key, endpoint, first, last in rows]

    def save_node(self, node: KnownNode) -> None:
        self._shared.change(_SAVE_NODE, (node.key, node.endpoint, node.first_seen_s, node.last_seen_s))
        self._shared.change(_TRIM_NODES, (limits.NODES_KEPT, limits.NODES_FIRST_KEPT))

    def forget_node(self, key: NodeKey) -> None:
        self._shared.change("DELETE FROM nodes WHERE key=?", (key,))


def _held_record(fields: Fields) -> HeldRecord:
    key, item, family, tombstone, sequence, expires_s, digest, data, stamp_bits = fields
    return HeldRecord(key, item, family, bool(tombstone), sequence, expires_s, digest, data, stamp_bits)
