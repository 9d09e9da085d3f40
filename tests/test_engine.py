"""Messages from one person to another, through whole engines in the virtual world."""

import pytest

from p2pd.errors import FailedError, NoNetworkError
from p2pd.sim.town import Town
from p2pd.store import MessageState


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
