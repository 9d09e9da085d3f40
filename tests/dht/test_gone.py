"""What nodes that are gone cost: a little more than a round trip, once."""

from dataclasses import replace
from random import Random

import pytest

from p2pd.dht.storing import PutProgress
from p2pd.types import AddressKey, NodeHint
from p2pd.wire.record import Family, record_key
from tests.dht.virtual import PRIVATE, Network, item_of, key_of, set_item, single

LATENCY_S = (0.02, 0.08)
LONGEST_MS = 2 * LATENCY_S[1] * 1000
"""A round trip takes no longer, and 100 ms in the middle."""
NODES = 100
SETTINGS = replace(PRIVATE, replicas=8)


def timed_put(network: Network, host: str, seed: object) -> tuple[float, PutProgress]:
    """When the record was stored, and what was told then."""
    told: list[PutProgress] = []
    record = single(key_of(seed), network.world.now)
    begun_s = network.world.now.steady
    dht = network.machines[host].dht
    network.world.call(host, lambda now: dht.put([record], lambda report, _: told.append(report), now))
    assert network.world.run_until(lambda: bool(told), 60)
    return (network.world.now.steady - begun_s) * 1000, told[0]


@pytest.fixture(scope="module")
def quiet() -> Network:
    network = Network("quiet", settings=SETTINGS, latency_s=LATENCY_S)
    network.grow(40, gap_s=0.1, settle_s=10)
    return network


@pytest.mark.slow
def test_a_third_gone_a_second_ago_costs_a_few_round_trips() -> None:
    network = Network("gone", settings=SETTINGS, latency_s=LATENCY_S)
    hosts = network.grow(NODES, gap_s=0.1, settle_s=20)
    chance = Random(1)
    keys = [key_of(("gone", number)) for number in range(60)]
    for key in keys:
        network.put(chance.choice(hosts), [single(key, network.world.now)])
    gone = chance.sample(hosts, NODES * 3 // 10)
    for number, host in enumerate(gone):
        (network.world.kill if number % 2 else network.world.silence)(host)
    network.world.run(1)
    left = [host for host in hosts if host not in gone]
    gets = [network.get(chance.choice(left), Family.SINGLE, key.public) for key in keys]
    assert all(found.records for found in gets)
    times = sorted(found.elapsed_ms for found in gets)
    assert times[len(times) // 2] <= LONGEST_MS
    assert times[-1] <= 4 * LONGEST_MS
    assert sum(found.messages for found in gets) <= 6 * len(gets)
    puts = [timed_put(network, chance.choice(left), ("put", number)) for number in range(20)]
    assert all(report.stored for _, report in puts)
    assert sorted(time for time, _ in puts)[10] <= 3 * LONGEST_MS
    assert max(time for time, _ in puts) <= 6 * LONGEST_MS


@pytest.mark.slow
def test_a_dead_node_is_waited_for_once(quiet: Network) -> None:
    key = key_of("once")
    place = record_key(Family.SINGLE, AddressKey(key.public))
    reader, *others = sorted(quiet.machines, key=lambda host: host not in quiet.nearest(place, 40)[20:])
    quiet.put(others[0], [single(key, quiet.world.now)])
    dead = [host for host in quiet.nearest(place, 3) if host in quiet.holders(place)]
    for host in dead:
        quiet.world.silence(host)
    first = quiet.get(reader, Family.SINGLE, key.public)
    again = [quiet.get(reader, Family.SINGLE, key.public) for _ in range(5)]
    for host in dead:
        quiet.world.silence(host, False)
    assert all(found.records for found in (first, *again))
    assert first.messages > 3
    assert all(found.messages == 3 for found in again)
    assert all(found.elapsed_ms <= LONGEST_MS for found in again)


@pytest.mark.slow
class TestKnownHolders:
    def test_the_second_put_there_takes_one_round(self, quiet: Network) -> None:
        key, host = key_of("second"), quiet.host(3)
        first = quiet.put(host, [set_item(key, quiet.world.now, item_of("first"))])[-1]
        second = quiet.put(host, [set_item(key, quiet.world.now, item_of("second"))])[-1]
        assert first.rounds >= 2
        assert (second.rounds, second.receipts, second.stored) == (1, 8, True)
        assert second.messages <= 8 + 2  # one or two may be slow

    def test_where_one_is_gone_another_takes_its_place(self, quiet: Network) -> None:
        key, host = key_of("another"), quiet.host(4)
        quiet.put(host, [set_item(key, quiet.world.now, item_of("first"))])
        place = record_key(Family.SET, AddressKey(key.public))
        gone = next(holder for holder in quiet.holders(place) if holder != host)
        quiet.world.silence(gone)
        second = quiet.put(host, [set_item(key, quiet.world.now, item_of("second"))])[-1]
        third = quiet.put(host, [set_item(key, quiet.world.now, item_of("third"))])[-1]
        quiet.world.silence(gone, False)
        assert second.stored
        assert quiet.machines[gone].key not in second.holders
        assert third.stored
        assert third.rounds == 1

    def test_they_are_forgotten_after_a_while(self, quiet: Network) -> None:
        key, host = key_of("forgotten"), quiet.host(5)
        quiet.put(host, [set_item(key, quiet.world.now, item_of("first"))])
        quiet.world.run(601)
        assert quiet.put(host, [set_item(key, quiet.world.now, item_of("second"))])[-1].rounds >= 2


@pytest.mark.slow
def test_tokens_that_have_run_out_cost_nobody_an_answer() -> None:
    network = Network("tokens")
    hosts = network.grow(8, settle_s=5)
    network.world.run(3 * 3600)
    machines = network.machines.values()
    assert sum(machine.dht.status().rejected.get("unpadded", 0) for machine in machines) == 0
    assert all(len(machine.dht.table()) == 7 for machine in machines)
    assert all(not entry.strikes for machine in machines for entry in machine.dht.table())
    network.world.kill(hosts[3])
    network.world.run(1)
    started = network.start(hosts[3], [])  # it knows no token of before, and has not asked this one anything
    hint = NodeHint(network.world.add(hosts[3]), started.key)
    network.world.call(hosts[0], lambda now: network.machines[hosts[0]].dht.add_hint(hint, now))
    network.world.run(5)
    (entry,) = [entry for entry in network.machines[hosts[0]].dht.table() if entry.peer.key == started.key]
    assert network.world.now.steady - entry.seen_s <= 6


def test_every_byte_has_a_cause() -> None:
    network = Network("causes")
    hosts = network.grow(6, settle_s=5)
    key = key_of("causes")
    network.put(hosts[0], [set_item(key, network.world.now, item_of(0), b"x" * 5_000)])
    network.put(hosts[0], [single(key, network.world.now)])
    network.get(hosts[1], Family.SINGLE, key.public)
    network.get(hosts[1], Family.SET, key.public)
    network.world.run(3600)
    for host, machine in network.machines.items():
        status = machine.dht.status()
        totals = sum(status.sent_bytes.values()), sum(status.received_bytes.values())
        assert totals == network.world.traffic(host)
    asked = network.machines[hosts[0]].dht.status()
    read = network.machines[hosts[1]].dht.status()
    assert asked.sent_bytes["put"] > 5_000
    assert read.received_bytes["get"] > 0
    assert all(asked.sent_bytes[cause] for cause in ("join", "lookup", "check", "answer"))
