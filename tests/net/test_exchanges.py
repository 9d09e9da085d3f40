"""Requests between nodes: whole answers or none, and nothing that a peer can pile up."""

import os
from collections import Counter

import pytest

from p2pd import limits
from p2pd.effects import Request
from p2pd.net.inputs import Input, RequestArrived, ResponseArrived
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint
from tests.net.pair import Node, Packet, Wire, linked, signing_key

SIGNER = signing_key(50)
OTHER_SIGNER = signing_key(51)


def echo(node: Node, value: Input) -> None:
    """Answer every request with itself, twice."""
    if isinstance(value, RequestArrived):
        node.acceptor.respond(value.exchange, 2 * value.payload)


def ask(a: Node, b: Node, exchange: int, payload: bytes = b"what", signer: bytes = SIGNER.seed) -> None:
    a.exchanges.ask(Request(exchange, b.node, b.endpoint, signer, payload), a.wire.now)
    a.flush()


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def a(wire: Wire) -> Node:
    return Node(wire, 1)


@pytest.fixture
def b(wire: Wire) -> Node:
    node = Node(wire, 2)
    node.answers = echo
    return node


@pytest.mark.parametrize("size", [0, 1, 32 * limits.KIB])
def test_a_request_is_answered_whole(wire: Wire, a: Node, b: Node, size: int) -> None:
    payload = os.urandom(size)
    ask(a, b, 1, payload)
    wire.run(1.0)
    assert a.inputs == [ResponseArrived(1, 2 * payload)]
    (request,) = b.inputs
    assert isinstance(request, RequestArrived)
    assert (request.node, request.endpoint, request.payload) == (SIGNER.public, a.endpoint, payload)
    assert request.exchange < 0


@pytest.mark.slow
def test_the_largest_request_and_response_pass(wire: Wire, a: Node, b: Node) -> None:
    b.answers = lambda node, value: node.acceptor.respond(value.exchange, bytes(limits.RESPONSE_BYTES))
    ask(a, b, 1, bytes(limits.REQUEST_BYTES))
    wire.run(5.0)
    assert a.inputs == [ResponseArrived(1, bytes(limits.RESPONSE_BYTES))]
    wire.run(5.0)
    assert b.acceptor._held == 0


def test_what_is_too_large_is_our_own_bug(a: Node, b: Node) -> None:
    with pytest.raises(ValueError, match="request of"):
        ask(a, b, 1, bytes(limits.REQUEST_BYTES + 1))
    with pytest.raises(ValueError, match="response of"):
        b.acceptor.respond(-1, bytes(limits.RESPONSE_BYTES + 1))


def test_requests_of_one_signer_share_a_connection_that_closes_when_idle(wire: Wire, a: Node, b: Node) -> None:
    for exchange in range(1, 4):
        ask(a, b, exchange)
    wire.run(0.5)
    assert len(a.of(ResponseArrived)) == 3
    assert len(a.quic) == len(b.quic) == 1
    wire.run(limits.POOL_IDLE_S - 1)
    ask(a, b, 4)
    wire.run(limits.POOL_IDLE_S - 0.1)
    assert len(a.quic) == 1, "it was used meanwhile"
    wire.run(0.2)
    assert len(a.quic) == len(b.quic) == 0


def test_signers_do_not_share_a_connection(wire: Wire, a: Node, b: Node) -> None:
    ask(a, b, 1)
    ask(a, b, 2, signer=OTHER_SIGNER.seed)
    ask(a, b, 3, signer=a.key.seed)
    wire.run(1.0)
    assert {value.node for value in b.inputs} == {SIGNER.public, OTHER_SIGNER.public, a.node}
    assert len(a.quic) == 3


def test_a_link_carries_requests_too(wire: Wire, a: Node, b: Node) -> None:
    linked(wire, a, b)
    ask(a, b, 1, signer=a.key.seed)
    wire.run(1.0)
    assert a.of(ResponseArrived) == [ResponseArrived(1, b"whatwhat")]


def test_no_answer_from_nowhere_another_node_or_a_silent_core(wire: Wire, a: Node, b: Node) -> None:
    other = Node(wire, 3)
    a.exchanges.ask(Request(1, b.node, Endpoint("192.0.2.200", 1), SIGNER.seed, b""), wire.now)
    a.exchanges.ask(Request(2, b.node, other.endpoint, OTHER_SIGNER.seed, b""), wire.now)
    ask(a, other, 3)
    begun = wire.now
    wire.run(60.0, lambda: len(a.inputs) == 3)
    assert {value.exchange for value in a.inputs} == {1, 2, 3}
    assert {value.payload for value in a.inputs} == {None}
    assert wire.now - begun <= limits.EXCHANGE_S + 0.01
    wire.run(60.0)
    assert len(a.inputs) == 3, "each is answered once"
    assert len(a.quic) == len(other.quic) == len(other.acceptor) == len(a.exchanges) == 0


def ask_nowhere(a: Node, *exchanges: int) -> None:
    for exchange in exchanges:
        nowhere = Endpoint(f"198.51.100.{exchange}", 1)
        a.exchanges.ask(Request(exchange, signing_key(exchange).public, nowhere, SIGNER.seed, b"what"), a.wire.now)
    a.flush()


def test_into_silence_few_packets_go(wire: Wire, a: Node) -> None:
    sent: Counter[Endpoint] = Counter()
    wire.loses = lambda packet: True
    send = a.quic._send

    def counted(to: Endpoint, data: bytes, cause: str) -> None:
        sent[to] += 1
        send(to, data, cause)

    a.quic._send = counted
    ask_nowhere(a, *range(100, 120))
    wire.run(2 * limits.EXCHANGE_S)
    assert sorted(value.exchange for value in a.of(ResponseArrived)) == list(range(100, 120))
    assert len(a.quic) == 0
    assert sum(count > 1 for count in sent.values()) == limits.EXCHANGES_UNHEARD
    assert len(sent) == 20


def test_what_was_lost_is_said_again_once_somebody_has_answered(wire: Wire, a: Node, b: Node) -> None:
    other = Node(wire, 3)
    other.answers = echo
    lost: list[bytes] = []

    def loses(packet: Packet) -> bool:
        _, to, data = packet
        if to == b.endpoint and not lost:
            lost.append(data)
            return True
        return False

    wire.loses = loses
    ask_nowhere(a, *range(100, 100 + limits.EXCHANGES_UNHEARD))
    ask(a, b, 1)
    wire.run(1.0)
    assert lost
    assert a.inputs == []
    ask(a, other, 2)
    wire.run(0.5)
    assert {value.exchange for value in a.of(ResponseArrived)} == {1, 2}


def test_a_connection_lost_answers_all_that_was_asked_on_it(wire: Wire, a: Node, b: Node) -> None:
    b.answers = lambda node, value: None
    ask(a, b, 1)
    ask(a, b, 2)
    wire.run(0.5)
    b.quic.close_all(wire.now)
    wire.run(0.5)
    assert a.inputs == [ResponseArrived(1, None), ResponseArrived(2, None)]
    b.acceptor.respond(-1, b"too late")
    assert b.quic.counts["response too late"] == 1


def test_too_many_requests_at_once_fail_at_once(wire: Wire, a: Node) -> None:
    small = Node(wire, 9, QuicTuning(outgoing=1))
    ask(small, a, 1)
    ask(small, a, 2, signer=OTHER_SIGNER.seed)
    assert small.inputs == [ResponseArrived(2, None)]


def test_a_peer_has_few_requests_under_way(wire: Wire, a: Node, b: Node) -> None:
    b.answers = lambda node, value: None
    connection = a.quic.dial(b.endpoint, b.node, Idle(), wire.now)
    a.flush()
    wire.run(0.5)
    for number in range(2 + limits.EXCHANGES_PER_CONNECTION):
        connection.quic.send_stream_data(4 * number, b"R", end_stream=True)
    a.quic.touch(connection)
    a.flush()
    wire.run(1.0)
    assert len(b.of(RequestArrived)) == limits.EXCHANGES_PER_CONNECTION
    assert b.quic.counts["stream refused"] == 2


def test_more_requests_than_a_peer_allows_at_once_wait_their_turn(wire: Wire, a: Node, b: Node) -> None:
    b.answers = lambda node, value: None
    count = 2 * limits.EXCHANGES_PER_CONNECTION + 1
    for exchange in range(1, 1 + count):
        ask(a, b, exchange, exchange.to_bytes(1, "big"))
    wire.run(0.5)
    assert len(b.of(RequestArrived)) == limits.EXCHANGES_PER_CONNECTION
    b.answers = echo
    for request in b.of(RequestArrived):
        echo(b, request)
    b.flush()
    wire.run(0.5)
    assert [value.payload for value in a.inputs] == [2 * bytes([number]) for number in range(1, 1 + count)]


def test_a_peer_may_not_ask_too_often(wire: Wire, a: Node, b: Node) -> None:
    for exchange in range(1, 2 + limits.EXCHANGES_BURST):
        ask(a, b, exchange)
        wire.run(0.0)
    refused = a.inputs.count(ResponseArrived(1 + limits.EXCHANGES_BURST, None))
    wire.run(0.2)
    refused += a.inputs.count(ResponseArrived(1 + limits.EXCHANGES_BURST, None))
    assert refused >= 1
    ask(a, b, 1_000)
    wire.run(0.2)
    assert a.inputs[-1] == ResponseArrived(1_000, b"whatwhat"), "the allowance comes back"


def test_a_request_larger_than_allowed_is_refused_and_forgotten(wire: Wire, a: Node, b: Node) -> None:
    connection = a.quic.dial(b.endpoint, b.node, Idle(), wire.now)
    a.flush()
    wire.run(0.5)
    connection.quic.send_stream_data(0, b"R" + bytes(limits.REQUEST_BYTES + 1))
    a.quic.touch(connection)
    a.flush()
    wire.run(5.0)
    assert b.inputs == []
    assert b.quic.counts["request too long or no memory"] == 1
    assert b.acceptor._held == len(b.acceptor) == 0
    assert len(b.quic) == 1, "the stream is refused, not the connection"


def test_a_request_that_never_ends_is_given_up(wire: Wire, a: Node, b: Node) -> None:
    connection = a.quic.dial(b.endpoint, b.node, Idle(), wire.now)
    a.flush()
    wire.run(0.5)
    connection.quic.send_stream_data(0, b"R and then nothing")
    a.quic.touch(connection)
    a.flush()
    wire.run(limits.EXCHANGE_S + 0.1)
    assert b.quic.counts["request timed out"] == 1
    assert b.acceptor._held == len(b.acceptor) == 0


@pytest.mark.parametrize("first", [b"", b"X", b"K"])
def test_a_stream_of_no_kind_is_refused(wire: Wire, a: Node, b: Node, first: bytes) -> None:
    connection = a.quic.dial(b.endpoint, b.node, Idle(), wire.now)
    a.flush()
    wire.run(0.5)
    connection.quic.send_stream_data(0, first, end_stream=True)
    a.quic.touch(connection)
    a.flush()
    wire.run(0.5)
    assert b.inputs == []
    assert b.quic.counts["stream refused"] == 1


def test_a_rebuilt_core_is_asked_and_answered_nothing_old(wire: Wire, a: Node, b: Node) -> None:
    b.answers = lambda node, value: None
    ask(a, b, 1)
    wire.run(0.5)
    a.exchanges.forget_all()
    b.acceptor.refuse_all()
    a.flush()
    b.flush()
    wire.run(30.0)
    assert a.inputs == []
    assert len(a.quic) == len(b.acceptor) == 0


class Idle:
    """Owner of a connection that a test writes to itself."""

    def on_ready(self, connection: object, now: float) -> None: ...

    def on_stream(self, connection: object, stream: int, data: bytes, end: bool, now: float) -> None: ...

    def on_reset(self, connection: object, stream: int, now: float) -> None: ...

    def on_progress(self, connection: object, now: float) -> None: ...

    def on_ended(self, connection: object, reason: str, now: float) -> None: ...
