"""One daemon put together, from an open home to a clean end.

    home and lock (main) -> master key -> stores -> keys -> engine and driver -> sockets -> control -> ready ... -> stop

Knows how the parts fit and nothing of what they do.
Rules: what was opened is closed in the reverse order, whatever happens; a part that fails ends the daemon with its
error.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from p2pd import limits
from p2pd.application import EngineSettings
from p2pd.daemon.bell import Bell
from p2pd.daemon.control import ControlServer
from p2pd.daemon.control_socket import control_socket
from p2pd.daemon.listening import listen_on
from p2pd.daemon.locked import Locked
from p2pd.daemon.methods import METHODS
from p2pd.daemon.nodes import find_company, resolve_node, split_node
from p2pd.daemon.own_keys import ready_keys
from p2pd.daemon.port_mapping import mapper_for
from p2pd.daemon.service import Service
from p2pd.daemon.systemd import Systemd
from p2pd.dht.settings import DhtSettings, Role
from p2pd.engine import Engine
from p2pd.errors import LockedError, P2pdError
from p2pd.net.addresses import AddressWatch
from p2pd.net.clock import SystemClock, SystemRandom
from p2pd.net.driver import Driver
from p2pd.net.inputs import Addresses
from p2pd.net.lan import Lan, is_possible
from p2pd.net.network import Network
from p2pd.net.port_mapping.mapper import Mapper
from p2pd.net.tuning import QuicTuning
from p2pd.settings import Loaded, Settings, read_bootstrap
from p2pd.storage.home import RECORDS_NAME, USER_NAME
from p2pd.storage.keys import master_key
from p2pd.storage.records import SqliteRecordStore
from p2pd.storage.user import SqliteUserStore
from p2pd.types import Endpoint, Now
from p2pd.wire.address import encode_address
from p2pd.wire.datagram import network_id

T = TypeVar("T")
Ready = Callable[[str], None]
"""Told the ready line, once everything answers."""
_GIVE_UP_S = limits.STOP_S * 0.8
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stores:
    """What a home keeps, open."""

    user: SqliteUserStore
    records: SqliteRecordStore


class Stopping(asyncio.Event):
    """Set when the daemon is asked to stop; should a part hang, the process ends all the same, which loses nothing."""

    locks = False
    """Whether it is to come back, locked."""

    def lock(self) -> None:
        """Begin a clean stop, after which a new process waits for the passphrase."""
        self.locks = not self.is_set() or self.locks
        self.set()

    def set(self) -> None:
        """Begin a clean stop."""
        if not self.is_set():
            super().set()
            asyncio.get_running_loop().call_later(_GIVE_UP_S, os._exit, 0)


async def serve(home: Path, loaded: Loaded, ready: Ready, passphrase: bytes | None = None) -> bool:
    """Runs the daemon of a home that this process has, until it is asked to stop; whether it shall come back, locked.

    Raises:
        LockedError: the home has another passphrase, or one and none was given.
        P2pdError: it cannot start, or cannot go on; its exit code says why.
    """
    stopping = Stopping()
    for asked in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(asked, stopping.set)
    nodes = read_bootstrap(loaded.settings)
    for node in nodes:
        split_node(node)  # a list with a mistake is refused now, and not found out later
    systemd = Systemd()
    try:
        master = master_key(home, passphrase)
    except LockedError:
        if passphrase is not None or not loaded.settings.await_unlock:
            raise
        given = await _wait_for_key(home, loaded.settings, stopping, systemd, ready)
        if given is None:
            return False
        master = given
    with (
        closing(SqliteUserStore(str(home / USER_NAME), own_identity=None, master_key=master)) as user,
        closing(SqliteRecordStore(str(home / RECORDS_NAME))) as records,
    ):
        await _run(home, loaded, Stores(user, records), nodes, stopping, systemd, ready)
    return stopping.locks


async def _wait_for_key(
    home: Path, settings: Settings, stopping: Stopping, systemd: Systemd, ready: Ready
) -> bytes | None:
    """Answers on the control socket alone until the passphrase comes; None where the daemon is asked to stop."""
    locked, bell = Locked(home), Bell()
    service = Service(
        ask=_nothing_to_ask,
        bell=bell,
        home=home,
        settings=settings,
        stop=stopping.set,
        resolve_node=resolve_node,
        locked=locked,
    )
    _logger.info("locked; waiting for p2pctl unlock")
    with control_socket(home) as (listening, path):
        async with asyncio.TaskGroup() as parts:
            others = [
                parts.create_task(ControlServer(service, METHODS).run(listening)),
                parts.create_task(systemd.feed_watchdog(_still_here)),
            ]
            waits = [parts.create_task(locked.key()), parts.create_task(stopping.wait())]
            ready(f"locked control {path}")
            systemd.tell("READY=1")
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for part in (*others, *waits):
                part.cancel()
    key = waits[0]
    return None if stopping.is_set() or key.cancelled() else cast("bytes", key.result())


async def _nothing_to_ask(function: Callable[[Engine, Now], T]) -> T:
    """`Ask` of a locked daemon, whose methods are refused before they come to this."""
    raise LockedError("this daemon is locked", hint="run: p2pctl unlock")


async def _still_here() -> None:
    """A loop that goes round is all that a locked daemon is."""


async def _run(
    home: Path,
    loaded: Loaded,
    stores: Stores,
    nodes: Sequence[str],
    stopping: Stopping,
    systemd: Systemd,
    ready: Ready,
) -> None:
    """From open stores to the end: keys, sockets, engine, control socket."""
    settings = loaded.settings
    clock, random, bell = SystemClock(), SystemRandom(), Bell()
    puzzle_bits = _dht_settings(settings).puzzle_bits
    keys = await ready_keys(stores.user, random, clock.now(), puzzle_bits=puzzle_bits, stopping=stopping)
    if keys is None:
        return
    tuning = QuicTuning(private=settings.private)
    # Nothing is read from a socket before the loop goes round, and by then there is a driver.
    network = Network(
        keys.node, random, lambda value: driver.put(value), tuning, clock, lambda news: lan.announce(news)
    )
    with closing(network):
        listen = await listen_on(network, loaded, stores.user)
        addresses = AddressWatch(listen)
        lan = Lan(listen, network_id(settings.network), random, lambda value: driver.put(value))
        driver = Driver(
            lambda: Engine(
                _engine_settings(settings, listen, addresses.endpoints), stores.user, stores.records, random
            ),
            stores.user,
            stores.records,
            clock,
            bell.ring,
        )
        mapper = mapper_for(settings, listen, keys.node, random, driver.put)
        service = Service(
            ask=driver.call,
            bell=bell,
            home=home,
            settings=settings,
            stop=stopping.set,
            lock=stopping.lock,
            resolve_node=resolve_node,
            listen=listen,
            counts=lambda: network.counts() + lan.counts,
            traffic=network.traffic,
            port_mapping=mapper.status,
            lan_networks=lambda: lan.networks,
        )
        with control_socket(home) as (listening, path):
            address = "-" if settings.storage_only else encode_address(keys.identity_key)
            line = f"ready {address} udp {listen[0]} control {path}"
            await _until_stopped(
                service,
                driver,
                network,
                (addresses, lan, mapper),
                listening,
                nodes,
                stopping,
                systemd,
                lambda: ready(line),
            )


async def _until_stopped(
    service: Service,
    driver: Driver[Engine],
    network: Network,
    surroundings: tuple[AddressWatch, Lan, Mapper],
    listening: socket.socket,
    nodes: Sequence[str],
    stopping: Stopping,
    systemd: Systemd,
    ready: Callable[[], None],
) -> None:
    """Runs all parts until one of them fails, or the daemon is asked to stop."""
    addresses, lan, mapper = surroundings

    def on_addresses(endpoints: tuple[Endpoint, ...]) -> None:
        driver.put(Addresses(endpoints))
        lan.look()

    on_addresses(addresses.endpoints)
    try:
        async with asyncio.TaskGroup() as parts:
            parts.create_task(driver.run(network))
            await service.ask(lambda engine, now: None)
            others = [
                parts.create_task(ControlServer(service, METHODS).run(listening)),
                parts.create_task(find_company(service, nodes)),
                parts.create_task(mapper.run()),
                parts.create_task(addresses.run(on_addresses)),
                parts.create_task(lan.run()),
                parts.create_task(systemd.feed_watchdog(lambda: service.ask(lambda engine, now: None))),
            ]
            # What start-up made stays for good: the collector, which has rested since `main`, need never look at it.
            gc.freeze()
            gc.enable()
            ready()
            systemd.tell("READY=1")
            await stopping.wait()
            _logger.info("stopping")
            if not stopping.locks:
                systemd.tell("STOPPING=1")
            for part in others:
                part.cancel()
            driver.stop()
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended the parts: one of ours where there is one, which says more."""
    ours, others = group.split(P2pdError)
    found: BaseException = ours or others or group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _dht_settings(settings: Settings, here: tuple[Endpoint, ...] = ()) -> DhtSettings:
    return DhtSettings(
        replicas=settings.replicas,
        private=settings.private,
        role=Role(settings.role),
        quota_bytes=settings.storage_bytes,
        own=here,
    )


def _engine_settings(settings: Settings, listen: Sequence[Endpoint], here: tuple[Endpoint, ...]) -> EngineSettings:
    return EngineSettings(
        carries=settings.relay,
        network=settings.network,
        listening=here,
        dht=_dht_settings(settings, here),
        accept_requests=settings.accept_requests,
        public_presence=settings.public_presence,
        storage_only=settings.storage_only,
        lan=settings.lan and is_possible(listen),
    )
