"""Envelopes written by hand: any sequence, epoch, body and session."""

from p2pd.chat.envelopes import NO_EPOCH
from p2pd.types import MessageId, Now
from p2pd.wire.content import Acknowledgement, Body, Content, Text
from tests.cast import START, Person


def message_id(number: int) -> MessageId:
    return MessageId(number.to_bytes(16, "big"))


def letter(
    sender: Person,
    to: Person,
    sequence: int,
    body: Body | bytes | str,
    *,
    epoch: bytes = b"",
    id: MessageId | None = None,
    of: bytes = NO_EPOCH,
    through: int = 0,
    above: bytes = b"",
    clock: int | None = None,
) -> bytes:
    """A sealed content of the session that the sender would use, of their own epoch; a text where the body is one."""
    if isinstance(body, str):
        body = Text(body.encode())
    encoded = body if isinstance(body, bytes) else body.encode()
    when = (START.wall_ms << 16) + sequence if clock is None else clock
    epoch = epoch or sender.outbox.counters(to.identity).epoch
    acknowledgement = Acknowledgement(epoch, of, through, above)
    content = Content(id or message_id(sequence), when, acknowledgement, encoded)
    return sealed(sender, to, sequence, content.encode())


def sealed(sender: Person, to: Person, sequence: int, plaintext: bytes) -> bytes:
    session = sender.sessions.current(to.identity)
    assert session is not None
    return sender.sessions.seal(session, sequence, plaintext)


def begin(sender: Person, to: Person, now: Now = START) -> None:
    """A new session, begun by the sender."""
    sender.sessions.begin(to.identity, to.profile_device(now), now)
