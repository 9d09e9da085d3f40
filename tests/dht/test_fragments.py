"""What passes in fragments where QUIC does not, and what fragments can do to who holds them."""

from dataclasses import replace
from random import Random

import pytest

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht import exchanges
from p2pd.dht.fragments import Fragments, cut
from p2pd.dht.passage import Passage
from p2pd.dht.peers import Peer
from p2pd.dht.questions import Answer, Question
from p2pd.dht.records import verified
from p2pd.errors import PeerError
from p2pd.sim.conditions import Conditions
from p2pd.types import Endpoint, NodeKey, Now
from p2pd.wire.record import Family, Record
from p2pd.wire.rpc import Answered, Failed, Fragment, Refusal, Rest, Stored, Taken
from tests.dht.virtual import OPEN, Network, item_of, key_of, open_item, set_item, single

NOW = Now(100.0, 1_800_000_000_000)
NARROW = limits.QUIC_DATAGRAM_BYTES - 1
LARGE = limits.SIZE_CLASSES[2]


def asker(host: str = "5.5.5.5", key: int = 1) -> Peer:
    return Peer(NodeKey(bytes([key]) * 32), Endpoint(host, 9))


class Holder:
    """A server that holds fragments, and what it was asked when they were all there."""

    def __init__(self, answer: bytes = b"", *, private: bool = False) -> None:
        self.wholes: list[bytes] = []
        self.said = Stored([0] * len(answer), [])
        self.fragments = Fragments(self._whole, private=private)

    def _whole(self, asker: Peer, payload: bytes, now: Now) -> Answer:
        self.wholes.append(payload)
        return Answer(self.said, after_records=True)

    def tell(self, body: Fragment | Rest, of: Peer | None = None, now: Now = NOW, *, proven: bool = True) -> Answer:
        own = SigningKey(b"o" * 32)
        return self.fragments.answer(Question(of or asker(), body, False, proven, own, 1_000), body, now)

    @property
    def open(self) -> int:
        return len(self.fragments._held)


def fragments_of(data: bytes, exchange: int = 1) -> list[Fragment]:
    pieces = cut(data)
    return [Fragment(exchange.to_bytes(8, "big"), at, len(pieces), piece) for at, piece in enumerate(pieces)]


class TestHolding:
    def test_in_any_order_and_doubled_they_are_one_question(self) -> None:
        holder, data = Holder(), Random(1).randbytes(4_500)
        *most, last = Random(2).sample(fragments_of(data), 5)
        for number, fragment in enumerate(most, 1):
            for _ in range(2):
                answer = holder.tell(fragment).body
                assert isinstance(answer, Taken)
                assert len(answer.lacking) == 5 - number
        for _ in range(2):
            assert holder.tell(last) == Answer(Answered(1, holder.said.encode()), after_records=True)
        assert holder.wholes == [data]

    def test_a_long_answer_is_told_piece_by_piece(self) -> None:
        holder = Holder(bytes(300))
        holder.said = Stored([7] * 300, [bytes(300)] * 9)
        (only,) = fragments_of(b"question")
        first = holder.tell(only).body
        assert isinstance(first, Answered)
        rest = [holder.tell(Rest(only.exchange, at)).body for at in range(1, first.count)]
        assert b"".join(piece.data for piece in (first, *rest)) == holder.said.encode()  # type: ignore[union-attr]
        assert holder.tell(Rest(only.exchange, first.count)).body == Failed(Refusal.BUSY)

    def test_what_came_first_stays(self) -> None:
        holder = Holder()
        one, two = fragments_of(bytes(1_500))
        holder.tell(one)
        holder.tell(replace_data(one, b"x" * 1_000))
        holder.tell(two)
        assert holder.wholes == [bytes(1_500)]

    def test_nothing_is_held_for_the_unproven(self) -> None:
        holder = Holder()
        for body in (*fragments_of(bytes(1_500)), Rest(bytes(8), 1)):
            assert holder.tell(body, proven=False) == Answer(Failed(Refusal.TOKEN))
        assert holder.open == 0

    @pytest.mark.parametrize(
        "bad",
        [Fragment(bytes(8), 0, 0, b""), Fragment(bytes(8), 3, 3, b""), Fragment(bytes(8), 255, 64, b"")],
        ids=["of none", "beyond the last", "far beyond"],
    )
    def test_nonsense_is_refused_and_not_held(self, bad: Fragment) -> None:
        holder = Holder()
        with pytest.raises(PeerError, match="fragment"):
            holder.tell(bad)
        assert holder.open == 0

    def test_another_count_is_refused(self) -> None:
        holder = Holder()
        one, two, _ = fragments_of(bytes(2_500))
        holder.tell(one)
        with pytest.raises(PeerError, match="fragment"):
            holder.tell(Fragment(two.exchange, 1, 2, two.data))
        assert holder.wholes == []

    def test_others_have_no_part_in_it(self) -> None:
        holder = Holder()
        one, two = fragments_of(bytes(1_500))
        holder.tell(one)
        for other in (asker(key=2), asker("5.5.5.6"), Peer(asker().key, Endpoint("5.5.5.5", 10))):
            assert holder.tell(two, other).body == Taken([0])
        assert isinstance(holder.tell(two).body, Answered)

    def test_what_is_open_is_bounded_for_each_source_and_in_all(self) -> None:
        holder = Holder()
        for number in range(300):
            holder.tell(fragments_of(bytes(1_500), number)[0], asker(key=number % 200))
        assert holder.open == limits.FRAGMENTED_OF_SOURCE
        for number in range(300):
            holder.tell(fragments_of(bytes(1_500), number)[0], asker(f"6.6.{number % 250}.6"))
        assert holder.open == limits.FRAGMENTED_OPEN

    def test_in_a_private_network_keys_are_counted(self) -> None:
        holder = Holder(private=True)
        for number in range(40):
            holder.tell(fragments_of(bytes(1_500), number)[0], asker(key=number % 2))
        assert holder.open == 2 * limits.FRAGMENTED_OF_SOURCE

    def test_it_is_forgotten_in_time(self) -> None:
        holder = Holder()
        one, two = fragments_of(bytes(1_500))
        holder.tell(one)
        later = Now(NOW.steady + limits.FRAGMENTED_S, NOW.wall_ms)
        assert holder.tell(two, now=later).body == Taken([0])
        holder.fragments.expire(Now(later.steady + limits.FRAGMENTED_S, NOW.wall_ms))
        assert holder.open == 0


def replace_data(fragment: Fragment, data: bytes) -> Fragment:
    return Fragment(fragment.exchange, fragment.at, fragment.count, data)


class TestPassage:
    def blocked(self) -> Passage:
        passage = Passage()
        for number in range(limits.QUIC_OUTRUN):
            assert not passage.blocked
            passage.on_outrun(asker(key=number + 1), NOW)
        assert passage.blocked
        return passage

    def test_one_node_that_cannot_is_left_alone_for_a_while(self) -> None:
        passage = Passage()
        for _ in range(5):
            passage.on_outrun(asker(), NOW)
        assert not passage.blocked
        assert passage.tries(asker(key=2), NOW)
        assert not passage.tries(asker(), NOW)
        assert passage.tries(asker(), later(limits.QUIC_AGAIN_S[0]))

    def test_where_it_is_blocked_it_is_tried_ever_more_rarely(self) -> None:
        passage = self.blocked()
        tried, passed_s = [], 0
        while passed_s < 4 * 3_600:
            passed_s += 10
            if passage.tries(asker(key=passed_s % 200 + 1), later(passed_s)):
                tried.append(passed_s)
        assert tried == [60, 360, 1_260, 4_860, 8_460, 12_060]

    @pytest.mark.parametrize("how", ["an answer", "a link", "another address"])
    def test_what_ends_it(self, how: str) -> None:
        passage = self.blocked()
        if how == "another address":
            passage.forget()
        else:
            passage.on_passed(NOW, asker() if how == "an answer" else None)
        assert not passage.blocked
        assert passage.tries(asker(key=1), NOW) is (how != "a link")

    def test_what_has_passed_is_trusted_for_long(self) -> None:
        passage = Passage()
        passage.on_passed(NOW)
        for number in range(20):
            passage.on_outrun(asker(key=number + 1), later(limits.QUIC_TRUSTED_S - 1))
        assert not passage.blocked
        assert not passage.tries(asker(), later(limits.QUIC_TRUSTED_S - 1)), "that node is left alone all the same"
        for number in range(limits.QUIC_OUTRUN):
            passage.on_outrun(asker(key=number + 1), later(limits.QUIC_TRUSTED_S))
        assert passage.blocked


def later(seconds: float) -> Now:
    return Now(NOW.steady + seconds, NOW.wall_ms)


def narrow(loss: float = 0.0, number: int = 30, servers: int = 12) -> tuple[Network, list[str], str]:
    """An open network, and a client at the end of a line that carries no packet as large as QUIC's."""
    network = Network(("narrow", loss, number), settings=OPEN)
    hosts = network.grow(servers, settle_s=5)
    host = network.host(number)
    network.world.weather.set(Conditions(mtu_bytes=NARROW, loss=loss), host)
    network.start(host, [hosts[0]], replace(OPEN, role="client"))
    network.world.run(30)
    assert network.machines[host].dht.joined
    return network, hosts, host


class TestNarrowLine:
    @pytest.mark.parametrize(("count", "size"), [(1, LARGE), (1, limits.BODY_BYTES), (20, 832), (12, LARGE)])
    def test_what_is_large_is_stored_and_read(self, count: int, size: int) -> None:
        network, hosts, host = narrow()
        key = key_of("large")
        bodies = [bytes([number]) * size for number in range(count)]
        records = [set_item(key, network.world.now, item_of(n), body) for n, body in enumerate(bodies)]
        assert network.put(host, records)[-1].stored
        for reader in (hosts[1], host):
            found = network.get(reader, Family.SET, key.public)
            assert found.complete
            assert sorted(record.body for record in found.records) == bodies

    def test_a_large_single_is_read(self) -> None:
        network, hosts, host = narrow()
        key = key_of("profile")
        network.put(hosts[2], [single(key, network.world.now, body=bytes(LARGE))])
        assert [record.body for record in network.get(host, Family.SINGLE, key.public).records] == [bytes(LARGE)]

    def test_something_large_is_heard_of_and_fetched(self) -> None:
        network, hosts, host = narrow()
        key = key_of("ear")
        heard, _ = network.listen(host, key)
        network.world.run(2)
        network.put(hosts[3], [open_item(key, network.world.now, item_of(1), bytes(LARGE))])
        assert network.world.run_until(lambda: bool(heard), 5)
        assert heard[0].body == bytes(LARGE)

    @pytest.mark.slow
    @pytest.mark.parametrize("number", range(30, 36))
    def test_at_heavy_loss_too(self, number: int) -> None:
        network, _, host = narrow(0.3, number)
        key = key_of("lossy")
        records = [set_item(key, network.world.now, item_of(n), bytes(LARGE)) for n in range(4)]
        assert network.put(host, records)[-1].stored
        assert len(network.get(host, Family.SET, key.public).records) == 4

    def test_it_soon_tries_quic_no_more(self) -> None:
        network, _, host = narrow()
        asked = requests_of(network, host)
        dht = network.machines[host].dht
        assert not dht.quic_blocked
        put_large(network, host, 0)
        assert dht.quic_blocked
        before = len(asked)
        for number in range(1, 11):
            put_large(network, host, number)
        assert len(asked) == before
        network.world.run(limits.QUIC_AGAIN_S[0])
        put_large(network, host, 11)
        assert len(asked) == before + 1

    def test_where_the_line_becomes_wide_quic_is_found_to_pass(self) -> None:
        network, _, host = narrow()
        asked = requests_of(network, host)
        dht = network.machines[host].dht
        put_large(network, host, 0)
        assert dht.quic_blocked
        network.world.weather.clear()
        network.world.run(limits.QUIC_AGAIN_S[0])
        put_large(network, host, 1)
        network.world.run(5)
        assert not dht.quic_blocked
        before = len(asked)
        network.world.run(limits.QUIC_AGAIN_S[0])
        put_large(network, host, 2)
        assert len(asked) > before + 1

    def test_a_new_address_is_a_new_try(self) -> None:
        network, _, host = narrow()
        put_large(network, host, 0)
        dht = network.machines[host].dht
        network.world.call(host, lambda now: dht.on_addresses((), now))
        assert not dht.quic_blocked


def requests_of(network: Network, host: str) -> list[object]:
    """The requests that a node makes over QUIC from now on."""
    machine = network.machines[host]
    asked: list[object] = []
    watch = machine._effects.watch

    def see(effect: object) -> None:
        watch(effect)  # type: ignore[arg-type]
        if type(effect).__name__ == "Request":
            asked.append(effect)

    machine._effects.watch = see
    return asked


def record_of(network: Network, number: int, item: int = 0) -> Record:
    return set_item(key_of(("put", number)), network.world.now, item_of(item), bytes(LARGE))


def put_large(network: Network, host: str, number: int) -> None:
    assert network.put(host, [record_of(network, number)])[-1].stored


@pytest.mark.parametrize("latency_s", [(0.005, 0.04), (0.4, 0.5)])
def test_where_quic_passes_nothing_goes_in_fragments(
    latency_s: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network("wide", settings=OPEN, latency_s=latency_s)
    hosts = network.grow(12, settle_s=20)
    put_large(network, hosts[3], 0)
    begun: list[object] = []
    monkeypatch.setattr(exchanges, "Fragmenting", lambda *arguments: begun.append(arguments))
    put_large(network, hosts[3], 1)
    network.get(hosts[3], Family.SET, key_of(("put", 1)).public)
    assert begun == []
    assert not network.machines[hosts[3]].dht.quic_blocked


def test_a_holder_that_dies_costs_little() -> None:
    network, _, host = narrow()
    put_large(network, host, 0)
    (dead,) = network.nearest(verified(record_of(network, 0).encode()).key, 1)
    network.world.silence(dead)
    sizes: list[int] = []
    network.world.taps.append(lambda _, to, data: sizes.append(len(data)) if to.host == dead else None)
    assert network.put(host, [record_of(network, 0, item=1)])[-1].stored
    network.world.run(2 * limits.FRAGMENTED_S)
    asked = 2 * (len(limits.FRAGMENT_AGAIN_S) + 1)
    assert 0 < sum(size > limits.FRAGMENT_BYTES for size in sizes) <= asked
