"""Chunks that cannot be changed, moved, left out or cut off."""

import pytest

from p2pd.crypto.stream import OVERHEAD, Opening, Sealing
from p2pd.errors import PeerError

KEY = bytes(range(32))
CHUNKS = [b"one", b"", b"three" * 100]


def sealed() -> tuple[bytes, list[bytes]]:
    sealing = Sealing(KEY)
    last = len(CHUNKS) - 1
    return sealing.header, [sealing.seal(chunk, b"bound", last=place == last) for place, chunk in enumerate(CHUNKS)]


def test_what_was_sealed_is_opened_in_order_and_the_last_is_known() -> None:
    header, chunks = sealed()
    opening = Opening(KEY, header)
    assert [opening.open(chunk, b"bound") for chunk in chunks] == [(chunk, chunk is CHUNKS[-1]) for chunk in CHUNKS]
    assert [len(chunk) - len(plain) for chunk, plain in zip(chunks, CHUNKS, strict=True)] == [OVERHEAD] * 3


@pytest.mark.parametrize("number", range(5))
def test_nothing_else_opens(number: int) -> None:
    header, chunks = sealed()
    key, bound = KEY, b"bound"
    match number:
        case 0:
            chunks[0] = chunks[1]
        case 1:
            chunks[0] = chunks[0][:-1] + bytes([chunks[0][-1] ^ 1])
        case 2:
            chunks[0] = b"short"
        case 3:
            key = bytes(32)
        case _:
            bound = b"other"
    with pytest.raises(PeerError):
        Opening(key, header).open(chunks[0], bound)
