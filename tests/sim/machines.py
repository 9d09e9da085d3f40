"""A machine that does what a test tells it, and notes what it is told; and worlds of them."""

from collections.abc import Callable

from p2pd.crypto.keys import SigningKey
from p2pd.effects import Effect, OpenLink
from p2pd.sim.chance import SeededRandom
from p2pd.sim.conditions import Conditions
from p2pd.sim.disk import Disk
from p2pd.sim.hosts import Node
from p2pd.sim.network import World
from p2pd.types import Endpoint, NodeKey, Now

DATAGRAM = bytes([0x20]) + bytes(99)
A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


class Puppet:
    """Notes every input with its time, addresses apart, and wants of the world what `wants` was given."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.told: list[tuple[float, str, tuple[object, ...]]] = []
        self.wants: list[Effect] = []
        self.addresses: list[tuple[float, tuple[Endpoint, ...]]] = []
        self.rings_at: float | None = None
        self.on_input: Callable[[str, tuple[object, ...]], None] = lambda _name, _arguments: None

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("on_"):
            raise AttributeError(name)

        def hear(*arguments: object) -> None:
            *facts, now = arguments
            assert isinstance(now, Now)
            self.told.append((now.steady, name, tuple(facts)))
            self.on_input(name, tuple(facts))

        return hear

    def on_addresses(self, endpoints: tuple[Endpoint, ...], now: Now) -> None:
        self.addresses.append((now.steady, endpoints))

    def on_records_refused(self, now: Now) -> None:
        self.told.append((now.steady, "on_records_refused", ()))

    def on_timer(self, now: Now) -> None:
        self.rings_at = None
        self.told.append((now.steady, "on_timer", ()))

    def next_deadline(self) -> float | None:
        return self.rings_at

    def take_effects(self) -> list[Effect]:
        taken, self.wants = self.wants, []
        return taken

    def heard(self, name: str) -> list[tuple[object, ...]]:
        """The facts of all inputs of that name."""
        return [facts for _, told, facts in self.told if told == name]

    def times(self, name: str) -> list[float]:
        """When they came, on the host's steady clock."""
        return [when for when, told, _ in self.told if told == name]


class Stagehand:
    """A world with a puppet at each host."""

    def __init__(self, *hosts: str, conditions: Conditions | None = None, seed: object = 1) -> None:
        self.world = World(seed, conditions=conditions or Conditions(latency_s=(0.01, 0.02)))
        self.nodes: dict[str, Node[Puppet]] = {}
        for host in hosts or (A, B):
            self.world.add(host)
            self.start(host)

    def start(self, host: str) -> None:
        """A process begins, with what is on the disk."""
        if host not in self.nodes:
            disk = Disk()
            self.nodes[host] = Node(key_of(host), lambda: Puppet(disk), disk)
        self.world.run_at(host, self.nodes[host])

    def __getitem__(self, host: str) -> Puppet:
        """Who runs there."""
        return self.nodes[host].machine

    def want(self, host: str, *effects: Effect) -> None:
        """The host wants this of the world, in a turn."""
        self.world.call(host, lambda _now: self[host].wants.extend(effects))

    def keep(self, host: str, name: str, *effects: Effect, value: bytes = b"kept") -> None:
        """A turn that changes the user's store and wants this of the world."""

        def turn(_now: Now) -> None:
            self.nodes[host].disk.user.set_value(name, value)  # type: ignore[union-attr]
            self[host].wants.extend(effects)

        self.world.call(host, turn)

    def kept(self, host: str, name: str) -> bytes | None:
        """What is on the disk there."""
        return self.nodes[host].disk.user.value(name)  # type: ignore[union-attr]

    def link(self, one: str = A, other: str = B, number: int = 1) -> tuple[int, int]:
        """A link between two hosts; its numbers there."""
        before = len(self[other].heard("on_link_opened"))
        self.want(one, OpenLink(number, key_of(other), (Endpoint(other, 4242),)))
        self.world.run(1)
        assert self[one].heard("on_link_opened")[-1][0] == number
        incoming = self[other].heard("on_link_opened")[before]
        assert isinstance(incoming[0], int)
        return number, incoming[0]


def key_of(host: str) -> NodeKey:
    return NodeKey(SigningKey(SeededRandom(("key", host)).bytes(32)).public)


def seed_of(host: str) -> bytes:
    return SeededRandom(("key", host)).bytes(32)
