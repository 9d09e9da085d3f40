"""Invites as text: the golden ones, every slip of who copies one, and what a hostile one can do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd import limits
from p2pd.errors import PeerError, UsageError
from p2pd.types import IdentityKey
from p2pd.wire.address import ALPHABET, PREFIX, Link, encode_letters, parse_link, parse_node_hint
from p2pd.wire.invite import PROOF_BYTES, Invitation, invite_proof
from tests.second import formats as second
from tests.wire.formats import DERIVED, TEXTS

IDENTITY = IdentityKey(TEXTS["identity"])
ONCE = Invitation(**TEXTS["invitation"])
SEVERAL = Invitation(ONCE.expires_s, ONCE.secret)
QR_LETTERS = set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")


def test_golden_invites() -> None:
    hints = tuple(parse_node_hint(hint) for hint in TEXTS["hints"])
    for text, link in (
        (TEXTS["invite"], Link(IDENTITY, hints, SEVERAL)),
        (TEXTS["invite_once"], Link(IDENTITY, (), ONCE)),
    ):
        assert link.encode() == text
        assert parse_link(text) == link


def test_golden_proof() -> None:
    proof = invite_proof(second.TOKEN, IDENTITY, second.FIRST_ENVELOPE.encode())
    assert proof == DERIVED["invite_proof"]
    assert len(proof) == PROOF_BYTES


@pytest.mark.parametrize("text", [TEXTS["invite"], TEXTS["invite_once"]])
def test_every_changed_letter_is_refused(text: str) -> None:
    for at in range(len(PREFIX), len(text)):
        for letter in (ALPHABET[(ALPHABET.find(text[at]) + 7) % 32], "l", "/"):
            if letter != text[at]:
                with pytest.raises(UsageError):
                    parse_link(text[:at] + letter + text[at + 1 :])


@pytest.mark.parametrize("text", [TEXTS["invite"], TEXTS["invite_once"]])
def test_cut_doubled_and_swapped_letters_are_refused(text: str) -> None:
    whole = (56 + len(PREFIX), text.rindex("/"))  # what is left is an address or a contact link, and no invite
    for at in range(len(PREFIX), len(text)):
        swapped = text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :]
        cuts = [] if at in whole or at in (whole[0] + 1, whole[1] + 1) else [text[:at]]
        for wrong in (*cuts, text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:], swapped):
            if wrong != text:
                with pytest.raises(UsageError):
                    parse_link(wrong)


@pytest.mark.parametrize("text", [TEXTS["invite"], TEXTS["invite_once"]])
def test_upper_case_reads_the_same_and_is_short_in_a_qr_code(text: str) -> None:
    assert parse_link(f" {text.upper()}\n") == parse_link(text)
    assert set(text.upper()) <= QR_LETTERS


def test_invites_are_short() -> None:
    assert len(Link(IDENTITY, (), SEVERAL).encode()) == 101
    assert len(Link(IDENTITY, (), ONCE).encode()) == 158


@given(text=st.text(st.sampled_from([*ALPHABET, "/", "l", ":", " "]), max_size=120))
def test_what_stands_behind_an_address_raises_only_usage_errors(text: str) -> None:
    try:
        link = parse_link(f"{TEXTS['address']}/{text}")
    except UsageError:
        return
    assert link.identity == IDENTITY


@given(data=st.binary(max_size=70))
def test_bytes_of_any_kind_raise_only_peer_errors(data: bytes) -> None:
    checksum = second.label_hash("invite checksum", IDENTITY, b"", data, size=3)
    for given_bytes in (data, data + checksum):
        try:
            invitation = Invitation.decode(given_bytes, IDENTITY, b"")
        except PeerError:
            continue
        assert invitation.encode(IDENTITY, b"") == given_bytes


def checked(body: bytes) -> str:
    checksum = second.label_hash("invite checksum", IDENTITY, b"", body, size=3)
    return f"{TEXTS['address']}//{encode_letters(body + checksum)}"


def test_other_kinds_and_lengths_are_of_a_newer_version() -> None:
    for body in (b"\x03" + bytes(20), b"\x01" + bytes(21), b"\x02" + bytes(20), b"\x00", bytes(limits.LETTERS // 2)):
        with pytest.raises(UsageError, match="newer version"):
            parse_link(checked(body))


def test_a_one_time_key_has_a_number() -> None:
    with pytest.raises(UsageError, match="no number"):
        parse_link(checked(b"\x02" + bytes(56)))


def test_an_invite_of_someone_else_does_not_fit() -> None:
    other = Link(IdentityKey(b"\1" * 32)).encode()
    with pytest.raises(UsageError, match="checksum"):
        parse_link(f"{other}//{TEXTS['invite_once'].rpartition('/')[2]}")


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(ONCE)
