"""Friends of one daemon: whole engines in this process on sockets of their own, and what they cost it."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.processes import cpu_s, resident_bytes
from bench.setting import SMALL_REPLICAS
from p2pd.dht.settings import Role
from p2pd.wire.address import parse_node_hint
from tests.integration.fleet import Daemon
from tests.swarm import Swarm, SwarmNode

AT_ONCE = 10
ACCEPTED_WITHIN_S, LINKED_WITHIN_S = 240.0, 240.0
REST_S = 10.0
"""For the look-ups that a new contact causes."""
QUIET_WITHIN_S = 240.0
QUIET_SHARE = 0.02
"""Of a processor, over `REST_S`: the daemon has read the mailboxes of all whom it knows."""


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes of memory for each of so many friends."""

    connection: float
    """What their connections add to a daemon that knows them all, and has looked for their mail: at least, since they
    use what these look-ups have left free; with few friends it is nothing."""
    friend: float
    """What they add to a daemon that knew nobody: their link, contact and sessions, and what its caches took."""
    later_friend: float
    """The same of the second half of them."""


def held_bytes(daemon: Daemon, first: Sequence[str], friends: int) -> Held:
    """What friends add to the memory of a daemon that accepts all requests; it is restarted once."""
    return asyncio.run(_held_bytes(daemon, first, friends))


async def _held_bytes(daemon: Daemon, first: Sequence[str], friends: int) -> Held:
    none = _size(daemon)
    async with asyncio.TaskGroup() as tasks:
        swarm = Swarm(SMALL_REPLICAS, tasks, [parse_node_hint(hint) for hint in first], role=Role.CLIENT)
        sizes = []
        for count in (friends // 2, friends):
            while len(swarm.nodes) < count:
                await _befriend(swarm, daemon.address, min(AT_ONCE, count - len(swarm.nodes)))
            await _linked(daemon, count)
            await asyncio.sleep(REST_S)
            sizes.append(_size(daemon))
        for node in swarm.nodes:
            await node.stop()
        await asyncio.to_thread(daemon.stop)
        await asyncio.to_thread(daemon.start)
        await _quiet(daemon)
        away = _size(daemon)
        for number, node in enumerate(swarm.nodes):
            await node.start()
            if number % AT_ONCE == AT_ONCE - 1:  # all at once they would keep this process from answering
                await _linked(daemon, number + 1)
        await _linked(daemon, friends)
        await _quiet(daemon)
        back = _size(daemon)
        for node in swarm.nodes:
            await node.stop()
    half, whole = sizes
    return Held((back - away) / friends, (whole - none) / friends, (whole - half) / (friends - friends // 2))


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


async def _quiet(daemon: Daemon) -> None:
    """Wait until it does next to nothing."""
    pid = _pid(daemon)
    async with asyncio.timeout(QUIET_WITHIN_S):
        while True:
            before, began = cpu_s(pid), time.monotonic()
            await asyncio.sleep(REST_S)
            if cpu_s(pid) - before < QUIET_SHARE * (time.monotonic() - began):
                return


def _size(daemon: Daemon) -> int:
    return resident_bytes(_pid(daemon))


def _pid(daemon: Daemon) -> int:
    assert daemon.process is not None
    return daemon.process.pid
