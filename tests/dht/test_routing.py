"""The table: true neighbours, rotation, strikes, replacements, diversity."""

import pytest

from p2pd import limits
from p2pd.dht.peers import Peer, masked, node_id
from p2pd.dht.routing import Table
from p2pd.sim.chance import SeededRandom
from p2pd.types import Endpoint, NodeId, NodeKey

OWN = NodeId(b"\xff" * 32)
RANDOM = SeededRandom("routing")


def peer(number: int, host: str | None = None) -> Peer:
    key = NodeKey(SeededRandom(("peer", number)).bytes(32))
    return Peer(key, Endpoint(host or f"{1 + number // 250}.{number % 250}.0.1", 4242))


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
    assert not table.struck(victim.key)
    assert not table.struck(victim.key)
    table.seen(victim, 5.0)
    assert [table.struck(victim.key) for _ in range(limits.STRIKES)] == [False, False, True]
    assert victim.key not in table
    assert len(table) == before


def test_nodes_that_failed_lately_come_last() -> None:
    table, _ = full_table(40)
    target = RANDOM.bytes(32)
    first = table.nearest(target, 1)[0]
    table.struck(first.key)
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
            table.struck(entry.peer.key)
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
