"""Two nodes with all their ways and a relay between them, honest or hostile, from the first dial to the last frame."""

from contextlib import ExitStack
from random import Random

import pytest

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.peers import Peer
from p2pd.effects import CloseLink, EffectQueue, LinkKind, OpenLink, SendFrame
from p2pd.peer.relaying import Relaying
from p2pd.peer.ways import Ways, WaysOwner, WaysSettings
from p2pd.types import Endpoint, IdentityKey, NodeKey, Now
from p2pd.wire.link import Carry
from p2pd.wire.person import Waiting
from p2pd.wire.relay import Called, HangUp, Through, decode_relay_message
from tests.cast import START, Person, ScriptedDht, after, friends

RELAY = Peer(NodeKey(b"r" * 32), Endpoint("198.51.100.1", 4242))


class OneServer(ScriptedDht):
    """The DHT where there is one server, the relay."""

    serves = False

    def servers(self) -> list[Peer]:
        return [RELAY]

    def round_trip_ms(self, peer: Peer) -> float | None:
        return None

    def voices(self) -> list[Endpoint]:
        return []


class Node:
    """A person's ways, and what came over them."""

    def __init__(self, person: Person, friend: Person) -> None:
        self.person, self.friend = person, friend
        self.came: list[bytes] = []
        self.downs = 0
        owner = WaysOwner(
            admit=lambda content, certificate, relayed, now: person.store.contact(content.identity),
            on_up=lambda contact, now: None,
            on_down=self._down,
            on_away=lambda contact, now: None,
            on_envelope=lambda contact, envelope, now: self.came.append(envelope),
            on_typing=lambda contact, for_ms, now: None,
            on_presence=lambda now: None,
            count=lambda why: None,
        )
        settings = WaysSettings("main", True, (), False, False)
        self.ways = Ways(person.keys, person.store, OneServer(), person.effects, person.random, settings, owner)  # type: ignore[arg-type]

    def _down(self, contact: IdentityKey, now: Now) -> None:
        self.downs += 1

    def send(self, envelope: bytes) -> bool:
        return self.ways.links.send(self.friend.identity, Carry(envelope))


class Street:
    """Two nodes and a relay, whose hand may be replaced by a hostile one."""

    def __init__(self, stack: ExitStack) -> None:
        one, other = friends(stack)
        self.waiter, self.caller = Node(one, other), Node(other, one)
        self.nodes = (self.waiter, self.caller)
        self.effects, self.now = EffectQueue(), START
        self.relay = Relaying(self.effects, lambda: True, lambda why: None)
        self.to_nodes: list[tuple[int, bytes]] = []
        """What the relay is about to hand over: its link, the frame."""
        self.ways: dict[int, tuple[Node, int]] = {}
        """The relay's links: whose, and under which number there."""
        self.last = 0
        self.waiter.ways.start(self.now)
        self.run()
        (self.waiting,) = self.waiter.ways.relays.waiting
        self.call()

    def call(self) -> None:
        """The caller calls, by what it has read of the other."""
        contact = self.caller.person.contact(self.waiter.person)
        assert self.caller.ways.links.call(contact, self.waiting, self.now) is not None
        self.run()

    def run(self) -> None:
        """The relay is honest."""
        while self.step():
            frames, self.to_nodes = self.to_nodes, []
            for link, frame in frames:
                self.give(link, frame)

    def step(self) -> bool:
        """What the nodes want is done, and what the relay says lies ready; whether anything does."""
        busy = True
        while busy:
            busy = False
            for node in self.nodes:
                for effect in node.person.effects.take():
                    busy = True
                    self._perform(node, effect)
        for effect in self.effects.take():
            match effect:
                case SendFrame():
                    self.to_nodes.append((effect.link, effect.frame))
                case CloseLink():
                    node, number = self.ways.pop(effect.link)
                    node.ways.on_link_closed(number, effect.reason, self.now)
        return bool(self.to_nodes) or any(len(node.person.effects) for node in self.nodes)

    def _perform(self, node: Node, effect: object) -> None:
        links = {number: link for link, (owner, number) in self.ways.items() if owner is node}
        match effect:
            case OpenLink(kind=LinkKind.RELAY):
                self.last -= 1
                link = self.last
                self.ways[link] = (node, effect.link)
                self.relay.on_opened(link, NodeKey(SigningKey(effect.signer_seed).public), self.now)
                node.ways.on_relay_opened(effect.link, effect.node, True, self.now)
            case SendFrame() if effect.link in links:
                self.relay.on_frame(links[effect.link], effect.frame, self.now)
            case CloseLink() if effect.link in links:
                del self.ways[links[effect.link]]
                self.relay.on_closed(links[effect.link])

    def give(self, link: int, frame: bytes) -> None:
        if link in self.ways:
            node, number = self.ways[link]
            node.ways.on_frame(number, frame, self.now)

    def ends(self) -> list[bool]:
        return [node.ways.links.up(node.friend.identity) is not None for node in self.nodes]


@pytest.fixture
def street(stack: ExitStack) -> Street:
    return Street(stack)


def test_two_talk_by_an_honest_relay(street: Street) -> None:
    assert street.ends() == [True, True]
    for number in range(20):
        assert street.caller.send(b"there %d" % number)
        assert street.waiter.send(b"back %d" % number)
    street.run()
    assert street.waiter.came == [b"there %d" % number for number in range(20)]
    assert street.caller.came == [b"back %d" % number for number in range(20)]
    assert street.relay.carried.channels == 1


def test_both_call_each_other_at_once_and_one_link_stays(street: Street) -> None:
    street.caller.ways.links.close(street.waiter.person.identity, "anew", street.now)
    street.run()
    street.now = after(60)
    street.caller.ways.start(street.now)
    street.run()
    (other,) = street.caller.ways.relays.waiting
    for node, at in ((street.caller, street.waiting), (street.waiter, other)):
        contact = node.person.contact(node.friend)
        assert node.ways.links.call(contact, at, street.now) is not None
    street.run()
    assert street.ends() == [True, True]
    assert street.relay.carried.channels == 1, "the other call is hung up"
    assert street.caller.send(b"one") and street.waiter.send(b"two")  # noqa: PT018  both are sent before either comes
    street.run()
    assert (street.waiter.came, street.caller.came) == ([b"one"], [b"two"])


def test_when_the_relay_is_gone_both_ends_know(street: Street) -> None:
    for link, (node, number) in list(street.ways.items()):
        del street.ways[link]
        street.relay.on_closed(link)
        node.ways.on_link_closed(number, "gone", street.now)
    assert street.ends() == [False, False]
    assert [node.downs for node in street.nodes] == [1, 1]
    assert street.waiter.ways.relays._channels == street.caller.ways.relays._channels == {}
    assert street.relay.carried.guests == 0


def test_a_caller_who_calls_again_is_heard_where_the_first_call_was_lost(street: Street) -> None:
    """The caller's engine is gone; the relay has not noticed, and the waiter holds a link that leads nowhere."""
    link = next(link for link, (node, _) in street.ways.items() if node is street.caller)
    lost = street.caller
    del street.ways[link]
    street.caller = Node(lost.person, lost.friend)
    street.nodes = (street.waiter, street.caller)
    lost.person.effects.take()
    street.now = after(60)
    street.call()
    assert street.ends() == [True, True]
    street.caller.send(b"it is me again")
    street.run()
    assert street.waiter.came == [b"it is me again"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_whatever_a_hostile_relay_does_nothing_comes_twice_in_wrong_order_or_from_another(
    street: Street, seed: int
) -> None:
    chance, recorded, said = Random(seed), list[tuple[int, bytes]](), 0
    for _ in range(60):
        for node in street.nodes:
            if chance.random() < 0.5 and node.send(b"%06d" % said):
                said += 1
        if chance.random() < 0.1 and street.ends() == [False, False]:
            street.now = after(20, street.now)
            for node in street.nodes:
                node.ways.links.on_timer(street.now)
            if street.waiter.ways.relays.waiting and not street.caller.ways.relays._channels:
                (street.waiting,) = street.waiter.ways.relays.waiting
                contact = street.caller.person.contact(street.waiter.person)
                street.caller.ways.links.call(contact, street.waiting, street.now)
        street.step()
        recorded += street.to_nodes
        street.to_nodes = _meddled(street.to_nodes, recorded, chance)
        frames, street.to_nodes = street.to_nodes, []
        for link, frame in frames:
            street.give(link, frame)
        if chance.random() < 0.02 and street.ways:
            link = chance.choice(list(street.ways))
            node, number = street.ways.pop(link)
            street.relay.on_closed(link)
            node.ways.on_link_closed(number, "gone", street.now)
        for node in street.nodes:
            assert node.came == sorted(set(node.came)), "each once, in order"
            assert len(node.ways.links._links) <= limits.LINKS_UNPROVEN + 4
            for relays_link, (way, channel) in node.ways.relays._channels.items():
                assert way.channels[channel] == relays_link
    assert said > 0
    street.now = after(2 * limits.HANDSHAKE_S, street.now)
    for node in street.nodes:
        node.ways.links.close(node.friend.identity, "over", street.now)
        node.ways.links.on_timer(street.now)
        assert node.ways.links._links == {}
        assert node.ways.relays._channels == {}


def _meddled(
    frames: list[tuple[int, bytes]], recorded: list[tuple[int, bytes]], chance: Random
) -> list[tuple[int, bytes]]:
    """What a hostile relay hands over in place of these."""
    frames = list(frames)
    place = chance.randrange(len(frames)) if frames else 0
    match chance.choice(["nothing"] * 8 + ["drop", "twice", "swap", "old", "moved", "invented", "over", "garbage"]):
        case "drop" if frames:
            del frames[place]
        case "twice" if frames:
            frames.insert(place, frames[place])
        case "swap" if frames:
            chance.shuffle(frames)
        case "old" if recorded:
            frames.insert(place, chance.choice(recorded))
        case "moved" if recorded and frames:
            frames[place] = (frames[place][0], _on_channel(chance.choice(recorded)[1], chance.randrange(1, 4)))
        case "invented" if recorded:
            link, caller = chance.choice(recorded)[0], NodeKey(chance.randbytes(32))
            frames += [(link, Called(chance.randrange(1, 9), caller).encode())]
        case "over" if recorded:
            frames += [(chance.choice(recorded)[0], HangUp(1, chance.randrange(5)).encode())]
        case "garbage" if frames:
            frames[place] = (frames[place][0], Through(1, chance.randbytes(60)).encode())
    return frames


def _on_channel(frame: bytes, channel: int) -> bytes:
    message = decode_relay_message(frame)
    return Through(channel, message.frame).encode() if isinstance(message, Through) else frame


def test_where_somebody_waits_says_nothing_of_who_they_are(street: Street) -> None:
    told: Waiting = street.waiting
    for node in street.nodes:
        assert told.callee not in (node.person.keys.node_key, node.person.identity, node.person.keys.device_key)
    keys = [guest.key for guest in street.relay._guests.values()]
    assert len(set(keys)) == len(keys) == 2
