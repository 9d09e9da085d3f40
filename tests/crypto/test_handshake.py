import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd.crypto.handshake import Initiator, Responder, is_static_of
from p2pd.crypto.keys import SigningKey, exchange_public, x25519_public
from p2pd.crypto.noise import IkInitiator, IkResponder
from p2pd.errors import PeerError
from p2pd.limits import NOISE_MESSAGE_BYTES
from tests.second import formats

CALLER, CALLED, OTHER = SigningKey(b"c" * 32), SigningKey(b"d" * 32), SigningKey(b"o" * 32)


class Given:
    """A source of chance that gives one thing, as vectors fix it."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def bytes(self, count: int) -> bytes:
        assert count == len(self._value)
        return self._value

    def uniform(self, low: float, high: float) -> float:
        return low


def linked(chance, prologue=b"certificates"):
    initiator = Initiator(CALLER, CALLED.public, prologue, chance)
    responder = Responder(CALLED, prologue, chance)
    responder.receive(initiator.hello(b""))
    initiator.finish(responder.reply(b""))
    return initiator.transport(), responder.transport()


def test_the_published_vector(noise_vector):
    vector = noise_vector
    prologue, messages = vector["prologue"], [(m["payload"], m["ciphertext"]) for m in vector["messages"]]
    assert x25519_public(vector["resp_static"]) == vector["init_remote_static"]
    initiator = IkInitiator(
        vector["init_static"], vector["init_remote_static"], prologue, Given(vector["init_ephemeral"])
    )
    responder = IkResponder(vector["resp_static"], prologue, Given(vector["resp_ephemeral"]))
    assert initiator.write_first(messages[0][0]) == messages[0][1]
    assert initiator.hash == vector["handshake_hash"], "the vector gives the hash after the first message"
    assert responder.read_first(messages[0][1]) == (x25519_public(vector["init_static"]), messages[0][0])
    assert responder.write_second(messages[1][0]) == messages[1][1]
    assert initiator.read_second(messages[1][1]) == messages[1][0]
    assert initiator.hash == responder.hash
    ends = [(initiator.split()[0], responder.split()[0]), (responder.split()[1], initiator.split()[1])]
    for number, (payload, ciphertext) in enumerate(messages[2:]):
        sending, receiving = ends[number % 2]
        assert sending.encrypt(payload) == ciphertext
        assert receiving.decrypt(ciphertext) == payload


def test_the_prologue_is_what_the_second_implementation_makes(chance):
    golden = formats.derived()["link_prologue"]
    responder = IkResponder(CALLED.exchange_secret, golden["bytes"], chance)
    hello = Initiator(CALLER, CALLED.public, golden["binding"], chance).hello(b"payload")
    assert responder.read_first(hello) == (exchange_public(CALLER.public), b"payload")


def test_both_learn_who_the_other_is_and_talk(chance):
    initiator = Initiator(CALLER, CALLED.public, b"certificates", chance)
    responder = Responder(CALLED, b"certificates", chance)
    static, payload = responder.receive(initiator.hello(CALLER.public + b"more"))
    assert payload == CALLER.public + b"more"
    assert is_static_of(CALLER.public, static)
    assert initiator.finish(responder.reply(b"welcome")) == b"welcome"
    one, other = initiator.transport(), responder.transport()
    for sender, receiver in ((one, other), (other, one), (one, other)):
        assert receiver.unseal(sender.seal(b"text")) == b"text"


def test_a_device_key_that_the_handshake_did_not_use_is_noticed():
    static = exchange_public(CALLER.public)
    assert is_static_of(CALLER.public, static)
    for device in (OTHER.public, b"", bytes(32), b"\x02" + bytes(31), static):
        assert not is_static_of(device, static)


def test_a_hello_for_another_device_or_prologue_says_nothing(chance):
    hello = Initiator(CALLER, CALLED.public, b"one", chance).hello(b"payload")
    for responder in (Responder(OTHER, b"one", chance), Responder(CALLED, b"two", chance)):
        with pytest.raises(PeerError):
            responder.receive(hello)
        with pytest.raises(RuntimeError):
            responder.reply(b"")


def test_every_changed_byte_of_a_hello_is_refused(chance):
    hello = Initiator(CALLER, CALLED.public, b"p", chance).hello(b"payload")
    for place in range(len(hello)):
        with pytest.raises(PeerError):
            Responder(CALLED, b"p", chance).receive(changed(hello, place))


def test_every_changed_byte_of_a_reply_is_refused(chance):
    size = 48 + len(b"payload")
    for place in range(size):
        initiator = Initiator(CALLER, CALLED.public, b"p", chance)
        responder = Responder(CALLED, b"p", chance)
        responder.receive(initiator.hello(b""))
        reply = responder.reply(b"payload")
        assert len(reply) == size
        with pytest.raises(PeerError):
            initiator.finish(changed(reply, place))
        with pytest.raises(RuntimeError):
            initiator.finish(reply)


def changed(message: bytes, place: int) -> bytes:
    return message[:place] + bytes([message[place] ^ 1]) + message[place + 1 :]


@given(st.binary(max_size=200))
def test_any_bytes_are_only_ever_the_peers_fault(data):
    chance = Given(b"e" * 32)
    with pytest.raises(PeerError):
        Responder(CALLED, b"p", chance).receive(data)
    initiator = Initiator(CALLER, CALLED.public, b"p", chance)
    initiator.hello(b"")
    with pytest.raises(PeerError):
        initiator.finish(data)


def test_too_large_messages_are_refused_unread(chance):
    with pytest.raises(PeerError, match="bad handshake"):
        Responder(CALLED, b"p", chance).receive(bytes(NOISE_MESSAGE_BYTES + 1))


def test_a_caller_refuses_a_bad_device_key(chance):
    with pytest.raises(PeerError):
        Initiator(CALLER, bytes(32), b"p", chance)


def test_a_link_refuses_replays_gaps_reflections_and_changes(chance):
    one, other = linked(chance)
    first, second = one.seal(b"first"), one.seal(b"second")
    for bad in (second, changed(first, 0), changed(first, len(first) - 1), b"", other.seal(b"back")):
        with pytest.raises(PeerError, match="unsealable"):
            other.unseal(bad)
    assert other.unseal(first) == b"first"
    with pytest.raises(PeerError):
        other.unseal(first)
    assert other.unseal(second) == b"second"


def test_steps_out_of_order_are_our_own_mistake(chance):
    initiator, responder = Initiator(CALLER, CALLED.public, b"p", chance), Responder(CALLED, b"p", chance)
    for step in (initiator.transport, responder.transport, lambda: responder.reply(b""), lambda: initiator.finish(b"")):
        with pytest.raises(RuntimeError):
            step()


def test_two_handshakes_share_no_keys(chance):
    one, _ = linked(chance)
    _, other = linked(chance)
    with pytest.raises(PeerError):
        other.unseal(one.seal(b"x"))
