"""What the nodes' stores hold of others' records: what was promised of it, and how many copies there are.

Knows rows, not formats.
Promises: a tombstone is never replaced by its item, nor a value by an older one; what a receipt was given for is still
there after a crash; `stored` is said only when that many others really hold it.
Rules: what a turn changed counts once it is committed.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from p2pd import limits
from p2pd.chat.mail import MailAddress
from p2pd.chat.pairs import Direction
from p2pd.peer import own
from p2pd.sim.promises import Broken, Letter
from p2pd.sim.resident import Resident
from p2pd.store import HeldRecord, Message, OutboxItem, RecordStore
from p2pd.types import RecordKey
from p2pd.wire.record import Family, record_key

Slot = tuple[bytes, bytes]
"""Record key and item id; all of an open set that share an id count as one."""
_SAMPLE = 400
"""Record keys that one look at the copies takes."""


@dataclass(slots=True)
class _Changes:
    """What the turn under way does to a node's records."""

    held: dict[tuple[bytes, bytes], HeldRecord] = field(default_factory=dict)
    released: list[tuple[bytes, bytes]] = field(default_factory=list)
    gone: list[HeldRecord] = field(default_factory=list)
    """What was released: a record that is replaced goes before its successor comes."""
    broken: list[str] = field(default_factory=list)


class Copies:
    """All records of a run."""

    def __init__(self, broken: Broken, residents: Callable[[], list[Resident]]) -> None:
        self._broken = broken
        self._residents = residents
        self._changes = _Changes()
        self._kept: dict[str, dict[tuple[bytes, bytes], HeldRecord]] = {}
        """Committed, and perhaps not on the disk yet."""
        self._promised: dict[str, dict[tuple[bytes, bytes], HeldRecord]] = {}
        self._fallen: set[str] = set()
        self.jumped: set[str] = set()
        """Hosts whose wall clock was wrong once: what has expired is not the same for them and for us."""
        self.strict = False
        """Whether nothing disturbs the world: every live server is found by a put."""

    # --- turns

    def begin(self, resident: Resident) -> None:
        """A turn begins there; after a crash it is the first."""
        self._changes = _Changes()
        if resident.host in self._fallen:
            self._fallen.discard(resident.host)
            self._judge_kept(resident)

    def on_hold(self, records: RecordStore, record: HeldRecord) -> None:
        """It is about to keep a record."""
        before = [row for row in self._changes.gone if row.key == record.key]
        for row in (*records.held(record.key), *before):
            same = row.item[: limits.ITEM_ID_BYTES] == record.item[: limits.ITEM_ID_BYTES]
            if same and row.tombstone and not record.tombstone:
                self._changes.broken.append(f"item {record.item.hex()[:8]} came back over its tombstone")
            elif not record.item and row.sequence > record.sequence:
                self._changes.broken.append(f"a value went back from {row.sequence} to {record.sequence}")
        self._changes.held[record.key, record.item] = record

    def on_release(self, records: RecordStore, key: bytes, item: bytes) -> None:
        """It is about to drop a record."""
        self._changes.released.append((key, item))
        self._changes.gone += [row for row in records.held(RecordKey(key)) if row.item == item]
        self._changes.held.pop((key, item), None)

    def committed(self, resident: Resident) -> None:
        """The turn's changes stand."""
        if not self._changes.held and not self._changes.released:
            return
        for text in self._changes.broken if resident.host not in self.jumped else []:
            self._broken("records", resident.host, text)
        promised = self._promised.setdefault(resident.host, {})
        kept = self._kept.setdefault(resident.host, {})
        for slot in (*self._changes.released, *self._changes.held):
            promised.pop(slot, None)
            kept.pop(slot, None)
        kept.update(self._changes.held)

    def promise(self, resident: Resident) -> None:
        """A receipt leaves: everything kept so far has to be on the disk; what its commit was refused is not there."""
        kept = self._kept.pop(resident.host, {})
        there = {slot: record for slot, record in kept.items() if _has(resident, record.key, record.item)}
        self._promised.setdefault(resident.host, {}).update(there)

    def fall(self, host: str) -> None:
        """The process there has ended."""
        self._changes = _Changes()
        self._kept.pop(host, None)
        self._fallen.add(host)

    def _judge_kept(self, resident: Resident) -> None:
        promised = self._promised.pop(resident.host, {})
        if resident.host in self.jumped:
            return
        now_s = resident.world.now_at(resident.host).wall_s
        for (key, item), record in promised.items():
            if record.expires_s > now_s and not _has(resident, RecordKey(key), item):
                text = f"item {item.hex()[:8]} was promised to be kept, and is gone after a crash"
                self._broken("records", resident.host, text)

    # --- what `stored` says

    def judge_stored(self, letter: Letter, message: Message) -> None:
        """The sender was told `stored`: how many others hold each part?"""
        sender = letter.sender
        parts = sender.store.outbox(message.contact, after=message.first_sequence - 1, limit=limits.PARTS)
        for part in parts:
            if part.sequence > message.last_sequence or not part.put_item:
                continue
            have, want = self._holders(sender, part), self._wanted(sender)
            if have < want:
                text = f"{letter} is `stored` with {have} copies, and {want} are the least"
                self._broken("stored", sender.host, text)

    def _wanted(self, sender: Resident) -> int:
        usual = min(limits.STORED_RECEIPTS, sender.settings.dht.replicas)
        others = sum(resident.is_up and resident is not sender for resident in self._residents())
        return min(usual, others) if self.strict else limits.STORED_RECEIPTS_MIN

    def _holders(self, sender: Resident, part: OutboxItem) -> int:
        """Nodes that hold the part, or know that it was ended; liars count, who said that they do."""
        contact = sender.store.contact(part.contact)
        if contact is None or contact.device is None:
            return 0
        keys = own.load(sender.store)
        pair = next((one for one in contact.pair_secrets if one.generation == part.put_generation), None)
        if pair is None:
            return 0
        where = MailAddress(Direction(pair, keys.device_key, contact.device), part.put_day, part.put_index)
        key = record_key(Family.SET, where.address())
        others = [resident for resident in self._residents() if resident is not sender]
        return sum(_holds(resident, key, part.put_item) for resident in others)

    # --- how many there are

    def count(self, now_s: int) -> list[int]:
        """For each record that somebody up holds, on how many nodes that are up it lies; tombstones end records."""
        copies: Counter[Slot] = Counter()
        ended: set[Slot] = set()
        for resident in self._residents():
            if not resident.is_up:
                continue
            for key in resident.records.keys_held()[:_SAMPLE]:
                for row in resident.records.held(key):
                    slot = (key, row.item[: limits.ITEM_ID_BYTES])
                    if row.tombstone:
                        ended.add(slot)
                    elif row.expires_s > now_s and row.data:
                        copies[slot] += 1
        return sorted(count for slot, count in copies.items() if slot not in ended)


def _holds(resident: Resident, key: RecordKey, item: bytes) -> bool:
    return resident.behaviour is not None or _has(resident, key, item)


def _has(resident: Resident, key: RecordKey, item: bytes) -> bool:
    return any(row.item == item for row in resident.records.held(key))
