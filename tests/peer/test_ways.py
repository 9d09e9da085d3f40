"""All ways together: whose input a link's is, when relays are wanted, and what is told of us."""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from p2pd import limits
from p2pd.dht.peers import Peer
from p2pd.effects import CheckLink, CloseLink, LinkKind, OpenLink, SendFrame
from p2pd.peer.links import Link, LinkState
from p2pd.peer.ways import Ways, WaysOwner, WaysSettings
from p2pd.store import ContactState, PathChoice
from p2pd.types import Endpoint, IdentityKey, NodeKey, Now
from p2pd.wire.link import Punch
from p2pd.wire.person import NatKind, Presence
from p2pd.wire.relay import Call, Reserve, Reserved, decode_relay_message
from p2pd.wire.rpc import pack_endpoint, unpack_endpoint
from tests.cast import START, ScriptedDht, after, friends

HERE = Endpoint("192.0.2.1", 4242)
RELAY = NodeKey(b"r" * 32)
STRANGER = NodeKey(b"s" * 32)


@dataclass
class Table(ScriptedDht):
    """The DHT, with a table and with what it knows of us."""

    serves: bool = False
    heard: list[Endpoint] = field(default_factory=list)

    def servers(self) -> list[Peer]:
        return [Peer(NodeKey(bytes([number]) * 32), Endpoint(f"198.51.{number}.1", 4242)) for number in range(1, 5)]

    def serves_to(self, endpoint: Endpoint) -> bool:
        return self.serves

    def round_trip_ms(self, peer: Peer) -> float | None:
        return None

    def voices(self) -> list[Endpoint]:
        return self.heard

    def on_addresses(self, own: tuple[Endpoint, ...], now: Now) -> None:
        self.heard = []


class Node:
    """One node's ways, and what their owner was told."""

    def __init__(self, stack: ExitStack, *, serves: bool = False, carries: bool = True) -> None:
        self.person, self.friend = friends(stack)
        self.dht = Table(serves=serves)
        self.told: list[str] = []
        self.counts: Counter[str] = Counter()

        def note(kind: str):  # type: ignore[no-untyped-def]
            return lambda *_: self.told.append(kind)

        owner = WaysOwner(
            admit=lambda content, certificate, relayed, now: self.person.store.contact(content.identity),
            on_up=note("up"),
            on_down=note("down"),
            on_away=note("away"),
            on_envelope=note("envelope"),
            on_typing=note("typing"),
            on_presence=note("presence"),
            count=lambda why: self.counts.update([why]),
        )
        self.ways = Ways(
            self.person.keys,
            self.person.store,
            self.dht,  # type: ignore[arg-type]
            self.person.effects,
            self.person.random,
            WaysSettings("main", True, (HERE,), False, carries),
            owner,
        )

    def effects(self, kind: type) -> list[object]:
        return [effect for effect in self.person.effects.take() if isinstance(effect, kind)]

    def dialled(self) -> list[OpenLink]:
        return [effect for effect in self.effects(OpenLink) if isinstance(effect, OpenLink)]

    def choose(self, path: PathChoice, state: ContactState = ContactState.ACCEPTED) -> None:
        self.person.store.save_contact(replace(self.person.contact(self.friend), path=path, state=state))

    def link(self, relay: NodeKey | None, now: Now = START) -> Link:
        """A link with the friend is up, whatever was said for that."""
        link = Link(900, True, STRANGER, None if relay else HERE, now.steady, LinkState.UP, self.friend.identity)
        link.relay = relay
        self.ways.links._links[link.id] = self.ways.links._up[self.friend.identity] = link
        self.ways._on_up(self.friend.identity, link, now)
        return link


@pytest.fixture
def node(stack: ExitStack) -> Node:
    return Node(stack)


def test_a_client_waits_at_relays_and_a_server_does_not(stack: ExitStack) -> None:
    for serves, count in ((False, limits.RELAYS_WAITED_AT), (True, 0)):
        node = Node(stack, serves=serves)
        node.ways.start(START)
        assert [dial.kind for dial in node.dialled()] == [LinkKind.RELAY] * count


def test_a_client_that_has_looked_around_chooses_its_relays_at_once(node: Node) -> None:
    node.dht.has_looked_around = node.ways._looked_around = False
    node.ways.start(START)
    node.ways.look(START)
    assert node.dialled() == []
    node.dht.has_looked_around = True
    node.ways.look(after(0.2))
    assert len(node.dialled()) == limits.RELAYS_WAITED_AT
    assert node.told == [], "where we are is no other"


@pytest.mark.parametrize("state", [ContactState.ACCEPTED, ContactState.PENDING])
def test_a_server_waits_too_where_someone_shall_see_no_address(stack: ExitStack, state: ContactState) -> None:
    node = Node(stack, serves=True)
    node.choose(PathChoice.RELAY_ONLY, state)
    node.ways.start(START)
    assert len(node.dialled()) == limits.RELAYS_WAITED_AT
    node.choose(PathChoice.RELAY_ONLY, ContactState.BLOCKED)
    node.ways.relays.need_changed(after(1))
    assert len(node.effects(CloseLink)) == limits.RELAYS_WAITED_AT


def test_the_node_of_who_shall_learn_no_address_is_no_relay_of_ours(node: Node) -> None:
    node.choose(PathChoice.RELAY_ONLY)
    theirs = node.dht.servers()[0].key
    node.ways.reach._seen[node.friend.identity] = Presence(1, theirs, [])
    node.ways.start(START)
    assert theirs not in {dial.node for dial in node.dialled()}
    node.choose(PathChoice.AUTO)
    assert node.ways._kept_out() == set()


def test_a_node_that_quic_cannot_reach_says_so(node: Node) -> None:
    node.ways.start(START)
    assert node.ways.presence().nat != NatKind.NO_QUIC
    for dial in node.dialled():
        node.ways.on_link_failed(dial.link, "no answer", START)
    assert node.ways.presence().nat == NatKind.NO_QUIC
    assert node.ways.path(node.person.contact(node.friend)).cause == "quic-blocked"


def test_a_node_whose_questions_find_no_way_by_quic_says_so_and_tries_anew_when_they_do(node: Node) -> None:
    node.ways.start(START)
    for dial in node.dialled():
        node.ways.on_relay_opened(dial.link, dial.node, True, START)
    node.told.clear()
    node.dht.quic_blocked = True
    node.ways.look(after(1))
    assert node.told == ["presence"]
    assert node.ways.presence().nat == NatKind.NO_QUIC
    node.ways.reach.want(node.friend.identity, after(1))
    node.dht.serve([], after(1))
    assert node.ways.reach.next_deadline() == after(1 + limits.DIAL_WANTED_S).steady
    node.dht.quic_blocked = False
    node.ways.look(after(2))
    assert node.told.count("presence") == 2
    assert node.ways.presence().nat != NatKind.NO_QUIC
    assert len(node.dht.gets) == 1, "their presence is looked up again"


def test_who_becomes_a_server_leaves_its_relays_and_says_so(node: Node) -> None:
    node.ways.start(START)
    node.dialled()
    node.dht.serves = True
    node.ways.look(START)
    node.ways.look(START)
    assert len(node.effects(CloseLink)) == limits.RELAYS_WAITED_AT
    assert node.told == ["presence"]


def test_every_input_goes_to_the_machine_whose_link_it_is(stack: ExitStack) -> None:
    node = Node(stack)
    ways = node.ways
    ways.start(START)
    (first, second) = node.dialled()
    ways.on_relay_opened(first.link, first.node, True, START)
    (said,) = node.effects(SendFrame)
    assert isinstance(said, SendFrame)
    assert decode_relay_message(said.frame) == Reserve()
    ways.on_frame(first.link, Reserved().encode(), START)
    assert [waiting.relay for waiting in ways.relays.waiting] == [first.node]
    ways.on_link_failed(second.link, "no answer", START)
    ways.on_link_closed(first.link, "gone", START)
    assert ways.relays.stations == []
    node.dht.serves = True
    ways.on_relay_opened(-1, STRANGER, False, START)
    assert ways.relaying.owns(-1)
    ways.on_frame(-1, Reserve().encode(), START)
    assert ways.relaying.carried.waiting == 1
    ways.on_link_closed(-1, "gone", START)
    assert ways.relaying.carried.guests == 0
    ways.on_link_opened(-2, STRANGER, HERE, b"b" * 32, False, START)
    ways.on_frame(-2, b"nonsense", START)
    ways.links.on_timer(after(limits.REFUSE_S))
    assert not ways.links._links


def test_a_link_of_an_engine_that_is_gone_is_closed_whatever_it_was(node: Node) -> None:
    node.ways.on_relay_opened(77, RELAY, True, START)
    node.ways.on_link_opened(78, STRANGER, HERE, b"b" * 32, True, START)
    for link in (77, 78, -79):
        node.ways.on_frame(link, b"x", START)
        node.ways.on_link_closed(link, "gone", START)
        node.ways.on_link_failed(link, "gone", START)
    assert node.effects(CloseLink) == [CloseLink(77, "not wanted"), CloseLink(78, "not wanted")]


@pytest.mark.parametrize(("serves", "carries"), [(False, True), (True, False)])
def test_who_does_not_serve_or_does_not_want_to_carries_nothing(stack: ExitStack, serves: bool, carries: bool) -> None:
    node = Node(stack, serves=serves, carries=carries)
    node.ways.on_relay_opened(-1, STRANGER, False, START)
    assert node.effects(CloseLink) == [CloseLink(-1, "no relay")]
    node.ways.on_frame(-1, Call(1, STRANGER).encode(), START)
    assert node.effects(SendFrame) == []


@pytest.mark.parametrize(
    ("choice", "punches"), [(PathChoice.AUTO, True), (PathChoice.RELAY_ONLY, False), (PathChoice.DIRECT, False)]
)
def test_a_relayed_link_is_punched_where_addresses_may_be_told(node: Node, choice: PathChoice, punches: bool) -> None:
    node.choose(choice)
    node.link(RELAY)
    friend = node.friend.identity
    assert (node.ways.punching.effort(friend) is not None) is punches
    node.ways._on_punch(friend, Punch(1, b"t" * 16, []), START)
    assert (node.ways.punching.effort(friend) is not None) is punches
    node.ways.links.close(friend, "gone", START)
    assert node.ways.punching.effort(friend) is None
    assert node.told == ["up", "down"]


def test_when_a_link_is_gone_another_is_wanted_unless_nobody_wants_it(node: Node) -> None:
    node.link(RELAY)
    node.ways.links.close(node.friend.identity, "gone", START)
    assert len(node.dht.take_gets()) > 0
    node.ways.reach.forget(node.friend.identity)
    node.link(None)
    node.choose(PathChoice.AUTO, ContactState.BLOCKED)
    node.ways.links.close(node.friend.identity, "blocked", START)
    assert (node.dht.take_gets(), node.ways.reach.next_deadline()) == ([], None)


def test_somewhere_else_every_link_is_asked_and_every_wish_is_tried(node: Node) -> None:
    node.ways.start(START)
    dials = node.dialled()
    for dial in dials:
        node.ways.on_relay_opened(dial.link, dial.node, True, START)
    link = node.link(None)
    node.person.effects.take()
    moved = Endpoint("192.0.2.99", 4242)
    node.ways.on_addresses((moved,), after(60))
    assert node.effects(CheckLink) == [*(CheckLink(dial.link) for dial in dials), CheckLink(link.id)]
    assert [unpack_endpoint(each) for each in node.ways.presence().endpoints] == [moved]
    assert "presence" in node.told


SIX = Endpoint("2a00::1", 4242)


@pytest.mark.parametrize(("own", "count"), [((SIX,), limits.RELAYS_WAITED_AT), ((SIX, HERE), 0)])
def test_a_server_with_ipv6_only_waits_at_relays_for_all_the_others(
    stack: ExitStack, own: tuple[Endpoint, ...], count: int
) -> None:
    node = Node(stack, serves=True)
    node.ways.start(START)
    node.ways.on_addresses(own, START)
    assert [dial.kind for dial in node.dialled()] == [LinkKind.RELAY] * count


def test_a_link_of_a_family_that_is_gone_ends_at_once_and_another_is_dialled(node: Node) -> None:
    link = node.link(None)
    there = Presence(1, STRANGER, [pack_endpoint(endpoint) for endpoint in (HERE, SIX)])
    node.ways.reach._seen[node.friend.identity] = there
    node.ways.on_addresses((Endpoint("2a00::99", 4242),), after(60))
    effects = node.person.effects.take()
    assert CloseLink(link.id, "no address of its family is left") in effects
    assert [effect.endpoints for effect in effects if isinstance(effect, OpenLink)] == [(SIX,)]
    assert "down" in node.told


def test_two_without_a_common_family_are_told_so(node: Node) -> None:
    contact = node.person.contact(node.friend)
    node.dht.heard = [SIX, SIX]
    node.ways.whereabouts.own = (SIX,)
    node.ways.reach._seen[node.friend.identity] = Presence(1, STRANGER, [pack_endpoint(HERE)])
    node.link(RELAY)
    assert node.ways.path(contact).cause == "no-common-family"
    effort = node.ways.punching.effort(node.friend.identity)
    assert effort is not None
    effort.their_endpoints = (HERE, Endpoint("2a00::7", 4242))  # they say so themselves, and later
    assert node.ways.path(contact).cause == "punching"


def test_who_has_joined_anew_tries_every_wish_at_once(node: Node) -> None:
    node.ways.reach.want(node.friend.identity, START)
    for get in node.dht.take_gets():
        get.answer([], START)
    assert (due := node.ways.reach.next_deadline()) is not None
    assert due > START.steady
    node.dht.joined = False
    node.ways.look(START)
    node.dht.joined = True
    node.ways.look(after(1))
    assert len(node.dht.take_gets()) > 0
    assert "presence" in node.told


def test_the_path_to_a_contact_is_explained_by_all_of_them(node: Node) -> None:
    contact = node.person.contact(node.friend)
    assert node.ways.path(contact).cause == "idle"
    node.link(RELAY)
    path = node.ways.path(contact)
    assert (path.via, path.cause) == ("relay", "punching")
    for _ in range(limits.PUNCH_WAITS + 2):  # it waits to be told where it is, asks, and gets no answer
        deadline = node.ways.punching.next_deadline()
        assert deadline is not None
        node.ways.punching.on_timer(Now(deadline, START.wall_ms))
    assert node.ways.path(contact).cause == "not-punched"
    assert node.ways.path(replace(contact, identity=IdentityKey(b"?" * 32))).cause == "idle"
