"""What liars, floods and garbage do to a node: nothing but counters."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.crypto.sealing import datagram_key, seal, unseal
from p2pd.dht.node import Dht
from p2pd.dht.peers import Peer, networks
from p2pd.domains import Domain
from p2pd.sim.adversaries import Inventor, Liar, Lie
from p2pd.sim.chance import SeededRandom
from p2pd.types import AddressKey, Endpoint, NodeKey, Now, RandomSource
from p2pd.wire.datagram import Hello, Sealed, network_id
from p2pd.wire.record import Family, Record, record_key
from p2pd.wire.rpc import (
    Answered,
    Body,
    Digest,
    Find,
    Fragment,
    Get,
    Listen,
    Nodes,
    Packet,
    Ping,
    Pong,
    Probe,
    Push,
    Reach,
    Reached,
    Rest,
    Store,
    Stored,
    pack_endpoint,
)
from tests.dht.virtual import OPEN, PRIVATE, DhtMachine, Network, item_of, key_of, set_item, single

NETWORK = network_id("test")
VICTIM = Endpoint("203.0.113.7", 4242)


def sealed(sender: SigningKey, to: NodeKey, packet: Packet, seed: object = 0) -> bytes:
    head = Sealed(NETWORK, NodeKey(sender.public), SeededRandom(("nonce", seed)).bytes(24), b"")
    return replace(head, box=seal(datagram_key(sender, to), head.nonce, packet.encode(), head.header)).encode()


def answers(machine: DhtMachine, data: bytes, source: Endpoint, now: Now) -> list[bytes]:
    """All that leaves for the source, also after a while of silence from it."""
    machine.dht.on_datagram(data, source, now)
    sent = [effect.data for effect in machine.take_effects() if effect.to == source]  # type: ignore[union-attr]
    for step in range(20):
        machine.dht.on_timer(Now(now.steady + step, now.wall_ms + step * 1000))
        sent += [effect.data for effect in machine.take_effects() if getattr(effect, "to", None) == source]
    return sent


UNPROVEN: dict[str, Body] = {
    "ping": Ping(),
    "find": Find(bytes(32)),
    "get": Get(record_key(Family.SET, AddressKey(key_of("held").public))),
    "store": Store([]),
    "listen": Listen(AddressKey(key_of("held").public), 1_800_000_600, bytes(64)),
    "push": Push(b""),
    "digest": Digest([bytes(8)] * 50),
    "probe": Probe(),
    "reach": Reach(NodeKey(key_of("reach").public), pack_endpoint(VICTIM)),
    "reached": Reached(),
    "pong": Pong(1, pack_endpoint(VICTIM)),
    "nodes": Nodes([]),
    "stored": Stored([], []),
    "fragment": Fragment(bytes(8), 0, 1, Find(bytes(32)).encode()),
    "rest": Rest(bytes(8), 1),
    "answered": Answered(64, bytes(200)),
}


SURE = Packet(bytes(8), b"", False, Ping(), bytes(200))
"""A question whose answer brings a token."""


@pytest.fixture(scope="module")
def network() -> Network:
    network = Network("amplify")
    network.grow(12, settle_s=5)
    held = key_of("held")
    network.put(network.host(1), [set_item(held, network.world.now, item_of(n), b"x" * 200) for n in range(6)])
    return network


class TestAmplification:
    @pytest.mark.parametrize("name", UNPROVEN)
    @pytest.mark.parametrize("padding", [0, 300, 900])
    @pytest.mark.parametrize("serves", [False, True])
    def test_nobody_unproven_gets_more_than_it_sent(
        self, network: Network, name: str, padding: int, serves: bool
    ) -> None:
        body = UNPROVEN[name]
        stranger = key_of(("stranger", name, padding, serves))
        packet = Packet(bytes(8), b"", serves, body, bytes(padding))
        for host in network.machines:
            machine = network.machines[host]
            data = sealed(stranger, machine.key, packet)
            if len(data) > limits.DATAGRAM_BYTES:
                continue
            assert sum(map(len, answers(machine, data, VICTIM, network.world.now))) <= len(data)

    def test_in_fragments_each_datagram_brings_one_at_most(self, network: Network) -> None:
        held = record_key(Family.SET, AddressKey(key_of("held").public))
        machine, asker, now = network.machines[network.holders(held)[0]], key_of("asker"), network.world.now
        (token,) = answers(machine, sealed(asker, machine.key, SURE), VICTIM, now)
        shared = datagram_key(asker, machine.key)
        packet = Packet.decode(unseal(shared, token[38:62], token[62:], token[:38]))
        get = Get(held).encode()
        exchange = [Fragment(bytes(8), 0, 2, get[:20]), Fragment(bytes(8), 1, 2, get[20:])]
        exchange += [Rest(bytes(8), at) for at in range(1, 5)]
        brought = []
        for seed, body in enumerate(exchange):
            data = sealed(asker, machine.key, Packet(bytes(8), packet.token, False, body), seed)
            sent = answers(machine, data, VICTIM, now)
            assert len(sent) == 1
            brought.append(len(sent[0]))
        assert max(brought) > 1_000, "the answer has pieces of full size"
        assert max(brought) <= limits.DATAGRAM_BYTES

    def test_a_hello_is_answered_by_less(self, network: Network) -> None:
        machine = network.machines[network.host(3)]
        data = Hello(NETWORK, bytes(8)).encode()
        sent = answers(machine, data, VICTIM, network.world.now)
        assert 0 < sum(map(len, sent)) < len(data) / 10

    def test_tokens_of_others_prove_nothing(self, network: Network) -> None:
        machine = network.machines[network.host(3)]
        stranger = key_of("borrower")
        packet = Packet(bytes(8), bytes(16), True, Find(bytes(32)))
        data = sealed(stranger, machine.key, packet)
        assert sum(map(len, answers(machine, data, VICTIM, network.world.now))) <= len(data)


def test_the_table_takes_nobody_who_has_not_answered() -> None:
    network = Network("flood")
    network.grow(3, settle_s=3)
    machine = network.machines[network.host(0)]
    before = {entry.peer.key for entry in machine.dht.table()}
    for number in range(100):
        stranger = key_of(("flood", number))
        packet = Packet(bytes(8), b"", True, Ping(), bytes(120))
        machine.dht.on_datagram(
            sealed(stranger, machine.key, packet), Endpoint(f"5.{number}.1.1", 9), network.world.now
        )
    list(machine.take_effects())
    assert {entry.peer.key for entry in machine.dht.table()} == before


def test_garbage_is_counted_and_nothing_else() -> None:
    network = Network("garbage")
    network.grow(2, settle_s=2)
    machine = network.machines[network.host(0)]
    noise = SeededRandom("noise")
    for number in range(2_000):
        data = bytes([0x20 + number % 3, 1]) + NETWORK + noise.bytes(number % 1_100)
        machine.dht.on_datagram(data, Endpoint(f"6.{number % 250}.1.1", 9), network.world.now)
        machine.dht.on_request(-number - 1, NodeKey(bytes(32)), Endpoint("6.1.1.1", 9), data, network.world.now)
        machine.dht.on_response(number, data, network.world.now)
    rejected = machine.dht.status().rejected
    assert sum(rejected.values()) >= 2_000
    assert len(rejected) < 20
    assert len(machine.dht.table()) == 1


def test_sealed_garbage_is_counted_too() -> None:
    network = Network("sealed garbage")
    network.grow(2, settle_s=2)
    machine = network.machines[network.host(0)]
    noise = SeededRandom("sealed")
    stranger = key_of("sealed")
    for number in range(300):
        head = Sealed(NETWORK, NodeKey(stranger.public), noise.bytes(24), b"")
        box = seal(datagram_key(stranger, machine.key), head.nonce, noise.bytes(number), head.header)
        source = Endpoint(f"6.{number % 250}.1.1", 9)
        machine.dht.on_datagram(replace(head, box=box).encode(), source, network.world.now)
    assert machine.dht.status().rejected["malformed"] > 50


@pytest.mark.parametrize("private", [False, True])
def test_sources_have_a_rate(private: bool) -> None:
    settings = PRIVATE if private else OPEN
    network = Network("rate", settings=replace(settings, source_per_s=5, source_burst=10))
    network.start("11.1.0.1")
    machine = network.machines["11.1.0.1"]
    greedy, honest = key_of("greedy"), key_of("honest")

    def ping(sender: SigningKey, host: str, number: int) -> int:
        packet = Packet(bytes(8), b"", False, Ping(), bytes(120))
        machine.dht.on_datagram(sealed(sender, machine.key, packet, number), Endpoint(host, 9), network.world.now)
        return len(list(machine.take_effects()))

    assert sum(ping(greedy, "5.5.5.5", number) for number in range(50)) == 10
    other = "5.5.5.5" if private else "6.6.6.6"
    assert ping(honest, other, 0) == 1
    network.world.run(1)
    assert sum(ping(greedy, "5.5.5.5", number) for number in range(50)) == 5


def test_answers_count_only_from_whom_they_were_asked() -> None:
    network = Network("answers")
    network.grow(2, settle_s=2)
    machine, other = (network.machines[network.host(number)] for number in (0, 1))
    asked: list[bytes] = []
    network.world.taps.append(lambda host, _to, data: asked.append(data) if host == network.host(1) else None)
    network.get(network.host(0), Family.SINGLE, key_of("x").public)
    replay = asked[-1]
    before = machine.dht.status().rejected.get("unsealable", 0)
    machine.dht.on_datagram(replay, Endpoint("7.7.7.7", 1), network.world.now)
    assert machine.dht.status().rejected["unsealable"] == before + 1
    assert list(machine.take_effects()) == []
    assert other.key in {entry.peer.key for entry in machine.dht.table()}


BEHAVIOURS: dict[str, tuple[Callable[[Dht, RandomSource], object], bool]] = {
    # who misbehaves, and whether they keep what they are given all the same
    "garbage": (partial(Liar, lie=Lie.GARBAGE), False),
    "wrong kind": (partial(Liar, lie=Lie.WRONG_KIND), False),
    "wrong endpoints": (partial(Liar, lie=Lie.WRONG_ENDPOINTS), True),
    "false receipts": (partial(Liar, lie=Lie.FALSE_RECEIPT), False),
    "nearer": (Inventor, True),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "every"), [*((name, 3) for name in BEHAVIOURS), ("wrong endpoints", 2), ("nearer", 2)]
)
def test_a_third_of_liars_hides_nothing_nor_half_of_those_who_lie_about_nodes(name: str, every: int) -> None:
    behaviour, keeps = BEHAVIOURS[name]
    network = Network(("liars", name))
    hosts = network.grow(18, settle_s=5)
    liars = hosts[2::every]
    for host in liars:
        machine = DhtMachine((network.seed, host), PRIVATE, network.stores[host])
        behaviour(machine, SeededRandom(host))
        network.run(host, machine)
    network.world.run(5)
    for number in range(6):
        key = key_of(("hidden", name, number))
        done = network.put(hosts[0], [single(key, network.world.now)])[-1]
        assert keeps or not {network.machines[host].key for host in liars} & set(done.holders)
        assert done.stored
        assert done.messages < limits.LOOKUP_MESSAGES
        found = network.get(hosts[1], Family.SINGLE, key.public)
        assert [record.body for record in found.records] == [b"value"]
        assert found.elapsed_ms < 1_500


def test_forged_records_are_refused_everywhere() -> None:
    network = Network("forged")
    hosts = network.grow(4, settle_s=3)
    machine = network.machines[hosts[0]]
    good = single(key_of("forged"), network.world.now)
    bad = Record(good.content, key_of("else").sign(Domain.SIGN_SINGLE, good.content)).encode()
    stranger = Peer(NodeKey(key_of("forger").public), Endpoint("9.9.9.9", 9))
    machine.dht.on_request(-1, stranger.key, stranger.endpoint, Store([bad]).encode(), network.world.now)
    (effect,) = machine.take_effects()
    assert Stored([1], []).encode() == effect.payload  # type: ignore[union-attr]
    assert machine.dht.status().records == 0
    assert machine.dht.status().rejected["forged"] == 1


def test_networks_of_addresses() -> None:
    assert networks("1.2.3.4") == (bytes([1, 2, 3]), bytes([1, 2]))
    assert networks("2001:db8:1:2::1") == (bytes.fromhex("20010db80001"), bytes.fromhex("20010db8"))
