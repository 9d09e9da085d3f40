from dataclasses import replace

import pytest

from p2pd.crypto.first_contact import (
    REQUEST_OVERHEAD,
    FirstContactHeader,
    SignedBundle,
    accept,
    begin,
    open_request,
    seal_request,
)
from p2pd.crypto.keys import SigningKey
from p2pd.crypto.prekeys import OneTimePair, PrekeyPair, PrekeyPublic, new_prekey
from p2pd.domains import Domain
from p2pd.errors import PeerError
from tests.second import protocol

ALICE, BOB = SigningKey(b"a" * 32), SigningKey(b"b" * 32)
ALICE_ID, BOB_ID = SigningKey(b"A" * 32).public, SigningKey(b"B" * 32).public


def signed(*prekeys: PrekeyPublic, device: SigningKey = BOB) -> SignedBundle:
    encoded = b"bundle" + b"".join(prekey.x25519 + prekey.kem for prekey in prekeys)
    return SignedBundle(encoded, device.sign(Domain.SIGN_PREKEYS, encoded))


@pytest.fixture
def prekey(chance) -> PrekeyPair:
    return new_prekey(7, 0, chance)


@pytest.fixture
def started(prekey):
    return begin(ALICE, ALICE_ID, BOB_ID, BOB.public, prekey.public(), signed(prekey.public()))


def test_both_ends_have_the_same_secret_and_associated_bytes(prekey, started):
    accepted = accept(BOB, BOB_ID, ALICE_ID, prekey, started.header)
    assert (accepted.secret, accepted.associated) == (started.secret, started.associated)
    assert started.associated == b"\x01" + ALICE_ID + ALICE.public + BOB_ID + BOB.public


def test_a_one_time_prekey_is_agreed_on_too(prekey):
    one_time = OneTimePair(3, b"o" * 32)
    public = prekey.public()
    started = begin(ALICE, ALICE_ID, BOB_ID, BOB.public, public, signed(public), one_time=one_time.public())
    assert started.header.one_time_id == 3
    assert accept(BOB, BOB_ID, ALICE_ID, prekey, started.header, one_time=one_time).secret == started.secret
    with pytest.raises(PeerError, match="unknown prekey"):
        accept(BOB, BOB_ID, ALICE_ID, prekey, started.header)
    other = OneTimePair(3, b"x" * 32)
    assert accept(BOB, BOB_ID, ALICE_ID, prekey, started.header, one_time=other).secret != started.secret


def test_the_recipient_derives_what_the_vectors_say(vectors):
    case = vectors["first_contact"]
    device, one_time = SigningKey(case["recipient_seed"]), OneTimePair(9, case["one_time"])
    pair = PrekeyPair(7, 0, case["prekey"], case["kem_seed"])
    initiator, recipient = case["identities"]
    accepted = accept(device, recipient, initiator, pair, FirstContactHeader(1, **case["header"]), one_time=one_time)
    assert (accepted.secret, accepted.associated) == (case["secret"], case["associated"])


def test_the_vectors_request_opens(vectors):
    case = vectors["first_contact"]
    pair = PrekeyPair(7, 0, case["prekey"], case["kem_seed"])
    opened = open_request({7: pair}.get, case["blob"])
    assert opened.plaintext == case["plaintext"]
    assert opened.header == FirstContactHeader(1, **case["header"])


def test_the_second_implementation_accepts_what_we_begin(prekey, started):
    fields = {name: getattr(started.header, name) for name in ("device", "ephemeral", "prekey_id", "one_time_id")}
    header = {**fields, "kem_ciphertext": started.header.kem_ciphertext}
    secret, associated = protocol.recipient_secret(
        BOB.seed, prekey.x25519, prekey.kem, None, (ALICE_ID, BOB_ID), header
    )
    assert (secret, associated) == (started.secret, started.associated)
    outer_key, inside, plaintext = protocol.open_request(prekey.x25519, prekey.kem, seal_request(started, b"hi"))
    assert (outer_key, inside, plaintext) == (started.outer_key, header, b"hi")


def test_every_part_of_the_header_is_bound(prekey, started):
    header = started.header
    other = begin(ALICE, ALICE_ID, BOB_ID, BOB.public, prekey.public(), signed(prekey.public())).header
    for changed in (
        replace(header, device=BOB_ID),
        replace(header, ephemeral=other.ephemeral),
        replace(header, kem_ciphertext=other.kem_ciphertext),
    ):
        assert accept(BOB, BOB_ID, ALICE_ID, prekey, changed).secret != started.secret
    for changed in (replace(header, suite=2), replace(header, prekey_id=8), replace(header, one_time_id=1)):
        with pytest.raises(PeerError):
            accept(BOB, BOB_ID, ALICE_ID, prekey, changed)


def test_both_identities_are_bound(prekey, started):
    assert accept(BOB, BOB_ID, BOB_ID, prekey, started.header).secret != started.secret
    assert accept(BOB, ALICE_ID, ALICE_ID, prekey, started.header).secret != started.secret


def test_a_bundle_that_the_device_has_not_signed_is_refused(prekey, chance):
    public = prekey.public()
    stranger = signed(public, device=ALICE)
    changed = SignedBundle(signed(public).encoded + b"!", signed(public).signature)
    other_domain = SignedBundle(public.x25519 + public.kem, BOB.sign(Domain.SIGN_DEVICE, public.x25519 + public.kem))
    without = signed(new_prekey(8, 0, chance).public())
    for bundle in (stranger, changed, other_domain, without, SignedBundle(signed(public).encoded, b"short")):
        with pytest.raises(PeerError, match="bad prekey"):
            begin(ALICE, ALICE_ID, BOB_ID, BOB.public, public, bundle)


@pytest.mark.parametrize(
    ("field", "value"),
    [("x25519", bytes(32)), ("x25519", b"x" * 31), ("kem", b"\xff" * 1184), ("kem", b"k" * 1183)],
)
def test_bad_keys_in_a_prekey_are_the_peers_fault(prekey, field, value):
    bad = replace(prekey.public(), **{field: value})
    with pytest.raises(PeerError):
        begin(ALICE, ALICE_ID, BOB_ID, BOB.public, bad, signed(bad))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device", bytes(32)),
        ("device", b"\x02" + bytes(31)),
        ("device", b""),
        ("ephemeral", bytes(32)),
        ("ephemeral", b"x"),
        ("kem_ciphertext", b"short"),
    ],
)
def test_bad_keys_in_a_header_are_the_peers_fault(prekey, started, field, value):
    with pytest.raises(PeerError):
        accept(BOB, BOB_ID, ALICE_ID, prekey, replace(started.header, **{field: value}))


def test_a_request_hides_its_sender_and_opens_for_the_prekeys_owner(prekey, started):
    blob = seal_request(started, b"may I?")
    assert len(blob) == REQUEST_OVERHEAD + 6
    for secret in (ALICE.public, ALICE_ID, BOB.public, BOB_ID, started.header.ephemeral, b"may I?"):
        assert secret not in blob
    opened = open_request({7: prekey}.get, blob)
    assert (opened.header, opened.plaintext) == (started.header, b"may I?")
    assert seal_request(started, b"may I?") != blob


def test_any_changed_byte_of_a_request_is_refused(prekey, started):
    blob = seal_request(started, b"x")
    places = [*range(40), 600, *range(1120, len(blob))]
    for place in places:
        changed = blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]
        with pytest.raises(PeerError):
            open_request({7: prekey}.get, changed)


def test_requests_cut_short_or_for_others_are_refused(prekey, started, chance):
    blob = seal_request(started, b"")
    for cut in (0, 1, 5, 37, 1125, 1149, len(blob) - 1):
        with pytest.raises(PeerError):
            open_request({7: prekey}.get, blob[:cut])
    with pytest.raises(PeerError, match="unknown prekey"):
        open_request({}.get, blob)
    with pytest.raises(PeerError):
        open_request({7: new_prekey(7, 0, chance)}.get, blob)


def test_secrets_are_not_shown(prekey, started):
    accepted = accept(BOB, BOB_ID, ALICE_ID, prekey, started.header)
    for value in (repr(started.secret), repr(started.outer_key)):
        assert value not in repr(started) + repr(accepted)
