"""What a writer puts into mailboxes, and what a reader finds there; for tests of the outbox and what it stands on."""

from p2pd import limits
from p2pd.chat import pairs
from p2pd.chat.inbox import Outcome
from p2pd.chat.mail import MailAddress, open_mail
from p2pd.store import Message, MessageState
from p2pd.types import Now
from p2pd.wire.record import OpenItem, SetItem
from tests.cast import START, Person, Put, after

Pair = tuple[Person, Person]
ABSENT = after(limits.MAILBOX_AFTER_ABSENT_S)
MIDNIGHT = after(limits.DAY_S - START.wall_s % limits.DAY_S)


def send(friends: Pair, *texts: str, now: Now = START) -> list[Message]:
    sender, reader = friends
    return [sender.conversation.send(sender.contact(reader), text, now) for text in texts]


def mail(friends: Pair, now: Now) -> list[Put]:
    """Puts into the mailbox at this time; rings are taken away."""
    sender = friends[0]
    sender.outbox.on_timer(now)
    return [put for put in sender.dht.take_puts() if isinstance(put.records[0].parse(), SetItem)]


def envelopes(friends: Pair, put: Put, day: int = START.day, index: int = 0) -> list[bytes]:
    """What the reader finds in a put, if it looks into this mailbox."""
    sender, reader = friends
    (direction,) = pairs.reading(reader.keys, reader.contact(sender))
    where = MailAddress(direction, day, index)
    return [open_mail(where, record.parse()) for record in put.records]  # type: ignore[arg-type]


def state(friends: Pair, message: Message) -> MessageState:
    found = friends[0].store.message(message.message)
    assert found is not None
    return found.state


def rings(person: Person) -> list[OpenItem]:
    contents = [put.records[0].parse() for put in person.dht.take_puts()]
    return [content for content in contents if isinstance(content, OpenItem)]


def deliver(friends: Pair, *puts: Put, now: Now = START, day: int = START.day) -> list[Outcome]:
    sender, reader = friends
    return [reader.receive(sender, each, now, "mailbox") for put in puts for each in envelopes(friends, put, day)]


def answer(friends: Pair, now: Now) -> None:
    """The reader's acknowledgement comes back by mail."""
    sender, reader = friends
    reader.outbox.on_timer(now)
    back = (reader, sender)
    for put in reader.dht.take_puts():
        if isinstance(put.records[0].parse(), SetItem):
            deliver(back, put, now=now, day=now.day)
