"""What MessagePack leaves open and this protocol does not: other types, longer forms, deep nesting, sizes that lie."""

import pytest

from p2pd.errors import PeerError
from p2pd.wire.codec import decode
from p2pd.wire.content import NewName
from p2pd.wire.rpc import Body, Find, Listening, Ping, decode_body
from tests.second.messagepack import pack

MANY = 2_000_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        b"\x90",
        b"\x81\x01\x01",
        b"\x91\xc3",
        b"\x91\xa1\x01",
        b"\x91\x14",
        b"\x91\xff",
        b"\x91\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00",
        b"\x91\xcf" + b"\xff" * 8,
        b"\x91\xd4\xff\x01",
        b"\xdd\xff\xff\xff\xff\x01",
    ],
)
def test_other_shapes_are_refused(data: bytes) -> None:
    with pytest.raises(PeerError, match="malformed"):
        decode_body(data)


@pytest.mark.parametrize("number", [b"\xc3", b"\xff", b"\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", b"\xa11"])
def test_only_integers_are_numbers(number: bytes) -> None:
    with pytest.raises(PeerError, match="malformed"):
        Listening.decode(b"\x92\x0a" + number)


def test_text_is_no_bytes_and_bytes_no_text() -> None:
    with pytest.raises(PeerError, match="malformed"):
        Find.decode(pack([3, "a" * 32]))
    with pytest.raises(PeerError, match="malformed"):
        NewName.decode(pack([8, b"Bob"]))


@pytest.mark.parametrize("text", [b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80"])
def test_names_are_utf_8(text: bytes) -> None:
    with pytest.raises(PeerError, match="malformed"):
        NewName.decode(b"\x92\x08" + bytes([0xA0 + len(text)]) + text)


def test_a_name_is_counted_in_characters() -> None:
    assert NewName.decode(NewName("星" * 50).encode()).name == "星" * 50
    with pytest.raises(PeerError, match="malformed"):
        NewName.decode(NewName("x" * 51).encode())


def test_longer_forms_of_a_number_are_read() -> None:
    assert decode_body(b"\x91\xd3" + bytes(7) + b"\x01") == Ping()


@pytest.mark.parametrize("filler", [b"\x91", b"\x81\x01", b"\xdd\x00\x00\x00\x01"])
def test_deep_nesting_in_an_ignored_field_is_refused(filler: bytes) -> None:
    with pytest.raises(PeerError, match="malformed"):
        decode_body(b"\x92\x01" + filler * (MANY // len(filler)))


def test_nesting_to_sixteen_in_an_ignored_field_is_read() -> None:
    assert decode_body(b"\x92\x01" + b"\x91" * 16 + b"\x01") == Ping()


@pytest.mark.parametrize("head", [b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff"])
def test_a_size_that_lies_is_refused(head: bytes) -> None:
    for data in (b"\x92\x01" + head, b"\x92\x0d" + head, head):
        with pytest.raises(PeerError, match="malformed"):
            decode_body(data)


def test_limit_is_to_the_byte() -> None:
    data = Ping().encode()
    assert decode(Body, data, len(data)) == Ping()  # type: ignore[arg-type]
    with pytest.raises(PeerError, match="too_large"):
        decode(Body, data, len(data) - 1)  # type: ignore[arg-type]
