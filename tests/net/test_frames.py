"""Frames of a link: any cut of the stream gives the same frames, and no bytes give anything but frames or PeerError."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.net.frames import FrameReader, encode_frame


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=20), st.integers(1, 30))
def test_any_cut_of_the_stream_gives_the_same_frames(frames: list[bytes], step: int) -> None:
    stream = b"".join(map(encode_frame, frames))
    reader = FrameReader()
    read = []
    for start in range(0, len(stream), step):
        reader.feed(stream[start : start + step])
        read += reader.take(100)
    assert read == frames


@given(st.binary(max_size=200))
def test_hostile_bytes_give_frames_or_a_peer_error(data: bytes) -> None:
    reader = FrameReader()
    reader.feed(data)
    try:
        frames = reader.take(100)
    except PeerError:
        return
    assert b"".join(map(encode_frame, frames)) == data[: sum(4 + len(frame) for frame in frames)]


def test_no_more_frames_than_asked_for_are_taken() -> None:
    reader = FrameReader()
    reader.feed(5 * encode_frame(b"x"))
    assert [len(reader.take(most)) for most in (2, 0, 9)] == [2, 0, 3]


@pytest.mark.parametrize("length", [0, limits.LINK_FRAME_BYTES + 1, 2**32 - 1])
def test_lengths_out_of_range_are_refused(length: int) -> None:
    reader = FrameReader()
    reader.feed(length.to_bytes(4, "big"))
    with pytest.raises(PeerError, match="bad frame length"):
        reader.take(1)


@pytest.mark.parametrize("size", [0, limits.LINK_FRAME_BYTES + 1])
def test_we_send_none_that_would_be_refused(size: int) -> None:
    with pytest.raises(ValueError, match="a frame of"):
        encode_frame(bytes(size))
