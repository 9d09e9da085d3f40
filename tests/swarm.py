"""Many whole nodes in one process, on real sockets: what a loopback network does, without its processes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from p2pd.application import EngineSettings
from p2pd.dht.settings import DhtSettings, Role
from p2pd.engine import Engine
from p2pd.net.clock import SystemClock, SystemRandom
from p2pd.net.driver import Driver
from p2pd.net.inputs import Input
from p2pd.net.network import Network
from p2pd.net.tuning import QuicTuning
from p2pd.peer import own
from p2pd.storage.records import SqliteRecordStore
from p2pd.storage.user import SqliteUserStore
from p2pd.store import Message
from p2pd.types import Endpoint, IdentityKey, NodeHint, Now

T = TypeVar("T")
ANY_PORT = Endpoint("127.0.0.1", 0)


class SwarmNode:
    """One node; its stores survive `stop`, its engine and sockets do not."""

    def __init__(self, swarm: "Swarm", *, storage_only: bool = False) -> None:
        self.swarm = swarm
        self.storage_only = storage_only
        self.store = SqliteUserStore(":memory:", own_identity=None, master_key=bytes(32))
        self.records = SqliteRecordStore(swarm.records_file())
        random, now = SystemRandom(), SystemClock().now()
        with self.store.transaction():
            own.create(self.store, random.bytes(32), random, now)
        self.keys = own.load(self.store)
        self.store.own_identity = IdentityKey(self.keys.identity.public)
        self.endpoint = ANY_PORT
        self.wake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Join the swarm by its first nodes, on the port it had before."""
        clock, random = SystemClock(), SystemRandom()

        def emit(value: Input) -> None:
            self.driver.put(value)

        self.network = Network(self.keys.node, random, emit, QuicTuning(private=True), clock)
        (self.endpoint,) = await self.network.open([self.endpoint])
        settings = EngineSettings(
            dht=DhtSettings(private=True, replicas=self.swarm.replicas, role=self.swarm.role),
            bootstrap=self.swarm.hints,
            listening=(self.endpoint,),
            storage_only=self.storage_only,
        )
        self.driver: Driver[Engine] = Driver(
            lambda: Engine(settings, self.store, self.records, random), self.store, self.records, clock, self._notify
        )
        self._running = self.swarm.tasks.create_task(self.driver.run(self.network))

    async def stop(self) -> None:
        """Leave in good order."""
        self.driver.stop()
        if self._running is not None:
            await self._running
        self.network.close()

    async def freeze(self) -> None:
        """Stand still as by SIGSTOP: the socket stays open, nothing is read, said or done any more."""
        for bound in self.network._sockets:
            self.network._loop.remove_reader(bound._socket)
            self.network._loop.remove_writer(bound._socket)
        if self.network._timer is not None:
            self.network._timer.cancel()
        self.driver.stop()
        if self._running is not None:
            await self._running

    async def vanish(self) -> None:
        """Be gone as by SIGKILL: the port is free, and nobody was told."""
        await self.freeze()
        for bound in self.network._sockets:
            bound.close()
        self.network._sockets.clear()

    def _notify(self, cursor: int) -> None:
        self.wake.set()

    async def ask(self, function: Callable[[Engine, Now], T]) -> T:
        return await self.driver.call(function)

    async def until(self, predicate: Callable[[], bool], limit_s: float = 30) -> None:
        """Wait until something of ours holds; looks again at each event of ours."""
        async with asyncio.timeout(limit_s):
            while not predicate():
                self.wake.clear()
                await self.wake.wait()

    async def send(self, to: str, text: str) -> Message:
        return await self.ask(lambda engine, now: engine.send(to, text, now))

    def state(self, message: Message) -> str:
        found = self.store.message(message.message)
        return found.state.value if found else "gone"

    def received(self, other: "SwarmNode") -> list[str]:
        history = self.store.history(other.store.own_identity, limit=10_000)  # type: ignore[arg-type]
        return [message.text for message in history if message.direction == "in"]


class Swarm:
    """All of them."""

    def __init__(
        self,
        replicas: int,
        tasks: asyncio.TaskGroup,
        first: Sequence[NodeHint] = (),
        folder: Path | None = None,
        role: Role = Role.AUTO,
    ) -> None:
        self.replicas = replicas
        self.role = role
        self.tasks = tasks
        self.first = tuple(first)
        self.folder = folder
        self.servers: list[SwarmNode] = []
        self.nodes: list[SwarmNode] = []

    @property
    def hints(self) -> tuple[NodeHint, ...]:
        return self.first or tuple(NodeHint(node.endpoint, node.keys.node_key) for node in self.servers[:3])

    def records_file(self) -> str:
        """Where the next node keeps others' records: in memory, unless there is a folder."""
        return ":memory:" if self.folder is None else str(self.folder / f"{len(self.nodes)}.db")

    async def add(self, *, storage_only: bool = False) -> SwarmNode:
        node = SwarmNode(self, storage_only=storage_only)
        await node.start()
        self.nodes.append(node)
        if storage_only:
            self.servers.append(node)
        return node

    async def friends(self) -> tuple[SwarmNode, SwarmNode]:
        """Two people who know each other as `bob` and `alice`."""
        alice, bob = await self.add(), await self.add()
        addresses = [await node.ask(lambda engine, now: engine.address) for node in (alice, bob)]
        await alice.ask(lambda engine, now: engine.contact_add(addresses[1], now, name="bob"))
        await bob.ask(lambda engine, now: engine.contact_add(addresses[0], now, name="alice"))
        for node in (alice, bob):
            await node.until(lambda node=node: all(c.state == "accepted" for c in node.store.contacts()))  # type: ignore[misc]
        return alice, bob

    async def settled(self, nodes: Sequence[SwarmNode], table: int, limit_s: float = 60) -> None:
        """Wait until each of these knows so many nodes."""
        async with asyncio.timeout(limit_s):
            for node in nodes:
                while (await node.ask(lambda engine, now: engine.status(now)))["dht"]["nodes"] < table:  # noqa: ASYNC110 - a table tells nobody
                    await asyncio.sleep(0.05)


@asynccontextmanager
async def swarm_of(servers: int, replicas: int) -> AsyncIterator[Swarm]:
    """A swarm of so many storing nodes, joined; everything is stopped at the end."""
    async with asyncio.TaskGroup() as tasks:
        swarm = Swarm(replicas, tasks)
        try:
            for _ in range(servers):
                await swarm.add(storage_only=True)
            await swarm.settled(swarm.servers, min(servers - 1, 12))
            yield swarm
        finally:
            for node in swarm.nodes:
                if node._running is not None and not node._running.done():
                    await node.stop()
