"""Daemons that are killed at any moment: nothing is lost, nothing comes twice, and the order stays."""

import os
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Condition, Event

import pytest

from p2pd.client import NotRunningError
from tests.integration.fleet import WITHIN_S, Daemon, Fleet, befriend

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
WAITING = 100
KILLS = 10
TRIES = 1_000


def test_who_comes_back_reads_what_was_written_though_its_writer_is_gone(fleet: Fleet) -> None:
    alice, bob = fleet.friends()
    bob.kill()
    sent = [alice.asks("send", "bob", f"number {number}") for number in range(3)]
    assert {message["state"] for message in sent} <= {"queued", "stored"}
    ids = [message["id"] for message in sent]
    alice.knows(*ids, state="stored")
    reasons = alice.asks("why", sent[0]["id"])
    assert reasons["receipts"]["have"] >= reasons["receipts"]["want"] >= 8
    assert "expires_at" in reasons["receipts"]
    alice.kill()
    bob.start()
    bob.has_all(*ids)
    received = bob.rows("history", "alice")
    assert [(message["text"], message["via"]) for message in received] == [(f"number {n}", "mailbox") for n in range(3)]
    assert [message["id"] for message in received] == ids
    alice.start()
    alice.knows(*ids)


def test_a_hundred_messages_wait_for_who_is_away(fleet: Fleet) -> None:
    alice, bob = fleet.friends()
    bob.kill()
    sent = [alice.call("send", to="bob", text=f"number {number}")["id"] for number in range(WAITING)]
    alice.knows(*sent, state="stored")
    alice.kill()
    bob.start()
    bob.has_all(*sent)
    assert bob.texts_from("alice") == [f"number {number}" for number in range(WAITING)]
    events = bob.call("events", type="message")["events"]
    assert [event["data"]["id"] for event in events] == sent
    assert [event["data"]["position"] for event in events] == sorted({event["data"]["position"] for event in events})
    alice.start()
    alice.knows(*sent)


def test_delivered_means_that_the_other_has_it(fleet: Fleet) -> None:
    alice, bob = fleet.friends()
    bob.kill()
    sent = alice.asks("send", "bob", "not before you have it")
    alice.knows(sent["id"], state="stored")
    assert alice.asks("why", sent["id"])["state"] == "stored"
    assert "delivered" not in [event["data"]["state"] for event in alice.rows("events", "--type", "receipt")]
    bob.start()
    alice.knows(sent["id"])
    bob.kill()
    bob.start()  # it was on the disk when its sender was told
    assert bob.texts_from("alice") == ["not before you have it"]


def test_two_alone_need_nobody_else(fleet: Fleet) -> None:
    (alice,) = fleet.people("alice", alone=True)
    bob = fleet.new("bob", "--bootstrap", alice.endpoint, alone=True).start()
    befriend(alice, "alice", bob, "bob")
    assert (
        alice.asks("send", "bob", "only us", "--wait", "delivered", "--timeout", str(WITHIN_S))["state"] == "delivered"
    )
    bob.kill()
    waiting = alice.asks("send", "bob", "are you there?")
    alice.kill()
    before = (alice.address, alice.endpoint)
    alice.start()
    assert (alice.address, alice.endpoint) == before
    assert alice.asks("why", waiting["id"])["state"] in ("queued", "stored")
    bob.start()
    alice.knows(waiting["id"])
    answer = bob.asks("send", "alice", "yes", "--wait", "delivered", "--timeout", str(WITHIN_S))
    assert answer["state"] == "delivered"
    assert bob.texts_from("alice") == ["only us", "are you there?"]
    assert alice.texts_from("bob") == ["yes"]
    for person in (alice, bob):
        person.is_well()


@pytest.mark.parametrize("seed", [int(os.environ.get("P2PD_SEED", "1"))])
def test_kills_at_any_moment_lose_and_double_nothing(fleet: Fleet, seed: int) -> None:
    """`P2PD_SEED` gives the moments of another run."""
    print(f"seed {seed}")
    random = Random(seed)
    alice, bob = fleet.friends()
    before = [(person.address, person.endpoint) for person in (alice, bob)]
    stream = Stream(alice, f"seed-{seed}")
    with ThreadPoolExecutor(1) as background:
        for _ in range(KILLS):
            burst = random.randint(3, 12)
            going = background.submit(stream.send, burst)
            stream.wait_for(len(stream.sent) + random.randrange(burst))
            victim = random.choice((alice, bob))
            stream.is_up.clear()
            victim.kill()
            victim.start()
            stream.is_up.set()
            going.result(WITHIN_S)
    print(f"{len(stream.sent)} messages")
    alice.knows(*stream.sent)
    assert bob.texts_from("alice") == [f"number {number}" for number in range(len(stream.sent))]
    events = bob.call("events", type="message")["events"]
    assert [event["data"]["id"] for event in events] == stream.sent
    assert [(person.address, person.endpoint) for person in (alice, bob)] == before
    back = bob.asks("send", "alice", "all there", "--wait", "delivered", "--timeout", str(WITHIN_S))
    assert back["state"] == "delivered"


class Stream:
    """Messages to Bob, one after the other; a call that dies is made again, which never sends twice."""

    def __init__(self, writer: Daemon, name: str) -> None:
        self.writer = writer
        self.name = name
        self.sent: list[str] = []
        self.is_up = Event()
        self.is_up.set()
        self._grew = Condition()

    def send(self, count: int) -> None:
        for number in range(len(self.sent), len(self.sent) + count):
            id = self._send_surely(f"number {number}", f"{self.name}-{number}")
            with self._grew:
                self.sent.append(id)
                self._grew.notify_all()

    def _send_surely(self, text: str, request_id: str) -> str:
        for _ in range(TRIES):
            try:
                return str(self.writer.call("send", to="bob", text=text, request_id=request_id)["id"])
            except NotRunningError:
                assert self.is_up.wait(WITHIN_S)
        raise AssertionError(f"{text} was not accepted")

    def wait_for(self, count: int) -> None:
        """Returns when so many have been accepted."""
        with self._grew:
            assert self._grew.wait_for(lambda: len(self.sent) >= count, WITHIN_S)
