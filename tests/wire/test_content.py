import pytest

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.types import MessageId
from p2pd.wire.content import Acknowledgement, Content, Read, Text, decode_content_body
from p2pd.wire.envelope import FIRST_CONTACT_BYTES, Envelope
from p2pd.wire.padding import SEAL_BYTES, pad_for_seal
from tests.second import formats as second
from tests.second.messagepack import pack

RATCHET_BOX_BYTES = 16
MESSAGE = MessageId(second.MESSAGE)


@pytest.mark.parametrize("data", [pack([12]), pack([0]), pack([2**63 - 1, "dict"]), pack([99, b"x", [1]])])
def test_a_body_of_a_newer_version_is_told_apart(data: bytes) -> None:
    with pytest.raises(PeerError, match="unknown_body"):
        decode_content_body(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x90",
        pack([8]),
        pack([9, b"short"]),
        pack(["text"]),
        pack([2**63]),
        b"\x91\x0a\0",
        pack([11, bytes(16), 3]),
    ],
)
def test_a_broken_body_is_malformed(data: bytes) -> None:
    with pytest.raises(PeerError, match="malformed"):
        decode_content_body(data)


@pytest.mark.parametrize(("part", "parts"), [(0, 0), (1, 1), (7, 3), (0, limits.PARTS + 1), (255, 255)])
def test_a_part_lies_within_its_text(part: int, parts: int) -> None:
    with pytest.raises(PeerError, match="malformed"):
        decode_content_body(pack([1, b"text", part, parts, [], b"", 0]))


def test_short_forms_of_a_text() -> None:
    assert decode_content_body(pack([1, b"text"])) == Text(b"text")


@pytest.mark.parametrize("reply", [b"1", bytes(15)])
def test_a_reply_is_to_a_whole_id(reply: bytes) -> None:
    with pytest.raises(PeerError, match="malformed"):
        decode_content_body(pack([1, b"text", 0, 1, [], reply, 0]))


@pytest.mark.parametrize(("node", "endpoints"), [(b"1", []), (b"", [bytes(6)]), (b"", [b"\x01" * 7])])
def test_a_request_names_a_whole_node(node: bytes, endpoints: list[bytes]) -> None:
    with pytest.raises(PeerError, match="malformed"):
        decode_content_body(pack([2, "", second.SECRET, b"", node, endpoints]))


def test_lists_of_one_value_are_not_another_ones() -> None:
    first, other = Text(b"a"), Text(b"b")
    assert first.parents is not other.parents
    assert Read([]) != Read([MESSAGE])


def test_all_of_a_full_window_can_be_acknowledged() -> None:
    full = Acknowledgement(bytes(8), bytes(8), 2**63 - 1, b"\xff" * limits.ACK_BITMAP_BYTES, bytes(limits.MARK_BYTES))
    assert len(full.above) * 8 >= limits.UNACKNOWLEDGED
    assert Acknowledgement.decode(full.encode()) == full


def test_the_largest_part_with_everything_round_it_fits_the_largest_class() -> None:
    full = Acknowledgement(bytes(8), bytes(8), 2**63 - 1, b"\xff" * limits.ACK_BITMAP_BYTES, bytes(limits.MARK_BYTES))
    text = Text(bytes(limits.PART_BYTES), 18, limits.PARTS, [MESSAGE] * limits.PARENTS, bytes(16), 2**32 - 1)
    content = Content(MESSAGE, 2**63 - 1, full, text.encode()).encode()
    envelope = Envelope(
        bytes(16),
        2**63 - 1,
        bytes(32),
        2**32 - 1,
        2**32 - 1,
        bytes(len(content) + RATCHET_BOX_BYTES),
        bytes(FIRST_CONTACT_BYTES),
    ).encode()
    assert Envelope.decode(envelope).ciphertext
    assert len(pad_for_seal(envelope)) + SEAL_BYTES == limits.SIZE_CLASSES[-1]
    assert limits.PART_BYTES * limits.PARTS >= limits.TEXT_BYTES
