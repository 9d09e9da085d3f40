import pytest

from p2pd.crypto.keys import SigningKey
from p2pd.crypto.sealing import KEY_SIZE, NONCE_SIZE, datagram_key, seal, unseal
from p2pd.errors import PeerError
from tests.second import protocol

KEY, NONCE = b"k" * KEY_SIZE, b"n" * NONCE_SIZE


def test_a_box_opens_with_its_key_nonce_and_associated_bytes_alone():
    box = seal(KEY, NONCE, b"plain", b"with")
    assert unseal(KEY, NONCE, box, b"with") == b"plain"
    for key, nonce, associated in ((b"x" * 32, NONCE, b"with"), (KEY, b"x" * 24, b"with"), (KEY, NONCE, b"")):
        with pytest.raises(PeerError, match="unsealable"):
            unseal(key, nonce, box, associated)


def test_the_second_implementation_opens_it():
    assert protocol.xchacha_unseal(KEY, NONCE, seal(KEY, NONCE, b"plain", b"with"), b"with") == b"plain"


def test_every_changed_or_missing_byte_is_refused():
    box = seal(KEY, NONCE, b"plain")
    changed = [box[:i] + bytes([box[i] ^ 1]) + box[i + 1 :] for i in range(len(box))]
    for bad in [*changed, *(box[:i] for i in range(len(box))), box + b"\0"]:
        with pytest.raises(PeerError):
            unseal(KEY, NONCE, bad)


@pytest.mark.parametrize("nonce", [b"", b"n" * 23, b"n" * 25])
def test_a_nonce_of_another_size_is_the_peers_fault(nonce):
    with pytest.raises(PeerError):
        unseal(KEY, nonce, seal(KEY, NONCE, b"plain"))


def test_both_nodes_have_the_same_datagram_key(vectors):
    one, other = map(SigningKey, vectors["pair"]["seeds"])
    assert datagram_key(one, other.public) == datagram_key(other, one.public) == vectors["pair"]["datagram"]
