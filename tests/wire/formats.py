"""What the tests of formats share: all formats, all decoders, golden vectors, and hostile bytes."""

import importlib
import json
import pkgutil
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from p2pd import wire
from p2pd.errors import PeerError, UsageError
from p2pd.wire import address, content, datagram, link, padding, record, relay, rpc
from p2pd.wire.codec import Wire
from tests.second.formats import FILE

for _module in pkgutil.iter_modules(wire.__path__):
    importlib.import_module(f"p2pd.wire.{_module.name}")


def _subclasses(kind: type[Wire]) -> list[type[Wire]]:
    return [found for child in kind.__subclasses__() for found in (child, *_subclasses(child))]


def short_name(kind: type) -> str:
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"


FORMATS = {short_name(kind): kind for kind in _subclasses(Wire) if kind.__module__.startswith("p2pd.wire.")}
"""Every format by `module.Class`."""


def _read(value: Any) -> Any:
    """A vector's value: bytes as bytes, a format within a format as its class's value."""
    match value:
        case {"hex": digits}:
            return bytes.fromhex(digits)
        case {"format": name, "fields": fields}:
            return FORMATS[name](**_read(fields))
        case dict():
            return {key: _read(item) for key, item in value.items()}
        case list():
            return [_read(item) for item in value]
        case _:
            return value


VECTORS: dict[str, Any] = json.loads(Path(FILE).read_text(encoding="utf-8"))
GOLDEN: list[tuple[Wire, bytes]] = [(_read(vector), bytes.fromhex(vector["bytes"])) for vector in VECTORS["formats"]]
DATAGRAMS: dict[str, dict[str, Any]] = _read(VECTORS["datagrams"])
TEXTS: dict[str, Any] = _read(VECTORS["texts"])
DERIVED: dict[str, Any] = _read(VECTORS["derived"])


def encodings(module: str) -> list[bytes]:
    """The golden bytes of one module's formats."""
    return [data for value, data in GOLDEN if short_name(type(value)).startswith(module)]


_LETTERS = [
    TEXTS["address"],
    TEXTS["link"],
    TEXTS["invite"],
    TEXTS["invite_once"],
    *TEXTS["hints"],
    TEXTS["message_letters"],
]
DECODERS: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
    **{
        name: (kind.decode, [data for value, data in GOLDEN if type(value) is kind] or [b"\x91\x01"])
        for name, kind in FORMATS.items()
    },
    "datagram.decode": (datagram.decode, [fields["bytes"] for fields in DATAGRAMS.values()]),
    "rpc.decode_body": (rpc.decode_body, encodings("rpc.")),
    "content.decode_content_body": (content.decode_content_body, encodings("content.")),
    "link.decode_link_message": (link.decode_link_message, encodings("link.")),
    "relay.decode_relay_message": (relay.decode_relay_message, encodings("relay.")),
    "link.unpack_link_message": (link.unpack_link_message, [padding.pad(data, 240) for data in encodings("link.")]),
    "record.parse": (lambda data: record.Record(data, bytes(64)).parse(), encodings("record.")),
    "padding.unpad": (padding.unpad, [DERIVED["padded"]["bytes"]]),
    "rpc.unpack_endpoint": (rpc.unpack_endpoint, [bytes(4) + b"\x10\x92", bytes(16) + b"\x10\x92"]),
}
"""Everything that takes bytes from outside, with bytes that it takes: it gives a value or raises PeerError."""

READERS: dict[str, tuple[Callable[[str], object], type[Exception]]] = {
    "decode_letters": (address.decode_letters, PeerError),
    "parse_link": (address.parse_link, UsageError),
    "id_range": (address.id_range, UsageError),
    "parse_endpoint": (address.parse_endpoint, UsageError),
    "parse_node_hint": (address.parse_node_hint, UsageError),
}
"""Everything that takes a user's text, with the only exception it raises."""


def mutated(samples: list[bytes], seed: int) -> bytes:
    """A valid encoding with a few bytes changed, cut out, put in or cut off."""
    chance = random.Random(seed)
    data = bytearray(chance.choice(samples))
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, min(len(data), 80))
        data[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
    return bytes(data[: chance.randint(0, len(data))] if chance.random() < 0.3 else data)


_scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.binary() | st.text()
_trees = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
)
trees = st.lists(_trees, max_size=9).map(msgspec.msgpack.encode)
"""MessagePack arrays of anything."""


@st.composite
def hostile_text(draw: st.DrawFn) -> str:
    """Text of every kind that a user may paste, lone surrogates too."""
    text = draw(st.text(st.characters(), max_size=40) | st.sampled_from(_LETTERS))
    at = draw(st.integers(0, len(text)))
    piece = draw(st.text(st.sampled_from("yb1lYB0:/@[].% \0\u212a\u0130\ud800"), max_size=3))
    return text[:at] + piece + text[at + draw(st.integers(0, 2)) :]
