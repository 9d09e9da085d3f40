import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pd.crypto.blinding import blind_public, blind_secret, pair_address, pair_zero, ring_tag
from p2pd.crypto.keys import SigningKey, verify
from p2pd.domains import Domain
from p2pd.errors import PeerError
from tests.crypto.test_keys import SMALL_ORDER
from tests.second import curve, protocol

seeds = st.binary(min_size=32, max_size=32)
days = st.integers(0, 2**32 - 1)


def test_blinding_equals_the_vectors(vectors):
    for case in vectors["blinding"]:
        parts = case["purpose"], case["secret"], case["day"]
        key = blind_secret(SigningKey(case["seed"]), *parts)
        assert blind_public(case["identity"], *parts) == key.public == case["public"]
        assert key.sign(Domain.SIGN_SINGLE, case["message"]) == case["signature"]
        assert curve.verify(case["public"], protocol.signed_bytes("sign single", case["message"]), case["signature"])


@given(seeds, st.binary(max_size=40), st.binary(max_size=40), days, st.binary(max_size=100))
@settings(max_examples=50, deadline=None)
def test_the_two_halves_meet_and_sign_as_ordinary_ed25519(seed, purpose, secret, day, message):
    identity = SigningKey(seed)
    key = blind_secret(identity, purpose, secret, day)
    assert key.public == blind_public(identity.public, purpose, secret, day) != identity.public
    signature = key.sign(Domain.SIGN_SINGLE, message)
    assert verify(key.public, Domain.SIGN_SINGLE, message, signature)
    assert not verify(key.public, Domain.SIGN_SINGLE, message + b"!", signature)
    assert not verify(identity.public, Domain.SIGN_SINGLE, message, signature)


@given(seeds, days)
@settings(max_examples=5, deadline=None)
def test_any_identity_blinds_as_in_the_second_implementation(seed, day):
    public = SigningKey(seed).public
    assert blind_public(public, b"presence", b"S", day) == protocol.blind_public(public, b"presence", b"S", day)


def test_every_input_changes_the_key():
    one, other = SigningKey(b"1" * 32).public, SigningKey(b"2" * 32).public
    inputs = [
        (one, b"profile", b"", 1),
        (other, b"profile", b"", 1),
        (one, b"presence", b"", 1),
        (one, b"profile", b"S", 1),
        (one, b"profile", b"", 2),
        (one, b"profileS", b"", 1),
    ]
    assert len({blind_public(*given) for given in inputs}) == len(inputs)


@pytest.mark.parametrize("identity", [*SMALL_ORDER, b"\x02" + bytes(31), b"", b"x" * 33])
def test_an_identity_that_is_no_good_point_is_refused(identity):
    with pytest.raises(PeerError):
        blind_public(identity, b"profile", b"", 1)


def test_nonces_differ_between_messages_and_blinded_keys():
    identity = SigningKey(b"1" * 32)
    today, tomorrow = blind_secret(identity, b"profile", b"", 1), blind_secret(identity, b"profile", b"", 2)
    commitments = {key.sign(Domain.SIGN_SINGLE, m)[:32] for key in (today, tomorrow) for m in (b"a", b"b")}
    assert len(commitments) == 4


def test_pair_keys_equal_the_vectors(vectors):
    pair = vectors["pair"]
    one, other = map(SigningKey, pair["seeds"])
    zero = pair_zero(one, other.public)
    assert zero == pair_zero(other, one.public) == pair["zero"]
    for index, address in enumerate(pair["addresses"]):
        assert pair_address(zero, one.public, other.public, pair["day"], index).public == address
    assert pair_address(zero, other.public, one.public, pair["day"], 0).public == pair["back"]
    assert ring_tag(zero, one.public, other.public, pair["day"], 2) == pair["ring"]


def test_addresses_and_rings_differ_by_direction_day_and_index(vectors):
    one, other = (SigningKey(seed).public for seed in vectors["pair"]["seeds"])
    zero = vectors["pair"]["zero"]
    places = [(one, other, 1, 0), (other, one, 1, 0), (one, other, 2, 0), (one, other, 1, 1), (one, other, 0, 1)]
    assert len({pair_address(zero, *place).public for place in places}) == len(places)
    assert len({ring_tag(zero, *place) for place in places}) == 5
