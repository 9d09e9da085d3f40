"""A look-up as a value, in a network that is only a dict."""

import gc
from collections import deque
from collections.abc import Callable

import pytest

from p2pd import limits
from p2pd.dht.lookup import Lookup
from p2pd.dht.peers import Peer, by_distance
from p2pd.sim.chance import SeededRandom
from p2pd.types import Endpoint, NodeKey

OWN = NodeKey(bytes(32))
Tell = Callable[[Peer, bytes], list[Peer] | None]


def peer(seed: object, host: str) -> Peer:
    return Peer(NodeKey(SeededRandom(("lookup", seed)).bytes(32)), Endpoint(host, 4242))


def network(count: int) -> list[Peer]:
    return [peer(number, f"{1 + number // 250}.{number % 250}.1.1") for number in range(count)]


def tables(peers: list[Peer], size: int = 8) -> dict[NodeKey, list[Peer]]:
    """For each node what a table would hold: a few of every distance."""
    known: dict[NodeKey, list[Peer]] = {}
    for one in peers:
        buckets: dict[int, list[Peer]] = {}
        for other in peers:
            if other is not one:
                buckets.setdefault((one.place ^ other.place).bit_length(), []).append(other)
        known[one.key] = [other for bucket in buckets.values() for other in bucket[:size]]
    return known


def honest(peers: list[Peer]) -> Tell:
    known = tables(peers)
    return lambda one, target: sorted(known[one.key], key=by_distance(int.from_bytes(target, "big")))[:20]


def walk(lookup: Lookup, target: bytes, tell: Tell) -> Lookup:
    """Answer one question after another; None: the node is silent, slow first and failed when all have answered."""
    waiting, silent = deque(lookup.next_asks()), []
    while waiting or not lookup.is_over:
        if not waiting:
            assert silent, "neither over nor waiting"
            lookup.on_failed(silent.pop(0))
        else:
            asked = waiting.popleft()
            told = tell(asked, target)
            if told is None:
                lookup.on_slow(asked)
                silent.append(asked)
            else:
                lookup.on_answered(asked, told)
        waiting.extend(lookup.next_asks())
    return lookup


@pytest.mark.slow
def test_the_true_nearest_are_found_by_hops() -> None:
    peers = network(300)
    tell = honest(peers)
    for number in range(20):
        target = SeededRandom(("target", number)).bytes(32)
        lookup = walk(Lookup(target, peers[number : number + 3], own=OWN, width=8), target, tell)
        assert lookup.nearest(4) == sorted(peers, key=by_distance(int.from_bytes(target, "big")))[:4]
        assert lookup.rounds >= 2
        assert lookup.messages <= 60


@pytest.mark.slow
def test_with_a_third_silent_the_nearest_living_are_found() -> None:
    peers = network(200)
    tell = honest(peers)
    dead = {one.key for one in peers[::3]}
    for number in range(10):
        target = SeededRandom(("dead", number)).bytes(32)
        lookup = Lookup(target, peers[1:40:2], own=OWN, width=16)
        walk(lookup, target, lambda one, at: None if one.key in dead else tell(one, at))
        living = sorted((p for p in peers if p.key not in dead), key=by_distance(int.from_bytes(target, "big")))
        assert len(set(lookup.nearest(8)) & set(living[:8])) >= 7


def test_an_inventor_of_ever_nearer_nodes_is_not_followed_for_long() -> None:
    peers = network(60)
    tell = honest(peers)
    liar = peers[7]
    target = SeededRandom("inventor").bytes(32)
    place = int.from_bytes(target, "big")
    count = 0

    def told(one: Peer, at: bytes) -> list[Peer] | None:
        nonlocal count
        if one in peers and one is not liar:
            return tell(one, at)
        if one is not liar:
            return None
        invented = []
        for _ in range(20):
            count += 1
            fake = peer(("fake", count), f"99.{count % 250}.1.1")
            object.__setattr__(fake, "place", place ^ count)
            invented.append(fake)
        return invented

    lookup = walk(Lookup(target, [liar, *peers[:10]], own=OWN, width=8), target, told)
    assert lookup.nearest(4) == sorted((p for p in peers), key=by_distance(place))[:4]
    assert lookup.messages <= 60


def invented(liar: Peer, number: int, target: bytes) -> Peer:
    """Nobody, nearer to the target than anybody."""
    fake = peer((liar.key, target, number), f"99.{number}.{liar.place % 250}.1")
    object.__setattr__(fake, "place", int.from_bytes(target, "big") ^ (1 + (liar.place % 2**190) * 32 + number))
    return fake


def misplaced(liar: Peer, one: Peer) -> Peer:
    """A node where it is not, and where this liar alone says that it is."""
    return Peer(one.key, Endpoint(f"99.{liar.place % 250}.{liar.place // 250 % 250}.{one.place % 250}", 4242))


def victim(_liar: Peer, one: Peer) -> Peer:
    """A node where all liars say that it is: in one network, of which few are looked at."""
    return Peer(one.key, Endpoint("99.9.9.9", 4242))


LIES: dict[str, Callable[[Peer, list[Peer], bytes], list[Peer]]] = {
    # what a liar says: itself, the honest from the nearest on, and the target
    "invents": lambda liar, near, target: [invented(liar, number, target) for number in range(20)],
    "misplaces": lambda liar, near, target: [misplaced(liar, one) for one in near[:20]],
    "misplaces with the others": lambda liar, near, target: [victim(liar, one) for one in near[:20]],
    "names the honest after two that it invents": lambda liar, near, target: [
        *(invented(liar, number, target) for number in range(2)),
        *near[:18],
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("caps", [None, (2, 4)])
@pytest.mark.parametrize("width", [40, 20])
@pytest.mark.parametrize("lie", LIES)
def test_half_of_the_nodes_lie_and_the_honest_are_found_all_the_same(
    lie: str, width: int, caps: tuple[int, int] | None
) -> None:
    peers = network(300)
    tell = honest(peers)
    liars = {one.key for one in peers[::2]}
    where = {one.key: one.endpoint for one in peers}

    def told(one: Peer, at: bytes) -> list[Peer] | None:
        if where.get(one.key) != one.endpoint:
            return None
        if one.key not in liars:
            return tell(one, at)
        order = by_distance(int.from_bytes(at, "big"))
        return LIES[lie](one, sorted((other for other in peers if other.key not in liars), key=order), at)

    missed = 0
    for number in range(10):
        target = SeededRandom(("half", number)).bytes(32)
        order = by_distance(int.from_bytes(target, "big"))
        seeds = sorted(peers[:80], key=order)[:20]
        lookup = walk(Lookup(target, seeds, own=OWN, width=width, caps=caps), target, told)
        nearest = [one for one in sorted(peers, key=order)[:20] if one.key not in liars]
        missed += len(set(nearest) - set(lookup.nearest(width)))
        assert lookup.messages <= 3 * width + 10
    assert missed == 0


def test_a_wrong_endpoint_does_not_hide_a_node() -> None:
    target = SeededRandom("hidden").bytes(32)
    liar, honest_one, hidden = network(3)
    wrong = Peer(hidden.key, Endpoint("8.8.8.8", 1))

    def told(one: Peer, _at: bytes) -> list[Peer] | None:
        if one.endpoint == wrong.endpoint:
            return None
        return [wrong] if one is liar else [hidden]

    lookup = walk(Lookup(target, [liar, honest_one], own=OWN, width=8), target, told)
    assert hidden in lookup.nearest(8)


def elsewhere(one: Peer, number: int, host: int = 1) -> Peer:
    """A node where it is not."""
    return Peer(one.key, Endpoint(f"99.{number}.1.{host}", 4242))


def near(target: bytes, count: int) -> list[Peer]:
    """A network, nearest first."""
    return sorted(network(count), key=by_distance(int.from_bytes(target, "big")))


@pytest.mark.parametrize("caps", [None, (2, 4)])
def test_endpoints_on_a_liars_word_alone_are_no_longer_tried_when_two_were_wrong(caps: tuple[int, int] | None) -> None:
    target = SeededRandom("two").bytes(32)
    *nearest, liar, other = near(target, 22)
    lookup = Lookup(target, [liar, other], own=OWN, width=40, caps=caps)
    lookup.next_asks()
    lookup.on_answered(liar, [elsewhere(one, number) for number, one in enumerate(nearest)])
    lookup.on_answered(other, nearest)
    wrong = 0
    while asks := lookup.next_asks():
        for one in asks:
            if one in nearest:
                lookup.on_answered(one, [])
            else:
                wrong += 1
                lookup.on_slow(one)
    assert wrong == limits.LOOKUP_CREDIT
    assert lookup.nearest(20) == nearest


def test_a_vote_for_an_endpoint_in_a_full_network_pays_for_no_other() -> None:
    target = SeededRandom("full").bytes(32)
    full = [peer(("full", number), f"99.1.1.{number + 1}") for number in range(2)]
    for number, one in enumerate(full):
        object.__setattr__(one, "place", int.from_bytes(target, "big") ^ number)
    *fakes, voter, liar = near(target, 22)
    honest = [peer(("honest", number), f"{number + 1}.1.1.1") for number in range(20)]
    lookup = Lookup(target, [*honest, *full, voter, liar], own=OWN, width=24, caps=(2, 100))
    told = {
        voter: [elsewhere(one, 1, 99) for one in fakes],
        liar: [elsewhere(one, 2 + number) for number, one in enumerate(fakes)],
    }
    walk(lookup, target, lambda one, _: None if one.key in {fake.key for fake in fakes} else told.get(one, []))
    assert lookup.messages <= 24 + 2 * limits.LOOKUP_CREDIT


def test_a_node_is_named_once_in_an_answer() -> None:
    target = SeededRandom("once").bytes(32)
    hidden, liar, *others = near(target, 22)
    lookup = Lookup(target, [liar, *others], own=OWN, width=40)
    told = {liar: [elsewhere(hidden, number) for number in range(20)]}
    walk(lookup, target, lambda one, _: None if one.key == hidden.key else told.get(one, []))
    assert lookup.messages == 22


def test_the_patient_wait_for_a_slow_one_whatever_else_is_told_of_it() -> None:
    target = SeededRandom("patient").bytes(32)
    slow, liar, *others = near(target, 22)
    fakes = [peer(("fake", number), f"98.{number}.1.1") for number in range(limits.LOOKUP_CREDIT)]
    for number, fake in enumerate(fakes):
        object.__setattr__(fake, "place", int.from_bytes(target, "big") ^ number)
    lookup = Lookup(target, [slow, liar, *others], own=OWN, width=20, parallel=21, patient=8)
    asked = lookup.next_asks()
    lookup.on_slow(slow)
    for one in asked:
        if one not in (slow, liar):
            lookup.on_answered(one, [])
    lookup.on_answered(liar, [elsewhere(slow, 1), *fakes])
    while asked := lookup.next_asks():
        for one in asked:
            lookup.on_failed(one)
    assert not lookup.in_flight
    assert not lookup.is_over
    lookup.on_answered(slow, [])
    assert lookup.nearest(1) == [slow]
    walk(lookup, target, lambda _one, _at: None)


def test_of_one_network_few_are_asked() -> None:
    target = SeededRandom("caps").bytes(32)
    same = [peer(("same", number), f"5.5.5.{number + 1}") for number in range(50)]
    lookup = Lookup(target, [*same, *network(5)], own=OWN, width=20, caps=(2, 4))
    walk(lookup, target, lambda _one, _at: [])
    assert sum(one.endpoint.host.startswith("5.5.5.") for one in lookup.nearest(50)) <= 2


def test_silence_of_most_is_waited_out() -> None:
    target = SeededRandom("slow").bytes(32)
    (only,) = network(1)
    lookup = Lookup(target, [only], own=OWN, width=8)
    assert lookup.next_asks() == [only]
    lookup.on_slow(only)
    assert not lookup.is_over
    lookup.on_answered(only, [])
    assert lookup.is_over
    assert lookup.nearest(8) == [only]


def test_where_all_are_suspects_they_are_waited_for() -> None:
    target = SeededRandom("suspects").bytes(32)
    lookup = Lookup(target, network(6), own=OWN, width=6, parallel=6, patient=4, suspect=lambda _: True)
    asked = lookup.next_asks()
    for each in asked:
        lookup.on_slow(each)
    assert len(asked) == 6
    for each in asked[:4]:
        assert not lookup.is_over
        lookup.on_answered(each, [])
    assert lookup.is_over


@pytest.mark.parametrize("thorough", [False, True])
def test_only_the_thorough_wait_for_the_last_suspect(thorough: bool) -> None:
    target = SeededRandom("one suspect").bytes(32)
    peers = network(limits.STORED_RECEIPTS + 1)
    lookup = Lookup(
        target,
        peers,
        own=OWN,
        width=len(peers),
        parallel=len(peers),
        patient=len(peers),
        thorough=thorough,
        suspect=peers[:1].__contains__,
    )
    for each in lookup.next_asks():
        if each == peers[0]:
            lookup.on_slow(each)
        else:
            lookup.on_answered(each, [])
    assert lookup.is_over is not thorough
    lookup.on_failed(peers[0])
    assert len(lookup.nearest(len(peers))) == len(peers) - 1


def test_messages_are_bounded_whatever_is_told() -> None:
    target = SeededRandom("bounded").bytes(32)
    count = 0

    def told(_one: Peer, _at: bytes) -> list[Peer]:
        nonlocal count
        count += 20
        return [peer(("more", count + n), f"{1 + count % 200}.{n}.1.1") for n in range(20)]

    lookup = walk(Lookup(target, network(20), own=OWN, width=2_000), target, told)
    assert lookup.messages == limits.LOOKUP_MESSAGES


def test_nobody_is_the_end() -> None:
    lookup = Lookup(bytes(32), [], own=OWN, width=8)
    assert lookup.next_asks() == []
    assert lookup.is_over


def test_what_has_ended_is_freed_at_once() -> None:
    target = SeededRandom("freed").bytes(32)
    peers = network(30)
    lookup = walk(Lookup(target, peers[:3], own=OWN, width=8), target, lambda _one, _at: peers[:20])
    gc.collect()
    lookup.end()
    assert len(lookup.nearest(8)) == 8
    del lookup
    garbage = gc.collect()
    assert garbage == 0
