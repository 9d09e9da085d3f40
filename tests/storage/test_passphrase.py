"""What a guess costs, and that nobody makes it cheaper."""

import time
from dataclasses import dataclass

import pytest

from p2pd import limits
from p2pd.errors import DamagedError, UsageError
from p2pd.storage.passphrase import Stretching, checked_passphrase, fresh_stretching

SALT = bytes(range(limits.PASSPHRASE_SALT_BYTES))


@pytest.mark.slow
def test_a_guess_costs_what_it_should() -> None:
    fresh = fresh_stretching()
    assert fresh.memory_bytes >= limits.PASSPHRASE_MEMORY_BYTES
    assert fresh.passes >= limits.PASSPHRASE_PASSES
    began = time.thread_time()
    fresh.key(b"a guess", b"test")
    assert time.thread_time() - began >= 0.1


@dataclass(frozen=True)
class Cost:
    memory_bytes: int
    passes: int


@pytest.mark.parametrize(
    "cost",
    [
        Cost(limits.PASSPHRASE_MEMORY_BYTES - 1, limits.PASSPHRASE_PASSES),
        Cost(limits.PASSPHRASE_MEMORY_BYTES, limits.PASSPHRASE_PASSES - 1),
        Cost(0, 0),
        Cost(-1, -1),
        Cost(limits.PASSPHRASE_MEMORY_MAX_BYTES + 1, limits.PASSPHRASE_PASSES),
        Cost(limits.PASSPHRASE_MEMORY_BYTES, limits.PASSPHRASE_PASSES_MAX + 1),
    ],
)
def test_what_is_cheaper_or_endless_is_refused(cost: Cost) -> None:
    with pytest.raises(DamagedError):
        Stretching(SALT, cost.memory_bytes, cost.passes).key(b"a guess", b"test")


@pytest.mark.slow
def test_the_key_depends_on_everything() -> None:
    least = Stretching(SALT, limits.PASSPHRASE_MEMORY_BYTES, limits.PASSPHRASE_PASSES)
    more = Stretching(SALT, limits.PASSPHRASE_MEMORY_BYTES, limits.PASSPHRASE_PASSES + 1)
    other = Stretching(SALT[::-1], limits.PASSPHRASE_MEMORY_BYTES, limits.PASSPHRASE_PASSES)
    keys = [least.key(b"one", b"test"), least.key(b"two", b"test"), least.key(b"one", b"else")]
    keys += [more.key(b"one", b"test"), other.key(b"one", b"test")]
    assert len(set(keys)) == len(keys)
    assert least.key(b"one", b"test") == keys[0]
    assert len({each.associated() for each in (least, more, other)}) == 3


@pytest.mark.parametrize("passphrase", [b"", b"x" * (limits.PASSPHRASE_BYTES + 1), b"\xff\xfe"])
def test_some_passphrases_cannot_be_set(passphrase: bytes) -> None:
    with pytest.raises(UsageError):
        checked_passphrase(passphrase)
