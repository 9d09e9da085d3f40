"""Messages from one person to another, through whole engines in the virtual world."""

from itertools import pairwise

import pytest

from p2pd.effects import CloseLink, SendFrame
from p2pd.errors import FailedError, NoNetworkError
from p2pd.sim.nat import KINDS, lets_strangers_in
from p2pd.sim.town import Town
from p2pd.store import MessageState, PathChoice
from p2pd.types import Endpoint, NodeKey
from p2pd.wire.datagram import Knock, network_id
from p2pd.wire.person import DeviceContent
from p2pd.wire.relay import Reserve, Reserved, decode_relay_message
from p2pd.wire.rpc import pack_endpoint


def test_two_friends_talk_over_a_link():
    town = Town()
    alice, bob = town.friends()
    hello = alice.send("bob", "hello")
    town.until(lambda: alice.state(hello) is MessageState.DELIVERED)
    answer = bob.send("alice", "hello to you")
    town.until(lambda: bob.state(answer) is MessageState.DELIVERED)
    assert alice.texts("bob") == bob.texts("alice") == ["hello", "hello to you"]
    assert alice.engine.path("bob", town.world.now)["via"] == "direct"


def test_what_is_written_to_the_absent_arrives_although_the_writer_is_gone():
    town = Town()
    alice, bob = town.friends()
    bob.down()
    sent = [alice.send("bob", f"number {number}") for number in range(5)]
    town.until(lambda: all(alice.state(message) is MessageState.STORED for message in sent))
    alice.down()
    town.world.run(60)
    bob.up()
    town.until(lambda: len(bob.received("alice")) == 5)
    assert bob.received("alice") == [f"number {number}" for number in range(5)]
    town.world.run(30)
    bob.down()
    alice.up()
    town.until(lambda: all(alice.state(message) is MessageState.DELIVERED for message in sent))


def test_a_stranger_is_asked_and_accepts():
    town = Town()
    alice, bob = town.person(), town.person()
    asked = alice.do(lambda engine, now: engine.send(bob.address, "may I?", now))
    town.until(lambda: bool(bob.engine.requests()))
    town.until(lambda: alice.state(asked) is MessageState.STORED)
    request = bob.engine.requests()[0]
    assert request.request_text == "may I?"
    waiting = alice.send(bob.address, "and one more")
    town.world.run(5)
    assert alice.state(waiting) is MessageState.QUEUED
    bob.do(lambda engine, now: engine.accept(alice.address, now, name="alice"))
    town.until(lambda: alice.state(waiting) is MessageState.DELIVERED)
    assert alice.state(asked) is MessageState.DELIVERED
    assert bob.texts("alice") == ["may I?", "and one more"]


def test_an_absent_stranger_can_be_asked():
    town = Town()
    alice, bob = town.person(), town.person(accept_requests=True)
    town.world.run(5)
    bob.down()
    alice.down()
    town.world.pass_days(13)  # in which nobody did anything
    alice.up()
    town.world.run(5)
    asked = alice.do(lambda engine, now: engine.send(bob.address, "we never met", now))
    town.until(lambda: alice.state(asked) is MessageState.STORED)
    alice.down()
    bob.up()
    town.until(lambda: bool(bob.engine.contacts()))
    assert bob.received(alice.address) == ["we never met"]


def test_long_texts_come_whole_both_ways():
    town = Town()
    alice, bob = town.friends()
    text = "".join(chr(0x20 + number % 90) for number in range(200_000))
    direct = alice.send("bob", text)
    town.until(lambda: alice.state(direct) is MessageState.DELIVERED)
    bob.down()
    mailed = alice.send("bob", text[::-1])
    town.until(lambda: alice.state(mailed) is MessageState.STORED)
    alice.down()
    bob.up()
    town.until(lambda: len(bob.received("alice")) == 2)
    assert bob.received("alice") == [text, text[::-1]]


def test_restarts_at_any_moment_lose_and_double_nothing():
    town = Town(loss=0.05)
    alice, bob = town.friends()
    sent = []
    for number in range(40):
        sent.append(alice.send("bob", f"number {number}"))
        town.world.run(0.01 * (number % 7))
        if number % 10 == 3:
            bob.down()
            town.world.run(number % 4)
            bob.up()
        if number % 10 == 7:
            alice.up()
    town.until(lambda: all(alice.state(message) is MessageState.DELIVERED for message in sent), 300)
    assert bob.received("alice") == [f"number {number}" for number in range(40)]


def test_two_people_compare_one_code():
    town = Town(servers=4)
    alice, bob = town.friends()
    code = alice.engine.safety_code("bob")
    assert code == bob.engine.safety_code("alice")
    with pytest.raises(FailedError):
        alice.do(lambda engine, now: engine.verify("bob", code[:-1] + ("y" if code[-1] != "y" else "b")))
    assert not alice.engine.contact("bob").verified
    assert alice.do(lambda engine, now: engine.verify("bob", f" {code.upper()} ")).verified


def test_the_dht_is_asked_only_when_there_is_one() -> None:
    town = Town("no network yet", servers=3)
    put: list[dict[str, object]] = []
    writer = town.person()
    writer.do(lambda engine, now: engine.dht_put(b"value", 3_600, now, put.append))
    assert not put
    town.until(lambda: bool(put))
    assert put[0]["receipts"]
    town.world.run(5)
    got: list[object] = []
    reader = town.person()
    reader.do(lambda engine, now: engine.dht_get(str(put[0]["key"]), now, got.append))
    alone = town.person(bootstrap=())
    with pytest.raises(NoNetworkError):
        alone.do(lambda engine, now: engine.dht_get(str(put[0]["key"]), now, got.append))
    town.until(lambda: bool(got))
    town.world.run(30)
    (facts,) = got
    assert isinstance(facts, dict)
    assert facts["value"] == b"value"


def test_knocks_go_to_punching_and_everything_else_to_the_dht() -> None:
    town = Town()
    alice, bob = town.friends()
    engine, now = alice.engine, town.world.now
    source = Endpoint("192.0.2.9", 4242)
    before = engine.net_stats(now)["rejected"]
    engine.on_datagram(Knock(network_id("main"), b"?" * 16, False).encode(), source, now)
    engine.on_datagram(Knock(network_id("other"), b"?" * 16, False).encode(), source, now)
    after = engine.net_stats(now)["rejected"]
    assert {why: after[why] - before.get(why, 0) for why in ("knock", "network")} == {"knock": 1, "network": 1}
    assert engine.take_effects() == [], "who knocks without a token hears nothing"
    assert bob.engine.path("alice", now)["choice"] == "auto"


def test_a_relay_link_is_no_link_with_a_person() -> None:
    town = Town()
    alice, bob = town.friends()
    engine, now = alice.engine, town.world.now
    stranger, place = NodeKey(b"s" * 32), Endpoint("192.0.2.9", 4242)
    engine.on_relay_opened(-900, stranger, place, False, now)
    engine.on_frame(-900, Reserve().encode(), now)
    sent = [effect for effect in engine.take_effects() if isinstance(effect, SendFrame)]
    said = Reserved([pack_endpoint(endpoint) for endpoint in engine._ways.whereabouts.public])
    assert [(effect.link, decode_relay_message(effect.frame)) for effect in sent] == [(-900, said)]
    assert (engine.relay_status()["carried"]["waiting"], engine.relay_status()["carries"]) == (1, True)
    engine.on_frame(-900, b"nonsense", now)
    assert CloseLink(-900, "refused") in engine.take_effects()
    assert engine.relay_status()["carried"]["guests"] == 0
    hello = alice.send("bob", "unharmed")
    town.until(lambda: alice.state(hello) is MessageState.DELIVERED)
    assert bob.texts("alice") == ["unharmed"]


def test_status_says_where_we_can_be_reached() -> None:
    town = Town()
    alice, _ = town.friends()
    reach = alice.engine.status(town.world.now)["reach"]
    assert (reach["nat"], reach["mapped"]) == ("open", None)
    mapped = Endpoint("203.0.113.7", 4242)
    alice.engine.on_mapped(mapped, "PCP", town.world.now)
    reach = alice.engine.status(town.world.now)["reach"]
    assert (reach["endpoints"][0], reach["mapped"]) == (str(mapped), str(mapped))


@pytest.mark.parametrize("choice", list(PathChoice))
def test_a_caller_is_admitted_by_the_ways_that_are_allowed(choice: PathChoice) -> None:
    town = Town()
    alice, bob = town.friends()
    now = town.world.now
    keys = bob.engine._keys
    content = DeviceContent.decode(keys.certificate.content)

    def admitted(relayed: bool) -> bool:
        return alice.engine._admit(content, keys.certificate, relayed, now) is not None

    with alice.store.transaction():
        alice.engine.set_path("bob", choice, now)
        assert admitted(True) is (choice is not PathChoice.DIRECT)
        assert admitted(False) is (choice is not PathChoice.RELAY_ONLY)
        alice.engine.block("bob", now)
        assert not admitted(True)
        assert not admitted(False)


def test_a_node_to_which_a_link_has_been_open_for_long_is_no_stranger():
    town = Town(2, servers=6, private=False)
    alice, bob = town.friends("port-restricted", "port-restricted")
    town.world.run(20)
    assert alice.engine.path("bob", town.world.now)["via"] == "direct"
    town.world.run(2_000)  # the knocks that made it are long over
    assert alice.engine._dht.contacted.has(Endpoint(bob.host, 4_242))
    assert not alice.engine._dht.contacted.has(Endpoint("77.1.0.1", 4_242))


@pytest.mark.slow
def test_within_an_hour_all_serve_who_can_be_reached_and_nobody_else():
    town = Town(1, servers=3, private=False)
    people = [town.person(kind=kind) for kind in ("public", *KINDS) if not kind.endswith("blocked")]
    for one, other in pairwise(people):
        one.add(other, "next")
        other.add(one, "last")
    for _ in range(12):
        town.world.run(300)
        assert all(lets_strangers_in(person.kind) for person in people if person.engine._dht.serves)
    assert all(person.engine._dht.serves for person in people if lets_strangers_in(person.kind))
