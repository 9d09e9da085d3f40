"""Whole engines on one local network of an open network: alone, recognised, and when the rest of it comes back."""

from typing import Any

from p2pd.application import EngineSettings
from p2pd.dht.settings import DhtSettings
from p2pd.sim.network import World
from p2pd.sim.resident import Resident
from p2pd.store import MessageState
from p2pd.types import Endpoint

AUTO = DhtSettings(replicas=4, node_puzzle_bits=0)
SERVER = DhtSettings(replicas=4, node_puzzle_bits=0, role="server")


class Cabin:
    """People on one local network, which carries what they announce."""

    def __init__(self, seed: object) -> None:
        self.world = World(seed)
        self.people: list[Resident] = []
        self.servers: list[Resident] = []

    def person(self, **settings: Any) -> Resident:
        host = f"192.168.1.{len(self.people) + 2}"
        person = Resident(self.world, host, EngineSettings(dht=AUTO, inbox_bits=0, **{"lan": True} | settings), "cabin")
        self.people.append(person)
        person.up()
        self.carry()
        return person

    def server(self) -> Resident:
        first = tuple(server.hint for server in self.servers[:1])
        settings = EngineSettings(dht=SERVER, storage_only=True, bootstrap=first)
        server = Resident(self.world, f"{11 + len(self.servers)}.0.0.1", settings, "server")
        self.servers.append(server)
        server.up()
        return server

    def carry(self) -> None:
        """Everybody who is up hears what the others say."""
        self.world.run(0.1)
        for host, said in self.world.announced.items():
            for person in self.people:
                if person.is_up and person.host != host:
                    at = Endpoint(host, 4242)
                    person.do(lambda engine, now, at=at, said=said: engine.on_neighbour(at, said.salt, said.tag, now))

    def friends(self, **settings: Any) -> tuple[Resident, Resident]:
        alice, bob = self.person(**settings), self.person(**settings)
        alice.add(bob, "bob")
        bob.add(alice, "alice")
        self.until(lambda: all(one.engine.contacts()[0].state == "accepted" for one in (alice, bob)))
        return alice, bob

    def until(self, holds: Any, limit_s: float = 60) -> None:
        assert self.world.run_until(holds, limit_s)


def via(one: Resident, of: str) -> list[str]:
    return [message.via for message in one.engine.history(of)]


def test_two_people_alone_meet_and_talk() -> None:
    cabin = Cabin("alone")
    alice, bob = cabin.friends()
    sent = alice.send("bob", "hello")
    cabin.until(lambda: alice.state(sent) is MessageState.DELIVERED)
    assert bob.received("alice") == ["hello"]
    status = alice.engine.status(cabin.world.now)
    assert status["lan"] == {"on": True, "neighbours": 1, "island": True}
    assert not status["dht"]["serves"]


def test_who_is_found_there_is_dialled_there_and_it_is_said() -> None:
    cabin = Cabin("found")
    alice, bob = cabin.friends()
    for one in (alice, bob):
        one.down()
        one.up()
    cabin.carry()
    cabin.until(lambda: alice.engine.online(bob.identity) and bob.engine.online(alice.identity), 2)
    sent = alice.send("bob", "so near")
    cabin.until(lambda: alice.state(sent) is MessageState.DELIVERED)
    assert via(bob, "alice") == via(alice, "bob") == ["lan"]
    assert alice.engine.path("bob", cabin.world.now)["via"] == "lan"


def test_without_discovery_the_same_two_are_alone() -> None:
    cabin = Cabin("no lan")
    alice, bob = cabin.person(lan=False), cabin.person(lan=False)
    assert cabin.world.announced == {}
    cabin.world.run(60)
    assert alice.engine.status(cabin.world.now)["dht"]["nodes"] == 0
    assert bob.engine.status(cabin.world.now)["lan"] == {"on": False, "neighbours": 0, "island": False}


def test_what_was_published_on_the_island_is_published_to_the_network() -> None:
    cabin = Cabin("back")
    alice, bob = cabin.friends()
    for _ in range(4):
        cabin.server()
    cabin.world.run(5)
    for one in (alice, bob):
        one.do(lambda engine, now: engine.add_node(str(cabin.servers[0].hint.endpoint), now))
    cabin.until(lambda: not any(one.engine.status(cabin.world.now)["lan"]["island"] for one in (alice, bob)))
    cabin.world.run(5)
    bob.down()
    sent = alice.send("bob", "the line is back")
    cabin.until(lambda: alice.state(sent) is MessageState.STORED)
    alice.down()
    far = Resident(
        cabin.world, "20.0.0.1", EngineSettings(dht=AUTO, inbox_bits=0, bootstrap=(cabin.servers[1].hint,)), "far"
    )
    far.up()
    cabin.world.run(2)
    asked = far.send(alice.address, "are you there?")  # needs her profile, which was first published in the cabin
    cabin.until(lambda: far.state(asked) is MessageState.STORED)
    bob.up()
    cabin.until(lambda: bob.received("alice") == ["the line is back"])


def test_mail_that_waits_elsewhere_is_read_when_the_island_ends() -> None:
    cabin = Cabin("mail")
    alice, bob = cabin.friends()
    carol = cabin.person()
    for _ in range(4):
        cabin.server()
    cabin.world.run(5)
    for one in (alice, bob):
        one.do(lambda engine, now: engine.add_node(str(cabin.servers[0].hint.endpoint), now))
    cabin.until(lambda: not any(one.engine.status(cabin.world.now)["lan"]["island"] for one in (alice, bob)))
    cabin.world.run(5)
    bob.down()
    sent = alice.send("bob", "waiting for you")
    cabin.until(lambda: alice.state(sent) is MessageState.STORED)
    alice.down()
    cabin.world.weather.stops = lambda sender, receiver: (
        sender.startswith("192.168.") != receiver.startswith("192.168.")
    )
    bob.up()
    cabin.carry()
    cabin.world.run(300)  # both readings after a start are over
    assert bob.engine.status(cabin.world.now)["lan"]["island"]
    assert carol.is_up
    assert bob.received("alice") == []
    cabin.world.weather.stops = lambda sender, receiver: False
    cabin.until(lambda: bob.received("alice") == ["waiting for you"])
