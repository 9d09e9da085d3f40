"""What every format shares: typed MessagePack, one array a value.

Knows nothing of what the formats mean.
Rules: `decode` returns a value or raises `PeerError`; fields that a newer version adds at the end of an array are
ignored, bytes after the array are refused.  What is signed or hashed are received bytes, never a re-encoding: a signed
format holds its content as bytes.
"""

from typing import Annotated, Any, ClassVar, Self, TypeVar

import msgspec

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.types import AddressKey, DeviceKey, IdentityKey, ItemId, MessageId, NodeKey, RecordKey


def _exactly(size: int) -> msgspec.Meta:
    return msgspec.Meta(min_length=size, max_length=size)


Bytes8 = Annotated[bytes, _exactly(8)]
Bytes16 = Annotated[bytes, _exactly(16)]
Bytes24 = Annotated[bytes, _exactly(24)]
Bytes32 = Annotated[bytes, _exactly(32)]
Signature = Annotated[bytes, _exactly(limits.SIGNATURE_BYTES)]
U8 = Annotated[int, msgspec.Meta(ge=0, le=0xFF)]
U16 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]
U32 = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
U63 = Annotated[int, msgspec.Meta(ge=0, le=0x7FFF_FFFF_FFFF_FFFF)]
"""As far as a database's integer reaches."""
Name = Annotated[str, msgspec.Meta(max_length=limits.NAME_CHARS)]
Identity = Annotated[IdentityKey, _exactly(32)]
Device = Annotated[DeviceKey, _exactly(32)]
Node = Annotated[NodeKey, _exactly(32)]
Address = Annotated[AddressKey, _exactly(32)]
Key = Annotated[RecordKey, _exactly(32)]
Item = Annotated[ItemId, _exactly(limits.ITEM_ID_BYTES)]
Message = Annotated[MessageId, _exactly(limits.MESSAGE_ID_BYTES)]

_encode = msgspec.msgpack.Encoder().encode
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}
T = TypeVar("T")


class Wire(msgspec.Struct, frozen=True, array_like=True):
    """A format: one MessagePack array, its fields in the order of its class."""

    LIMIT: ClassVar[int] = limits.REQUEST_BYTES

    def encode(self) -> bytes:
        """This value's bytes."""
        return _encode(self)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The value of these bytes.

        Raises:
            PeerError: they are too many, malformed, or of another shape.
        """
        return decode(cls, data, cls.LIMIT)


def decode(kind: type[T], data: bytes, limit: int) -> T:
    """The value of type `kind` (a `Wire` class, or a union of tagged ones) in `data`, at most `limit` bytes.

    Raises:
        PeerError: the bytes are too many, malformed, or of another shape.
    """
    if len(data) > limit:
        raise PeerError("too_large", f"{len(data)} bytes where {limit} are allowed")
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        value: T = decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise PeerError("malformed", type(error).__name__) from None
    return value
