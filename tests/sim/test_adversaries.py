"""Adversaries say what they are there to say, well sealed, and are otherwise taken for one of the others."""

from collections.abc import Callable
from functools import partial

import pytest

from p2pd import limits
from p2pd.dht.counters import Cause
from p2pd.dht.peers import networks, node_id, peers_of
from p2pd.sim.adversaries import VICTIM, Adversary, Dropper, HasDht, Inventor, Liar, Lie, Misleader, Usurper
from p2pd.sim.chance import SeededRandom
from p2pd.sim.town import Town
from p2pd.store import MessageState
from p2pd.types import AddressKey, NodeKey, Now, RandomSource
from p2pd.wire.record import Family, record_key
from p2pd.wire.rpc import Body, Find, Get, Nodes, Stored, Values
from tests.dht.virtual import PRIVATE, DhtMachine, Network, key_of, single

Behaviour = Callable[[HasDht, RandomSource], object]


def among(behaviour: Behaviour, *, honest: int = 5) -> tuple[Network, str, Adversary]:
    """A network whose last node misbehaves; who, and how."""
    network = Network(("adversary", repr(behaviour)))
    hosts = network.grow(honest + 1, settle_s=5)
    bad = hosts[-1]
    machine = DhtMachine((network.seed, bad), PRIVATE, network.stores[bad])
    adversary = behaviour(machine, SeededRandom(bad))
    assert isinstance(adversary, Adversary)
    network.run(bad, machine)
    network.world.run(5)
    return network, bad, adversary


def told(network: Network, bad: str, body: Body) -> Body | None:
    """What it answers one of the others."""
    answers: list[Body | None] = []
    asker = network.machines[network.host(0)].dht
    (peer,) = [entry.peer for entry in asker.table() if entry.peer.key == network.machines[bad].key]

    def ask(now: Now) -> None:
        asker._rpc.ask(peer, body, lambda answer, _now: answers.append(answer), now, cause=Cause.LOOKUP)

    network.world.call(network.host(0), ask)
    assert network.world.run_until(lambda: bool(answers), 10)
    return answers[0]


def stored(network: Network, seed: object) -> tuple[bytes, set[str]]:
    """A record that was put, and who signed for it."""
    key = key_of(seed)
    done = network.put(network.host(0), [single(key, network.world.now)])[-1]
    hosts = {host for host, machine in network.machines.items() if machine.key in done.holders}
    network.world.run(1)
    return key.public, hosts


def test_a_dropper_signs_for_what_it_does_not_keep() -> None:
    network, bad, adversary = among(Dropper, honest=2)
    address, holders = stored(network, "dropped")
    key = record_key(Family.SINGLE, AddressKey(address))
    assert bad in holders
    assert bad not in network.holders(key)
    assert network.holders(key)
    said = told(network, bad, Get(key))
    assert isinstance(said, Values)
    assert said.records == []
    assert adversary.lies


@pytest.mark.parametrize("lie", [None, *Lie])
def test_a_liar_hides_nothing_that_others_hold(lie: Lie | None) -> None:
    network, bad, adversary = among(partial(Liar, lie=lie))
    for number in range(3):
        address, _ = stored(network, (lie, number))
        found = network.get(network.host(1), Family.SINGLE, address)
        assert [record.body for record in found.records] == [b"value"]
        told(network, bad, Find(bytes(32)))
        told(network, bad, Get(record_key(Family.SINGLE, AddressKey(address))))
    assert adversary.lies or lie in (Lie.OLD, Lie.SPOILED, Lie.FALSE_RECEIPT)


def test_an_old_value_is_given_for_the_newest() -> None:
    network, bad, _ = among(partial(Liar, lie=Lie.OLD), honest=2)
    key = key_of("old")
    for sequence in (1, 2):
        network.put(network.host(0), [single(key, network.world.now, sequence, b"number %d" % sequence)])
    said = told(network, bad, Get(record_key(Family.SINGLE, AddressKey(key.public))))
    assert isinstance(said, Values)
    assert [b"number 1" in data for data in said.records] == [True]


def test_an_inventor_names_nobody_nearer_than_anybody() -> None:
    network, bad, _ = among(Inventor)
    target = SeededRandom("target").bytes(32)
    said = told(network, bad, Find(target))
    assert isinstance(said, Nodes)
    assert len(said.contacts) == 20
    named = {contact.key for contact in said.contacts}
    assert not named & {machine.key for machine in network.machines.values()}
    nearest = network.machines[network.nearest(target, 1)[0]].key

    def distance(key: bytes) -> int:
        return int.from_bytes(node_id(NodeKey(key)), "big") ^ int.from_bytes(target, "big")

    assert min(map(distance, named)) < distance(nearest)


def test_misleaders_are_outvoted() -> None:
    network, _bad, adversary = among(Misleader, honest=8)
    network.world.run(3_600)
    honest = network.machines[network.host(0)].dht
    assert adversary.lies
    assert abs(honest.clock_offset_ms) < 1_000
    assert honest.endpoint != VICTIM


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", [Dropper, Liar, Inventor, Usurper])
def test_mail_arrives_in_a_town_with_a_third_of_them(behaviour: Behaviour) -> None:
    town = Town(("third", behaviour.__name__), servers=8)
    for _ in range(4):
        town.server(behaviour)
    town.world.run(30)
    alice, bob = town.friends()
    bob.stop()
    sent = [alice.send("bob", f"number {number}") for number in range(3)]
    town.until(lambda: all(alice.state(message) is MessageState.STORED for message in sent), 600)
    alice.stop()
    bob.up()
    # who reads but liars at once, with 4 copies of each, reads again with the next sweep
    town.until(lambda: bob.received("alice") == [f"number {number}" for number in range(3)], limits.SWEEP_S + 60)
    assert any(isinstance(server.adversary, Adversary) and server.adversary.lies for server in town.servers)


def test_a_stored_answer_of_a_false_receipt_counts_for_nothing() -> None:
    network, bad, _ = among(partial(Liar, lie=Lie.FALSE_RECEIPT), honest=2)
    _, holders = stored(network, "false")
    assert bad not in holders
    assert isinstance(told(network, bad, Get(bytes(32))), Values)
    assert not isinstance(told(network, bad, Find(bytes(32))), Stored)


def test_who_puts_nodes_elsewhere_names_the_truly_nearest() -> None:
    network, bad, _ = among(partial(Liar, lie=Lie.WRONG_ENDPOINTS))
    target = SeededRandom("elsewhere").bytes(32)
    said = told(network, bad, Find(target))
    assert isinstance(said, Nodes)
    others = [host for host in network.nearest(target, len(network.machines)) if host != bad]
    assert [contact.key for contact in said.contacts] == [network.machines[host].key for host in others]
    hosts = {peer.endpoint.host for peer in peers_of(said.contacts)}
    assert len({networks(host)[1] for host in hosts}) == len(others), "each in a network of its own"
    assert not hosts & set(network.machines)


def test_a_usurper_says_that_its_inventions_are_where_others_are() -> None:
    network, bad, _ = among(Usurper)
    target = SeededRandom("usurped").bytes(32)
    said = told(network, bad, Find(target))
    assert isinstance(said, Nodes)
    assert not {contact.key for contact in said.contacts} & {machine.key for machine in network.machines.values()}
    usurped = [peer.endpoint.host for peer in peers_of(said.contacts)]
    nearest = [host for host in network.nearest(target, len(network.machines)) if host != bad]
    assert usurped == [host for host in nearest for _ in range(limits.RESULT_PER_24)]
