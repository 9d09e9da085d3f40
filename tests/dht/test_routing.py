"""The table: true neighbours, rotation, strikes, replacements, diversity."""

import pytest

from p2pd import limits
from p2pd.dht.peers import Peer, masked, node_id
from p2pd.dht.routing import Table
from p2pd.sim.chance import SeededRandom
from p2pd.types import Endpoint, NodeId, NodeKey
from tests.second import formats

OWN = NodeId(b"\xff" * 32)
RANDOM = SeededRandom("routing")


def peer(number: int, host: str | None = None) -> Peer:
    key = NodeKey(SeededRandom(("peer", number)).bytes(32))
    return Peer(key, Endpoint(host or f"{1 + number // 250}.{number % 250}.0.1", 4242))


def test_a_nodes_place_is_what_the_second_implementation_makes() -> None:
    assert node_id(NodeKey(formats.NODE)) == formats.derived()["node_id"]


def full_table(count: int = 600) -> tuple[Table, list[Peer]]:
    table, peers = Table(OWN), [peer(number) for number in range(count)]
    for each in peers:
        table.seen(each, 1.0)
    return table, peers


def test_nearest_are_the_true_nearest_that_are_held() -> None:
    table, _ = full_table()
    held = [entry.peer for entry in table.entries()]
    assert len(held) == len(table) > 100
    for _ in range(50):
        target = RANDOM.bytes(32)
        place = int.from_bytes(target, "big")
        assert table.nearest(target, 20) == sorted(held, key=lambda each: each.place ^ place)[:20]


def test_all_that_are_near_us_are_held() -> None:
    table, peers = full_table()
    place = int.from_bytes(OWN, "big")
    assert table.nearest(OWN, 20) == sorted(peers, key=lambda each: each.place ^ place)[:20]


def test_old_nodes_stay_and_new_ones_wait() -> None:
    table, peers = full_table()
    held = {entry.peer.key for entry in table.entries()}
    for each in peers:
        table.seen(each, 2.0)
    assert {entry.peer.key for entry in table.entries()} == held


def test_the_node_silent_longest_comes_first() -> None:
    table, _ = full_table(30)
    for at, entry in enumerate(table.entries()):
        table.seen(entry.peer, 10.0 + at)
    first = table.silent_longest()
    assert first is not None
    table.seen(first.peer, 100.0)
    assert table.silent_longest() is not first


def test_three_strikes_in_a_row_cost_the_place_to_a_replacement() -> None:
    table, _ = full_table()
    before = len(table)
    victim = max(table.entries(), key=lambda entry: entry.long_id ^ int.from_bytes(OWN, "big")).peer
    assert not table.struck(victim)
    assert not table.struck(victim)
    table.seen(victim, 5.0)
    assert [table.struck(victim) for _ in range(limits.STRIKES)] == [False, False, True]
    assert victim.key not in table
    assert len(table) == before


def test_nodes_that_failed_lately_come_last() -> None:
    table, _ = full_table(40)
    target = RANDOM.bytes(32)
    first = table.nearest(target, 1)[0]
    table.struck(first)
    assert table.nearest(target, 1)[0] != first
    assert table.nearest(target, 1_000)[-1] == first


def test_a_node_that_moved_keeps_its_place() -> None:
    table, peers = full_table(10)
    moved = Peer(peers[3].key, Endpoint("9.9.9.9", 1))
    assert not table.seen(moved, 2.0)
    assert len(table) == 10
    assert moved in table.nearest(moved.id, 1)
    entry = table.entry(moved.key)
    assert entry is not None
    assert entry.peer.endpoint == moved.endpoint


def test_we_are_not_in_our_own_table() -> None:
    own = peer(1)
    table = Table(node_id(own.key))
    assert not table.seen(own, 1.0)
    assert not table.wants(own)


@pytest.mark.parametrize(("hosts", "most"), [("7.7.7.{}", 3), ("7.7.{}.1", 16)])
def test_a_thousand_nodes_of_one_network_get_few_places(hosts: str, most: int) -> None:
    table = Table(OWN, caps=(limits.BUCKET_PER_24, limits.TABLE_PER_24, limits.TABLE_PER_16))
    for number in range(1_000):
        table.seen(peer(number, hosts.format(1 + number % 250)), 1.0)
    assert 0 < len(table) <= most
    for entry in table.entries():
        for _ in range(limits.STRIKES):
            table.struck(entry.peer)
    assert len(table) <= most


def test_ids_at_the_ends_of_buckets_are_found_again() -> None:
    table, _ = full_table()
    for entry in table.entries():
        assert table.entry(entry.peer.key) is entry
        table.remove(entry.peer.key)
        assert entry.peer.key not in table


def test_masks_keep_the_first_bits() -> None:
    target = RANDOM.bytes(32)
    for bits in (0, 1, 13, 255, 256, 300):
        shown = int.from_bytes(masked(target, bits, RANDOM), "big") ^ int.from_bytes(target, "big")
        assert shown < 1 << max(0, 256 - bits)
    assert masked(target, 8, RANDOM) != target


V4, V6 = "11.1.1.1", "2a00:1:1::1"


def both() -> tuple[Table, Peer, Peer]:
    """A node of an open network that answers by either family."""
    table, four, six = Table(NodeId(OWN), caps=(2, 3, 16)), peer(1, V4), peer(1, V6)
    assert table.seen(four, 1.0)
    assert table.wants(six)
    assert not table.seen(six, 2.0)
    assert not table.wants(six)
    return table, four, six


def test_a_node_of_both_families_has_one_place_and_is_named_by_the_askers() -> None:
    table, four, six = both()
    assert len(table) == 1
    assert table.nearest(OWN, 20) == [four]
    assert table.nearest(OWN, 20, six.endpoint) == [six]
    assert table.nearest(OWN, 20, four.endpoint) == [four]


def test_the_second_endpoint_takes_the_place_of_a_first_that_is_dead() -> None:
    table, four, six = both()
    assert [table.struck(four) for _ in range(limits.STRIKES)] == [False] * limits.STRIKES
    assert table.nearest(OWN, 20) == [six]
    assert [table.struck(six) for _ in range(limits.STRIKES)] == [False] * (limits.STRIKES - 1) + [True]


def test_a_second_endpoint_that_is_dead_costs_nothing_else() -> None:
    table, four, six = both()
    assert not table.struck(six)
    assert table.nearest(OWN, 20, six.endpoint) == [four]
    assert table.wants(six)


def test_silence_where_a_liar_said_that_it_is_costs_no_place() -> None:
    table, four, _ = both()
    assert not any(table.struck(peer(1, "11.9.9.9")) for _ in range(limits.STRIKES))
    assert table.nearest(OWN, 20) == [four]


def test_without_one_family_those_with_the_other_stay() -> None:
    table, _, six = both()
    table.seen(peer(2, "11.2.1.1"), 1.0)
    assert table.keep(lambda endpoint: endpoint.is_v6) == [peer(2, "11.2.1.1").key]
    assert table.nearest(OWN, 20) == [six]


def test_who_serves_one_family_no_more_stays_by_the_other() -> None:
    table, four, six = both()
    assert not table.left(four)
    assert table.nearest(OWN, 20) == [six]
    assert table.left(six)
    assert len(table) == 0
    assert not table.left(six)
