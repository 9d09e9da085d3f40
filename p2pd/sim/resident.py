"""One node of the town: a person or a server, whose stores survive and whose engine can be thrown away at any time.

Knows no protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from p2pd.application import EngineSettings
from p2pd.engine import Engine
from p2pd.peer import own
from p2pd.sim.chance import SeededRandom
from p2pd.sim.disk import Disk
from p2pd.sim.hosts import Node
from p2pd.sim.nat import KINDS, Carried, is_translated
from p2pd.sim.network import World
from p2pd.sim.routes import Network
from p2pd.storage.records import SqliteRecordStore
from p2pd.storage.user import SqliteUserStore
from p2pd.store import Message, MessageState
from p2pd.types import Endpoint, IdentityKey, NodeHint, NodeKey, Now, RandomSource

T = TypeVar("T")
INSIDE = "192.168.1.2"
"""Where everybody is who is alone behind a router that translates: what one takes for a neighbour is oneself."""
BESIDE = "192.168.1.3"
"""Where the housemate of such a one is."""
Behaviour = Callable[[Engine, RandomSource], object]
"""What makes a node that was just built behave as it should not."""


class Resident:
    """See the module; `behaviour` makes it an adversary, `kind` puts it behind routers of that kind of `nat.KINDS`.

    Its host has the name of the address at which others see it at first; a housemate's router is its own, too.
    A bystander is whole but for what only those have use for who know it: it publishes nothing and listens nowhere.
    """

    def __init__(
        self,
        world: World,
        host: str,
        settings: EngineSettings,
        seed: object,
        behaviour: Behaviour | None = None,
        kind: str = "public",
        housemate: Resident | None = None,
        *,
        bystander: bool = False,
    ) -> None:
        self.world, self.host, self.behaviour, self.kind = world, host, behaviour, kind
        self.bystander = bystander
        self.disk = Disk()
        self._random = SeededRandom((seed, host))
        self._reader: Engine | None = None
        self.adversary: object = None
        """What `behaviour` made of the engine that runs."""
        self.home: Network | None = self._home(host) if housemate is None else housemate.home
        self.settings = settings
        address = self._address(host) if housemate is None else BESIDE
        self._settle(world.add(host, address=address, network=self.home))
        with self.store.transaction():
            own.create(self.store, self._random.bytes(32), self._random, world.now)
        keys = own.load(self.store)
        self.identity = IdentityKey(keys.identity.public)
        self.disk.user.own_identity = self.identity
        self.key: NodeKey = keys.node_key
        self.hint = NodeHint(self.settings.listening[0], self.key)
        self.node = self._new_node()

    # --- what it consists of

    @property
    def store(self) -> SqliteUserStore:
        return self.disk.user

    @property
    def records(self) -> SqliteRecordStore:
        return self.disk.records

    @property
    def engine(self) -> Engine:
        """The engine as it is now; of a node that is down, one that can be read."""
        if self.node.built is not None:
            return self.node.built
        if self._reader is None:
            self._reader = Engine(self.settings, self.store, self.records, SeededRandom("reader"))
        return self._reader

    @property
    def address(self) -> str:
        return self.engine.address

    @property
    def is_up(self) -> bool:
        """Whether its process is there and is run."""
        return self.world.is_running(self.host)

    def _new_node(self) -> Node[Engine]:
        return Node(self.key, self._built, self.disk)

    def _built(self) -> Engine:
        self._reader = None
        engine = Engine(self.settings, self.store, self.records, self._random)
        if self.bystander:
            _keep_quiet(engine)
        if self.behaviour is not None:
            self.adversary = self.behaviour(engine, self._random)
        return engine

    # --- where it is

    def move(self, address: str, kind: str = "public") -> None:
        """Others see it there from now on, behind routers of that kind."""
        self.kind = kind
        self.home = self._home(address)
        self._settle(self.world.move(self.host, self._address(address), self.home))

    def block(self, *stops: Carried) -> None:
        """The router lets such packets through no more; without any, all again.  Nobody stops what is in the open."""
        if self.home is not None and self.home.router is not None:
            self.home.router.stops = stops

    def restart_router(self) -> None:
        """The router forgets whom it let through."""
        if self.home is not None and self.home.router is not None:
            self.home.router.restart()

    def _home(self, address: str) -> Network | None:
        return self.world.behind(self.kind, address) if KINDS[self.kind] else None

    def _address(self, seen: str) -> str:
        return INSIDE if is_translated(self.kind) else seen

    def _settle(self, endpoint: Endpoint) -> None:
        """What the daemon reads from its machine at its start."""
        self.settings = replace(self.settings, listening=(endpoint,), dht=replace(self.settings.dht, own=(endpoint,)))

    # --- its life

    def up(self) -> None:
        """Start, or start again with what the stores have kept."""
        self.world.run_at(self.host, self.node)

    def stop(self) -> None:
        """End cleanly."""
        self.world.stop(self.host)

    def down(self, *, power: bool = False) -> None:
        """Vanish, as by kill -9; with `power` as by pulling the plug."""
        self.world.kill(self.host, power=power)

    def copy(self) -> Disk:
        """What a copy of the home holds now."""
        return self.disk.copy()

    def restore(self, copied: Disk) -> None:
        """The daemon ends, and its home is replaced by a copy made before."""
        self.down()
        self.disk.restore(copied)
        self._reader = None
        self.node = self._new_node()

    # --- what its user does

    def do(self, function: Callable[[Engine, Now], T]) -> T:
        """Ask the engine something in a turn of its own; raises as `World.call`."""
        return self.world.call(self.host, lambda now: function(self.engine, now))

    def send(self, to: str, text: str) -> Message:
        """Write to someone."""
        return self.do(lambda engine, now: engine.send(to, text, now))

    def add(self, other: Resident, name: str, message: str = "") -> None:
        """Add someone under a name."""
        self.do(lambda engine, now: engine.contact_add(other.address, now, name=name, message=message))

    # --- what its user sees, also while it is down

    def texts(self, of: str) -> list[str]:
        """The last messages with someone, both ways."""
        return [message.text for message in self.engine.history(of)]

    def received(self, of: str) -> list[str]:
        """All messages of someone."""
        return [message.text for message in self.engine.history(of, limit=10_000) if message.direction == "in"]

    def state(self, message: Message) -> MessageState:
        """How far a message of ours has come."""
        found = self.store.message(message.message)
        if found is None:
            raise LookupError("no such message")
        return found.state


def _keep_quiet(engine: Engine) -> None:
    """Nobody writes to this node's user: that it waits at relays, serves and is found is what it is there for."""
    for part in (engine._publisher, engine._mailroom):
        part.start = _nothing  # type: ignore[method-assign]


def _nothing(now: Now, settle_s: float = 0.0) -> None:
    """In place of what a bystander does not begin."""
