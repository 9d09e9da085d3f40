"""A control API with everything behind it but a network: the shipped engine, driver and stores."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from p2pd.application import EngineSettings
from p2pd.daemon.bell import Bell
from p2pd.daemon.control import ControlServer
from p2pd.daemon.control_socket import control_socket
from p2pd.daemon.methods import METHODS
from p2pd.daemon.nodes import resolve_node
from p2pd.daemon.service import Service
from p2pd.dht.settings import DhtSettings
from p2pd.effects import Effect
from p2pd.engine import Engine
from p2pd.net.clock import SystemClock, SystemRandom
from p2pd.net.driver import Driver
from p2pd.peer import own
from p2pd.settings import Settings
from p2pd.storage.files import make_folder
from p2pd.storage.records import SqliteRecordStore
from p2pd.storage.user import SqliteUserStore


class NoWorld:
    """A network that nothing comes back from."""

    def perform(self, effect: Effect) -> None:
        """Lost."""

    def taken(self, link: int, size: int) -> None:
        """There are no links."""

    def flush(self) -> None:
        """There is nothing to send."""

    def forget_core(self) -> None:
        """There are no links."""


@dataclass(frozen=True, slots=True)
class Node:
    """A served home."""

    home: Path
    path: Path
    service: Service
    stopping: asyncio.Event


@asynccontextmanager
async def serving(
    home: Path, *, settings: Settings | None = None, allowed_uid: int | None = None
) -> AsyncIterator[Node]:
    """A control API over a home, whose data lies in files there and so survives a restart."""
    make_folder(home)
    random, clock, bell, stopping = SystemRandom(), SystemClock(), Bell(), asyncio.Event()
    user = SqliteUserStore(str(home / "user.db"), own_identity=None, master_key=bytes(32))
    records = SqliteRecordStore(str(home / "dht.db"))
    if user.value("identity") is None:
        with user.transaction():
            own.create(user, bytes(32), random, clock.now())
    user.own_identity = own.load(user).identity_key
    engine_settings = EngineSettings(dht=DhtSettings(private=True))
    driver = Driver(lambda: Engine(engine_settings, user, records, random), user, records, clock, bell.ring)
    service = Service(
        ask=driver.call,
        bell=bell,
        home=home,
        settings=settings or Settings(),
        stop=stopping.set,
        resolve_node=resolve_node,
    )
    with control_socket(home) as (listening, path):
        async with asyncio.TaskGroup() as parts:
            parts.create_task(driver.run(NoWorld()))
            server = parts.create_task(ControlServer(service, METHODS, allowed_uid=allowed_uid).run(listening))
            yield Node(home, path, service, stopping)
            server.cancel()
            driver.stop()
    user.close()
    records.close()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """One that runs."""
    async with serving(tmp_path / "home") as running:
        yield running


async def somebody_waits(node: Node) -> None:
    """Returns once a call or follower of the node's waits for the next event."""
    while not (node.service.bell._waiting or node.service.bell._expected):  # noqa: ASYNC110  nothing tells when a call has come so far
        await asyncio.sleep(0)


class Line:
    """A client that says whatever a test wants it to say."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(os.fspath(path))
        self._socket.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._rest = b""

    async def say(self, data: bytes) -> None:
        """Send bytes."""
        await self._loop.sock_sendall(self._socket, data)

    async def hear(self) -> dict[str, Any] | None:
        """The next message; None at the end."""
        while b"\n" not in self._rest:
            data = await self._loop.sock_recv(self._socket, 65_536)
            if not data:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer of a call."""
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        await self.say(json.dumps(call).encode() + b"\n")
        answer = await self.hear()
        assert answer is not None
        return answer

    def end_sending(self) -> None:
        """Close our sending side."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Go."""
        self._socket.close()


@pytest.fixture
async def line(node: Node) -> AsyncIterator[Line]:
    """A client of the node's."""
    connected = Line(node.path)
    yield connected
    connected.close()
