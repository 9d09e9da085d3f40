"""Hostile inputs made from good ones: bytes changed, and MessagePack trees changed and packed again.

Knows no format: a sample that is MessagePack is also changed as a tree, and so are encodings within its byte fields.
Rules: the same seed gives the same inputs; nothing is longer than a sample and `_GROWTH` more, but for a few that are
meant to be too long.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec

_GROWTH = 64
_SCALARS: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 127, 128, 255, 256, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**64 - 1,
    -(2**63), 0.0, float("nan"), float("inf"), b"", "", b"\0", bytes(16), bytes(32), bytes(33), bytes(64), "\ud7ff",
    "\u202e", "x" * 65, [], [[]], {}, {"a": 1}, {b"a": 1},
)  # fmt: skip
_HEADS = bytes.fromhex("c0c1c2c4c5c6c7c8c9cacbcfd3d9dadbdcdddedf808f909fa0bf007fe0ff")
"""First bytes that MessagePack gives a meaning to."""
_DEEP = b"\x91" * 4_000
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


class Mutations:
    """Inputs without end from some samples."""

    def __init__(self, samples: Sequence[bytes], seed: object) -> None:
        self._chance = Random(repr(seed))
        self._samples = list(samples)
        self._trees = [_tree(sample) for sample in self._samples]
        self._shaped = any(isinstance(tree, list | dict) for tree in self._trees)

    def next(self) -> bytes:
        """One input; rarely it is a sample as it was."""
        chance = self._chance
        draw = chance.random()
        if self._shaped and draw < 0.3:
            return self._reshaped()
        data = bytearray(self._samples[int(draw * 7_919) % len(self._samples)])
        for _ in range(1 if draw < 0.7 else 3):
            self._change(data)
        return bytes(data)

    def _change(self, data: bytearray) -> None:
        chance = self._chance
        kind, at = int(chance.random() * 10), int(chance.random() * (len(data) + 1))
        if kind < 3 and at < len(data):
            data[at] ^= 1 << int(chance.random() * 8)
        elif kind == 3 and at < len(data):
            data[at] = _HEADS[int(chance.random() * len(_HEADS))]
        elif kind == 4:
            del data[at : at + 1 + int(chance.random() * 4)]
        elif kind == 5:
            data[at:at] = chance.randbytes(1 + int(chance.random() * 8))
        elif kind == 6:
            del data[at:]
        elif kind == 7:
            data += chance.randbytes(1 + int(chance.random() * _GROWTH))
        elif kind == 8:
            other = self._samples[int(chance.random() * len(self._samples))]
            data[at:] = other[int(chance.random() * len(other)) :]
        elif chance.random() < 0.01:
            data[at:at] = _DEEP
        else:
            count = min(len(data) - at, 1 + int(chance.random() * 8))
            data[at : at + count] = chance.randbytes(count)

    def _reshaped(self) -> bytes:
        chance = self._chance
        place = int(chance.random() * len(self._samples))
        tree = self._trees[place]
        if not isinstance(tree, list | dict):
            return self._samples[place]
        try:
            return _pack(self._changed(tree, 0))
        except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
            return self._samples[place]

    def _changed(self, value: Any, depth: int) -> Any:
        """The value with one thing in it changed; what is around it is copied."""
        chance = self._chance
        draw = chance.random()
        if isinstance(value, list) and value and draw < 0.85 and depth < 8:
            copied = list(value)
            at = int(chance.random() * len(copied))
            if draw < 0.6:
                copied[at] = self._changed(copied[at], depth + 1)
            elif draw < 0.7:
                del copied[at]
            elif draw < 0.8:
                copied.insert(at, copied[int(chance.random() * len(copied))])
            else:
                copied = copied * 2 if len(copied) < 200 else copied[:1]
            return copied
        if isinstance(value, dict) and value and draw < 0.85:
            name = list(value)[int(chance.random() * len(value))]
            return value | {name: self._changed(value[name], depth + 1)}
        if isinstance(value, bytes) and draw < 0.6:
            return self._changed_bytes(value, depth)
        if isinstance(value, int) and draw < 0.5:
            return value + int(chance.random() * 3) - 1
        return _SCALARS[int(chance.random() * len(_SCALARS))]

    def _changed_bytes(self, value: bytes, depth: int) -> bytes:
        chance = self._chance
        inner = _tree(value) if depth < 3 and len(value) > 8 and chance.random() < 0.3 else None
        if isinstance(inner, list):
            return _pack(self._changed(inner, depth + 1))
        if chance.random() < 0.5:
            return value[:-1] if chance.random() < 0.5 else value + b"\0"
        changed = bytearray(value)
        self._change(changed)
        return bytes(changed)


def _tree(data: bytes) -> Any:
    try:
        return _unpack(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
