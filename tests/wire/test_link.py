import pytest

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.wire.link import (
    LINK_MESSAGE_BYTES,
    Carry,
    LinkMessage,
    Ready,
    Typing,
    decode_link_message,
    pack_link_message,
    unpack_link_message,
)
from tests.second.messagepack import pack


def test_messages() -> None:
    for message in (Carry(b"envelope"), Ready(), Typing(65_535)):
        assert decode_link_message(message.encode()) == message


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (Ready(), 256),
        (Typing(1), 256),
        (Carry(bytes(232)), 256),
        (Carry(bytes(233)), 832),
        (Carry(bytes(4_055)), 4_096),
        (Carry(bytes(limits.ENVELOPE_BYTES)), 16_384),
    ],
)
def test_a_sealed_message_has_a_size_class(message: LinkMessage, size: int) -> None:
    packed = pack_link_message(message)
    assert len(packed) + limits.BOX_OVERHEAD_BYTES == size
    assert unpack_link_message(packed) == message


def test_the_largest_envelope_fits_a_frame() -> None:
    carried = Carry(bytes(limits.ENVELOPE_BYTES)).encode()
    assert len(carried) + limits.BOX_OVERHEAD_BYTES <= limits.LINK_FRAME_BYTES
    assert decode_link_message(carried) == Carry(bytes(limits.ENVELOPE_BYTES))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        pack([0]),
        pack([4]),
        pack([3, 65_536]),
        pack([1, bytes(limits.ENVELOPE_BYTES + 1)]),
        bytes(LINK_MESSAGE_BYTES + 1),
    ],
)
def test_other_messages_are_refused(data: bytes) -> None:
    with pytest.raises(PeerError):
        decode_link_message(data)
