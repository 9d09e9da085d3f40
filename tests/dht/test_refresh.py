"""Records survive their holders, and what was ended stays ended."""

from dataclasses import replace

import pytest

from p2pd import limits
from p2pd.wire.record import Family, record_key
from tests.dht.virtual import PRIVATE, Network, item_of, key_of, set_item, single, tombstone


def test_a_newcomer_among_the_nearest_is_given_what_it_should_hold() -> None:
    network = Network("handover")
    hosts = network.grow(10, settle_s=3)
    keys = [key_of(("handover", number)) for number in range(12)]
    for key in keys:
        network.put(hosts[0], [single(key, network.world.now)])
    new = [network.host(number) for number in range(10, 14)]
    for host in new:
        network.start(host, [hosts[0]])
    network.world.run(60)
    for key in keys:
        place = record_key(Family.SINGLE, key.public)
        assert set(network.nearest(place, 4)) <= set(network.holders(place))


@pytest.mark.slow
def test_records_outlive_all_their_first_holders() -> None:
    network = Network("churn")
    hosts = network.grow(9, settle_s=3)
    key = key_of("churn")
    network.put(hosts[0], [single(key, network.world.now, days=14)])
    place = record_key(Family.SINGLE, key.public)
    first = network.holders(place)
    for round, host in enumerate(first):
        network.world.kill(host)
        del network.machines[host], network.disks[host]
        network.start(network.host(100 + round), [h for h in hosts if h in network.machines][:1])
        network.world.run(15 * 3_600 if round % 2 else 60)
    reader = next(host for host in network.machines if host not in network.holders(place))
    assert network.get(reader, Family.SINGLE, key.public).records
    assert not set(first) & set(network.holders(place))


def test_a_refresh_brings_nothing_back() -> None:
    network = Network("resurrect")
    hosts = network.grow(6, settle_s=3)
    key = key_of("resurrect")
    place = record_key(Family.SET, key.public)
    network.put(hosts[0], [set_item(key, network.world.now, item_of(1))])
    away = network.holders(place)[-1]
    network.world.silence(away)
    ended = tombstone(key, network.world.now, item_of(1), Family.SET)
    writer = next(host for host in hosts if host != away)
    network.put(writer, [ended])
    network.world.silence(away, False)
    network.world.run(30 * 3_600)  # two rounds of everybody
    for host in network.holders(place):
        assert [row.tombstone for row in network.stores[host].held(place)] == [True]
    assert network.get(writer, Family.SET, key.public).records == []


def test_nothing_lives_longer_by_being_passed_on() -> None:
    network = Network("mortal")
    hosts = network.grow(6, settle_s=3)
    key = key_of("mortal")
    network.put(hosts[0], [single(key, network.world.now, days=1)])
    network.world.run(limits.DAY_S + 600)
    assert network.holders(record_key(Family.SINGLE, key.public)) == []


def test_what_everybody_has_is_not_sent_again() -> None:
    network = Network("digest")
    hosts = network.grow(5, settle_s=3)
    for number in range(5):
        network.put(hosts[0], [single(key_of(("digest", number)), network.world.now)])
    network.world.run(13 * 3_600)
    sent = {host: machine.dht._refresh.sent for host, machine in network.machines.items()}
    network.world.run(13 * 3_600)
    assert {host: machine.dht._refresh.sent for host, machine in network.machines.items()} == sent


@pytest.mark.slow
def test_a_node_far_from_a_record_drops_it_when_the_nearest_have_it() -> None:
    network = Network("far", settings=replace(PRIVATE, replicas=2))
    hosts = network.grow(3, settle_s=3)
    key = key_of("far")
    network.put(hosts[0], [single(key, network.world.now)])
    place = record_key(Family.SINGLE, key.public)
    for number in range(3, 11):
        network.start(network.host(number), [hosts[0]])
        network.world.run(0.2)
    network.world.run(27 * 3_600)
    assert set(network.nearest(place, 2)) <= set(network.holders(place))
    assert set(network.holders(place)) <= set(network.nearest(place, 5))
