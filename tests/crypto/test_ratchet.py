"""The ratchet under loss, reordering, repetition and restarts.  P2PD_RATCHET_MESSAGES sets how many messages."""

import os
import random
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd.crypto.keys import x25519_public
from p2pd.crypto.prekeys import PrekeyPair, new_prekey
from p2pd.crypto.ratchet import Ratchet, RatchetHeader
from p2pd.errors import DamagedError, DuplicateError, PeerError, UndecryptableError, UsageError
from p2pd.limits import RATCHET_JUMP, RATCHET_RETIRED, RATCHET_SKIPPED, RATCHET_STATE_BYTES
from tests.second import protocol

MESSAGES = int(os.environ.get("P2PD_RATCHET_MESSAGES", "2000"))
SECRET, ASSOCIATED = b"s" * 32, b"both identities"


@pytest.fixture
def pair(chance) -> tuple[Ratchet, Ratchet]:
    prekey = new_prekey(1, 0, chance)
    return Ratchet.begin(SECRET, x25519_public(prekey.x25519), ASSOCIATED), Ratchet.accept(SECRET, prekey, ASSOCIATED)


@pytest.fixture
def talking(pair) -> tuple[Ratchet, Ratchet]:
    """A pair after one message each way."""
    alice, bob = pair
    bob.decrypt(*alice.encrypt(b"hello"))
    alice.decrypt(*bob.encrypt(b"hello yourself"))
    return pair


def test_the_vectors_messages_open_and_the_second_implementation_reads_the_answer(vectors):
    contact, case = vectors["first_contact"], vectors["ratchet"]
    prekey = PrekeyPair(contact["header"]["prekey_id"], 0, contact["prekey"], contact["kem_seed"])
    recipient = Ratchet.accept(contact["secret"], prekey, contact["associated"])
    for message in case["messages"]:
        header = RatchetHeader(case["public"], case["previous"], message["number"])
        assert recipient.decrypt(header, message["ciphertext"], case["associated"]) == message["plaintext"]
    header, ciphertext = recipient.encrypt(b"back", case["associated"])
    assert (header.previous, header.number) == (0, 0)
    root, _ = protocol.root_step(contact["secret"], case["ratchet"], x25519_public(contact["prekey"]))
    _, chain = protocol.root_step(root, case["ratchet"], header.public)
    cipher, nonce = protocol.message_cipher(protocol.message_key(chain, 0))
    associated = protocol.message_associated(contact["associated"], case["associated"], header.public, 0, 0)
    assert cipher.decrypt(nonce, ciphertext, associated) == b"back"


def test_messages_go_both_ways(pair):
    alice, bob = pair
    for number in range(5):
        text = f"{number}".encode()
        assert bob.decrypt(*alice.encrypt(text, b"with"), b"with") == text
        assert alice.decrypt(*bob.encrypt(text)) == text


def test_the_recipient_of_a_first_contact_waits_for_it(pair):
    alice, bob = pair
    assert alice.can_encrypt
    assert not bob.can_encrypt
    with pytest.raises(UsageError):
        bob.encrypt(b"too early")
    bob = Ratchet.from_state(bob.state())
    with pytest.raises(UsageError):
        bob.encrypt(b"too early")
    bob.decrypt(*alice.encrypt(b"hello"))
    assert bob.can_encrypt


def test_the_first_messages_may_come_in_any_order(pair):
    alice, bob = pair
    sent = [alice.encrypt(bytes([n])) for n in range(4)]
    assert [bob.decrypt(*sent[n]) for n in (3, 0, 2, 1)] == [b"\x03", b"\x00", b"\x02", b"\x01"]
    assert bob.skipped == 0


def test_random_loss_reordering_repetition_and_restarts(pair):
    """Whatever the network does, each message opens once, and the ends come back from their states at any time."""
    chance, ends = random.Random(3), list(pair)
    under_way: list[tuple[int, bytes, RatchetHeader, bytes]] = []
    opened: set[bytes] = set()
    lost = refused = 0
    for number in range(MESSAGES):
        side = chance.randrange(2) if ends[1].can_encrypt else 0
        text = number.to_bytes(4, "big")
        message = (1 - side, text, *ends[side].encrypt(text, text))
        if chance.random() < 0.05:
            lost += 1
        else:
            under_way += [message] * (2 if chance.random() < 0.1 else 1)
        while under_way and chance.random() < 0.5 + len(under_way) / 200:
            to, text, header, ciphertext = under_way.pop(chance.randrange(len(under_way)))
            refused += not _received(ends[to], text, header, ciphertext, opened)
        if chance.random() < 0.1:
            side = chance.randrange(2)
            ends[side] = Ratchet.from_state(ends[side].state())
    for to, text, header, ciphertext in under_way:
        refused += not _received(ends[to], text, header, ciphertext, opened)
    assert len(opened) == MESSAGES - lost
    assert refused > 0
    assert sum(end.skipped for end in ends) <= lost


def _received(end: Ratchet, text: bytes, header: RatchetHeader, ciphertext: bytes, opened: set[bytes]) -> bool:
    if text in opened:
        before = end.state()
        with pytest.raises(PeerError):
            end.decrypt(header, ciphertext, text)
        assert end.state() == before
        return False
    assert end.decrypt(header, ciphertext, text) == text
    opened.add(text)
    return True


def test_a_repeated_message_is_called_one(talking):
    alice, bob = talking
    old = alice.encrypt(b"old")
    bob.decrypt(*old)
    with pytest.raises(DuplicateError):
        bob.decrypt(*old)
    skipped, last = alice.encrypt(b"skipped"), alice.encrypt(b"last")
    bob.decrypt(*last)
    assert bob.decrypt(*skipped) == b"skipped"
    for _ in range(RATCHET_RETIRED):
        alice.decrypt(*bob.encrypt(b"ping"))
        bob.decrypt(*alice.encrypt(b"pong"))
    bob = Ratchet.from_state(bob.state())
    for message in (old, skipped, last):
        with pytest.raises(DuplicateError):
            bob.decrypt(*message)
    alice.decrypt(*bob.encrypt(b"ping"))
    bob.decrypt(*alice.encrypt(b"pong"))
    with pytest.raises(UndecryptableError):
        bob.decrypt(*old)


def test_a_message_from_a_chain_that_is_over_still_opens(talking):
    alice, bob = talking
    late = [alice.encrypt(b"late %d" % n) for n in range(3)]
    for _ in range(3):
        alice.decrypt(*bob.encrypt(b"ping"))
        bob.decrypt(*alice.encrypt(b"pong"))
    assert bob.skipped == 3
    assert [bob.decrypt(*message) for message in reversed(late)] == [b"late 2", b"late 1", b"late 0"]


@given(st.data())
def test_what_does_not_open_changes_nothing(data):
    prekey = new_prekey(1, 0, _Fixed())
    alice = Ratchet.begin(SECRET, x25519_public(prekey.x25519), ASSOCIATED)
    bob = Ratchet.accept(SECRET, prekey, ASSOCIATED)
    bob.decrypt(*alice.encrypt(b"hello"))
    kept = alice.encrypt(b"kept")
    header, ciphertext = alice.encrypt(b"text", b"with")
    bad = RatchetHeader(
        data.draw(st.sampled_from([header.public, bytes(32), b"x" * 32, b"x", b""])),
        data.draw(st.one_of(st.just(header.previous), st.integers(-1, 2**33))),
        data.draw(st.one_of(st.just(header.number), st.integers(-1, 2**33))),
    )
    text = data.draw(st.one_of(st.just(ciphertext), st.just(ciphertext[:-1]), st.binary(max_size=40)))
    associated = data.draw(st.sampled_from([b"with", b"", b"other"]))
    before = bob.state()
    if (bad, text, associated) != (header, ciphertext, b"with"):
        with pytest.raises(PeerError):
            bob.decrypt(bad, text, associated)
        assert bob.state() == before
    assert bob.decrypt(header, ciphertext, b"with") == b"text"
    assert bob.decrypt(*kept) == b"kept"


class _Fixed:
    def bytes(self, count: int) -> bytes:
        return b"f" * count

    def uniform(self, low: float, high: float) -> float:
        return low


def test_the_session_is_bound_to_its_associated_bytes(pair, chance):
    alice, _ = pair
    prekey = new_prekey(1, 0, type(chance)(7))
    other = Ratchet.accept(SECRET, prekey, b"other identities")
    message = alice.encrypt(b"text")
    with pytest.raises(UndecryptableError):
        other.decrypt(*message)
    assert Ratchet.accept(SECRET, prekey, ASSOCIATED).decrypt(*message) == b"text"


@pytest.mark.parametrize("number", [RATCHET_JUMP + 2, 2**31, 2**32 - 1, 2**32, 2**64])
def test_a_huge_counter_is_refused_before_any_key_is_derived(talking, number):
    alice, bob = talking
    header, ciphertext = alice.encrypt(b"text")
    before = bob.state()
    for bad in (
        RatchetHeader(header.public, header.previous, number),
        RatchetHeader(b"n" * 32, 0, number),
        RatchetHeader(b"n" * 32, number, 0),
    ):
        start = time.process_time()
        with pytest.raises(PeerError):
            bob.decrypt(bad, ciphertext)
        assert time.process_time() - start < 0.005
    assert bob.state() == before
    assert bob.decrypt(header, ciphertext) == b"text"


def test_the_largest_jump_is_allowed_and_one_more_is_not(talking):
    alice, bob = talking
    sent = [alice.encrypt(b"%d" % number) for number in range(RATCHET_JUMP + 2)]
    with pytest.raises(UndecryptableError, match="jump"):
        bob.decrypt(*sent[-1])
    assert bob.decrypt(*sent[-2]) == b"%d" % RATCHET_JUMP
    assert bob.skipped == RATCHET_JUMP


def test_skipped_keys_are_bounded_and_the_oldest_go_first(talking):
    alice, bob = talking
    sent = []
    for _ in range(3):
        sent.append([alice.encrypt(b"%d" % number) for number in range(RATCHET_JUMP + 1)])
        bob.decrypt(*sent[-1][-1])
        alice.decrypt(*bob.encrypt(b"turn"))
        assert bob.skipped <= RATCHET_SKIPPED
    assert bob.skipped == RATCHET_SKIPPED
    assert len(bob.state()) <= RATCHET_STATE_BYTES
    bob = Ratchet.from_state(bob.state())
    with pytest.raises(DuplicateError):
        bob.decrypt(*sent[0][5])
    assert bob.decrypt(*sent[1][5]) == b"5"
    assert bob.decrypt(*sent[2][5]) == b"5"
    assert bob.skipped == RATCHET_SKIPPED - 2


def test_the_worst_state_fits_its_bound(talking):
    """Each skipped key in a chain of its own."""
    from p2pd.crypto.ratchet_state import decode, encode

    _, bob = talking
    model, associated, _, _ = decode(bob.state())
    skipped = {number.to_bytes(32, "big"): {2**32 - 1: b"k" * 32} for number in range(RATCHET_SKIPPED)}
    worst = encode(model, b"a" * 1024, skipped, b"r" * 8 * RATCHET_RETIRED)
    assert len(worst) <= RATCHET_STATE_BYTES
    assert Ratchet.from_state(worst).skipped == RATCHET_SKIPPED
    assert associated == ASSOCIATED


def test_a_state_comes_back_whole(talking):
    alice, bob = talking
    skipped = alice.encrypt(b"skipped")
    bob.decrypt(*alice.encrypt(b"next"))
    again = Ratchet.from_state(bob.state())
    assert again.state() == bob.state()
    assert again.decrypt(*skipped) == b"skipped"
    assert alice.decrypt(*again.encrypt(b"back")) == b"back"


def test_a_damaged_state_is_called_damaged(talking):
    state = talking[1].state()
    cut = [state[:size] for size in range(len(state))]
    for bad in [
        *cut,
        state + b"\0",
        b"\x02" + state[1:],
        b"\x01" + bytes([0x91] * 2000),
        bytes(RATCHET_STATE_BYTES + 1),
    ]:
        with pytest.raises(DamagedError):
            Ratchet.from_state(bad)


def test_a_state_with_a_field_too_many_or_of_another_size_is_damaged(talking):
    fields = msgspec.msgpack.decode(talking[1].state()[1:], strict=False)
    wrong = [[*fields, 0], fields[:-1]]
    wrong += [[b"short" if place == i else field for place, field in enumerate(fields)] for i in range(8)]
    for bad in wrong:
        if bad[6] != b"short":
            with pytest.raises(DamagedError):
                Ratchet.from_state(b"\x01" + msgspec.msgpack.encode(bad))


@given(st.binary(max_size=300))
def test_any_bytes_in_the_place_of_a_state_are_damage(data):
    with pytest.raises(DamagedError):
        Ratchet.from_state(b"\x01" + data)


def test_a_bad_prekey_is_the_peers_fault():
    for bad in (bytes(32), b"", b"x" * 31):
        with pytest.raises(PeerError):
            Ratchet.begin(SECRET, bad, ASSOCIATED)


def test_ratchet_keys_change_with_every_turn(talking):
    alice, bob = talking
    seen = set()
    for _ in range(5):
        header, ciphertext = alice.encrypt(b"same text")
        seen |= {header.public, ciphertext}
        bob.decrypt(header, ciphertext)
        alice.decrypt(*bob.encrypt(b""))
    assert len(seen) == 10
