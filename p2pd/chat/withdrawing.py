"""Taking mail back: tombstones for the records of recalled messages, until their holders have confirmed them.

Knows no reason for it, and no order.
Rules: a recalled message says where its records lie.  Their tombstones are put at once, and again with the waits of
mail while fewer holders have confirmed one than had given a receipt, for as long as the recall is not acknowledged.
A record whose pair secret is gone is left alone: its reader cannot find it any more either.
"""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from p2pd import limits
from p2pd.chat import pairs
from p2pd.chat.history import History
from p2pd.chat.mail import MailAddress, again_s, tombstone, was_reached
from p2pd.dht.node import Dht
from p2pd.dht.storing import PutProgress
from p2pd.peer.own import OwnKeys
from p2pd.store import Contact, Message, OutboxItem, Posted, Retraction, UserStore
from p2pd.types import IdentityKey, ItemId, MessageId, Now
from p2pd.wire.record import Family


class Withdrawing:
    """Tombstones to all contacts' mailboxes."""

    def __init__(
        self,
        own: OwnKeys,
        store: UserStore,
        dht: Dht,
        history: History,
        on_tried: Callable[[IdentityKey, Now], None],
    ) -> None:
        self._own = own
        self._store = store
        self._dht = dht
        self._history = history
        self._on_tried = on_tried

    def put(self, contact: Contact, id: MessageId, now: Now) -> None:
        """Puts the tombstones of one message that are due."""
        message = self._store.message(id, contact=contact.identity)
        if message is None or message.recall is None or not self._dht.joined:
            return
        recall = message.recall
        waiting = _unconfirmed(recall, now)
        if not waiting or recall.retry_ms > now.wall_ms:
            return
        recall = _tried(replace(recall, attempts=recall.attempts + 1), now)
        self._store.save_message(replace(message, recall=recall))
        mailboxes: dict[tuple[int, int, int], list[Posted]] = {}
        for record in waiting:
            mailboxes.setdefault((record.generation, record.day, record.index), []).append(record)
        for (generation, day, index), records in mailboxes.items():
            direction = pairs.written(self._own, contact, generation)
            if direction is not None:
                self._put(contact.identity, id, MailAddress(direction, day, index), records, now)

    def due_ms(self, contact: IdentityKey, items: Iterable[OutboxItem], now: Now) -> list[int]:
        """When tombstones of what these items recall are to be put again, wall clock."""
        asked = (self._store.message(item.message, contact=contact) for item in items if item.recalls)
        recalls = [message.recall for message in asked if message is not None and message.recall is not None]
        return [recall.retry_ms for recall in recalls if _unconfirmed(recall, now)]

    def _put(self, contact: IdentityKey, id: MessageId, where: MailAddress, records: list[Posted], now: Now) -> None:
        signer = where.signer()
        for start in range(0, len(records), limits.MAIL_BATCH):
            batch = records[start : start + limits.MAIL_BATCH]
            ends = [tombstone(signer, record.item, Family.SET, record.expires_s) for record in batch]
            items = frozenset(record.item for record in batch)

            def progress(result: PutProgress, later: Now, items: frozenset[ItemId] = items) -> None:
                self._on_put(contact, id, items, result, later)

            self._dht.put(ends, progress, now, widely=True)

    def _on_put(
        self, contact: IdentityKey, id: MessageId, items: frozenset[ItemId], progress: PutProgress, now: Now
    ) -> None:
        message = self._store.message(id, contact=contact)
        if message is None or message.recall is None or not progress.done:
            return
        records = tuple(
            replace(
                record,
                ended=max(record.ended, progress.receipts),
                holders=max(record.holders, progress.wanted),
            )
            if record.item in items
            else record
            for record in message.recall.records
        )
        recall = replace(message.recall, records=records)
        message = replace(message, recall=recall if was_reached(progress) else _tried(recall, now, reached=False))
        self._store.save_message(message)
        have, want = holders(message)
        self._history.step(contact, id, "copies removed", now, have=have, want=want)
        self._on_tried(contact, now)


def holders(message: Message) -> tuple[int, int]:
    """How many holders of a recalled message's records have confirmed that they hold them no more, and of how many.

    A node counts once for each mailbox in which parts of it lay.
    """
    mailboxes: dict[tuple[int, int, int], list[Posted]] = {}
    for record in message.recall.records if message.recall is not None else ():
        mailboxes.setdefault((record.generation, record.day, record.index), []).append(record)
    of = {place: max(record.holders for record in records) for place, records in mailboxes.items()}
    ended = sum(min(of[place], *(record.ended for record in records)) for place, records in mailboxes.items())
    return ended, sum(of.values())


def _tried(recall: Retraction, now: Now, *, reached: bool = True) -> Retraction:
    return replace(recall, retry_ms=now.wall_ms + int(again_s(recall.attempts, reached=reached) * 1000))


def _unconfirmed(recall: Retraction, now: Now) -> list[Posted]:
    return [
        record
        for record in recall.records
        if record.expires_s > now.wall_s and (record.ended < record.holders or not record.holders)
    ]
