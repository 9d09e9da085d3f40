"""Who serves: only those that strangers can reach."""

from dataclasses import replace

import pytest

from p2pd import limits
from p2pd.dht.counters import Cause
from p2pd.dht.peers import Peer
from p2pd.dht.questions import Question
from p2pd.dht.roles import Roles
from p2pd.dht.settings import DhtSettings
from p2pd.effects import SendDatagram
from p2pd.sim.network import World
from p2pd.types import Endpoint, NodeKey, Now
from p2pd.wire.rpc import Probe, Reach, pack_endpoint
from tests.dht.virtual import OPEN, Network

AUTO = replace(OPEN, role="auto")


def test_a_reachable_node_becomes_a_server() -> None:
    network = Network("role")
    network.settings = OPEN
    hosts = network.grow(8, settle_s=5)
    new = network.start("77.1.0.1", [hosts[0]], AUTO)
    network.world.run(2)
    assert not new.dht.serves
    assert all(new.key not in _known(network, host) for host in hosts)
    assert network.world.run_until(lambda: new.dht.serves, 7_200)
    network.world.run(30)
    assert any(new.key in _known(network, host) for host in hosts)


def test_a_node_behind_a_router_stays_a_client_and_can_use_the_network() -> None:
    network = Network("router")
    network.settings = OPEN
    hosts = network.grow(8, settle_s=5)
    hidden = "77.1.0.1"
    _behind_router(network.world, hidden)
    new = network.start(hidden, [hosts[0]], AUTO)
    network.world.run(3 * 3_600)
    assert not new.dht.serves
    assert len(new.dht.table()) >= 7
    assert all(new.key not in _known(network, host) for host in hosts)


def test_a_private_network_serves_at_once() -> None:
    network = Network("private")
    assert network.start("11.0.0.1").dht.serves


def _known(network: Network, host: str) -> set[bytes]:
    return {entry.peer.key for entry in network.machines[host].dht.table()}


def _behind_router(world: World, hidden: str) -> None:
    """Nothing passes to the hidden host but from where it wrote to in the last two minutes."""
    written: dict[str, float] = {}

    def note(host: str, to: Endpoint, _data: bytes) -> None:
        if host == hidden:
            written[to.host] = world.now.steady

    world.taps.append(note)
    world.weather.stops = lambda sender, receiver: (
        receiver == hidden and world.now.steady - written.get(sender, -1e9) > 120
    )


def test_a_private_node_that_others_see_elsewhere_stops_serving():
    endpoint = Endpoint("10.0.0.9", 4242)
    settings = DhtSettings(private=True, replicas=4, own=(Endpoint("192.168.7.7", 4242),))
    network = Network("translated")
    for number in range(3):
        network.start(f"10.0.0.{number + 1}", ["10.0.0.1"] if number else [])
    network.start(endpoint.host, ["10.0.0.1"], settings=settings)
    network.world.run(1)
    assert not network.machines[endpoint.host].dht.serves
    same = replace(settings, own=(Endpoint("10.0.0.8", 4242),))
    network.start("10.0.0.8", ["10.0.0.1"], settings=same)
    network.world.run(1)
    assert network.machines["10.0.0.8"].dht.serves


def test_what_the_same_machine_sees_is_no_translation():
    network = Network("loopback")
    network.start("127.0.0.1")
    settings = DhtSettings(private=True, replicas=4, own=(Endpoint("192.168.7.7", 4242),))
    network.start("127.0.0.2", ["127.0.0.1"], settings=settings)
    network.world.run(1)
    assert network.machines["127.0.0.2"].dht.endpoint == Endpoint("127.0.0.2", 4242)
    assert network.machines["127.0.0.2"].dht.serves


def test_a_server_that_moved_must_find_out_again_whether_it_serves():
    network = Network("moved")
    network.settings = OPEN
    hosts = network.grow(8, settle_s=5)
    own = Endpoint("77.1.0.1", 4242)
    new = network.start("77.1.0.1", [hosts[0]], replace(AUTO, own=(own,)))
    assert network.world.run_until(lambda: new.dht.serves, 7_200)
    new.dht.on_addresses((own, Endpoint("10.0.0.1", 4242)), network.world.now)
    assert new.dht.serves, "another address beside the one that it had is no move"
    new.dht.on_addresses((Endpoint("77.9.0.1", 4242),), network.world.now)
    assert not new.dht.serves
    assert new.dht.voices() == []
    assert network.world.run_until(lambda: new.dht.serves, 7_200), "it can still be reached"


def test_who_is_a_server_by_its_settings_stays_one_wherever_it_is():
    network = Network("settled")
    settings = replace(OPEN, own=(Endpoint("77.1.0.1", 4242),))
    assert settings.role == "server"
    node = network.start("77.1.0.1", [], settings)
    node.dht.on_addresses((Endpoint("77.9.0.1", 4242),), network.world.now)
    assert node.dht.serves


def test_a_network_of_three_servers_grows():
    network = Network("seedling", settings=OPEN)
    hosts = network.grow(3, settle_s=5)
    new = [network.start(f"77.{number}.0.1", hosts, AUTO) for number in range(6)]
    assert network.world.run_until(lambda: all(machine.dht.serves for machine in new), 3_600)


def test_a_client_reaches_others_for_servers_that_it_knows_and_for_nobody_else():
    network = Network("errand", settings=OPEN)
    hosts = network.grow(3, settle_s=5)
    client = network.start("77.1.0.1", hosts, replace(AUTO, role="client"))
    network.world.run(5)
    network.start("78.1.0.1", settings=replace(AUTO, role="client"))
    reach = Reach(network.machines[hosts[0]].key, pack_endpoint(Endpoint("79.1.0.1", 4242)))
    sent: list[str] = []
    network.world.taps.append(lambda host, to, data: sent.append(to.host) if host == "77.1.0.1" else None)
    there = Peer(client.key, Endpoint("77.1.0.1", 4242))
    for asker, reached in (("78.1.0.1", 0), (hosts[0], 1)):
        rpc = network.machines[asker].dht._rpc
        network.world.call(asker, lambda now, rpc=rpc: rpc.ask(there, reach, lambda *_: None, now, cause=Cause.JOIN))
        network.world.run(5)
        assert sent.count("79.1.0.1") == reached


SIX = Endpoint("2a00:1::1", 4242)
FOUR = Endpoint("77.1.0.1", 4242)


def _reach(roles: Roles, family: str, count: int = limits.REACHED_NETWORKS) -> None:
    """Strangers of so many networks write first."""
    for number in range(count):
        host = f"2a00:{number + 10:x}::1" if family == "IPv6" else f"88.{number}.0.1"
        roles.on_unasked(Peer(NodeKey(bytes([number]) * 32), Endpoint(host, 4242)), Now(10.0, 10))


def test_who_is_reached_by_one_family_serves_that_one() -> None:
    network = Network("families", settings=replace(AUTO, own=(FOUR, SIX)))
    network.start("77.1.0.1")
    dht = network.machines["77.1.0.1"].dht
    _reach(dht._roles, "IPv6")
    assert dht.serves
    assert (dht.serves_to(SIX), dht.serves_to(FOUR)) == (True, False)
    _reach(dht._roles, "IPv4", limits.REACHED_NETWORKS - 1)
    assert not dht.serves_to(FOUR)
    _reach(dht._roles, "IPv4")
    assert dht.serves_to(FOUR)
    dht.on_addresses((FOUR, Endpoint("2a00:2::1", 4242)), Now(20.0, 20))
    assert (dht.serves_to(SIX), dht.serves_to(FOUR)) == (False, True)


def test_however_often_a_machine_moves_it_asks_at_one_time() -> None:
    network = Network("restless", settings=replace(AUTO, own=(FOUR,)))
    dht = network.start("77.1.0.1").dht
    for number in range(10):
        dht.on_addresses((Endpoint(f"77.2.{number}.1", 4242),), Now(10.0 + number, 10))
    assert [alarm.ring for _, _, alarm in dht._alarms._heap].count(dht._roles._probe) == 1


@pytest.mark.parametrize("before", [(FOUR, SIX), (FOUR,)], ids=["had", "gained"])
def test_who_serves_one_family_goes_on_asking_for_the_other(before: tuple[Endpoint, ...]) -> None:
    network = Network("other family", settings=OPEN)
    hosts = network.grow(8, settle_s=5)
    new = network.start(FOUR.host, [hosts[0]], replace(AUTO, own=before))
    assert network.world.run_until(lambda: new.dht.serves, 3_600)
    network.world.run(2 * limits.PROBE_S[-1])
    network.world.call(FOUR.host, lambda now: new.dht.on_addresses((FOUR, SIX), now))
    new.dht._table.seen(Peer(new.dht.table()[0].peer.key, Endpoint("2a00:9::1", 4242)), 1.0)
    sent: list[str] = []
    network.world.taps.append(lambda host, to, data: sent.append(to.host) if host == FOUR.host else None)
    network.world.run(1.2 * limits.PROBE_S[-1])
    assert "2a00:9::1" in sent


def test_who_is_to_reach_another_has_its_address_family_where_anybody_has() -> None:
    network = Network("reachers", settings=OPEN)
    machine = network.machines[network.grow(6, settle_s=5)[0]]
    asker = Peer(NodeKey(b"a" * 32), SIX)
    question = Question(asker, Probe(), False, True, machine.dht._node, 900)
    asked: list[Endpoint] = []

    def probe() -> None:
        network.world.run(limits.MINUTE_S)
        if asked:
            machine.dht._table.seen(Peer(machine.dht.table()[0].peer.key, Endpoint("2a00:9::1", 4242)), 1.0)
        list(machine.take_effects())
        machine.dht._roles.on_probe(question, network.world.now)
        asked.extend(each.to for each in machine.take_effects() if isinstance(each, SendDatagram))

    probe()
    assert not asked[0].is_v6, "it may have both"
    for _ in range(4):
        probe()
    assert [endpoint.host for endpoint in asked[1:]] == ["2a00:9::1"] * 4
