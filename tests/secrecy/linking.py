"""A storer's classifier: are two records of two days of one pair, or of two?

It sees of a record all that its storer sees but source addresses: address key, item id, body, signature, size, expiry,
the time when it came and when it was asked for, and the keys of who put it and who asked for it.
The records are made by the shipped code; the classifier is logistic regression over how alike two records are in each
of these, and, beside it, the best single of them; both learn on one half and are judged on the other.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from p2pd import limits
from p2pd.chat.mail import MailAddress, mail_record
from p2pd.chat.pairs import Direction
from p2pd.crypto.keys import SigningKey
from p2pd.dht.throwaways import Throwaways
from p2pd.store import PairSecret
from p2pd.types import Day, DeviceKey, ItemId
from p2pd.wire.record import Family, Record, record_key

DAY = 20_700
HABIT_S = 600
SIZES = (100, 100, 100, 600, 3_000)
"""Lengths of texts: most are short."""
FEATURES = (
    "address", "item", "signature", "nonce", "box", "writer's key", "reader's key", "size", "time put", "time read",
    "expiry", "address's first byte", "signature's first byte",
)  # fmt: skip
ROUNDS = 12
RATE = 0.05


@dataclass(frozen=True, slots=True)
class Seen:
    """One record as its storer sees it."""

    record: Record
    put_s: int
    read_s: int
    writer: bytes
    reader: bytes


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How often the classifiers were right where they had not learned."""

    logistic: float
    single: float
    feature: str
    tests: int


class _Pair:
    """Two people, and what one writes to the other each day."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        sender, recipient = (DeviceKey(SigningKey(chance.randbytes(32)).public) for _ in range(2))
        self.direction = Direction(PairSecret(0, chance.randbytes(32), 0), sender, recipient)
        self.writer, self.reader = (Throwaways(SigningKey(chance.randbytes(32))) for _ in range(2))
        self.habit = (chance.randrange(86_400), chance.randrange(86_400))

    def day(self, day: int, *, habit: bool) -> Seen:
        """The record of one day."""
        put_s, read_s = (self._at(day, usual if habit else None) for usual in self.habit)
        where = MailAddress(self.direction, day, 0)
        envelope = self.chance.randbytes(self.chance.choice(SIZES))
        record = mail_record(where, ItemId(self.chance.randbytes(16)), envelope, put_s + limits.MAIL_LIFE_S)
        key = record_key(Family.SET, where.address())
        return Seen(record, put_s, read_s, self.writer.key(key, Day(day)).public, self.reader.key(key, Day(day)).public)

    def _at(self, day: int, usual: int | None) -> int:
        second = self.chance.randrange(86_400) if usual is None else usual + self.chance.randint(-HABIT_S, HABIT_S)
        return day * 86_400 + second % 86_400


def accuracy(count: int, seed: int, *, habit: bool) -> Accuracy:
    """Of `count` examples, half of them of one pair; with `habit` each person has a time of day."""
    chance = Random(f"{seed} {habit}")
    examples = [_example(chance, habit) for _ in range(count)]
    half = count // 2
    learn, judge = examples[:half], examples[half:]
    weights = _learned(learn, chance)
    place = max(range(len(FEATURES)), key=lambda place: _right_single(learn, place)[0])
    _, threshold, sign = _right_single(learn, place)
    single = sum((sign * values[place] > threshold) is same for values, same in judge) / len(judge)
    logistic = sum((_score(weights, values) > 0) is same for values, same in judge) / len(judge)
    return Accuracy(logistic, single, FEATURES[place], len(judge))


def _example(chance: Random, habit: bool) -> tuple[list[float], bool]:
    one, same = _Pair(chance), chance.random() < 0.5
    other = one if same else _Pair(chance)
    return _alike(one.day(DAY, habit=habit), other.day(DAY + 1, habit=habit)), same


def _alike(one: Seen, other: Seen) -> list[float]:
    """How alike two records are, about 0 for any two, in the order of `FEATURES`."""
    first, second = one.record.parse(), other.record.parse()
    bodies = first.body, second.body  # type: ignore[union-attr]
    nonces, boxes = [body[:24] for body in bodies], [body[24:224] for body in bodies]
    return [
        _bits(first.address, second.address),
        _bits(first.item, second.item),  # type: ignore[union-attr]
        _bits(one.record.signature, other.record.signature),
        _bits(*nonces),
        _bits(*boxes),
        _bits(one.writer, other.writer),
        _bits(one.reader, other.reader),
        float(len(bodies[0]) == len(bodies[1])) - 0.5,
        _clock(one.put_s, other.put_s),
        _clock(one.read_s, other.read_s),
        _clock(first.expires_s, second.expires_s),
        float(first.address[0] == second.address[0]),
        float(one.record.signature[0] == other.record.signature[0]),
    ]


def _bits(one: bytes, other: bytes) -> float:
    """How many bits agree beyond half of them, in standard deviations of chance."""
    size = 8 * min(len(one), len(other))
    differing = (int.from_bytes(one[: size // 8], "big") ^ int.from_bytes(other[: size // 8], "big")).bit_count()
    return (size / 2 - differing) / math.sqrt(size / 4)


def _clock(one_s: int, other_s: int) -> float:
    """How near two times of day are: 1 for the same, -1 for half a day apart."""
    apart = abs(one_s - other_s) % 86_400
    return 1 - min(apart, 86_400 - apart) / 21_600


def _learned(examples: list[tuple[list[float], bool]], chance: Random) -> list[float]:
    """Logistic regression by stochastic gradient descent; the last weight stands alone."""
    weights = [0.0] * (len(FEATURES) + 1)
    order = list(examples)
    for number in range(ROUNDS):
        chance.shuffle(order)
        rate = RATE / (1 + number)
        for values, same in order:
            error = float(same) - 1 / (1 + math.exp(-max(-30.0, min(30.0, _score(weights, values)))))
            for place, value in enumerate(values):
                weights[place] += rate * error * value
            weights[-1] += rate * error
    return weights


def _score(weights: list[float], values: list[float]) -> float:
    return sum(map(float.__mul__, weights, values)) + weights[-1]


def _right_single(examples: list[tuple[list[float], bool]], place: int) -> tuple[float, float, int]:
    """How often one feature is right at its best threshold, that threshold, and which side means one pair."""
    best = (0.0, 0.0, 1)
    ordered = sorted((values[place], same) for values, same in examples)
    for sign in (1, -1):
        ranked = ordered if sign > 0 else [(-value, same) for value, same in reversed(ordered)]
        above = sum(same for _, same in ranked)
        right = above
        for (value, same), (following, _) in pairwise([*ranked, (math.inf, False)]):
            right += -1 if same else 1
            if following > value and right / len(ranked) > best[0]:
                best = (right / len(ranked), value, sign)
    return best
