"""Friends of one daemon: whole engines in this process on sockets of their own, and what they cost it."""

import asyncio
from collections.abc import Sequence

from bench.processes import resident_bytes
from bench.setting import SMALL_REPLICAS
from p2pd.wire.address import parse_node_hint
from tests.integration.fleet import Daemon
from tests.swarm import Swarm, SwarmNode

AT_ONCE = 10
ACCEPTED_WITHIN_S, LINKED_WITHIN_S = 240.0, 240.0
REST_S = 10.0
"""For the look-ups that a new contact causes."""


def held_bytes(daemon: Daemon, first: Sequence[str], friends: int) -> tuple[float, float]:
    """What each friend added to the memory of a daemon that accepts all requests: of all, and of the second half."""
    return asyncio.run(_held_bytes(daemon, first, friends))


async def _held_bytes(daemon: Daemon, first: Sequence[str], friends: int) -> tuple[float, float]:
    sizes = [_size(daemon)]
    async with asyncio.TaskGroup() as tasks:
        swarm = Swarm(SMALL_REPLICAS, tasks, [parse_node_hint(hint) for hint in first])
        for count in (friends // 2, friends):
            while len(swarm.nodes) < count:
                await _befriend(swarm, daemon.address, min(AT_ONCE, count - len(swarm.nodes)))
            await _linked(daemon, count)
            await asyncio.sleep(REST_S)
            sizes.append(_size(daemon))
        for node in swarm.nodes:
            await node.stop()
    none, half, whole = sizes
    return (whole - none) / friends, (whole - half) / (friends - friends // 2)


async def _befriend(swarm: Swarm, address: str, count: int) -> None:
    nodes = [await swarm.add() for _ in range(count)]
    await swarm.settled(nodes, 1)
    for node in nodes:
        await node.ask(lambda engine, now: engine.contact_add(address, now, name="held"))
    for node in nodes:
        await node.until(lambda node=node: _is_accepted(node), ACCEPTED_WITHIN_S)  # type: ignore[misc]


def _is_accepted(node: SwarmNode) -> bool:
    return all(contact.state == "accepted" for contact in node.store.contacts())


async def _linked(daemon: Daemon, count: int) -> None:
    async with asyncio.timeout(LINKED_WITHIN_S):
        while (await asyncio.to_thread(daemon.call, "status"))["links"] < count:  # noqa: ASYNC110 - who else would tell
            await asyncio.sleep(0.2)


def _size(daemon: Daemon) -> int:
    assert daemon.process is not None
    return resident_bytes(daemon.process.pid)
