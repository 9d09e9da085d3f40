"""What arrives at our open set is pushed to us."""

from dataclasses import replace

import pytest

from p2pd import limits
from p2pd.crypto.blinding import blind_secret
from p2pd.crypto.keys import SigningKey
from p2pd.dht.counters import Cause
from p2pd.dht.peers import Peer
from p2pd.dht.records import VerifiedRecord
from p2pd.types import Endpoint, NodeKey, RecordKey
from p2pd.wire.record import Family, record_key
from p2pd.wire.rpc import Listening, Values
from tests.dht.virtual import OPEN, PRIVATE, Network, item_of, key_of, open_item


def test_an_item_is_heard_once_and_soon() -> None:
    network = Network("listen")
    hosts = network.grow(12, settle_s=3)
    key = key_of("ear")
    heard, _ = network.listen(hosts[2], key)
    network.world.run(2)
    network.put(hosts[5], [open_item(key, network.world.now, item_of(1), b"hello")])
    assert network.world.run_until(lambda: bool(heard), 0.2)
    network.world.run(5)
    assert [record.body for record in heard] == [b"hello"]


def test_something_large_is_announced_and_fetched() -> None:
    network = Network("large")
    hosts = network.grow(8, settle_s=3)
    key = key_of("large ear")
    heard, _ = network.listen(hosts[2], key)
    network.world.run(2)
    network.put(hosts[5], [open_item(key, network.world.now, item_of(1), bytes(4_096))])
    assert network.world.run_until(lambda: bool(heard), 5)
    assert heard[0].body == bytes(4_096)


def listening_elsewhere(network: Network, hosts: list[str], key: SigningKey) -> tuple[str, list[VerifiedRecord]]:
    """One that holds nothing of this address itself listens at it, and what it has heard: a first item."""
    network.put(hosts[5], [open_item(key, network.world.now, 0)])
    holders = network.holders(record_key(Family.OPEN_SET, key.public))
    listener = next(host for host in hosts if host not in holders)
    heard, _ = network.listen(listener, key)
    network.world.run(2)
    return listener, heard


def test_something_large_is_asked_for_once_where_it_was_announced() -> None:
    """All holders announce it: the others are asked in a datagram whether they have more."""
    network = Network("large and often")
    hosts = network.grow(12, settle_s=3)
    key = key_of("lean large ear")
    listener, heard = listening_elsewhere(network, hosts, key)
    begun = gets_at(network, listener, record_key(Family.OPEN_SET, key.public))
    asked = exchanges_of(network, listener)
    for number in range(1, 4):
        network.put(hosts[5], [open_item(key, network.world.now, number, bytes(4_096))])
        assert network.world.run_until(lambda number=number: len(heard) > number, 0.5)
        network.world.run(2)
    assert begun == []
    assert len(asked) == 3


@pytest.mark.parametrize("answer", ["silence", "failure", "nothing", "only that there is more"])
def test_what_the_first_to_announce_it_does_not_give_is_heard_all_the_same(answer: str) -> None:
    network = Network("large and denied")
    hosts = network.grow(12, settle_s=3)
    key = key_of("denied ear")
    listener, heard = listening_elsewhere(network, hosts, key)
    dht = network.machines[listener].dht
    exchanges = dht._exchanges
    ask, denied = exchanges.ask, []
    given = {"failure": None, "nothing": Values([], 0, []), "only that there is more": Values([], 1, [])}

    def denying(peer, own, body, then, now, cause):  # type: ignore[no-untyped-def]
        denied.append(peer)
        if peer != denied[0]:
            ask(peer, own, body, then, now, cause)
        elif answer in given:
            dht._alarms.at(now.steady + 0.02, lambda later: then(given[answer], later))

    exchanges.ask = denying  # type: ignore[method-assign]
    for number in (1, 2):
        network.put(hosts[5], [open_item(key, network.world.now, number, bytes(4_096))])
        assert network.world.run_until(lambda number=number: len(heard) > number, 2)
        network.world.run(2)
    assert len(denied) > 1


def test_a_holder_that_announces_over_and_over_hides_nothing_that_others_have() -> None:
    """It answers just before its time is over, so that what others say comes while it is being read again."""
    network = Network("hidden", latency_s=(0.07, 0.084))
    hosts = network.grow(12, settle_s=3)
    key = key_of("hidden ear")
    network.put(hosts[5], [open_item(key, network.world.now, 0)])
    holders = network.holders(record_key(Family.OPEN_SET, key.public))
    listener = next(host for host in hosts if host not in holders)
    heard, _ = network.listen(listener, key)
    network.world.run(4)
    dht = network.machines[listener].dht
    (ear,) = dht._listens._ears.values()
    liar = next(host for host in holders if network.machines[host].key in ear.holders)
    machine = network.machines[liar]
    machine.dht._serving._values = lambda *_: Values([], 0, [])  # type: ignore[method-assign]
    machine.dht._listeners._push = lambda *_: None  # type: ignore[method-assign]
    ask = dht._exchanges.ask

    def late(peer, own, body, then, now, cause):  # type: ignore[no-untyped-def]
        if peer.key == machine.key:
            dht._alarms.at(now.steady + 0.39, lambda later: then(Values([], 0, []), later))
        else:
            ask(peer, own, body, then, now, cause)

    dht._exchanges.ask = late  # type: ignore[method-assign]
    writer = network.machines[hosts[5]].dht
    for turn in range(12):
        network.world.call(listener, lambda now: dht._listens.on_push(ear.holders[machine.key], ear.own, b"", now))
        if turn == 4:
            item = open_item(key, network.world.now, 1, bytes(4_096))
            network.world.call(hosts[5], lambda now, item=item: writer.put([item], lambda *_: None, now))
        network.world.run(limits.LISTEN_FETCH_GAP_S + 0.005)
    assert network.world.run_until(lambda: len(heard) > 1, 5)


def test_a_flood_of_announcements_costs_one_question_at_a_time() -> None:
    network = Network("announced at once")
    hosts = network.grow(12, settle_s=3)
    network.listen(hosts[2], key_of("flooded ear"))
    network.world.run(2)
    dht = network.machines[hosts[2]].dht
    (ear,) = dht._listens._ears.values()
    holder = next(iter(ear.holders.values()))
    network.world.kill(holder.endpoint.host)
    asked: list[Peer] = []
    ask = dht._rpc.ask

    def counted(peer, *rest, **options):  # type: ignore[no-untyped-def]
        asked.append(peer)
        ask(peer, *rest, **options)

    dht._rpc.ask = counted  # type: ignore[method-assign]
    network.world.call(hosts[2], lambda now: dht._listens.on_push(holder, ear.own, b"", now))
    network.world.run(limits.FETCH_NEXT_S + 0.3)
    for _ in range(300):
        network.world.call(hosts[2], lambda now: dht._listens.on_push(holder, ear.own, b"", now))
        network.world.run(0.001)
    assert asked.count(holder) < 5


def test_a_push_with_a_forged_source_sends_nothing_there() -> None:
    network = Network("forged push")
    hosts = network.grow(12, settle_s=3)
    network.listen(hosts[2], key_of("sought ear"))
    network.world.run(2)
    dht = network.machines[hosts[2]].dht
    (ear,) = dht._listens._ears.values()
    holder = next(iter(ear.holders.values()))
    victim = Endpoint("66.6.6.6", 53)
    asked = exchanges_of(network, hosts[2])
    contacted: list[Endpoint] = []
    send = dht._rpc._send
    dht._rpc._send = lambda peer, *rest, **options: (contacted.append(peer.endpoint), send(peer, *rest, **options))[-1]  # type: ignore[method-assign]
    for _ in range(5):
        push = Peer(holder.key, victim)
        network.world.call(hosts[2], lambda now, push=push: dht._listens.on_push(push, ear.own, b"", now))
        network.world.run(0.3)
    assert holder in asked
    assert holder.endpoint in contacted
    assert victim not in (*contacted, *[peer.endpoint for peer in asked])


def exchanges_of(network: Network, host: str) -> list[Peer]:
    """Whom this node asks what a datagram does not hold, from now on."""
    asked: list[Peer] = []
    exchanges = network.machines[host].dht._exchanges
    ask = exchanges.ask

    def counted(peer, *rest):  # type: ignore[no-untyped-def]
        asked.append(peer)
        return ask(peer, *rest)

    exchanges.ask = counted  # type: ignore[method-assign]
    return asked


def test_listening_goes_on_for_a_day_and_through_the_death_of_holders() -> None:
    network = Network("day")
    hosts = network.grow(10, settle_s=3)
    key = key_of("day ear")
    heard, _ = network.listen(hosts[0], key)
    network.world.run(10 * 3_600)
    holders = [host for host in network.nearest(record_key(Family.OPEN_SET, key.public), 5) if host != hosts[0]]
    for host in holders[:4]:
        network.world.kill(host)
    network.world.run(2 * limits.LISTEN_RENEW_S)
    writer = next(host for host in hosts[1:] if host not in holders)
    network.put(writer, [open_item(key, network.world.now, item_of(2), b"late")])
    assert network.world.run_until(lambda: bool(heard), 1)


def test_a_closed_ear_hears_nothing() -> None:
    network = Network("closed")
    hosts = network.grow(6, settle_s=3)
    key = key_of("closed ear")
    heard, close = network.listen(hosts[0], key)
    network.world.run(2)
    close()
    network.put(hosts[1], [open_item(key, network.world.now, item_of(1))])
    network.world.run(5)
    assert heard == []


def test_only_the_owner_may_listen() -> None:
    class Thief:
        public = key_of("victim ear").public
        sign = staticmethod(key_of("thief").sign)

    network = Network("thief")
    hosts = network.grow(6, settle_s=3)
    network.start("11.99.0.1", [hosts[0]], replace(PRIVATE, role="client"))  # a server might hold a copy itself
    network.world.run(2)
    heard, _ = network.listen("11.99.0.1", Thief())  # type: ignore[arg-type]
    network.world.run(2)
    network.put(hosts[1], [open_item(key_of("victim ear"), network.world.now, item_of(1))])
    network.world.run(5)
    assert heard == []
    assert sum(machine.dht.status().listeners for machine in network.machines.values()) == 0


def test_a_blinded_key_listens() -> None:
    network = Network("blinded")
    hosts = network.grow(5, settle_s=3)
    key = blind_secret(key_of("person"), b"inbox", b"", 20_000)
    heard, _ = network.listen(hosts[0], key)  # type: ignore[arg-type]
    network.world.run(2)
    network.put(hosts[1], [open_item(key, network.world.now, item_of(1))])  # type: ignore[arg-type]
    assert network.world.run_until(lambda: bool(heard), 1)


@pytest.mark.slow
def test_an_idle_node_that_listens_uses_little() -> None:
    network = Network("idle")
    hosts = network.grow(40, settle_s=30)
    for number in range(4):
        network.listen(hosts[7], key_of(("idle", number)))
    network.world.run(60)
    before = sum(network.world.traffic(hosts[7]))
    network.world.run(2 * 3_600)
    assert (sum(network.world.traffic(hosts[7])) - before) / (2 * 3_600) < 60


@pytest.mark.slow
@pytest.mark.parametrize("reads", [True, False])
def test_what_came_just_before_a_holder_promised_is_heard_too(reads: bool) -> None:
    """Where nothing is read at all, only holders can tell of it."""
    network = Network("race")
    hosts = network.grow(8, settle_s=3)
    key = key_of("raced ear")
    for step in range(12):
        item = open_item(key, network.world.now, item_of(step))
        dht = network.machines[hosts[1]].dht
        network.world.call(hosts[1], lambda now, dht=dht, item=item: dht.put([item], lambda report, at: None, now))
        network.world.run(0.01 * step)
        heard, close = network.listen(hosts[0], key, reads=reads)
        assert network.world.run_until(lambda heard=heard, step=step: len(heard) >= step + 1, 10)
        close()


def test_what_lies_there_is_read_once_and_given_once() -> None:
    network = Network("lying there")
    hosts = network.grow(12, settle_s=3)
    key = key_of("full ear")
    sizes = [64] * 6 + [4_096] * 3
    items = [open_item(key, network.world.now, item_of(number), bytes(size)) for number, size in enumerate(sizes)]
    network.put(hosts[5], items)
    begun = gets_at(network, hosts[2], record_key(Family.OPEN_SET, key.public))
    heard, _ = network.listen(hosts[2], key)
    network.world.run(3)
    assert sorted(len(record.body) for record in heard) == sizes
    assert len(begun) == 1


def test_who_reads_by_other_means_hears_only_what_comes_and_what_holders_just_took() -> None:
    network = Network("read elsewhere")
    hosts = network.grow(12, settle_s=3)
    key = key_of("lean ear")
    begun = gets_at(network, hosts[2], record_key(Family.OPEN_SET, key.public))
    heard, _ = network.listen(hosts[2], key, reads=False)
    network.world.run(2)
    assert begun == []
    network.put(hosts[5], [open_item(key, network.world.now, item_of(1), b"hello")])
    assert network.world.run_until(lambda: bool(heard), 0.2)


def gets_at(network: Network, host: str, key: RecordKey) -> list[float]:
    """When this node begins look-ups to read this key, from now on."""
    begun: list[float] = []
    searches = network.machines[host].dht._searches
    start = searches.start

    def counted(target, errand, now, *, cause, **options):  # type: ignore[no-untyped-def]
        if cause is Cause.GET and target == key:
            begun.append(now.steady)
        return start(target, errand, now, cause=cause, **options)

    searches.start = counted  # type: ignore[method-assign]
    return begun


def test_while_a_network_is_young_listening_follows_those_who_come_nearer() -> None:
    network = Network("young")
    hosts = network.grow(5, settle_s=2)
    addresses = [key_of(("young", number)) for number in range(10)]
    ears = {address.public: network.listen(hosts[0], address)[0] for address in addresses}
    network.world.run(2)
    for number in range(5, 30):
        network.start(network.host(number), [hosts[1]])
        network.world.run(0.1)
    network.world.run(3)
    near = {address.public: network.nearest(record_key(Family.OPEN_SET, address.public), 6) for address in addresses}
    moved = [address for address in addresses if not set(near[address.public][:4]) & set(hosts)]
    assert moved
    for address in moved:
        writer = next(host for host in network.machines if host not in (*hosts, *near[address.public]))
        network.put(writer, [open_item(address, network.world.now, item_of("young"))])
        assert network.world.run_until(lambda address=address: len(ears[address.public]) == 1, 2)


def test_newcomers_cost_few_look_ups_however_many_come() -> None:
    network = Network("a crowd of newcomers")
    hosts = network.grow(5, settle_s=2)
    network.listen(hosts[0], key_of("crowd"))
    network.world.run(2)
    (ear,) = network.machines[hosts[0]].dht._listens._ears.values()
    searched = []
    search = ear.search
    ear.search = lambda now: (searched.append(now.steady), search(now))[-1]  # type: ignore[method-assign]
    place = int.from_bytes(ear.key, "big")
    for number in range(300):
        near = Peer(NodeKey(number.to_bytes(32, "big")), Endpoint("1.2.3.4", 1 + number))
        if near.place ^ place < max(holder.place ^ place for holder in ear.holders.values()):
            network.world.call(hosts[0], lambda now, near=near: ear.on_newcomer(near, now))
        network.world.run(0.02)
    assert 1 < len(searched) <= 1 + 300 * 0.02 / limits.LISTEN_NEARER_GAP_S


@pytest.mark.parametrize("is_near", [True, False])
def test_who_comes_while_holders_are_looked_for_is_looked_for_once_more_where_it_is_nearer(is_near: bool) -> None:
    network = Network("meanwhile")
    hosts = network.grow(12, settle_s=3)
    network.listen(hosts[0], key_of("crowd"))
    network.world.run(2)
    (ear,) = network.machines[hosts[0]].dht._listens._ears.values()
    place = int.from_bytes(ear.key, "big")
    farthest = max(holder.place ^ place for holder in ear.holders.values())
    some = (Peer(NodeKey(number.to_bytes(32, "big")), Endpoint("1.2.3.4", 1 + number)) for number in range(1_000))
    newcomer = next(peer for peer in some if (peer.place ^ place < farthest) is is_near)
    searched = []
    search = ear.search
    ear.search = lambda now: (searched.append(now.steady), search(now))[-1]  # type: ignore[method-assign]
    network.world.call(hosts[0], ear.search)
    network.world.call(hosts[0], lambda now: ear.on_newcomer(newcomer, now))
    network.world.run(5)
    assert len(searched) == 1 + is_near


def test_of_several_who_come_while_holders_are_looked_for_none_is_forgotten() -> None:
    network = Network("several")
    hosts = network.grow(12, settle_s=3)
    network.listen(hosts[0], key_of("crowd"))
    network.world.run(2)
    (ear,) = network.machines[hosts[0]].dht._listens._ears.values()
    place = int.from_bytes(ear.key, "big")
    some = (Peer(NodeKey(number.to_bytes(32, "big")), Endpoint("1.2.3.4", 1 + number)) for number in range(1_000))
    near = sorted(some, key=lambda peer: peer.place ^ place)[: limits.LISTEN_HOLDERS]
    network.world.call(hosts[0], ear.search)
    for peer in near:
        network.world.call(hosts[0], lambda now, peer=peer: ear.on_newcomer(peer, now))
    assert ear._search
    nearest = ear._search.lookup.nearest
    ear._search.lookup.nearest = lambda count: [*near[:-1], *nearest(count)]  # type: ignore[method-assign]
    network.world.run(0.5)
    assert ear._nearer_alarm is not None, "the last one was not found"


def test_who_listens_at_many_addresses_in_a_small_network_hears_at_all_of_them() -> None:
    network = Network("many", settings=OPEN)
    hosts = network.grow(5, settle_s=5)
    listener = network.start("77.1.0.1", [hosts[0]], replace(OPEN, role="client"))
    network.world.run(10)
    ears = [network.listen("77.1.0.1", key_of(number)) for number in range(30)]
    network.world.run(30)
    for number in range(30):
        network.put(hosts[3], [open_item(key_of(number), network.world.now, item_of(number))])
    network.world.run(5)
    assert [number for number, (heard, _) in enumerate(ears) if not heard] == []
    for _, close in ears:
        close()
    assert not any(listener.dht._rpc._aliases.values())


@pytest.mark.slow
def test_who_refuses_to_push_is_passed_over() -> None:
    network = Network("refused", settings=replace(PRIVATE, replicas=8))
    network.grow(20, settle_s=3)
    key = key_of("refused ear")
    nearest = network.nearest(record_key(Family.OPEN_SET, key.public), 20)
    for host in nearest[:4]:
        network.machines[host].dht._listeners.on_listen = lambda *_: Listening(0)  # type: ignore[method-assign]
    heard, _ = network.listen(nearest[-1], key)
    network.world.run(2 * limits.LISTEN_RETRY_S)
    network.put(nearest[-2], [open_item(key, network.world.now, item_of(1), b"hello")])
    assert network.world.run_until(lambda: bool(heard), 1)


def test_who_is_written_to_often_hears_each_soon() -> None:
    """What is large is announced by every holder; all of them tell the truth, however many come in a minute."""
    network = Network("a busy inbox")
    hosts = network.grow(12, settle_s=3)
    key = key_of("busy ear")
    network.put(hosts[5], [open_item(key, network.world.now, 0)])
    holders = network.holders(record_key(Family.OPEN_SET, key.public))
    heard, _ = network.listen(next(host for host in hosts if host not in holders), key)
    network.world.run(2)
    for number in range(1, 3 * limits.LISTEN_FETCH_BURST):
        network.put(hosts[5], [open_item(key, network.world.now, number, bytes(4_096))])
        assert network.world.run_until(lambda number=number: len(heard) > number, 2)


@pytest.mark.parametrize("cut_s", [0.5, 4, 60])
@pytest.mark.parametrize("size", [5, 4_096])
def test_what_came_while_the_line_was_cut_is_heard_soon_after(cut_s: float, size: int) -> None:
    """No renewal is needed for it, which may be a quarter of an hour away."""
    network = Network("a cut")
    hosts = network.grow(12, settle_s=3)
    key = key_of("cut ear")
    listener, heard = listening_elsewhere(network, hosts, key)
    cut = network.world.cut([listener])
    began_s = network.world.time_s
    network.put(hosts[5], [open_item(key, network.world.now, 1, bytes(size))])
    network.world.run(began_s + cut_s - network.world.time_s)
    assert len(heard) == 1
    network.world.heal(cut)
    assert network.world.run_until(lambda: len(heard) == 2, 1 + 2 * cut_s)
    network.world.run(2)
    network.put(hosts[5], [open_item(key, network.world.now, 2, bytes(size))])
    assert network.world.run_until(lambda: len(heard) == 3, 0.5), "all holders push again"


def test_a_listener_that_has_gone_costs_each_holder_little() -> None:
    network = Network("gone without a word")
    hosts = network.grow(12, settle_s=3)
    key = key_of("gone ear")
    listener, _ = listening_elsewhere(network, hosts, key)
    told: list[str] = []
    network.world.taps.append(lambda host, to, data: told.append(host) if to.host == listener else None)
    network.world.kill(listener)
    for number in range(1, 12):
        network.put(hosts[5], [open_item(key, network.world.now, number)])
        network.world.run(60)
    pushes = 2 * (1 + len(limits.PUSH_AGAIN_S))
    asked = [host for host in set(told) if told.count(host) > pushes / 2]
    assert len(asked) == limits.LISTEN_HOLDERS
    others = 12  # what looks for nodes, or checks them
    assert max(told.count(host) for host in asked) <= pushes + others
    told.clear()
    network.put(hosts[5], [open_item(key, network.world.now, 12)])
    network.world.run(10)
    assert len(told) <= others


def test_a_holder_that_always_announces_has_us_read_seldom() -> None:
    network = Network("announced without end")
    hosts = network.grow(8, settle_s=3)
    key = key_of("busy ear")
    listener = hosts[2]
    heard, _ = network.listen(listener, key)
    network.world.run(2)
    begun = gets_at(network, listener, record_key(Family.OPEN_SET, key.public))
    dht = network.machines[listener].dht
    (ear,) = dht._listens._ears.values()
    holder = next(iter(ear.holders.values()))
    for _ in range(1_200):
        network.world.call(listener, lambda now: dht._listens.on_push(holder, ear.own, b"", now))
        network.world.run(0.1)
    assert len(begun) <= limits.LISTEN_FETCH_BURST + 2 * 120 / limits.LISTEN_FETCH_SELDOM_S
    network.put(hosts[5], [open_item(key, network.world.now, item_of(1), bytes(4_096))])
    assert network.world.run_until(lambda: bool(heard), limits.LISTEN_FETCH_SELDOM_S + 1)


def test_what_a_holder_pushes_without_end_is_read_seldom_and_hides_nothing() -> None:
    network = Network("pushed without end")
    hosts = network.grow(8, settle_s=3)
    key = key_of("flooded ear")
    listener = hosts[2]
    heard, _ = network.listen(listener, key)
    network.world.run(2)
    dht = network.machines[listener].dht
    (ear,) = dht._listens._ears.values()
    holder = next(iter(ear.holders.values()))
    for number in range(2 * limits.SET_ITEMS):
        junk = open_item(key, network.world.now, number).encode()
        network.world.call(listener, lambda now, data=junk: dht._listens.on_push(holder, ear.own, data, now))
    assert len(heard) == limits.SET_ITEMS
    real = open_item(key, network.world.now, "real", b"real")
    network.put(hosts[5], [real])
    assert network.world.run_until(lambda: heard[-1].body == b"real", limits.LISTEN_FETCH_SELDOM_S + 1)
