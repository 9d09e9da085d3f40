import pytest

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.wire.link import LINK_MESSAGE_BYTES, Carry, Ready, Typing, decode_link_message
from tests.second.messagepack import pack


def test_messages() -> None:
    for message in (Carry(b"envelope"), Ready(), Typing(65_535)):
        assert decode_link_message(message.encode()) == message


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
