"""A network of whole engines in the virtual world, with the shipped stores in memory: servers, and people who write.

Knows no protocol.  Rules: what a node keeps lies in its stores only, so that its engine can be thrown away at any time.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from p2pd.dht.settings import DhtSettings
from p2pd.engine import Engine, EngineSettings
from p2pd.peer import own
from p2pd.sim.network import SeededRandom, World
from p2pd.storage.records import SqliteRecordStore
from p2pd.storage.user import SqliteUserStore
from p2pd.store import Message, MessageState
from p2pd.types import IdentityKey, NodeHint, NodeKey, Now

T = TypeVar("T")


class Resident:
    """One node of the town: its stores survive, its engine can be thrown away at any time."""

    def __init__(self, town: "Town", host: str, settings: EngineSettings) -> None:
        self.town, self.host = town, host
        self._random = SeededRandom((town.seed, host))
        self.store = SqliteUserStore(":memory:", own_identity=None, master_key=bytes(32))
        self.records = SqliteRecordStore(":memory:")
        endpoint = town.world.add(host)
        self.settings = replace(settings, listening=(endpoint,))
        with self.store.transaction():
            own.create(self.store, self._random.bytes(32), self._random, town.world.now)
        self.store.own_identity = IdentityKey(own.load(self.store).identity.public)
        self.hint = NodeHint(endpoint, own.load(self.store).node_key)
        self.engine = self._built()

    def _built(self) -> Engine:
        engine = Engine(self.settings, self.store, self.records, self._random)
        engine.store, engine.records, engine.key = self.store, self.records, self.key  # type: ignore[attr-defined]
        return engine

    @property
    def key(self) -> NodeKey:
        return own.load(self.store).node_key

    @property
    def address(self) -> str:
        return self.engine.address

    def up(self) -> None:
        """Start, or start again with what the stores have kept."""
        self.engine = self._built()
        self.town.world.run_at(self.host, self.engine, self.engine.on_timer)

    def down(self) -> None:
        """Vanish, as by kill -9."""
        self.town.world.kill(self.host)

    def copy(self) -> SqliteUserStore:
        """What a copy of the home holds now."""
        copied = SqliteUserStore(":memory:", own_identity=self.store.own_identity, master_key=bytes(32))
        self.store._database._connection.backup(copied._database._connection)
        return copied

    def restore(self, copied: SqliteUserStore) -> None:
        """The daemon ends, and its home is replaced by a copy made before."""
        self.down()
        self.store = copied

    def do(self, function: Callable[[Engine, Now], T]) -> T:
        """Ask the engine something in a turn of its own."""
        answers: list[T] = []
        self.town.world.turn(self.host, lambda now: answers.append(function(self.engine, now)))
        return answers[0]

    def send(self, to: str, text: str) -> Message:
        return self.do(lambda engine, now: engine.send(to, text, now))

    def add(self, other: "Resident", name: str, message: str = "") -> None:
        self.do(lambda engine, now: engine.contact_add(other.address, now, name=name, message=message))

    def texts(self, of: str) -> list[str]:
        return [message.text for message in self.engine.history(of)]

    def received(self, of: str) -> list[str]:
        return [message.text for message in self.engine.history(of, limit=10_000) if message.direction == "in"]

    def state(self, message: Message) -> MessageState:
        found = self.store.message(message.message)
        assert found is not None
        return found.state


class Town:
    """Servers and people in one world."""

    def __init__(self, seed: int = 1, *, servers: int = 12, replicas: int = 4, loss: float = 0.0) -> None:
        self.seed = seed
        self.world = World(seed, loss=loss)
        self.dht = DhtSettings(private=True, replicas=replicas)
        self.servers = [self._resident(f"10.1.0.{number + 1}", storage_only=True) for number in range(servers)]
        self._people = 0
        for server in self.servers:
            server.up()
        self.world.run(5)

    def person(self, *, up: bool = True, **settings: Any) -> Resident:
        self._people += 1
        person = self._resident(f"10.2.0.{self._people}", **settings)
        if up:
            person.up()
        return person

    def friends(self) -> tuple[Resident, Resident]:
        """Two people who know each other as `bob` and `alice`."""
        alice, bob = self.person(), self.person()
        alice.add(bob, "bob")
        bob.add(alice, "alice")
        self.until(lambda: self.accepted(alice, "bob") and self.accepted(bob, "alice"))
        return alice, bob

    def accepted(self, one: Resident, name: str) -> bool:
        return one.engine.contact(name).state == "accepted"

    def until(self, predicate: Callable[[], bool], limit_s: float = 60) -> None:
        assert self.world.run_until(predicate, limit_s), f"not within {limit_s} s"

    def _resident(self, host: str, **settings: Any) -> Resident:
        known = [server.hint for server in getattr(self, "servers", [])][:3]
        if not known and host != "10.1.0.1":
            known = [NodeHint(self.world.add("10.1.0.1"))]
        return Resident(self, host, EngineSettings(dht=self.dht, bootstrap=tuple(known), **settings))
