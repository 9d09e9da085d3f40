"""What a ratchet message says.  `docs/protocol.md`, "Contents".

Knows no keys and no history.
Rules: every item but an acknowledgement has a sequence number that survives re-keying; a body of an unknown tag is
acknowledged and counted, so that an old version never stalls a new one.
"""

from typing import Annotated, ClassVar

import msgspec

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.wire.codec import U8, U32, U63, Bytes8, Bytes32, Message, Name, Wire, decode
from p2pd.wire.rpc import PackedEndpoint, check_endpoint

Secret = Bytes32


class Acknowledgement(Wire, frozen=True):
    """All of yours up to `through` are committed here, and beyond it those whose bit is set.

    Bit i of `above` (least significant first in each byte) is sequence `through` + 2 + i.
    `epoch` is what this device chose when its counters with that one began: another one means that they began anew.
    `of` is the epoch of the counters that are acknowledged, zeros where it is not known yet: an acknowledgement of
    counters that are gone acknowledges nothing.
    `mark` is the mark of the envelope of sequence `through`, empty where it is not known any more: whoever sent another
    under that number has come back from an old copy.
    """

    LIMIT: ClassVar[int] = 128
    epoch: Bytes8
    of: Bytes8
    through: U63
    above: Annotated[bytes, msgspec.Meta(max_length=limits.ACK_BITMAP_BYTES)] = b""
    mark: Annotated[bytes, msgspec.Meta(max_length=limits.MARK_BYTES)] = b""


class Text(Wire, frozen=True, tag=1):
    """A text, or one part of it: `part` of `parts`, from 0.  The parts share message id, clock and parents.

    A part may end within a character: only the whole is UTF-8, and what in it is not is shown as U+FFFD.
    """

    text: Annotated[bytes, msgspec.Meta(max_length=limits.PART_BYTES)]
    part: U8 = 0
    parts: U8 = 1
    parents: Annotated[list[Message], msgspec.Meta(max_length=limits.PARENTS)] = []
    reply: Annotated[bytes, msgspec.Meta(max_length=limits.MESSAGE_ID_BYTES)] = b""
    expires_s: U32 = 0

    def __post_init__(self) -> None:
        if not self.part < self.parts <= limits.PARTS:
            raise ValueError("a part of no text")
        if len(self.reply) not in (0, limits.MESSAGE_ID_BYTES):
            raise ValueError("a reply to no message id")


class Request(Wire, frozen=True, tag=2):
    """May we talk?  With the asker's contact secret, so that an answer can find its way, and a text."""

    name: Name
    secret: Secret
    text: Annotated[bytes, msgspec.Meta(max_length=limits.REQUEST_TEXT_BYTES)]
    node: Annotated[bytes, msgspec.Meta(max_length=limits.KEY_BYTES)] = b""
    endpoints: Annotated[list[PackedEndpoint], msgspec.Meta(max_length=2)] = []

    def __post_init__(self) -> None:
        if len(self.node) not in (0, limits.KEY_BYTES):
            raise ValueError("a node without a key")
        for endpoint in self.endpoints:
            check_endpoint(endpoint)


class Accept(Wire, frozen=True, tag=3):
    """Yes; with the answerer's contact secret."""

    name: Name
    secret: Secret


class Nothing(Wire, frozen=True, tag=4):
    """Only the acknowledgement."""


class Read(Wire, frozen=True, tag=5):
    """These have been shown to my user."""

    messages: Annotated[list[Message], msgspec.Meta(max_length=limits.READ_MESSAGES)]


class NewSecret(Wire, frozen=True, tag=6):
    """My contact secret from now on."""

    secret: Secret


class PairProposal(Wire, frozen=True, tag=7):
    """A new generation of our pair secret, by the lower identity; in use once acknowledged."""

    generation: U32
    secret: Secret


class NewName(Wire, frozen=True, tag=8):
    """The name that I claim from now on."""

    name: Name


class Void(Wire, frozen=True, tag=9):
    """What had this sequence was of the message with this id, which is recalled: nothing of it comes any more."""

    message: Message


class Recall(Wire, frozen=True, tag=10):
    """Show that message of mine no more, and say whether it was shown."""

    message: Message


class Recalled(Wire, frozen=True, tag=11):
    """The answer: 0 never shown, 1 shown, 2 shown and marked as read."""

    message: Message
    outcome: Annotated[int, msgspec.Meta(ge=0, le=2)]


Body = Text | Request | Accept | Nothing | Read | NewSecret | PairProposal | NewName | Void | Recall | Recalled
_TAGS = range(1, 12)


class Content(Wire, frozen=True):
    """The plaintext of a ratchet message.

    | field | |
    |---|---|
    | message | id, the same for all parts of a text; zeros where the item is no message |
    | clock | hybrid logical clock: milliseconds times 65,536, and a counter |
    | acknowledgement | as of the sealing; an older one than known is no harm |
    | body | an encoded `Body` |
    """

    LIMIT: ClassVar[int] = limits.ENVELOPE_BYTES
    message: Message
    clock: U63
    acknowledgement: Acknowledgement
    body: Annotated[bytes, msgspec.Meta(max_length=limits.ENVELOPE_BYTES)]


def decode_content_body(data: bytes) -> Body:
    """The body; raises `PeerError` with the reason `unknown_body` where its tag is of a newer version."""
    try:
        body: Body = decode(Body, data, limits.ENVELOPE_BYTES)  # type: ignore[arg-type]
    except PeerError:
        if _Tagged.decode(data).tag not in _TAGS:
            raise PeerError("unknown_body") from None
        raise
    return body


class _Tagged(Wire, frozen=True):
    """Any tagged array's first field."""

    tag: U63
