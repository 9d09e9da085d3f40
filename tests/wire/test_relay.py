"""What a node says to a relay: every message, the largest frame, and what is refused."""

import pytest

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.types import NodeKey
from p2pd.wire.link import Carry
from p2pd.wire.relay import Call, Called, HangUp, Over, Reserve, Reserved, Through, decode_relay_message
from tests.second.messagepack import pack

KEY = NodeKey(b"k" * 32)
TOP = 2**32 - 1


def test_messages() -> None:
    for message in (Reserve(), Reserved(), Call(1, KEY), Called(TOP, KEY), Through(1, b"x"), HangUp(0, Over.GONE)):
        assert decode_relay_message(message.encode()) == message
    assert decode_relay_message(pack([6, 7])) == HangUp(7, Over.BY_CHOICE)


def test_a_reason_that_is_new_is_taken() -> None:
    assert decode_relay_message(pack([6, 7, 200])) == HangUp(7, 200)


def test_the_largest_frame_of_a_link_fits_what_a_relay_carries() -> None:
    sealed = len(Carry(bytes(limits.ENVELOPE_BYTES)).encode()) + limits.BOX_OVERHEAD_BYTES
    assert sealed <= limits.RELAYED_FRAME_BYTES
    largest = Through(TOP, bytes(limits.RELAYED_FRAME_BYTES)).encode()
    assert len(largest) <= limits.LINK_FRAME_BYTES
    assert decode_relay_message(largest) == Through(TOP, bytes(limits.RELAYED_FRAME_BYTES))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        pack([0]),
        pack([7]),
        pack([3, 1]),
        pack([3, 1, bytes(31)]),
        pack([3, 1, bytes(33)]),
        pack([3, 2**32, bytes(32)]),
        pack([4, "1", bytes(32)]),
        pack([5, 1, b""]),
        pack([5, 1, bytes(limits.RELAYED_FRAME_BYTES + 1)]),
        pack([6, 1, 256]),
        Reserve().encode() + b"\x00",
        bytes(limits.LINK_FRAME_BYTES + 1),
    ],
)
def test_other_messages_are_refused(data: bytes) -> None:
    with pytest.raises(PeerError):
        decode_relay_message(data)
