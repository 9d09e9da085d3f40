"""The keys of a home: made at the first start without a question, loaded afterwards.

Rule: a public network wants a node key that has cost a puzzle (R6); one that has not is replaced, and the node gets
another place in the DHT.  The person stays the same.
"""

import asyncio
import logging
import time

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.crypto.stamp import node_key_bits
from p2pd.peer import own
from p2pd.storage.user import SqliteUserStore
from p2pd.types import Now, RandomSource

TRIES = 64
"""Node keys tried at a time, 0.65 ms each: after these a stop is noticed."""
PROGRESS_S = 2.0
_logger = logging.getLogger(__name__)


async def ready_keys(
    store: SqliteUserStore, random: RandomSource, now: Now, *, puzzle_bits: int, stopping: asyncio.Event
) -> own.OwnKeys | None:
    """The home's keys, made where there are none; the node's satisfies so many bits of the puzzle.

    None where the daemon was asked to stop meanwhile.

    Raises:
        DamagedError: some of them are missing.
    """
    if store.value(own.SEEDS[0]) is None:
        seed = await _node_seed(puzzle_bits, random, stopping)
        if seed is None:
            return None
        with store.transaction():
            own.create(store, seed, random, now)
        _logger.info("a new identity was made")
    keys = own.load(store)
    if node_key_bits(keys.node.public) < puzzle_bits:
        seed = await _node_seed(puzzle_bits, random, stopping)
        if seed is None:
            return None
        with store.transaction():
            store.set_value("node", seed)
        keys = own.load(store)
    store.own_identity = keys.identity_key
    return keys


async def _node_seed(bits: int, random: RandomSource, stopping: asyncio.Event) -> bytes | None:
    started = told = time.monotonic()
    tried = 0
    while (seed := await asyncio.to_thread(_try, bits, random)) is None:
        if stopping.is_set():
            return None
        tried += TRIES
        if time.monotonic() - told >= PROGRESS_S:
            told = time.monotonic()
            _logger.info("making a node key: %d of about %d tries", tried, 1 << bits)
    if bits:
        _logger.info("the node key took %.1f s", time.monotonic() - started)
    return seed


def _try(bits: int, random: RandomSource) -> bytes | None:
    for _ in range(TRIES):
        seed = random.bytes(limits.KEY_BYTES)
        if node_key_bits(SigningKey(seed).public) >= bits:
            return seed
    return None
