"""Memory of a crowd: given back once it is gone, neither for a few nor all the time."""

import asyncio
import subprocess
import sys
from unittest.mock import patch

import pytest

from p2pd import limits
from p2pd.net.memory import CrowdMemory
from tests.daemon.process import environment

FRAGMENTED = """
from p2pd.net.memory import trim
def resident(): return int(open("/proc/self/statm").read().split()[1])
before = resident()
pieces = [bytearray(2_000) for _ in range(20_000)]
kept = pieces[::50]
del pieces
after = resident()
trim()
print((resident() - before) / (after - before))
"""


@pytest.fixture
def given() -> list[int]:
    return []


async def test_a_few_connections_are_not_worth_it(given: list[int]) -> None:
    with patch.object(limits, "GIVE_BACK_S", 0.0):
        memory = CrowdMemory(lambda: given.append(1))
        memory.on_ended(limits.CROWD_CONNECTIONS - 1)
        await asyncio.sleep(0.01)
    assert given == []


async def test_a_crowd_is_and_then_the_next(given: list[int]) -> None:
    with patch.object(limits, "GIVE_BACK_S", 0.0):
        memory = CrowdMemory(lambda: given.append(1))
        for ended in range(limits.CROWD_CONNECTIONS + 10):
            memory.on_ended(ended)
        await asyncio.sleep(0.01)
        assert given == [1]
        memory.on_ended(2 * limits.CROWD_CONNECTIONS - 1)
        await asyncio.sleep(0.01)
        assert given == [1]
        memory.on_ended(2 * limits.CROWD_CONNECTIONS)
        await asyncio.sleep(0.01)
        assert given == [1, 1]


async def test_it_waits_first_and_not_beyond_the_end(given: list[int]) -> None:
    with patch.object(limits, "GIVE_BACK_S", 0.01):
        memory = CrowdMemory(lambda: given.append(1))
        memory.on_ended(limits.CROWD_CONNECTIONS)
        await asyncio.sleep(0)
        memory.close()
        await asyncio.sleep(0.03)
    assert given == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has it")
def test_what_lies_between_pieces_in_use_goes_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FRAGMENTED], env=environment(), capture_output=True, text=True, check=True, timeout=60
    )
    assert float(done.stdout) < 0.5
