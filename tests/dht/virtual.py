"""Nodes of the DHT in the virtual world, and records to give them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from p2pd.crypto.keys import SigningKey
from p2pd.crypto.stamp import solve
from p2pd.dht.getting import Found
from p2pd.dht.node import Dht
from p2pd.dht.peers import node_id
from p2pd.dht.records import VerifiedRecord
from p2pd.dht.settings import DhtSettings
from p2pd.dht.storing import PutProgress
from p2pd.domains import Domain
from p2pd.effects import Effect, EffectQueue
from p2pd.sim.chance import SeededRandom
from p2pd.sim.conditions import Conditions
from p2pd.sim.disk import Disk
from p2pd.sim.hosts import Node
from p2pd.sim.network import World
from p2pd.storage.records import SqliteRecordStore
from p2pd.types import AddressKey, Endpoint, ItemId, NodeHint, NodeKey, Now, RecordKey
from p2pd.wire.record import Content, Family, OpenItem, Record, SetItem, Single, Tombstone, signing_domain

PRIVATE = DhtSettings(private=True, replicas=4)
OPEN = DhtSettings(replicas=4, node_puzzle_bits=0, role="server")


class DhtMachine:
    """A node with nothing but its DHT."""

    def __init__(self, seed: object, settings: DhtSettings, records: SqliteRecordStore) -> None:
        random = SeededRandom(("node", seed))
        signing = SigningKey(SeededRandom(("key", seed)).bytes(32))
        self.key = NodeKey(signing.public)
        self.records = records
        self._effects = EffectQueue()
        self.dht = self._dht = Dht(
            node=signing,
            network="test",
            settings=settings,
            records=records,
            effects=self._effects,
            random=random,
        )
        self._dht = self.dht  # where an adversary takes hold, as of an engine
        self.on_datagram = self.dht.on_datagram
        self.on_request = self.dht.on_request
        self.on_response = self.dht.on_response
        self.on_timer = self.dht.on_timer
        self.next_deadline = self.dht.next_deadline

    def on_addresses(self, endpoints: tuple[Endpoint, ...], now: Now) -> None:
        """The DHT alone learns from others where it is."""

    def take_effects(self) -> Iterable[Effect]:
        return self._effects.take()


class Network:
    """A world with nodes that join one after another by the first."""

    def __init__(self, seed: object = 0, *, settings: DhtSettings = PRIVATE, **conditions: Any) -> None:
        self.world = World(seed, conditions=Conditions(**conditions))
        self.settings = settings
        self.seed = seed
        self.machines: dict[str, DhtMachine] = {}
        self.disks: dict[str, Disk] = {}

    @property
    def stores(self) -> dict[str, SqliteRecordStore]:
        return {host: disk.records for host, disk in self.disks.items()}

    def host(self, number: int) -> str:
        """Every node in a /16 of its own, as in the open."""
        return f"{11 + number // 200}.{number % 200}.0.1"

    def start(self, host: str, bootstrap: Sequence[str] = (), settings: DhtSettings | None = None) -> DhtMachine:
        """A node starts, or starts again with what it has on disk."""
        disk = self.disks.setdefault(host, Disk())
        machine = DhtMachine((self.seed, host), settings or self.settings, disk.records)
        return self.run(host, machine, [NodeHint(self.world.add(other)) for other in bootstrap])

    def run(self, host: str, machine: DhtMachine, hints: Sequence[NodeHint] = ()) -> DhtMachine:
        """This machine runs there from now on."""
        self.machines[host] = machine
        node = Node(machine.key, lambda: machine, self.disks[host])
        self.world.run_at(host, node, lambda now: machine.dht.start(hints, now))
        return machine

    def grow(self, count: int, *, gap_s: float = 0.2, settle_s: float = 30.0) -> list[str]:
        """So many nodes join; their hosts."""
        hosts = [self.host(number) for number in range(count)]
        for host in hosts:
            self.start(host, [] if host == hosts[0] else [hosts[0]])
            self.world.run(gap_s)
        self.world.run(settle_s)
        return hosts

    # --- asking

    def get(self, host: str, family: Family, address: bytes, limit_s: float = 30.0, **options: Any) -> Found:
        results: list[Found] = []
        dht = self.machines[host].dht
        self.world.call(
            host,
            lambda now: dht.get(family, AddressKey(address), lambda found, _: results.append(found), now, **options),
        )
        assert self.world.run_until(lambda: bool(results), limit_s), "a get never ended"
        return results[0]

    def put(self, host: str, records: Sequence[Record], limit_s: float = 60.0) -> list[PutProgress]:
        """All that was told of the put, done last."""
        told: list[PutProgress] = []
        dht = self.machines[host].dht
        self.world.call(host, lambda now: dht.put(records, lambda report, _: told.append(report), now))
        assert self.world.run_until(lambda: bool(told) and told[-1].done, limit_s), "a put never ended"
        return told

    def listen(
        self, host: str, address: SigningKey, *, reads: bool = True
    ) -> tuple[list[VerifiedRecord], Callable[[], None]]:
        """What is pushed there, and how to stop."""
        heard: list[VerifiedRecord] = []
        handles = []
        dht = self.machines[host].dht
        self.world.call(
            host,
            lambda now: handles.append(dht.listen(address, lambda records, _: heard.extend(records), now, reads=reads)),
        )
        return heard, handles[0].close

    def holders(self, key: RecordKey) -> list[str]:
        """Who has anything under the key."""
        return [host for host, store in self.stores.items() if any(row.data for row in store.held(key))]

    def nearest(self, target: bytes, count: int) -> list[str]:
        """The hosts truly nearest, among all machines."""
        place = int.from_bytes(target, "big")
        return sorted(self.machines, key=lambda host: int.from_bytes(node_id(self.machines[host].key), "big") ^ place)[
            :count
        ]


def signed(content: Content, signer: SigningKey) -> Record:
    data = content.encode()
    return Record(data, signer.sign(signing_domain(content), data))


def key_of(seed: object) -> SigningKey:
    return SigningKey(SeededRandom(("address", seed)).bytes(32))


def item_of(seed: object) -> ItemId:
    return ItemId(SeededRandom(("item", seed)).bytes(16))


def in_days(now: Now, days: float = 10) -> int:
    return now.wall_s + int(days * 86_400)


def single(key: SigningKey, now: Now, sequence: int = 1, body: bytes = b"value", days: float = 10) -> Record:
    return signed(Single(AddressKey(key.public), sequence, in_days(now, days), body), key)


def set_item(key: SigningKey, now: Now, item: ItemId, body: bytes = b"mail", days: float = 10) -> Record:
    return signed(SetItem(AddressKey(key.public), item, in_days(now, days), body), key)


def open_item(key: SigningKey, now: Now, seed: object, body: bytes = b"ring", days: float = 10) -> Record:
    signer = key_of(("signer", seed))
    return signed(OpenItem(AddressKey(key.public), in_days(now, days), body, signer.public), signer)


def stamped_item(key: SigningKey, now: Now, seed: object, bits: int, body: bytes = b"ring") -> Record:
    """An item whose stamp has at least so many bits; with none, one whose stamp was not worked for."""
    signer = key_of(("signer", seed))
    item = OpenItem(AddressKey(key.public), in_days(now), body, signer.public)
    stamp = solve(Domain.STAMP, item.challenge, bits)
    return signed(OpenItem(item.address, item.expires_s, item.body, item.signer, stamp), signer)


def item_in(record: Record) -> ItemId:
    """The id of an item."""
    content = record.parse()
    assert not isinstance(content, Single)
    return content.item


def tombstone(key: SigningKey, now: Now, item: ItemId, family: Family, days: float = 10) -> Record:
    return signed(Tombstone(AddressKey(key.public), item, in_days(now, days), family), key)
