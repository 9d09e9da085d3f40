"""Two nodes' links, joined by hand through their effects."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from p2pd import limits
from p2pd.crypto.handshake import Initiator
from p2pd.crypto.keys import SigningKey
from p2pd.domains import Domain
from p2pd.effects import CheckLink, CloseLink, OpenLink, SendFrame
from p2pd.peer.links import REFUSED, LinkOwner, Links
from p2pd.peer.numbers import LinkNumbers
from p2pd.store import Contact, ContactState
from p2pd.types import Endpoint, IdentityKey, NodeKey, Now
from p2pd.wire.link import Carry, Introduction, Ready, Typing, pack_link_message
from p2pd.wire.padding import pad
from p2pd.wire.person import DeviceCertificate, DeviceContent, Waiting
from p2pd.wire.rpc import pack_endpoint
from tests.cast import START, Person, after, friends
from tests.chance import SeededRandom

HERE = Endpoint("10.0.0.1", 4242)
BINDING = b"b" * 32


class Side:
    """One node's `Links`, and what it told its owner."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.effects = person.effects
        self.heard: list[tuple[object, ...]] = []
        self.refused: list[str] = []

        def note(kind: str):  # type: ignore[no-untyped-def]
            return lambda contact, what, now: self.heard.append((kind, what))

        owner = LinkOwner(
            admit=self.admit,
            on_up=lambda contact, link, now: self.heard.append(("up", link.outgoing)),
            on_down=note("down"),
            on_dial_failed=lambda contact, link, reason, now: self.heard.append(("failed", reason)),
            on_envelope=note("envelope"),
            on_typing=note("typing"),
            on_punch=note("punch"),
            count=self.refused.append,
        )
        self.links = Links(person.keys, self.effects, person.random, LinkNumbers(), person.calls, owner)

    def admit(self, content: DeviceContent, certificate: DeviceCertificate, relayed: bool, now: Now) -> Contact | None:
        contact = self.person.store.contact(content.identity)
        return contact if contact is not None and contact.state is ContactState.ACCEPTED else None

    def refuse(self, now: Now = START) -> None:
        """The time has come when a refusal is told."""
        self.links.on_timer(after(limits.REFUSE_S, now))

    def dial(self, other: "Side", now: Now = START) -> int:
        contact = self.person.contact(other.person)
        link = self.links.dial(contact, other.person.keys.node_key, (HERE,), now)
        assert link is not None
        return link


@dataclass
class Net:
    """Carries effects from one side to the other: each link's frames in order, links in any order."""

    sides: tuple[Side, Side]
    random: Random = field(default_factory=lambda: Random(0))
    queues: dict[tuple[int, int], list[tuple[str, object]]] = field(default_factory=dict)
    """(to, link there) -> what comes."""
    names: dict[tuple[int, int], int] = field(default_factory=dict)
    """(side, link) -> the link's name on the other side."""
    now: Now = START

    def collect(self) -> None:
        for place, side in enumerate(self.sides):
            for effect in side.effects.take():
                match effect:
                    case OpenLink(link=link):
                        there = -1 - link
                        self.names[place, link], self.names[1 - place, there] = there, link
                        self.queues.setdefault((1 - place, there), []).append(("opened", place))
                        self.queues.setdefault((place, link), []).append(("opened", place))
                    case SendFrame(link=link, frame=frame):
                        self.push(place, link, ("frame", frame))
                    case CloseLink(link=link, reason=reason):
                        self.queues.pop((place, link), None)
                        self.push(place, link, ("closed", reason))

    def push(self, place: int, link: int, what: tuple[str, object]) -> None:
        there = self.names.get((place, link))
        if there is not None:
            self.queues.setdefault((1 - place, there), []).append(what)

    def run(self) -> None:
        """Until nothing is under way and who is refused was told so."""
        self.exchange()
        for side in self.sides:
            side.refuse(self.now)
        self.exchange()

    def exchange(self) -> None:
        self.collect()
        while any(self.queues.values()):
            place, link = self.random.choice([key for key, waiting in self.queues.items() if waiting])
            self.deliver(place, link)
            self.collect()

    def deliver(self, place: int, link: int) -> None:
        kind, what = self.queues[place, link].pop(0)
        links, other = self.sides[place].links, self.sides[1 - place]
        if kind == "opened":
            links.on_link_opened(link, other.person.keys.node_key, HERE, BINDING, what == place, self.now)
        elif kind == "frame":
            assert isinstance(what, bytes)
            links.on_frame(link, what, self.now)
        else:
            links.on_link_closed(link, str(what), self.now)


@pytest.fixture
def net(stack: ExitStack) -> Net:
    one, other = friends(stack)
    return Net((Side(one), Side(other)))


def up(net: Net) -> list[bool]:
    return [
        side.links.up(other.person.identity) is not None
        for side, other in zip(net.sides, reversed(net.sides), strict=True)
    ]


def test_a_dial_brings_both_up_and_frames_carry(net: Net) -> None:
    caller, called = net.sides
    caller.dial(called)
    net.run()
    assert caller.heard == [("up", True)]
    assert called.heard == [("up", False)]
    assert called.links.contacts_up == [caller.person.identity]
    assert caller.links.send(called.person.identity, Carry(b"one"))
    assert called.links.send(caller.person.identity, Typing(5_000))
    net.run()
    assert called.heard[1:] == [("envelope", b"one")]
    assert caller.heard[1:] == [("typing", 5_000)]
    assert caller.links.next_deadline() is None


def test_nothing_is_sent_without_a_link(net: Net) -> None:
    caller, called = net.sides
    assert not caller.links.send(called.person.identity, Carry(b"one"))
    caller.dial(called)
    assert not caller.links.send(called.person.identity, Carry(b"one"))


def test_a_node_is_dialled_once_at_a_time(net: Net) -> None:
    caller, called = net.sides
    caller.dial(called)
    contact, node = caller.person.contact(called.person), called.person.keys.node_key
    assert caller.links.dial(contact, node, (HERE,), START) is None
    assert caller.links.dial(contact, NodeKey(b"n" * 32), (), START) is None
    assert caller.links.dial(replace(contact, device=None), NodeKey(b"n" * 32), (HERE,), START) is None


def test_who_is_not_admitted_hears_the_same_words_as_who_called_someone_else(net: Net, stack: ExitStack) -> None:
    caller, called = net.sides
    called.person.store.save_contact(replace(called.person.contact(caller.person), state=ContactState.BLOCKED))
    link = caller.dial(called)
    net.run()
    assert (caller.heard, up(net)) == ([("failed", REFUSED)], [False, False])
    assert called.refused == ["not_admitted"]
    stranger = Side(Person("carol", stack))
    stranger.links.on_link_opened(-1, caller.person.keys.node_key, HERE, BINDING, False, START)
    hello = Initiator(caller.person.keys.device, called.person.keys.device_key, BINDING, SeededRandom(link))
    stranger.links.on_frame(-1, hello.hello(Introduction(caller.person.keys.certificate).encode()), START)
    stranger.refuse()
    assert stranger.effects.take() == [CloseLink(-1, REFUSED)]


@pytest.mark.parametrize("opens", [True, False])
def test_a_refusal_comes_at_a_time_that_does_not_tell_how_far_a_hello_got(net: Net, opens: bool) -> None:
    caller, called = net.sides
    called.person.store.save_contact(replace(called.person.contact(caller.person), state=ContactState.BLOCKED))
    called.links.on_link_opened(-1, NodeKey(b"n" * 32), HERE, BINDING, False, START)
    wanted = called.person.keys.device_key if opens else SigningKey(b"d" * 32).public
    hello = Initiator(caller.person.keys.device, wanted, BINDING, SeededRandom(1))
    said = after(1.0)
    called.links.on_frame(-1, hello.hello(Introduction(caller.person.keys.certificate).encode()), said)
    assert called.refused == ["not_admitted" if opens else "unsealable"]
    called.links.on_frame(-1, b"anything more", said)
    called.links.on_timer(after(limits.REFUSE_S - 0.001, said))
    assert called.effects.take() == []
    assert called.links.next_deadline() == said.steady + limits.REFUSE_S
    called.refuse(said)
    assert called.effects.take() == [CloseLink(-1, REFUSED)]
    assert called.links.next_deadline() is None


@pytest.mark.parametrize("name", ["empty", "noise", "cut", "long"])
def test_a_stranger_who_knows_nothing_is_told_nothing(net: Net, name: str) -> None:
    _, called = net.sides
    frames = {"empty": b"", "noise": bytes(200), "cut": bytes(95), "long": bytes(limits.LINK_FRAME_BYTES)}
    called.links.on_link_opened(-1, NodeKey(b"n" * 32), HERE, BINDING, False, START)
    called.links.on_frame(-1, frames[name], START)
    assert called.effects.take() == []
    called.refuse()
    assert called.effects.take() == [CloseLink(-1, REFUSED)]
    assert called.heard == []
    called.links.on_frame(-1, bytes(200), START)
    assert called.effects.take() == []


def certificate_of(identity: SigningKey, device: bytes) -> DeviceCertificate:
    content = DeviceContent(IdentityKey(identity.public), device, 1).encode()
    return DeviceCertificate(content, identity.sign(Domain.SIGN_DEVICE, content))


def test_a_certificate_of_another_device_than_speaks_is_refused(net: Net, stack: ExitStack) -> None:
    caller, called = net.sides
    thief = Person("mallory", stack)
    called.links.on_link_opened(-1, NodeKey(b"n" * 32), HERE, BINDING, False, START)
    hello = Initiator(thief.keys.device, called.person.keys.device_key, BINDING, SeededRandom(1))
    called.links.on_frame(-1, hello.hello(Introduction(caller.person.keys.certificate).encode()), START)
    assert called.refused == ["wrong_device"]
    called.refuse()
    assert called.effects.take() == [CloseLink(-1, REFUSED)]


def test_a_node_of_someone_else_is_found_out(net: Net, stack: ExitStack) -> None:
    caller, called = net.sides
    impostor = Side(Person("mallory", stack))
    impostor.person.knows(caller.person)
    caller.dial(called)
    net = Net((caller, impostor))
    net.run()
    assert up(net) == [False, False]
    assert caller.heard == [("failed", REFUSED)]


def test_a_caller_is_proven_by_the_first_sealed_frame_only(net: Net) -> None:
    # Whoever has stolen the called one's device key can make a hello in any name (key compromise impersonation);
    # the handshake's own tests (tests/crypto/test_kci.py) make one.  Here: nothing happens before what follows it.
    caller, called = net.sides
    caller.dial(called)
    net.collect()
    net.deliver(1, -2)
    net.deliver(0, 1)
    net.collect()
    net.deliver(1, -2)
    assert called.heard == []
    assert called.links.up(caller.person.identity) is None
    assert not called.links.send(caller.person.identity, Carry(b"too early"))
    called.links.on_frame(-2, bytes(64), START)
    assert called.heard == []
    assert called.refused == ["unsealable"]


def test_the_first_sealed_frame_proves_and_is_acted_on(net: Net) -> None:
    caller, called = net.sides
    caller.dial(called)
    net.run()
    assert called.links.up(caller.person.identity) is not None


@pytest.mark.parametrize("seed", range(20))
def test_two_who_dial_each_other_at_once_keep_the_same_link(net: Net, seed: int) -> None:
    net.random = Random(seed)
    for side, other in (net.sides, net.sides[::-1]):
        side.dial(other)
    net.run()
    assert up(net) == [True, True]
    kept = [side.links.up(other.person.identity) for side, other in (net.sides, net.sides[::-1])]
    assert [link.outgoing for link in kept if link] == [True, False]  # the lower identity's
    assert net.sides[0].links.send(net.sides[1].person.identity, Carry(b"one"))
    assert net.sides[1].links.send(net.sides[0].person.identity, Carry(b"two"))
    net.run()
    assert ("envelope", b"one") in net.sides[1].heard
    assert ("envelope", b"two") in net.sides[0].heard


@pytest.mark.parametrize("lower_redials", [True, False])
def test_a_newer_link_takes_the_place_of_an_old_one(net: Net, lower_redials: bool) -> None:
    first, second = net.sides if lower_redials else net.sides[::-1]
    second.dial(first)
    net.run()
    net.now = after(60)
    # the one who dials has lost the old link without the other's noticing
    lost = first.links.up(second.person.identity)
    assert lost is not None
    first.links.on_link_closed(lost.id, "gone", net.now)
    first.dial(second, net.now)
    net.run()
    assert up(net) == [True, True]
    link = first.links.up(second.person.identity)
    assert link is not None
    assert link.outgoing


def test_a_frame_that_does_not_open_ends_the_link(net: Net) -> None:
    caller, called = net.sides
    link = caller.dial(called)
    net.run()
    caller.links.on_frame(link, bytes(100), START)
    assert caller.heard[-1] == ("down", REFUSED)
    assert caller.refused == ["unsealable"]
    net.run()
    assert called.heard[-1] == ("down", REFUSED)


def test_a_message_of_no_known_kind_ends_the_link(net: Net) -> None:
    caller, called = net.sides
    caller.dial(called)
    net.run()
    raised = caller.links.up(called.person.identity)
    assert raised is not None
    assert raised.cipher is not None
    called.links.on_frame(-2, raised.cipher.seal(pad(b"\x91\x63", 240)), START)
    assert called.refused == ["malformed"]


def test_frames_at_the_wrong_time_or_of_no_link_harm_nothing(net: Net) -> None:
    caller, called = net.sides
    link = caller.dial(called)
    caller.links.on_frame(99, b"x", START)
    caller.links.on_link_closed(99, "x", START)
    caller.links.on_link_failed(99, "x", START)
    caller.links.on_link_opened(99, NodeKey(b"n" * 32), HERE, BINDING, True, START)
    assert caller.effects.take()[1:] == [CloseLink(99, "not wanted")]
    caller.links.on_frame(link, b"before it is open", START)
    assert caller.heard == [("failed", REFUSED)]


def test_an_unproven_link_ends_after_its_time(net: Net) -> None:
    caller, called = net.sides
    link = caller.dial(called)
    called.links.on_link_opened(-1, NodeKey(b"n" * 32), HERE, BINDING, False, START)
    assert caller.links.next_deadline() == called.links.next_deadline() == START.steady + limits.HANDSHAKE_S
    for side in net.sides:
        side.links.on_timer(after(limits.HANDSHAKE_S - 0.1))
    assert caller.heard == called.heard == []
    for side in net.sides:
        side.links.on_timer(after(limits.HANDSHAKE_S))
    assert caller.effects.take()[-1] == CloseLink(link, "time is up")
    assert called.effects.take() == [CloseLink(-1, "time is up")]
    assert caller.heard == [("failed", "time is up")]


def test_a_dial_that_fails_is_told(net: Net) -> None:
    caller, called = net.sides
    link = caller.dial(called)
    caller.links.on_link_failed(link, "unreachable", START)
    assert caller.heard == [("failed", "unreachable")]
    assert caller.dial(called) != link


def test_closing_ends_links_in_every_state(net: Net) -> None:
    caller, called = net.sides
    caller.dial(called)
    net.run()
    node = NodeKey(b"n" * 32)
    other = caller.links.dial(caller.person.contact(called.person), node, (HERE,), START)
    caller.links.close(called.person.identity, "blocked", START)
    closed = {effect.link for effect in caller.effects.take() if isinstance(effect, CloseLink)}
    assert closed == {1, other}
    assert ("down", "blocked") in caller.heard
    assert up(net)[0] is False


def test_links_are_bounded(net: Net) -> None:
    caller = net.sides[0]
    contact = caller.person.contact(net.sides[1].person)
    dialled = [
        caller.links.dial(contact, NodeKey(number.to_bytes(32, "big")), (HERE,), START)
        for number in range(limits.LINKS + 1)
    ]
    assert dialled[-1] is None
    assert None not in dialled[:-1]


def knock(called: Side, count: int, first: int = 0) -> None:
    """Strangers open links and say nothing."""
    for number in range(first, first + count):
        called.links.on_link_opened(-100 - number, NodeKey(number.to_bytes(32, "big")), HERE, BINDING, False, START)


def test_one_node_waits_with_two_links_at_most(net: Net) -> None:
    called = net.sides[1]
    for link in range(limits.LINKS_UNPROVEN_PER_NODE + 1):
        called.links.on_link_opened(-1 - link, NodeKey(b"n" * 32), HERE, BINDING, False, START)
    assert called.refused == ["too_many_links"]
    assert called.effects.take() == [CloseLink(-1 - limits.LINKS_UNPROVEN_PER_NODE, REFUSED)]


def test_who_is_silent_longest_goes_when_too_many_wait(net: Net) -> None:
    called = net.sides[1]
    knock(called, limits.LINKS_UNPROVEN)
    assert called.effects.take() == []
    knock(called, 2, first=limits.LINKS_UNPROVEN)
    assert called.effects.take() == [CloseLink(-100, REFUSED), CloseLink(-101, REFUSED)]


def test_strangers_who_wait_keep_no_contact_out(net: Net) -> None:
    caller, called = net.sides
    knock(called, 2 * limits.LINKS_UNPROVEN)
    assert called.dial(caller)
    net.collect()
    net.queues.clear()
    caller.dial(called)
    net.collect()
    for _ in range(20):
        knock(called, 1, first=1_000)
        for key in [key for key, waiting in net.queues.items() if waiting]:
            net.deliver(*key)
        net.collect()
    assert called.links.up(caller.person.identity) is not None
    assert up(net) == [True, True]


def test_a_caller_who_has_named_a_contact_is_not_the_one_who_goes(net: Net) -> None:
    caller, called = net.sides
    caller.dial(called)
    for place, link in ((1, -2), (0, 1), (1, -2)):
        net.collect()
        net.deliver(place, link)
    net.collect()
    knock(called, 3 * limits.LINKS_UNPROVEN)
    net.queues = {key: waiting for key, waiting in net.queues.items() if key in ((0, 1), (1, -2))}
    net.run()
    assert up(net) == [True, True]


def greet(caller: Person, called: Side, number: int, relay: NodeKey | None = None) -> int:
    """A contact begins a link from a node of its own each time, and leaves it at that."""
    link, node = -1_000 - number, NodeKey(number.to_bytes(32, "big"))
    if relay is not None:
        called.person.calls.relays[link] = relay
    called.links.on_link_opened(link, node, None if relay else HERE, BINDING, False, START)
    hello = Initiator(caller.keys.device, called.person.keys.device_key, BINDING, SeededRandom(number))
    called.links.on_frame(link, hello.hello(Introduction(caller.keys.certificate).encode()), START)
    return link


def test_a_contact_who_begins_links_and_proves_none_keeps_no_other_out(net: Net) -> None:
    caller, called = net.sides
    for number in range(2 * limits.LINKS_UNPROVEN):
        greet(caller.person, called, number)
    waiting = list(called.links._links)
    assert waiting == [-1_000 - 2 * limits.LINKS_UNPROVEN + left for left in (4, 3, 2, 1)]
    assert called.refused == ["too_many_links"] * (2 * limits.LINKS_UNPROVEN - limits.LINKS_UNPROVEN_PER_CONTACT)


def test_what_a_relay_repeats_in_a_contacts_name_takes_no_place_of_theirs(net: Net) -> None:
    caller, called = net.sides
    relay = NodeKey(b"r" * 32)
    repeated = [greet(caller.person, called, number, relay) for number in range(limits.LINKS_UNPROVEN_PER_CONTACT)]
    direct = greet(caller.person, called, 100)
    assert list(called.links._links) == [*repeated[1:], direct]
    later = [greet(caller.person, called, 200 + number, relay) for number in range(8)]
    assert list(called.links._links) == [direct, *later[-3:]]
    more = [greet(caller.person, called, 300 + number) for number in range(3)]
    greet(caller.person, called, 400, relay)
    called.refuse()
    assert list(called.links._links) == [direct, *more]


@pytest.mark.slow
@pytest.mark.parametrize("state", ["greeting", "proving", "up", "answering"])
def test_garbage_in_every_state_ends_the_link_and_nothing_else(net: Net, state: str) -> None:
    chance = Random(state)
    for _ in range(60):
        caller, called = net.sides
        link = caller.dial(called, net.now)
        net.collect()
        there = net.names[0, link]
        steps = {"greeting": 1, "answering": 2, "proving": 3, "up": 99}[state]
        for _ in range(steps):
            waiting = [key for key in ((1, there), (0, link)) if net.queues.get(key)]
            if not waiting:
                break
            net.deliver(*waiting[0])
            net.collect()
        garbage = chance.randbytes(chance.choice([0, 1, 15, 16, 17, 96, 300]))
        called.links.on_frame(there, garbage, net.now)
        caller.links.on_frame(link, garbage, net.now)
        net.run()
        assert up(net) == [False, False]
        assert all(word[0] != "envelope" for side in net.sides for word in side.heard)


def test_ready_is_all_that_a_caller_says_at_first(net: Net) -> None:
    caller, called = net.sides
    caller.dial(called)
    net.run()
    raised = caller.links.up(called.person.identity)
    assert raised is not None
    assert raised.cipher is not None
    called.links.on_frame(-2, raised.cipher.seal(pack_link_message(Ready())), START)
    assert called.heard == [("up", False)]


# --- links that a relay carries ---

RELAY = NodeKey(b"r" * 32)
WAITING = Waiting(RELAY, [pack_endpoint(HERE)], NodeKey(b"w" * 32))


class Relayed:
    """A caller and a called by a relay, which may do with frames as it likes."""

    def __init__(self, net: Net, now: Now = START) -> None:
        self.caller, self.called = net.sides
        self.now = now
        contact = self.caller.person.contact(self.called.person)
        link = self.caller.links.call(contact, WAITING, now)
        assert link is not None
        self.ends = (link, -1_000 - link)
        self.called.person.calls.relays[self.ends[1]] = RELAY

    def open(self) -> "Relayed":
        caller_key = NodeKey(b"k" * 32)
        self.caller.links.on_link_opened(self.ends[0], WAITING.callee, None, BINDING, True, self.now)
        self.called.links.on_link_opened(self.ends[1], caller_key, None, BINDING, False, self.now)
        return self

    def waiting(self, place: int) -> list[bytes]:
        """The frames that a side has given to the relay since it was last asked."""
        calls = (self.caller, self.called)[place].person.calls
        sent, calls.sent = calls.sent, []
        return [frame for link, frame in sent if link == self.ends[place]]

    def give(self, place: int, *frames: bytes) -> None:
        for frame in frames:
            (self.caller, self.called)[place].links.on_frame(self.ends[place], frame, self.now)

    def run(self) -> "Relayed":
        """The relay is honest."""
        while True:
            to_called, to_caller = self.waiting(0), self.waiting(1)
            if not to_called and not to_caller:
                return self
            self.give(1, *to_called)
            self.give(0, *to_caller)


def envelopes(side: Side) -> list[object]:
    return [word[1] for word in side.heard if word[0] == "envelope"]


def test_a_link_by_a_relay_is_proven_like_any_other(net: Net) -> None:
    Relayed(net).open().run()
    caller, called = net.sides
    links = [side.links.up(other.person.identity) for side, other in (net.sides, net.sides[::-1])]
    assert [(link.via, link.relay, link.endpoint) for link in links if link] == [("relay", RELAY, None)] * 2
    caller.links.check(called.person.identity)
    assert caller.effects.take() == [], "the relay answers for itself only: there is nothing to ask"
    called.links.close(caller.person.identity, "blocked", START)
    assert called.person.calls.closed == [-1_001]


def test_a_relay_that_cannot_be_reached_is_a_dial_that_failed(net: Net) -> None:
    relayed = Relayed(net)
    relayed.caller.links.on_link_failed(relayed.ends[0], "the relay: no answer", START)
    assert relayed.caller.heard == [("failed", "the relay: no answer")]


def test_one_waiting_place_is_called_once_at_a_time(net: Net) -> None:
    Relayed(net)
    assert net.sides[0].links.call(net.sides[0].person.contact(net.sides[1].person), WAITING, START) is None


@pytest.mark.parametrize("direct_first", [True, False])
def test_of_two_at_the_same_time_the_direct_one_stays(net: Net, direct_first: bool) -> None:
    caller, called = net.sides
    relayed = None if direct_first else Relayed(net).open().run()
    caller.dial(called)
    net.run()
    if relayed is None:
        relayed = Relayed(net, after(1)).open().run()
    for side, other in (net.sides, net.sides[::-1]):
        link = side.links.up(other.person.identity)
        assert link is not None
        assert link.via == "direct"
    assert relayed.ends[0] in caller.person.calls.closed


def test_a_call_that_comes_late_does_not_take_the_place_of_a_direct_link(net: Net) -> None:
    caller, called = net.sides
    relayed = Relayed(net)
    caller.dial(called)
    net.run()
    assert caller.person.calls.closed == [relayed.ends[0]]
    relayed.now = after(6)
    relayed.caller.links.on_link_opened(relayed.ends[0], WAITING.callee, None, BINDING, True, relayed.now)
    link = caller.links.up(called.person.identity)
    assert link is not None
    assert link.via == "direct"
    assert ("failed", "a direct link is up") in caller.heard


def test_dials_are_given_up_where_a_better_way_is_known_and_calls_are_not(net: Net) -> None:
    caller, called = net.sides
    relayed = Relayed(net)
    link = caller.dial(called)
    caller.effects.take()
    caller.links.stop_dialling(called.person.identity, "a way was punched", START)
    assert caller.effects.take() == [CloseLink(link, "a way was punched")]
    assert caller.heard == [("failed", "a way was punched")]
    assert caller.dial(called) != link
    relayed.open().run()
    assert up(net) == [True, True]


def test_a_node_is_dialled_where_else_it_may_be_and_the_first_answer_counts(net: Net) -> None:
    caller, called = net.sides
    node, contact = called.person.keys.node_key, caller.person.contact(called.person)
    old = caller.dial(called)
    elsewhere = Endpoint("10.0.0.2", 4242)
    assert caller.links.dial(contact, node, (HERE,), START) is None
    new = caller.links.dial(contact, node, (HERE, elsewhere), START)
    dials = [effect for effect in caller.effects.take() if isinstance(effect, OpenLink)]
    assert [(dial.link, dial.endpoints) for dial in dials] == [(old, (HERE,)), (new, (elsewhere,))]
    assert new is not None
    caller.links.on_link_opened(new, node, elsewhere, BINDING, True, START)
    assert CloseLink(old, "another dial was first") in caller.effects.take()
    assert caller.links.undialled(contact.identity, node, (Endpoint("10.0.0.3", 1),)) == ()


def test_a_link_that_may_lead_nowhere_is_checked(net: Net) -> None:
    caller, called = net.sides
    link = caller.dial(called)
    net.run()
    caller.links.check(called.person.identity)
    assert caller.effects.take() == [CheckLink(link)]
    caller.links.check(IdentityKey(b"?" * 32))
    assert caller.effects.take() == []


@pytest.mark.parametrize("deed", ["drop", "replay", "swap", "garble"])
@pytest.mark.parametrize("seed", range(6))
def test_a_relay_that_meddles_has_the_link_end_and_nothing_heard_twice_or_out_of_turn(
    net: Net, deed: str, seed: int
) -> None:
    chance = Random(seed)
    relayed = Relayed(net).open().run()
    caller, called = net.sides
    said = [bytes([number]) * 20 for number in range(10)]
    for text in said:
        assert caller.links.send(called.person.identity, Carry(text))
    frames = relayed.waiting(0)
    place = chance.randrange(len(frames) - 1)
    match deed:
        case "drop":
            del frames[place]
        case "replay":
            frames.insert(place + 1 + chance.randrange(3), frames[place])
        case "swap":
            frames[place], frames[place + 1] = frames[place + 1], frames[place]
        case "garble":
            frames[place] = bytes([frames[place][0] ^ 1]) + frames[place][1:]
    relayed.give(1, *frames)
    heard = envelopes(called)
    assert heard == said[: len(heard)]
    assert place <= len(heard) < len(said)
    assert called.heard[-1] == ("down", REFUSED)
    assert called.links.up(caller.person.identity) is None
    assert called.person.calls.closed == [relayed.ends[1]]


def test_frames_of_another_channel_are_no_ones_words(net: Net) -> None:
    """The relay carries what one call says into another between the same two."""
    first = Relayed(net).open().run()
    caller, called = net.sides
    caller.links.send(called.person.identity, Carry(b"said once"))
    (frame,) = first.waiting(0)
    caller.links.close(called.person.identity, "anew", START)
    second = Relayed(net).open().run()
    second.give(1, frame)
    assert envelopes(called) == []
    assert called.refused == ["unsealable"]


def test_a_relay_that_invents_a_caller_from_old_frames_proves_nobody(net: Net) -> None:
    """All that a caller ever said is played again on a channel that the relay invents, under the caller's key."""
    relayed = Relayed(net).open()
    caller, called = net.sides
    recorded: list[bytes] = []
    while frames := relayed.waiting(0):
        recorded += frames
        relayed.give(1, *frames)
        relayed.give(0, *relayed.waiting(1))
    caller.links.send(called.person.identity, Carry(b"said once"))
    recorded += relayed.waiting(0)
    relayed.give(1, recorded[-1])
    called.heard.clear()
    called.person.calls.relays[-5] = RELAY
    called.links.on_link_opened(-5, NodeKey(b"k" * 32), None, BINDING, False, after(20))
    for frame in recorded:
        called.links.on_frame(-5, frame, after(20))
    assert called.heard == []
    assert called.refused == ["unsealable"]
    assert called.links.up(caller.person.identity) is not None, "the true link stays"


def test_a_relay_in_the_middle_cannot_join_two_handshakes_of_other_keys(net: Net) -> None:
    relayed = Relayed(net)
    relayed.caller.links.on_link_opened(relayed.ends[0], WAITING.callee, None, BINDING, True, START)
    other = b"another binding, of another caller"[:32]
    relayed.called.links.on_link_opened(relayed.ends[1], NodeKey(b"k" * 32), None, other, False, START)
    relayed.run()
    relayed.called.refuse()
    assert up(net) == [False, False]
    assert relayed.called.person.calls.closed == [relayed.ends[1]]


def test_invented_callers_wait_in_their_places_only_and_end_in_time(net: Net) -> None:
    called = net.sides[1]
    for number in range(1_000):
        called.person.calls.relays[-2_000 - number] = RELAY
        called.links.on_link_opened(-2_000 - number, NodeKey(number.to_bytes(32, "big")), None, BINDING, False, START)
    assert len(called.links._links) == limits.LINKS_UNPROVEN
    assert len(called.person.calls.closed) == 1_000 - limits.LINKS_UNPROVEN
    called.links.on_timer(after(limits.HANDSHAKE_S))
    assert called.links._links == called.person.calls.relays == {}


@given(st.lists(st.tuples(st.floats(0, 1e6, allow_nan=False), st.floats(0, 20, allow_nan=False)), max_size=20))
def test_no_deadline_stays_behind(opened: list[tuple[float, float]]) -> None:
    with ExitStack() as stack:
        called = Side(friends(stack)[1])
        now = 0.0
        for number, (start, wait) in enumerate(opened):
            now = max(now, start)
            node = NodeKey(number.to_bytes(32, "big"))
            called.links.on_link_opened(-1 - number, node, HERE, BINDING, False, Now(now, START.wall_ms))
            deadline = called.links.next_deadline()
            assert deadline is not None
            now = deadline if wait > limits.HANDSHAKE_S else now + wait
            called.links.on_timer(Now(now, START.wall_ms))
            deadline = called.links.next_deadline()
            assert deadline is None or deadline > now
