import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd import limits
from p2pd.errors import PeerError, UsageError
from p2pd.types import Endpoint, IdentityKey, NodeHint, NodeKey
from p2pd.wire.address import (
    ALPHABET,
    PREFIX,
    Link,
    decode_letters,
    encode_address,
    encode_id,
    encode_letters,
    format_hint,
    id_range,
    looks_like_address,
    parse_endpoint,
    parse_link,
    parse_node_hint,
)
from tests.wire.formats import TEXTS

KEY = NodeKey(b"n" * 32)


@given(data=st.binary(max_size=100))
def test_letters_round_trip_in_either_case(data: bytes) -> None:
    assert decode_letters(encode_letters(data)) == data
    assert decode_letters(encode_letters(data).upper()) == data


@given(text=st.text(ALPHABET, max_size=60))
def test_letters_have_one_reading(text: str) -> None:
    try:
        data = decode_letters(text)
    except PeerError:
        return
    assert encode_letters(data) == text


@pytest.mark.parametrize("text", ["l", "0", "y", "yyy", "yb", "\u212ay", "\u0130y", "y y", "y" * (limits.LETTERS + 8)])
def test_other_letters_lengths_and_stray_bits_are_refused(text: str) -> None:
    with pytest.raises(PeerError):
        decode_letters(text)


def test_golden_texts() -> None:
    identity = IdentityKey(TEXTS["identity"])
    link = Link(identity, tuple(parse_node_hint(hint) for hint in TEXTS["hints"]))
    assert encode_address(identity) == TEXTS["address"]
    assert link.encode() == TEXTS["link"]
    assert parse_link(TEXTS["link"]) == link
    assert [format_hint(hint) for hint in link.hints] == TEXTS["hints"]
    assert encode_id(TEXTS["message"]) == TEXTS["message_letters"]


@pytest.mark.parametrize("identity", [bytes(32), b"\xff" * 32, TEXTS["identity"]])
def test_every_changed_letter_of_an_address_is_refused(identity: bytes) -> None:
    address = encode_address(IdentityKey(identity))
    for at in range(len(PREFIX), len(address)):
        for letter in ALPHABET.replace(address[at], "") + "l0v2":
            with pytest.raises(UsageError):
                parse_link(address[:at] + letter + address[at + 1 :])


def test_swapped_lost_and_added_letters_are_refused() -> None:
    address = TEXTS["address"]
    for at in range(len(PREFIX), len(address) - 1):
        swapped = address[:at] + address[at + 1] + address[at] + address[at + 2 :]
        for wrong in (swapped, address[:at] + address[at + 1 :], address[:at] + "y" + address[at:]):
            if wrong != address:
                with pytest.raises(UsageError):
                    parse_link(wrong)


def test_upper_case_and_white_space_round_an_address_are_accepted() -> None:
    assert parse_link(f"  {TEXTS['address'].upper()}\n") == Link(IdentityKey(TEXTS["identity"]))
    assert parse_link(TEXTS["address"] + "/") == Link(IdentityKey(TEXTS["identity"]))


@pytest.mark.parametrize(
    "text",
    ["", "bob", "p2p:", TEXTS["address"][4:], TEXTS["link"][:-1], TEXTS["link"] + "y", TEXTS["address"] + "/a/b"],
)
def test_other_texts_are_no_link(text: str) -> None:
    with pytest.raises(UsageError, match="not an address"):
        parse_link(text)


def test_a_link_of_any_length_is_read_in_no_time() -> None:
    with pytest.raises(UsageError):
        parse_link(TEXTS["address"] + "/" + "y" * 2_000_000)


def test_link_carries_the_first_three_hints_with_a_key() -> None:
    bare = NodeHint(Endpoint("192.0.2.9", 1))
    keyed = [NodeHint(Endpoint("192.0.2.9", port), KEY) for port in range(1, 5)]
    link = Link(IdentityKey(TEXTS["identity"]), (bare, bare, bare, *keyed))
    assert parse_link(link.encode()).hints == tuple(keyed[:3])
    assert Link(link.identity, (bare,)).encode() == TEXTS["address"]


def test_a_name_does_not_look_like_an_address() -> None:
    assert looks_like_address("P2P:ab")
    assert not looks_like_address("p2p")


@given(message=st.binary(min_size=16, max_size=16), other=st.binary(min_size=16, max_size=16), size=st.integers(1, 26))
def test_id_range_holds_just_the_ids_that_begin_so(message: bytes, other: bytes, size: int) -> None:
    prefix = encode_id(message)[:size]
    low, high = id_range(prefix.upper())
    assert low <= message <= high
    for id in (low, high):
        assert encode_id(id).startswith(prefix)
    assert (low <= other <= high) == encode_id(other).startswith(prefix)


@pytest.mark.parametrize("text", ["", "l", "ab\u212a", TEXTS["message_letters"] + "y", "y" * 25 + "b", "y" * 27])
def test_id_range_refuses_what_begins_no_id(text: str) -> None:
    with pytest.raises(UsageError, match="not a message id"):
        id_range(text)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("192.0.2.7:0", Endpoint("192.0.2.7", 0)),
        ("[2001:DB8:0::1]:4242", Endpoint("2001:db8::1", 4242)),
        (" [::ffff:192.0.2.7]:65535 ", Endpoint("192.0.2.7", 65_535)),
    ],
)
def test_endpoints(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint
    assert parse_endpoint(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "4242", "localhost:1", "192.0.2.7", "192.0.2.7:", "192.0.2.7:65536", "192.0.2.7:-1", "192.0.2.7:+1",
        "192.0.2.7:\u0661", "[192.0.2.7]:1", "192.0.2:1", "192.0.2.07:1", "::1:4242", "[[::1]]:1", "[::1:1",
        "[fe80::1%eth0]:1", "192.0.2.7:" + "9" * 5_000,
    ],
)  # fmt: skip
def test_other_texts_are_no_endpoint(text: str) -> None:
    with pytest.raises(UsageError):
        parse_endpoint(text)


def test_node_hints() -> None:
    assert parse_node_hint("192.0.2.7:1") == NodeHint(Endpoint("192.0.2.7", 1))
    assert parse_node_hint(TEXTS["hints"][1]).endpoint == Endpoint("2001:db8::1", 65_535)
    assert format_hint(NodeHint(Endpoint("192.0.2.7", 1))) == "192.0.2.7:1"


@pytest.mark.parametrize("text", ["192.0.2.7:0", "y@192.0.2.7:1", "@192.0.2.7:1", TEXTS["hints"][0][1:], "a@b@c:1"])
def test_other_texts_are_no_node(text: str) -> None:
    with pytest.raises(UsageError):
        parse_node_hint(text)
