"""Nodes that misbehave: the shipped DHT with keys of its own, whose answers alone are not what they should be.

Knows how answers look, and nothing of how they are sealed: what these say is well sealed and signed, as by anyone.
Rules: an adversary joins, is tabled and asks like an honest node; it lies where others rely on it.  What it says is
drawn from the seed.

| | a record to keep | asked for records | asked for nodes | compared with |
|---|---|---|---|---|
| `Dropper` | a signed receipt, and nothing kept | nothing | the truth | "I have all" |
| `Liar` | a forged receipt, a refusal | none, old, spoiled, garbage | none, true ones elsewhere | the truth |
| `Inventor` | kept | nodes that are not there, nearer than any | the same | the truth |
| `Usurper` | kept | the same, at the addresses of those that are there | the same | the truth |
| `Misleader` | kept | the truth | the truth | the truth, but a wrong clock when pinged |
"""

from __future__ import annotations

from enum import Enum
from heapq import nsmallest
from random import Random
from typing import Protocol

from p2pd import limits
from p2pd.dht.bounded import Recent
from p2pd.dht.node import Dht
from p2pd.dht.peers import Peer, contact_of
from p2pd.dht.questions import Answer, Question
from p2pd.dht.records import signed_receipt, verified
from p2pd.errors import PeerError
from p2pd.sim.chance import SeededRandom
from p2pd.types import Endpoint, NodeKey, Now, RandomSource, RecordKey
from p2pd.wire.record import Tombstone
from p2pd.wire.rpc import (
    Body,
    Contact,
    Digest,
    Find,
    Get,
    Missing,
    Nodes,
    Ping,
    Pong,
    Refusal,
    Store,
    Stored,
    Values,
    pack_endpoint,
)

VICTIM = Endpoint("203.0.113.7", 4_242)
"""Where nobody is whom the liars name."""
_CONTACT_BYTES = 43
_REPLY_HEAD_BYTES = 16
_INVENTED = 1_024
_REMEMBERED = 1_024
_WRONG_BY_MS = 3 * limits.DAY_MS


class HasDht(Protocol):
    """A whole engine, or what has nothing but its DHT."""

    _dht: Dht


class Adversary:
    """What all have in common: the answers of the node that they take over pass through `said`."""

    def __init__(self, node: HasDht, random: RandomSource) -> None:
        self.dht = node._dht
        self.random = Random(random.bytes(8))
        self.lies = 0
        self._honest = self.dht._serving.answer
        self.dht._serving.answer = self._answer  # type: ignore[method-assign]  # the one place where answers are made

    def said(self, question: Question, now: Now) -> Body | None:
        """What to say instead of the truth; None: the truth."""
        raise NotImplementedError

    def _answer(self, question: Question, now: Now) -> Answer | None:
        body = self.said(question, now) if self.dht.serves else None
        if body is None:
            return self._honest(question, now)
        self.lies += 1
        return Answer(body)

    def truth(self, question: Question, now: Now) -> Body | None:
        """What an honest node says."""
        answer = self._honest(question, now)
        return None if answer is None else answer.body


class Dropper(Adversary):
    """Takes every record, signs for it, and keeps none."""

    def said(self, question: Question, now: Now) -> Body | None:
        """Nothing that it took is there."""
        match question.body:
            case Store(records=records) if question.proven:
                return self._promised(records)
            case Digest():
                return Missing([])
            case _:
                return None

    def _promised(self, records: list[bytes]) -> Stored:
        results: list[int] = []
        receipts: list[bytes] = []
        for data in records:
            try:
                record = verified(data)
            except PeerError:
                results.append(Refusal.INVALID)
                continue
            results.append(Refusal.KEPT)
            if not isinstance(record.content, Tombstone):
                receipts.append(signed_receipt(record.digest, record.content.expires_s, self.dht._node))
        return Stored(results, receipts)


class Lie(Enum):
    """What a liar says to a question about records or nodes; to one that it does not suit, the truth."""

    GARBAGE = "bytes that are no record, and seven more that it does not have"
    WRONG_KIND = "the answer to another question"
    NOTHING = "no nodes, no records, and a refusal to keep any"
    WRONG_ENDPOINTS = "the truly nearest where they are not, and where all who tell this lie say that they are"
    OLD = "the first record that it saw under the key"
    SPOILED = "what it holds, with a bit flipped"
    FALSE_RECEIPT = "kept, and a receipt that is none"


class Liar(Adversary):
    """Tells one lie, or another each time; keeps what it is given, to give old values of it."""

    def __init__(self, node: HasDht, random: RandomSource, lie: Lie | None = None) -> None:
        super().__init__(node, random)
        self._lie = lie
        self._old: Recent[RecordKey, bytes] = Recent(_REMEMBERED)

    def said(self, question: Question, now: Now) -> Body | None:
        """One falsehood."""
        body = question.body
        if not isinstance(body, Find | Get | Store):
            return None
        if isinstance(body, Store):
            self._remember(body.records)
        match self._lie or self.random.choice(list(Lie)):
            case Lie.GARBAGE:
                return Values([self.random.randbytes(100)] * 3, 7, [])
            case Lie.WRONG_KIND:
                return Pong(0, pack_endpoint(VICTIM))
            case Lie.NOTHING if isinstance(body, Store):
                return Stored([Refusal.CONFLICT] * len(body.records), [])
            case Lie.NOTHING:
                return Values([], 0, []) if isinstance(body, Get) else Nodes([])
            case Lie.WRONG_ENDPOINTS if not isinstance(body, Store):
                place = body.key if isinstance(body, Get) else body.target
                named = [contact_of(Peer(peer.key, _elsewhere(peer))) for peer in _nearest(self.dht, place)]
                contacts = _fitting(named, question)
                return Values([], 0, contacts) if isinstance(body, Get) else Nodes(contacts)
            case Lie.OLD if isinstance(body, Get) and (old := self._old.find(body.key)) is not None:
                return Values([old], 0, []) if len(old) + _REPLY_HEAD_BYTES < question.room_bytes else None
            case Lie.SPOILED if isinstance(body, Get):
                truth = self.truth(question, now)
                held = truth.records if isinstance(truth, Values) else []
                return Values([self._spoiled(data) for data in held], 0, []) if held else None
            case Lie.FALSE_RECEIPT if isinstance(body, Store):
                return Stored([Refusal.KEPT] * len(body.records), [self.random.randbytes(180)])
            case _:
                return None

    def _remember(self, records: list[bytes]) -> None:
        for data in records:
            try:
                record = verified(data)
            except PeerError:
                continue
            if self._old.find(record.key) is None:
                self._old.put(record.key, data)

    def _spoiled(self, data: bytes) -> bytes:
        place = self.random.randrange(len(data))
        return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


class Inventor(Adversary):
    """Names nodes that do not exist, nearer to whatever is asked for than any that do."""

    def __init__(self, node: HasDht, random: RandomSource) -> None:
        super().__init__(node, random)
        source = SeededRandom(random.bytes(8))
        self._invented = [_nobody(NodeKey(source.bytes(32)), number) for number in range(_INVENTED)]

    def said(self, question: Question, now: Now) -> Body | None:
        """The nearest of those invented."""
        match question.body:
            case Find(target=target):
                return Nodes(_fitting(self._nearest(target), question))
            case Get(key=key):
                return Values([], 0, _fitting(self._nearest(key), question))
            case _:
                return None

    def _nearest(self, target: bytes) -> list[Contact]:
        place = int.from_bytes(target, "big")
        near = nsmallest(limits.CONTACTS_PER_REPLY, self._invented, key=lambda peer: peer.place ^ place)
        return [contact_of(peer) for peer in self._placed(near, target)]

    def _placed(self, near: list[Peer], target: bytes) -> list[Peer]:
        """Where they are said to be."""
        return near


class Usurper(Inventor):
    """Says that those whom it invents are where the truly nearest are, of whose networks only so many are asked."""

    def _placed(self, near: list[Peer], target: bytes) -> list[Peer]:
        true = _nearest(self.dht, target)
        places = [peer.endpoint for peer in true for _ in range(limits.RESULT_PER_24)]
        return [Peer(peer.key, endpoint) for peer, endpoint in zip(near, places, strict=False)]


class Misleader(Adversary):
    """Tells everybody a wrong time and a wrong address of their own."""

    def said(self, question: Question, now: Now) -> Body | None:
        """A clock three days ahead."""
        if isinstance(question.body, Ping):
            return Pong(now.wall_ms + _WRONG_BY_MS, pack_endpoint(VICTIM))
        return None


def _nearest(dht: Dht, target: bytes) -> list[Peer]:
    """Of its table the nearest, as many as an answer names."""
    place = int.from_bytes(target, "big")
    return nsmallest(
        limits.CONTACTS_PER_REPLY, (entry.peer for entry in dht.table()), key=lambda peer: peer.place ^ place
    )


def _elsewhere(peer: Peer) -> Endpoint:
    """Where nobody is; the same for all who are asked."""
    return _nowhere(peer.place)


def _nobody(key: NodeKey, number: int) -> Peer:
    return Peer(key, _nowhere(number))


def _nowhere(number: int) -> Endpoint:
    """Where nobody is; the next numbers are in other networks (R7)."""
    return Endpoint(f"{150 + number // 250 % 40}.{number % 250}.7.7", 4_242)


def _fitting(contacts: list[Contact], question: Question) -> list[Contact]:
    """As many as an answer holds: a liar, too, wants to be heard."""
    return contacts[
        : max(0, min(limits.CONTACTS_PER_REPLY, (question.room_bytes - _REPLY_HEAD_BYTES) // _CONTACT_BYTES))
    ]
