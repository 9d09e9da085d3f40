"""Frames on a link's stream: a length of four bytes, big-endian, and so many bytes, 1 to `limits.LINK_FRAME_BYTES`.

| bytes | field           |
|-------|-----------------|
| 4     | length          |
| length| the frame       |
"""

from p2pd import limits
from p2pd.errors import PeerError

LENGTH_BYTES = limits.LINK_PREFIX_BYTES


def encode_frame(frame: bytes) -> bytes:
    """The frame as it goes on the stream; ValueError for one that is empty or too long."""
    if not 1 <= len(frame) <= limits.LINK_FRAME_BYTES:
        raise ValueError(f"a frame of {len(frame)} bytes is not within 1 to {limits.LINK_FRAME_BYTES}")
    return len(frame).to_bytes(LENGTH_BYTES, "big") + frame


class FrameReader:
    """Cuts the bytes of a stream into frames; holds no more than the stream's window lets in."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add what came."""
        self._buffer += data

    def take(self, most: int) -> list[bytes]:
        """Up to `most` whole frames, oldest first; PeerError for a length out of range."""
        frames: list[bytes] = []
        start = 0
        while len(frames) < most and len(self._buffer) - start >= LENGTH_BYTES:
            length = int.from_bytes(self._buffer[start : start + LENGTH_BYTES], "big")
            if not 1 <= length <= limits.LINK_FRAME_BYTES:
                raise PeerError("bad frame length", str(length))
            end = start + LENGTH_BYTES + length
            if end > len(self._buffer):
                break
            frames.append(bytes(self._buffer[start + LENGTH_BYTES : end]))
            start = end
        del self._buffer[:start]
        return frames
