import pytest

from p2pd.crypto.keys import SigningKey, equal, exchange_public, verify, x25519
from p2pd.domains import Domain
from p2pd.errors import PeerError
from tests.second import curve, protocol

ONE, OTHER = SigningKey(b"1" * 32), SigningKey(b"2" * 32)

SMALL_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    b"\xec" + b"\xff" * 30 + b"\x7f",
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
]


def test_keys_and_signatures_equal_those_of_the_vectors(vectors):
    pair = vectors["pair"]
    key = SigningKey(pair["seeds"][0])
    assert key.public == curve.public_key(key.seed)
    assert key.sign(Domain.SIGN_PREKEYS, pair["message"]) == pair["signature"]


def test_signatures_of_every_kind_equal_those_of_the_vectors(vectors):
    case = vectors["signatures"]
    key, kinds = SigningKey(case["seed"]), [domain for domain in Domain if domain.name.startswith("SIGN_")]
    made = {kind.value.decode().removeprefix("p2pd/1 "): key.sign(kind, case["message"]) for kind in kinds}
    assert made == case["by"]


def test_the_second_implementation_verifies_what_we_sign():
    signature = ONE.sign(Domain.SIGN_ITEM, b"an item")
    assert curve.verify(ONE.public, protocol.signed_bytes("sign item", b"an item"), signature)


def test_exchange_agrees_with_the_other_end_and_with_the_second_implementation():
    assert ONE.exchange(OTHER.public) == OTHER.exchange(ONE.public) == protocol.exchange(ONE.seed, OTHER.public)


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_points_of_small_order_are_refused(point):
    with pytest.raises(PeerError):
        ONE.exchange(point)


@pytest.mark.parametrize("public", [b"", b"\x02" + bytes(31), b"x" * 31, b"x" * 33])
def test_bytes_that_are_no_key_are_refused(public):
    with pytest.raises(PeerError):
        exchange_public(public)


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31), b"", b"x" * 33])
def test_x25519_refuses_small_order_and_wrong_sizes(public):
    with pytest.raises(PeerError):
        x25519(b"1" * 32, public)


def test_x25519_of_rfc_7748_section_5_2():
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    shared = bytes.fromhex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")
    assert x25519(scalar, point) == curve.x25519(scalar, point) == shared


@pytest.mark.parametrize("public", [b"", b"short", bytes(32), ONE.public[:-1] + b"\xff", OTHER.public])
def test_verify_says_no_to_other_keys_and_never_raises(public):
    assert not verify(public, Domain.SIGN_ITEM, b"m", ONE.sign(Domain.SIGN_ITEM, b"m"))


def test_every_changed_byte_of_a_signature_is_refused():
    signature = ONE.sign(Domain.SIGN_ITEM, b"m")
    assert verify(ONE.public, Domain.SIGN_ITEM, b"m", signature)
    for place in range(len(signature)):
        changed = signature[:place] + bytes([signature[place] ^ 1]) + signature[place + 1 :]
        assert not verify(ONE.public, Domain.SIGN_ITEM, b"m", changed)
    assert not verify(ONE.public, Domain.SIGN_ITEM, b"m", signature + b"\0")


def test_a_signature_with_the_group_order_added_is_refused():
    signature = ONE.sign(Domain.SIGN_ITEM, b"m")
    shifted = (int.from_bytes(signature[32:], "little") + curve.L).to_bytes(32, "little")
    assert not verify(ONE.public, Domain.SIGN_ITEM, b"m", signature[:32] + shifted)


def test_keys_compare_by_secret_and_do_not_show_it():
    assert SigningKey(b"1" * 32) == ONE != OTHER
    assert len({ONE, SigningKey(b"1" * 32), OTHER}) == 2
    shown = repr(ONE) + str(ONE)
    assert ONE.seed.hex() not in shown
    assert repr(ONE.seed) not in shown
    assert equal(b"a", b"a")
    assert not equal(b"a", b"ab")
