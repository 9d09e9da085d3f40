"""An open network of which only the local network is there, and how it ends."""

from p2pd.crypto.keys import SigningKey
from p2pd.dht.peers import Peer, contact_of, is_local, networks
from p2pd.dht.questions import Question
from p2pd.dht.routing import Table
from p2pd.dht.settings import DhtSettings
from p2pd.types import Endpoint, NodeHint, NodeId, NodeKey, Now
from p2pd.wire.record import Family
from p2pd.wire.rpc import Failed, Find, Reach, Refusal, pack_endpoint
from tests.dht.virtual import Network, key_of, single

AUTO = DhtSettings(replicas=4, node_puzzle_bits=0)
SERVER = DhtSettings(replicas=4, node_puzzle_bits=0, role="server")
KEY = key_of("kept in the cabin")
CABIN = ("192.168.1.2", "192.168.1.3", "192.168.1.4")


def cabin(*hosts: str) -> Network:
    """Machines of an open network that see each other's announcements and know nobody else."""
    network = Network("cabin", settings=AUTO)
    for host in hosts:
        network.start(host)
    for host in hosts:
        for other in hosts:
            if other != host:
                hears(network, host, other)
    network.world.run(5)
    return network


def hint(host: str) -> NodeHint:
    return NodeHint(Endpoint(host, 4242))


def node_of(name: str, host: str) -> Peer:
    return Peer(NodeKey(key_of(name).public), Endpoint(host, 4242))


def hears(network: Network, host: str, other: str) -> None:
    dht = network.machines[host].dht
    network.world.call(host, lambda now: dht.on_neighbour(Endpoint(other, 4242), now))


def known(network: Network, host: str) -> set[str]:
    return {entry.peer.endpoint.host for entry in network.machines[host].dht.table()}


LOCAL = "10.1.1.1 192.168.0.1 172.31.9.9 169.254.1.1 100.64.3.3 127.0.0.1 fd00::1 fe80::1 ::1"
FAR = "172.32.0.1 198.18.0.1 11.0.0.1 2a01::1 192.0.2.1"


def test_which_addresses_mean_something_only_where_they_are() -> None:
    assert all(map(is_local, LOCAL.split()))
    assert not any(map(is_local, FAR.split()))


def test_machines_of_one_local_network_are_networks_of_their_own() -> None:
    assert networks("192.168.1.2") != networks("192.168.1.3")
    assert networks("127.0.0.1") == networks("127.0.0.2")


def test_two_machines_alone_are_a_network() -> None:
    network = cabin(*CABIN[:2])
    assert [known(network, host) for host in CABIN[:2]] == [{CABIN[1]}, {CABIN[0]}]
    assert not any(network.machines[host].dht.serves for host in CABIN[:2])
    assert all(network.machines[host].dht.is_island for host in CABIN[:2])
    record = single(KEY, network.world.now)
    network.put(CABIN[0], [record])
    found = network.get(CABIN[1], Family.SINGLE, KEY.public)
    assert found.records
    assert not found.complete, "what was put elsewhere is not read"


def test_a_whole_office_fits_into_a_table() -> None:
    hosts = [f"192.168.1.{number}" for number in range(2, 10)]
    network = cabin(*hosts)
    assert all(known(network, host) == {other for other in hosts if other != host} for host in hosts)


def test_who_has_not_been_heard_is_not_served() -> None:
    network = Network("one-sided", settings=AUTO)
    for host in CABIN[:2]:
        network.start(host)
    hears(network, CABIN[0], CABIN[1])
    network.world.run(5)
    assert known(network, CABIN[0]) == set()
    hears(network, CABIN[1], CABIN[0])  # now that it has been, the other one is tried again
    network.world.run(40)
    assert known(network, CABIN[0]) == {CABIN[1]}


def test_the_first_server_elsewhere_ends_the_island_and_gets_what_was_kept() -> None:
    network = cabin(*CABIN)
    network.put(CABIN[0], [single(KEY, network.world.now)])
    network.start("11.0.0.1", settings=SERVER)
    network.start("11.1.0.1", ["11.0.0.1"], settings=SERVER)
    network.world.run(30)
    dht = network.machines[CABIN[0]].dht
    network.world.call(CABIN[0], lambda now: dht.add_hint(hint("11.0.0.1"), now))
    network.world.run(60)
    assert known(network, CABIN[0]) == {"11.0.0.1", "11.1.0.1"}
    assert not dht.is_island
    assert not dht.serves_to(Endpoint(CABIN[1], 4242))
    assert network.get("11.1.0.1", Family.SINGLE, KEY.public).records
    assert not known(network, "11.0.0.1") & set(CABIN)


def test_the_network_is_looked_for_as_if_nobody_were_there() -> None:
    network = cabin(*CABIN[:2])
    dht = network.machines[CABIN[0]].dht
    network.world.call(CABIN[0], lambda now: dht.add_hint(hint("11.0.0.1"), now))  # which is not up yet
    network.world.run(600)
    network.start("11.0.0.1", settings=SERVER)
    assert network.world.run_until(lambda: known(network, CABIN[0]) == {"11.0.0.1"}, 12)


def test_with_the_last_server_elsewhere_gone_the_neighbours_are_there_again() -> None:
    network = Network("cut off", settings=AUTO)
    network.start("11.0.0.1", settings=SERVER)
    for host in CABIN[:2]:
        network.start(host, ["11.0.0.1"])
    network.world.run(5)
    for host, other in (CABIN[:2], CABIN[1::-1]):
        hears(network, host, other)
    network.world.run(5)
    assert known(network, CABIN[0]) == {"11.0.0.1"}
    network.world.kill("11.0.0.1")
    assert network.world.run_until(lambda: known(network, CABIN[0]) == {CABIN[1]}, 7_200)


def test_neighbours_push_no_first_node_out() -> None:
    network = Network("flood", settings=AUTO)
    network.start("192.168.1.2", ["11.0.0.1"])
    for number in range(10_000):
        hears(network, "192.168.1.2", f"192.168.{2 + number // 250}.{number % 250 + 1}")
    joining = network.machines["192.168.1.2"].dht._joining
    assert [endpoint.host for endpoint in joining._hints] == ["11.0.0.1"]
    assert len(joining._neighbours) == 64


def test_being_reached_by_neighbours_does_not_make_a_server_for_all() -> None:
    network = Network("near", settings=AUTO)
    network.start("192.168.1.2")
    roles = network.machines["192.168.1.2"].dht._roles
    for number in range(5):
        peer = Peer(network.machines["192.168.1.2"].key, Endpoint(f"10.{number}.0.1", 4242))
        roles.on_unasked(peer, Now(1.0, 1_000))
    assert not roles.serves


def test_a_local_address_is_told_to_no_stranger_and_taken_from_none() -> None:
    network = cabin(*CABIN[:2])
    serving = network.machines[CABIN[0]].dht._serving
    near, far = (node_of(host, host) for host in (CABIN[2], "11.0.0.1"))
    assert len(serving._contacts(bytes(32), near, 1_000)) == 1
    assert serving._contacts(bytes(32), far, 1_000) == []
    told = [contact_of(node_of(host, host)) for host in (CABIN[1], "11.2.0.1")]
    searches = network.machines[CABIN[0]].dht._searches
    assert [peer.endpoint.host for peer in searches.told(far, told, Now(1.0, 1))] == ["11.2.0.1"]
    assert [peer.endpoint.host for peer in searches.told(near, told, Now(1.0, 1))] == [CABIN[1], "11.2.0.1"]


def test_who_is_named_by_a_family_that_we_lack_is_not_asked() -> None:
    network = cabin(*CABIN[:2])
    dht = network.machines[CABIN[0]].dht
    teller, told = node_of("far", "11.0.0.1"), [contact_of(node_of(host, host)) for host in ("11.2.0.1", "2a00::1")]

    def asked() -> list[str]:
        return [peer.endpoint.host for peer in dht._searches.told(teller, told, Now(1.0, 1))]

    assert asked() == ["11.2.0.1", "2a00::1"], "nothing is known of our addresses"
    dht.on_addresses((Endpoint("2a00::2", 4242),), Now(1.0, 1))
    assert asked() == ["2a00::1"]


def test_a_stranger_cannot_have_us_reach_into_a_local_network() -> None:
    network = Network("reach", settings=SERVER)
    network.start("11.0.0.1")
    roles = network.machines["11.0.0.1"].dht._roles
    asker = node_of("asker", "11.5.0.1")
    question = Question(asker, Find(bytes(32)), False, True, SigningKey(bytes(32)), 900)
    reach = Reach(NodeKey(key_of("victim").public), pack_endpoint(Endpoint("192.168.1.1", 4242)))
    answer = roles.on_reach(reach, question, Now(1.0, 1))
    assert isinstance(answer, Failed)
    assert answer.reason == Refusal.INVALID


class TestTable:
    def test_local_nodes_and_others_never_stand_in_one_table(self) -> None:
        table = Table(NodeId(bytes(32)), caps=(2, 3, 16))
        for number in range(5):
            assert table.seen(node_of(f"near {number}", f"10.0.0.{number}"), 1.0)
        assert table.is_island
        assert table.seen(node_of("far", "11.0.0.1"), 2.0)
        assert [entry.peer.endpoint.host for entry in table.entries()] == ["11.0.0.1"]
        assert not table.seen(node_of("near 0", "10.0.0.0"), 3.0)
        assert not table.wants(node_of("near 0", "10.0.0.0"))
        table.remove(node_of("far", "11.0.0.1").key)
        assert table.takes_local
        assert table.seen(node_of("near 0", "10.0.0.0"), 4.0)

    def test_a_node_that_moves_ends_the_island_or_stays_where_all_can_find_it(self) -> None:
        table = Table(NodeId(bytes(32)), caps=(2, 3, 16))
        table.seen(node_of("one", "10.0.0.1"), 1.0)
        table.seen(node_of("other", "10.0.0.2"), 1.0)
        table.seen(node_of("one", "11.0.0.1"), 2.0)
        table.seen(node_of("one", "10.0.0.1"), 3.0)
        assert [entry.peer.endpoint.host for entry in table.entries()] == ["11.0.0.1"]
        assert not table.is_island

    def test_a_node_elsewhere_ends_the_island_also_where_its_bucket_is_full_of_local_ones(self) -> None:
        table = Table(NodeId(bytes(32)), bucket_size=1, caps=(2, 3, 16))
        beyond = [node for number in range(40) if (node := node_of(str(number), f"10.0.0.{number}")).place >> 255]
        far = Peer(beyond.pop().key, Endpoint("2a00:9::1", 4242))
        assert table.seen(node_of("local", "10.0.1.1"), 1.0)
        assert [table.seen(node, 1.0) for node in beyond[:3]].count(True) == 1, "the bucket is full"
        assert table.seen(far, 2.0)
        assert [entry.peer for entry in table.entries()] == [far]
        assert table.keep(lambda endpoint: not endpoint.is_v6) == [far.key]

    def test_one_machine_has_few_places(self) -> None:
        table = Table(NodeId(bytes(32)), caps=(2, 3, 16))
        assert sum(table.seen(node_of(f"node {number}", "10.0.0.1"), 1.0) for number in range(50)) <= 3

    def test_in_a_private_network_all_stand_together(self) -> None:
        table = Table(NodeId(bytes(32)))
        assert table.seen(node_of("near", "10.0.0.1"), 1.0)
        assert table.seen(node_of("far", "11.0.0.1"), 1.0)
        assert len(table) == 2
        assert table.takes_local
        assert not table.is_island
