"""Using relays: where we wait, how we call, and what a hostile relay can make of it."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.peers import Peer
from p2pd.effects import CheckLink, CloseLink, EffectQueue, LinkKind, OpenLink, SendFrame
from p2pd.peer.numbers import LinkNumbers
from p2pd.peer.relays import Relays, relay_binding
from p2pd.types import Endpoint, NodeKey, Now
from p2pd.wire.person import Waiting
from p2pd.wire.relay import (
    Call,
    Called,
    HangUp,
    Over,
    RelayMessage,
    Reserve,
    Reserved,
    Through,
    decode_relay_message,
)
from p2pd.wire.rpc import pack_endpoint
from tests.cast import START, after
from tests.chance import SeededRandom
from tests.second import formats


def server(number: int, host: str = "") -> Peer:
    return Peer(NodeKey(bytes([number]) * 32), Endpoint(host or f"198.51.{number}.1", 4242))


THERE = Waiting(server(200).key, [pack_endpoint(server(200).endpoint)], NodeKey(b"w" * 32))
WAITER = THERE.callee


@dataclass
class Table:
    """The servers that we know."""

    peers: list[Peer]
    slow: dict[NodeKey, float] = field(default_factory=dict)
    quic_blocked: bool = False
    has_looked_around: bool = True

    def servers(self) -> list[Peer]:
        return list(self.peers)

    def round_trip_ms(self, peer: Peer) -> float | None:
        return self.slow.get(peer.key)


@dataclass
class User:
    """Who talks over channels, in place of links."""

    told: list[tuple[object, ...]] = field(default_factory=list)

    def on_link_opened(
        self, id: int, node: NodeKey, endpoint: Endpoint | None, binding: bytes, outgoing: bool, now: Now
    ) -> None:
        assert endpoint is None
        self.told.append(("opened", id, node, outgoing, binding))

    def on_link_failed(self, id: int, reason: str, now: Now) -> None:
        self.told.append(("failed", id, reason))

    def on_link_closed(self, id: int, reason: str, now: Now) -> None:
        self.told.append(("closed", id, reason))

    def on_frame(self, id: int, frame: bytes, now: Now) -> None:
        self.told.append(("frame", id, frame))

    def take(self) -> list[tuple[object, ...]]:
        taken, self.told = self.told, []
        return taken


class Node:
    """The machine in a network of servers, and what it does."""

    def __init__(self, servers: int = 6, *, private: bool = False) -> None:
        self.table = Table([server(number + 1) for number in range(servers)])
        self.effects, self.numbers, self.user = EffectQueue(), LinkNumbers(), User()
        self.counts: Counter[str] = Counter()
        self.wanted, self.changes, self.now = True, 0, START
        self.kept_out: set[NodeKey] = set()
        self.relays = Relays(
            self.table,
            self.effects,
            SeededRandom("relays"),
            self.numbers,
            private=private,
            wanted=lambda: self.wanted,
            kept_out=lambda: self.kept_out,
            on_changed=self._changed,
            count=lambda why: self.counts.update([why]),
        )
        self.relays.user = self.user

    def _changed(self, now: Now) -> None:
        self.changes += 1

    def later(self, seconds: float) -> None:
        self.now = after(seconds, self.now)
        self.relays.on_timer(self.now)

    def take(self) -> list[object]:
        return list(self.effects.take())

    def dialled(self) -> list[OpenLink]:
        return [effect for effect in self.take() if isinstance(effect, OpenLink)]

    def said(self) -> list[tuple[int, RelayMessage]]:
        frames = [effect for effect in self.take() if isinstance(effect, SendFrame)]
        return [(effect.link, decode_relay_message(effect.frame)) for effect in frames]

    def hear(self, link: int, *messages: RelayMessage) -> None:
        for message in messages:
            self.relays.on_frame(link, message.encode(), self.now)

    def wait(self) -> list[OpenLink]:
        """The node has joined, and waits wherever it asked to."""
        self.relays.start(self.now)
        return self.settle()

    def settle(self) -> list[OpenLink]:
        dialled = self.dialled()
        for dial in dialled:
            self.relays.on_opened(dial.link, self.now)
            self.hear(dial.link, Reserved())
        self.take()
        return dialled

    def call(self, at: Waiting = THERE) -> tuple[int, OpenLink]:
        link = self.numbers.next()
        self.relays.call(link, at, self.now)
        (dial,) = self.dialled()
        return link, dial


@pytest.fixture
def node() -> Node:
    return Node()


# --- waiting ---


def test_a_node_waits_at_two_relays_under_a_key_of_each(node: Node) -> None:
    node.relays.start(START)
    dialled = node.dialled()
    assert len({dial.node for dial in dialled}) == len(dialled) == limits.RELAYS_WAITED_AT
    assert {dial.kind for dial in dialled} == {LinkKind.RELAY}
    assert node.relays.waiting == []
    for dial in dialled:
        node.relays.on_opened(dial.link, START)
        assert node.said() == [(dial.link, Reserve())]
        node.hear(dial.link, Reserved())
    keys = [NodeKey(SigningKey(dial.signer_seed).public) for dial in dialled]
    assert len(set(keys)) == len(keys)
    expected = [
        Waiting(dial.node, [pack_endpoint(dial.endpoints[0])], key) for dial, key in zip(dialled, keys, strict=True)
    ]
    assert (node.relays.waiting, node.changes) == (expected, 2)


def test_who_has_just_come_looks_around_before_it_chooses(node: Node) -> None:
    node.table.has_looked_around = False
    everybody, node.table.peers = node.table.peers, node.table.peers[:1]
    node.relays.start(node.now)
    assert node.dialled() == []
    node.later(limits.RELAY_CHOICE_S / 2)
    node.relays.need_changed(node.now)
    assert node.dialled() == []
    node.table.peers, node.table.has_looked_around = everybody, True
    node.relays.on_looked_around(node.now)
    assert len(node.dialled()) == limits.RELAYS_WAITED_AT


def test_who_is_long_in_looking_around_chooses_of_whom_it_knows(node: Node) -> None:
    node.table.has_looked_around = False
    node.relays.start(node.now)
    assert node.relays.next_deadline() == node.now.steady + limits.RELAY_CHOICE_S
    node.later(limits.RELAY_CHOICE_S)
    assert len(node.settle()) == limits.RELAYS_WAITED_AT
    node.relays.on_looked_around(node.now)
    assert node.dialled() == [], "it waits at as many as it should"


def test_who_has_not_joined_chooses_nobody(node: Node) -> None:
    node.relays.on_looked_around(node.now)
    assert node.dialled() == []


def test_who_needs_no_relay_waits_at_none_and_leaves_when_that_changes(node: Node) -> None:
    node.wanted = False
    assert node.wait() == []
    node.wanted = True
    node.relays.need_changed(node.now)
    dialled = node.settle()
    assert len(dialled) == limits.RELAYS_WAITED_AT
    node.hear(dialled[0].link, Called(1, NodeKey(b"c" * 32)))
    node.wanted = False
    node.relays.need_changed(node.now)
    assert node.take() == [CloseLink(dialled[1].link, "no need")], "the other is in use"
    assert not node.relays.shut_out


def test_relays_of_one_network_are_one(node: Node) -> None:
    node.table.peers = [server(number, f"198.51.100.{number}") for number in range(1, 9)]
    assert len(node.wait()) == 1
    private = Node(private=True)
    private.table.peers = [Peer(server(number).key, Endpoint("10.0.0.1", 4000 + number)) for number in range(1, 9)]
    assert len(private.wait()) == limits.RELAYS_WAITED_AT


def test_near_relays_come_before_far_ones(node: Node) -> None:
    node.table.slow = {peer.key: float(100 - number) for number, peer in enumerate(node.table.peers)}
    nearest = {peer.key for peer in node.table.peers[-2:]}
    assert {dial.node for dial in node.wait()} == nearest


def test_who_has_only_answered_repeated_questions_is_not_near(node: Node) -> None:
    node.table.slow = {peer.key: 500.0 for peer in node.table.peers[-2:]}
    assert {dial.node for dial in node.wait()} == set(node.table.slow)


def test_nobody_waits_at_the_node_of_who_shall_learn_no_address(node: Node) -> None:
    node.kept_out = {peer.key for peer in node.table.peers[1:]}
    assert [dial.node for dial in node.wait()] == [node.table.peers[0].key]


def test_a_relay_that_turns_out_to_be_theirs_is_left(node: Node) -> None:
    first, second = node.wait()
    node.kept_out = {first.node}
    node.later(limits.RELAY_CHECK_S)
    assert [waiting.relay for waiting in node.relays.waiting] == [second.node]
    assert first.node not in {dial.node for dial in node.dialled()}


def test_a_relay_that_is_gone_is_replaced_soon_and_avoided(node: Node) -> None:
    first, second = node.wait()
    node.relays.on_closed(first.link, "gone", node.now)
    assert [waiting.relay for waiting in node.relays.waiting] == [second.node]
    node.later(limits.RELAY_GAPS_S[0])
    (third,) = node.settle()
    assert third.node not in (first.node, second.node)
    node.table.peers = [peer for peer in node.table.peers if peer.key in (first.node, second.node)]
    node.relays.on_closed(third.link, "gone", node.now)
    node.later(limits.RELAY_GAPS_S[-1])
    assert node.dialled() == []
    node.later(limits.RELAY_AVOIDED_S)
    assert [dial.node for dial in node.dialled()] == [first.node]


def test_where_quic_does_not_pass_relays_are_tried_now_and_then_and_at_once_elsewhere() -> None:
    node = Node(servers=60)
    node.table.peers = [server(number, f"198.{number}.1.1") for number in range(1, 61)]
    node.table.quic_blocked = True
    node.relays.start(node.now)
    dials = 0
    for _ in range(3_600):
        for dial in node.dialled():
            dials += 1
            node.relays.on_closed(dial.link, "no answer", node.now)
        node.later(1)
    assert dials == 12 * limits.RELAYS_WAITED_AT
    node.relays.on_addresses((Endpoint("10.0.0.2", 4242),), node.now)
    assert len(node.dialled()) == limits.RELAYS_WAITED_AT


def test_a_relay_that_is_full_is_left(node: Node) -> None:
    first, _ = node.wait()
    node.hear(first.link, HangUp(0, Over.FULL))
    assert node.take() == [CloseLink(first.link, "full")]
    assert len(node.relays.stations) == 1


def test_a_relay_that_never_agrees_is_replaced(node: Node) -> None:
    node.relays.start(START)
    silent = node.dialled()
    for dial in silent:
        node.relays.on_opened(dial.link, START)
    assert node.relays.next_deadline() == START.steady + limits.HANDSHAKE_S
    node.take()
    node.later(limits.HANDSHAKE_S)
    ended = [effect.link for effect in node.effects.take() if isinstance(effect, CloseLink)]
    assert ended == [dial.link for dial in silent]
    node.later(limits.RELAY_GAPS_S[0])
    assert {dial.node for dial in node.dialled()}.isdisjoint({dial.node for dial in silent})


def test_relays_that_agree_and_leave_are_asked_ever_more_seldom() -> None:
    node = Node(servers=60)
    node.table.peers = [server(number, f"198.{number}.1.1") for number in range(1, 61)]
    node.relays.start(node.now)
    begun = node.now.steady
    while node.now.steady < begun + 600:
        for dial in node.settle():
            node.relays.on_closed(dial.link, "gone", node.now)
        deadline = node.relays.next_deadline()
        assert deadline is not None
        assert deadline > node.now.steady
        node.later(deadline - node.now.steady)
    assert 20 < node.changes < 60, "each would be a presence for the whole network to store"


def test_blocked_quic_shows_where_relays_of_our_choice_answer_nobody(node: Node) -> None:
    link, dial = node.call()
    for _ in range(3):  # what a contact names may be anything
        node.relays.on_closed(dial.link, "no answer", node.now)
        link, dial = node.call()
    assert not node.relays.shut_out
    node.relays.start(node.now)
    for waited in node.dialled():
        node.relays.on_closed(waited.link, "no answer", node.now)
    assert (node.relays.shut_out, node.changes) == (True, 1), "and our presence says so"
    node.relays.on_opened(dial.link, node.now)
    assert not node.relays.shut_out
    assert link


# --- being called ---


def test_who_calls_is_told_to_links_and_heard(node: Node) -> None:
    way = node.wait()[0]
    caller, ours = NodeKey(b"c" * 32), node.relays.waiting[0].callee
    node.hear(way.link, Called(1, caller), Through(1, b"hello"))
    (opened, frame) = node.user.take()
    number = opened[1]
    assert isinstance(number, int)
    assert opened == ("opened", number, caller, False, relay_binding(caller, ours))
    assert frame == ("frame", number, b"hello")
    assert node.relays.carries(number)
    assert node.relays.relay_of(number) == way.node
    node.relays.send(number, b"answer")
    node.relays.close(number)
    node.relays.send(number, b"late")
    assert node.said() == [(way.link, Through(1, b"answer")), (way.link, HangUp(1))]
    assert not node.relays.carries(number)
    node.hear(way.link, Through(1, b"late"))
    assert node.user.take() == []


def test_when_a_relay_is_gone_so_are_those_who_called_by_it(node: Node) -> None:
    way = node.wait()[0]
    node.hear(way.link, Called(1, NodeKey(b"c" * 32)), Called(2, NodeKey(b"d" * 32)))
    numbers = [told[1] for told in node.user.take()]

    def seen_from_inside(id: int, reason: str, now: Now) -> None:
        node.user.told.append(("closed", id, reason))
        for number in numbers:  # what links do when one of theirs is gone
            assert isinstance(number, int)
            assert not node.relays.carries(number)
            node.relays.send(number, b"x")
            node.relays.close(number)

    node.user.on_link_closed = seen_from_inside  # type: ignore[method-assign]
    node.relays.on_closed(way.link, "gone", node.now)
    assert node.user.take() == [("closed", number, "the relay: gone") for number in numbers]
    assert node.take() == []


# --- calling ---


def test_each_call_has_a_link_and_a_key_of_its_own(node: Node) -> None:
    calls = [node.call() for _ in range(2)]
    assert len({dial.signer_seed for _, dial in calls}) == 2
    for link, dial in calls:
        assert (dial.node, dial.endpoints, dial.kind) == (THERE.relay, (server(200).endpoint,), LinkKind.RELAY)
        node.relays.on_opened(dial.link, node.now)
        assert node.said() == [(dial.link, Call(1, WAITER))]
        ours = NodeKey(SigningKey(dial.signer_seed).public)
        assert node.user.take() == [("opened", link, WAITER, True, relay_binding(ours, WAITER))]


@pytest.mark.parametrize(
    ("reason", "words"), [(Over.NOBODY, "not there"), (Over.GONE, "the other end is gone"), (99, "hung up")]
)
def test_a_call_that_is_over_ends_its_link_with_the_relay(node: Node, reason: int, words: str) -> None:
    link, dial = node.call()
    node.relays.on_opened(dial.link, node.now)
    node.take(), node.user.take()
    node.hear(dial.link, HangUp(1, reason))
    assert node.user.take() == [("closed", link, words)]
    assert node.take() == [CloseLink(dial.link, "hung up")]
    node.hear(dial.link, Through(1, b"late"), HangUp(1))
    assert node.user.take() == []


def test_a_relay_that_cannot_be_reached_fails_the_call(node: Node) -> None:
    link, dial = node.call()
    node.relays.on_closed(dial.link, "no answer", node.now)
    assert node.user.take() == [("failed", link, "the relay: no answer")]
    assert not node.relays.carries(link)


def test_a_call_given_up_while_its_relay_is_dialled_is_silent(node: Node) -> None:
    link, dial = node.call()
    node.relays.close(link)
    assert node.take() == [CloseLink(dial.link, "hung up")]
    node.relays.on_opened(dial.link, node.now)
    assert node.take() == [CloseLink(dial.link, "not wanted")]
    assert node.user.take() == []


def test_a_change_of_network_asks_every_relay_that_is_up(node: Node) -> None:
    ways = node.wait()
    node.call()
    node.relays.on_addresses((Endpoint("10.0.0.2", 4242),), START)
    assert node.take() == [CheckLink(dial.link) for dial in ways]


def test_who_has_another_family_leaves_the_relays_of_the_one_before(node: Node) -> None:
    ways = node.wait()
    called, _ = node.call()
    node.relays.on_addresses((Endpoint("2001:db8::2", 4242),), START)
    assert {effect.link for effect in node.take() if isinstance(effect, CloseLink)} >= {dial.link for dial in ways}
    assert [told[:2] for told in node.user.take()] == [("failed", called)]
    assert node.relays.waiting == []


OTHER_FAMILY = Endpoint("2001:db8::200", 4242)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([], []),
        ([OTHER_FAMILY], [OTHER_FAMILY]),
        ([Endpoint("203.0.113.9", 1), OTHER_FAMILY], [OTHER_FAMILY]),  # by the family that we know we have reached it
        ([Endpoint("fd00::1", 4242)], []),
    ],
)
def test_a_relay_is_told_of_by_both_families(node: Node, said: list[Endpoint], told: list[Endpoint]) -> None:
    node.relays.start(START)
    dial = node.dialled()[0]
    node.relays.on_opened(dial.link, START)
    node.hear(dial.link, Reserved([pack_endpoint(endpoint) for endpoint in said]))
    (waiting,) = node.relays.waiting
    assert waiting.endpoints == [pack_endpoint(endpoint) for endpoint in (dial.endpoints[0], *told)]


# --- hostile relays ---


@pytest.mark.parametrize(
    "messages",
    [
        (Reserved(),),
        (Reserve(),),
        (Call(1, WAITER),),
        (Called(1, WAITER), Called(1, WAITER)),
    ],
    ids=["agrees twice", "reserves", "calls", "uses a number twice"],
)
def test_a_relay_out_of_turn_is_left(node: Node, messages: tuple[RelayMessage, ...]) -> None:
    way = node.wait()[0]
    node.changes = 0
    node.hear(way.link, *messages)
    assert not node.relays.owns(way.link)
    assert CloseLink(way.link, "refused") in node.take()
    assert node.changes == 1
    assert all(told[0] == "closed" for told in node.user.take()[1:])


@pytest.mark.parametrize("message", [Reserved(), Called(2, WAITER)])
def test_a_relay_that_is_called_by_invites_nobody(node: Node, message: RelayMessage) -> None:
    link, dial = node.call()
    node.relays.on_opened(dial.link, node.now)
    node.hear(dial.link, message)
    assert node.user.take()[1:] == [("closed", link, "the relay: refused")]
    assert (node.relays.waiting, node.changes) == ([], 0)


def test_invented_callers_are_bounded(node: Node) -> None:
    way = node.wait()[0]
    for number in range(1, 10_000):
        node.hear(way.link, Called(number, NodeKey(number.to_bytes(32, "big"))))
        for told in node.user.take():
            assert isinstance(told[1], int)
            node.relays.close(told[1])  # links refuse them at once
    said = [message for _, message in node.said()]
    assert said.count(HangUp(500, Over.FULL)) == 1
    assert sum(message.reason == Over.BY_CHOICE for message in said if isinstance(message, HangUp)) == (
        limits.RELAY_CALLED_BURST
    )
    assert node.counts["too_many_callers"] == 9_999 - limits.RELAY_CALLED_BURST


def test_callers_that_stay_are_bounded_too(node: Node) -> None:
    way = node.wait()[0]
    for number in range(limits.RELAY_CHANNELS + 1):
        node.now = after(1, node.now)
        node.hear(way.link, Called(number + 1, WAITER))
    assert not node.relays.owns(way.link)
    kinds = Counter(told[0] for told in node.user.take())
    assert kinds == {"opened": limits.RELAY_CHANNELS, "closed": limits.RELAY_CHANNELS}


def test_garbage_ends_a_relay_and_nothing_else(node: Node) -> None:
    first, second = node.wait()
    node.relays.on_frame(first.link, b"\xff\xff", node.now)
    node.relays.on_frame(first.link, b"\xff\xff", node.now)
    assert (node.counts["malformed"], node.relays.owns(second.link)) == (1, True)


LINKS = st.integers(1, 12)
SAID = st.one_of(
    st.sampled_from([Reserved(), Reserve(), Call(1, WAITER), HangUp(0)]),
    st.builds(Called, st.integers(0, 3), st.just(WAITER)),
    st.builds(Through, st.integers(0, 3), st.just(b"x")),
    st.builds(HangUp, st.integers(0, 3)),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["opened", "closed", "close"]), LINKS),
        st.tuples(st.just("said"), LINKS, SAID),
        st.tuples(st.sampled_from(["call", "need", "check"])),
        st.tuples(st.just("time"), st.floats(0.001, 700, allow_nan=False)),
    ),
    max_size=50,
)


@given(STEPS)
def test_whatever_relays_do_nothing_is_left_over_and_no_deadline_stays(steps: list[tuple[object, ...]]) -> None:
    node = Node()
    node.relays.start(node.now)
    calls: set[int] = set()
    for kind, *arguments in steps:
        match kind, arguments:
            case "opened", [int(link)]:
                way = node.relays._ways.get(link)
                if way is None or not way.up:
                    node.relays.on_opened(link, node.now)
            case "closed", [int(link)]:
                node.relays.on_closed(link, "gone", node.now)
            case "close", [int(link)]:
                node.relays.close(link)
            case "said", [int(link), message]:
                if (way := node.relays._ways.get(link)) is not None and way.up:
                    node.relays.on_frame(link, message.encode(), node.now)  # type: ignore[attr-defined]
            case "call", _:
                calls.add(node.numbers.next())
                node.relays.call(max(calls), THERE, node.now)
            case "need", _:
                node.wanted = not node.wanted
                node.relays.need_changed(node.now)
            case "check", _:
                node.relays.on_addresses((), node.now)
            case "time", [float(seconds)]:
                node.later(seconds)
        node.relays.on_timer(node.now)
        deadline = node.relays.next_deadline()
        assert deadline is not None
        assert deadline > node.now.steady
        assert len(node.relays.stations) <= limits.RELAYS_WAITED_AT
        over = {(way.link, channel): link for link, (way, channel) in node.relays._channels.items()}
        held = {(way.link, number): link for way in node.relays._ways.values() for number, link in way.channels.items()}
        assert over == held
    ended = Counter(told[1] for told in node.user.told if told[0] in ("closed", "failed"))
    assert max(ended.values(), default=0) <= 1, "a link ends once"


def test_two_ends_of_a_call_have_one_binding_and_no_other_call_has_it() -> None:
    one, other = NodeKey(b"1" * 32), NodeKey(b"2" * 32)
    assert relay_binding(one, other) != relay_binding(other, one)
    assert len(relay_binding(one, other)) == 32
    assert relay_binding(NodeKey(formats.NODE), NodeKey(formats.KEY)) == formats.derived()["relayed_binding"]
