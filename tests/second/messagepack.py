"""MessagePack's shortest forms, for what the protocol uses: integers from 0, booleans, bytes, text, arrays."""

from collections.abc import Sequence

Value = bool | int | bytes | str | Sequence["Value"]


def pack(value: Value) -> bytes:
    """The value's shortest encoding."""
    match value:
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            return _integer(value)
        case bytes():
            return _sized(len(value), None, (0xC4, 0xC5, 0xC6)) + value
        case str():
            text = value.encode()
            return _sized(len(text), (0xA0, 31), (0xD9, 0xDA, 0xDB)) + text
        case _:
            return _sized(len(value), (0x90, 15), (None, 0xDC, 0xDD)) + b"".join(pack(item) for item in value)


def _integer(value: int) -> bytes:
    if value < 0x80:
        return bytes([value])
    for head, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
        if value < 1 << (8 * size):
            return bytes([head]) + value.to_bytes(size, "big")
    raise ValueError(value)


def _sized(length: int, short: tuple[int, int] | None, heads: tuple[int | None, int, int]) -> bytes:
    if short is not None and length <= short[1]:
        return bytes([short[0] + length])
    for head, size in zip(heads, (1, 2, 4), strict=True):
        if head is not None and length < 1 << (8 * size):
            return bytes([head]) + length.to_bytes(size, "big")
    raise ValueError(length)
