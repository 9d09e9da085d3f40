"""Who may be pushed what arrives: whose word for it counts, and how many there are."""

from collections.abc import Callable

import pytest

from p2pd import limits
from p2pd.dht.alarms import Alarms
from p2pd.dht.counters import Cause
from p2pd.dht.listeners import Listeners
from p2pd.dht.peers import Peer
from p2pd.dht.questions import Question
from p2pd.dht.records import verified
from p2pd.domains import Domain
from p2pd.types import AddressKey, Endpoint, NodeKey, Now
from p2pd.wire.rpc import Body, Listen, Listening, listen_bytes
from tests.cast import after
from tests.dht.virtual import key_of, open_item

OnReply = Callable[[Body | None, Now], None]

NOW = Now(0.0, 1_800_000_000_000)
UNTIL_S = NOW.wall_s + limits.LISTEN_S


def ask(listeners: Listeners, number: int, host: str, *, proven: bool = True) -> Body:
    """Somebody there wants to listen at an address of their own."""
    address, asker = key_of(("address", number)), NodeKey(key_of(("asker", number)).public)
    signature = address.sign(Domain.SIGN_LISTEN, listen_bytes(address.public, asker, UNTIL_S))
    body = Listen(AddressKey(address.public), UNTIL_S, signature)
    question = Question(Peer(asker, Endpoint(host, 1)), body, False, proven, key_of("server"), limits.DATAGRAM_BYTES)
    return listeners.on_listen(body, question, NOW)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LISTENERS", 6)
    monkeypatch.setattr(limits, "LISTENERS_PER_NETWORK", 4)


def test_one_network_does_not_take_all_places(few: None) -> None:
    listeners = Listeners(None, Alarms(), private=False)  # type: ignore[arg-type]
    taken = [ask(listeners, number, f"11.0.0.{number}") for number in range(10)]
    assert taken.count(Listening(UNTIL_S)) == 4
    assert ask(listeners, 10, "12.0.0.1") == Listening(UNTIL_S)
    assert ask(listeners, 0, "11.0.0.1") == Listening(UNTIL_S), "who is here already is renewed"
    assert ask(listeners, 0, "12.0.0.9") == Listening(UNTIL_S), "and may be somewhere else by now"
    assert ask(listeners, 11, "11.0.0.1") == Listening(UNTIL_S)
    assert listeners.count == 6
    assert ask(listeners, 12, "13.0.0.1") == Listening(0)


def test_in_a_private_network_all_may_be_at_one_place(few: None) -> None:
    listeners = Listeners(None, Alarms(), private=True)  # type: ignore[arg-type]
    assert [ask(listeners, number, "11.0.0.1") for number in range(7)] == [Listening(UNTIL_S)] * 6 + [Listening(0)]


def test_places_come_free_when_the_time_is_over(few: None) -> None:
    listeners = Listeners(None, Alarms(), private=False)  # type: ignore[arg-type]
    for number in range(4):
        ask(listeners, number, "11.0.0.1")
    assert ask(listeners, 4, "11.0.0.1") == Listening(0)
    listeners.expire(Now(0.0, UNTIL_S * 1000))
    assert listeners.count == 0
    assert ask(listeners, 4, "11.0.0.1") == Listening(UNTIL_S)


def test_who_asks_anew_while_it_is_told_again_is_told_at_once_where_it_is_now() -> None:
    """What is on its way to where it was is lost."""
    alarms, pushed = Alarms(), []

    class Line:
        def ask(self, peer: Peer, body: Body, then: OnReply, now: Now, *, cause: Cause) -> None:
            pushed.append((peer.endpoint.host, then))

    listeners = Listeners(Line(), alarms, private=True)  # type: ignore[arg-type]
    ask(listeners, 0, "11.0.0.1")
    listeners.on_kept(verified(open_item(key_of(("address", 0)), NOW, 1).encode()), NOW)
    pushed[0][1](None, NOW)
    alarms.ring_due(after(limits.PUSH_AGAIN_S[0], NOW))
    assert [host for host, _ in pushed] == ["11.0.0.1"] * 2
    ask(listeners, 0, "12.0.0.9")
    assert [host for host, _ in pushed[2:]] == ["12.0.0.9"]
    pushed[1][1](None, after(2, NOW))
    alarms.ring_due(after(60, NOW))
    assert len(pushed) == 3, "nothing more goes to where it was"
