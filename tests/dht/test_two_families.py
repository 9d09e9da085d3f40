"""A node that answers by IPv4 and by IPv6: who is told of which, and how that is learnt."""

from p2pd.dht.peers import Peer, contact_of
from p2pd.effects import SendDatagram
from p2pd.types import Endpoint, NodeKey, Now
from tests.dht.virtual import OPEN, DhtMachine, Network

SIX, FOUR = Endpoint("2a00:9::1", 4242), Endpoint("77.9.0.1", 4242)


def known(seed: str) -> tuple[Network, DhtMachine, Peer]:
    """A node, and another of its table, by IPv6."""
    network = Network(seed, settings=OPEN)
    machine = network.machines[network.grow(4, settle_s=5)[0]]
    return network, machine, Peer(machine.dht.table()[0].peer.key, SIX)


def test_nodes_are_named_by_the_askers_family_as_far_as_they_are_known_by_it() -> None:
    _, machine, six = known("named")
    first = machine.dht.table()[0].peer
    others = [entry.peer for entry in machine.dht.table()[1:]]

    def named(asker: Endpoint) -> list[Peer]:
        told = machine.dht._serving._contacts(bytes(32), Peer(NodeKey(b"a" * 32), asker), 1_000)
        return sorted((peer for peer in (first, six, *others) if contact_of(peer) in told), key=str)

    assert named(Endpoint("2a00:7::7", 1_024)) == sorted([first, *others], key=str)
    machine.dht._table.seen(six, 1.0)
    assert named(Endpoint("2a00:7::7", 1_024)) == sorted([six, *others], key=str)
    assert named(FOUR) == sorted([first, *others], key=str)


def test_who_is_named_by_the_other_family_is_challenged_there_once() -> None:
    network, machine, six = known("challenged")
    now = network.world.now
    list(machine.take_effects())
    for peer in (six, six, Peer(NodeKey(b"n" * 32), SIX)):  # who is not of the table is left to look-ups
        machine.dht._joining.on_named(peer, now)
    assert [each.to for each in machine.take_effects() if isinstance(each, SendDatagram)] == [SIX]


def test_we_ask_where_we_are_by_both_families() -> None:
    network, machine, six = known("asked")
    machine.dht._table.seen(six, 1.0)
    list(machine.take_effects())
    machine.dht._joining.look_at_ourselves(network.world.now)
    asked = {each.to for each in machine.take_effects() if isinstance(each, SendDatagram)}
    assert asked == {entry.peer.endpoint for entry in machine.dht.table()} | {SIX}


def test_a_machine_that_has_lost_a_family_keeps_who_is_reached_by_the_other() -> None:
    _, machine, six = known("lost")
    machine.dht._table.seen(six, 1.0)
    machine.dht.on_addresses((FOUR, Endpoint("2a00:1::1", 4242)), Now(50.0, 50_000))
    assert len(machine.dht.table()) > 1
    machine.dht.on_addresses((Endpoint("2a00:1::1", 4242),), Now(60.0, 60_000))
    assert [entry.peer for entry in machine.dht.table()] == [six]
