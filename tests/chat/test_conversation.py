import json

import pytest
from msgspec.structs import replace

from p2pd import limits
from p2pd.chat.conversation import checked_text
from p2pd.chat.inbox import Outcome
from p2pd.errors import RefusedError, UsageError
from p2pd.store import ContactState, Direction, MessageState
from p2pd.wire.content import Acknowledgement, Content, Read, Text
from tests.cast import START, Cable, Person, after
from tests.chat.letters import letter, message_id

Pair = tuple[Person, Person]
LONG = "".join(chr(0x4E00 + number % 5_000) for number in range(limits.TEXT_BYTES // 3))


def part(friends: Pair, sequence: int, text: bytes, number: int, of: int, *, id: int = 7) -> Outcome:
    """The reader receives one part of a text."""
    sender, reader = friends
    body = Text(text, number, of)
    return reader.receive(sender, letter(sender, reader, sequence, body, id=message_id(id)))


def test_a_text_is_an_item_and_a_message(friends: Pair) -> None:
    sender, reader = friends
    message = sender.conversation.send(sender.contact(reader), "hello", START, request_id="call 1")
    assert sender.store.message_by_request("call 1") == message
    assert (message.direction, message.state, message.first_sequence) == (Direction.OUT, MessageState.QUEUED, 1)
    assert [step.what for step in sender.store.steps(message.message)] == ["queued"]


def test_the_longest_text_comes_whole_and_characters_may_span_parts(friends: Pair) -> None:
    sender, reader = friends
    message = sender.conversation.send(sender.contact(reader), LONG, START)
    assert message.last_sequence - message.first_sequence + 1 == limits.PARTS
    Cable(sender, reader)
    assert reader.texts(sender) == [LONG]
    assert reader.store.parts_bytes(sender.identity) == 0


def test_a_message_names_the_newest_it_follows(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    ids = [sender.conversation.send(sender.contact(reader), str(number), START).message for number in range(5)]
    cable.run()
    texts = [body for _, body, _ in reader.acted if isinstance(body, Text)]
    assert texts[0].parents == []
    assert texts[4].parents == ids[1:4]


@pytest.mark.parametrize("text", ["", "x" * (limits.TEXT_BYTES + 1), "\ud800"])
def test_texts_that_are_refused(friends: Pair, text: str) -> None:
    sender, reader = friends
    with pytest.raises(UsageError):
        checked_text(text)
    with pytest.raises(UsageError):
        sender.conversation.send(sender.contact(reader), text, START)
    assert sender.store.outbox_count() == 0


def test_the_blocked_are_not_written_to_and_the_pending_wait(friends: Pair) -> None:
    sender, reader = friends
    blocked = replace(sender.contact(reader), state=ContactState.BLOCKED)
    with pytest.raises(RefusedError):
        sender.conversation.send(blocked, "hello", START)
    pending = replace(sender.contact(reader), state=ContactState.PENDING)
    sender.store.save_contact(pending)
    message = sender.conversation.send(pending, "hello", START)
    assert sender.store.steps(message.message)[-1].what == "waits until they accept the contact request"
    assert sender.outbox.next_deadline() is None


def test_parts_in_any_order_make_the_text(friends: Pair) -> None:
    sender, reader = friends
    for sequence, number in enumerate((2, 0, 1), 1):
        part(friends, sequence, b"abc"[number : number + 1], number, 3)
    assert reader.texts(sender) == ["abc"]


def test_parts_survive_a_restart(friends: Pair) -> None:
    sender, reader = friends
    part(friends, 1, b"a", 0, 2)
    reader.start()
    part(friends, 2, b"b", 1, 2)
    assert reader.texts(sender) == ["ab"]


def test_parts_that_disagree_never_make_a_text_nor_an_error(friends: Pair) -> None:
    sender, reader = friends
    outcomes = [
        part(friends, 1, b"a", 0, 2),
        part(friends, 2, b"b", 4, 5),
        part(friends, 3, b"c", 1, 2),
        part(friends, 4, b"", 1, 2),
    ]
    assert outcomes == [Outcome.DONE] * 4
    assert reader.texts(sender) == []
    assert reader.counts["malformed"] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"\x94\x01\xc4\x01a\x02\x02",
        b"\x94\x01\xc4\x01a\x00\x00",
        b"\x94\x01\xc4\x01a\x00\x14",
        b"\x94\x01\xc4\x01a\xff\x02",
    ],
)
def test_parts_that_cannot_be_are_refused_and_acknowledged(friends: Pair, body: bytes) -> None:
    sender, reader = friends
    assert reader.receive(sender, letter(sender, reader, 1, body)) is Outcome.DONE
    assert reader.counts["malformed"] == 1
    assert reader.store.parts_bytes(sender.identity) == 0
    assert reader.store.counters(sender.identity).received == 1


@pytest.mark.slow
def test_texts_that_are_never_finished_are_bounded_and_do_not_shut_out_others(friends: Pair) -> None:
    sender, reader = friends
    rows = limits.PART_BYTES_KEPT // limits.PART_ROW_BYTES
    contact = reader.contact(sender)
    acknowledgement = Acknowledgement(b"epoch  1", bytes(8), 0)
    for number in range(rows + 50):
        content = Content(message_id(100 + number), START.wall_ms << 16, acknowledgement, b"")
        reader.conversation.on_text(contact, content, Text(b"x", 0, 2), "direct", START)
    assert reader.store.parts_bytes(sender.identity) <= limits.PART_BYTES_KEPT
    assert reader.store.parts(sender.identity, message_id(100)) == []
    part(friends, 1, b"a", 0, 2)
    part(friends, 2, b"b", 1, 2)
    assert reader.texts(sender) == ["ab"]


def test_bytes_that_are_no_text_are_shown_as_replacements(friends: Pair) -> None:
    sender, reader = friends
    reader.receive(sender, letter(sender, reader, 1, Text(b"a\xffb\xf0\x9f")))
    assert reader.texts(sender) == ["a\ufffdb\ufffd"]


def test_a_text_of_who_asks_only_is_not_shown_and_of_who_we_asked_is(friends: Pair) -> None:
    sender, reader = friends
    contact = reader.contact(sender)
    reader.store.save_contact(replace(contact, state=ContactState.REQUESTED))
    reader.receive(sender, letter(sender, reader, 1, "no"))
    reader.store.save_contact(replace(contact, state=ContactState.PENDING))
    reader.receive(sender, letter(sender, reader, 2, "yes"))
    assert reader.texts(sender) == ["yes"]
    assert reader.counts["not_accepted"] == 1


def test_the_same_id_twice_is_shown_once(friends: Pair) -> None:
    sender, reader = friends
    for sequence in (1, 2):
        reader.receive(sender, letter(sender, reader, sequence, f"text {sequence}", id=message_id(5)))
    assert reader.texts(sender) == ["text 1"]


def test_who_reads_says_so_once(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    message = sender.conversation.send(sender.contact(reader), "hello", START)
    cable.run()
    (received,) = reader.store.history(sender.identity, limit=9)
    for _ in range(2):
        reader.conversation.mark_read(received, START)
        received = reader.store.history(sender.identity, limit=9)[0]
    cable.run()
    assert sender.store.message(message.message).state is MessageState.READ  # type: ignore[union-attr]
    assert sum(isinstance(body, Read) for _, body, _ in sender.acted) == 1
    assert reader.store.unread_count(sender.identity) == 0


def test_what_stands_before_it_is_read_with_it(friends: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "READ_MESSAGES", 2)
    sender, reader = friends
    cable = Cable(sender, reader)
    sent = [sender.conversation.send(sender.contact(reader), f"text {number}", START) for number in range(5)]
    cable.run()
    received = reader.store.history(sender.identity, limit=9)
    for _ in range(2):
        reader.conversation.mark_read(received[3], START)
        cable.run()
    for person, messages in ((sender, sent), (reader, received)):
        states = [person.store.message(message.message).state for message in messages]  # type: ignore[union-attr]
        assert [state is MessageState.READ for state in states] == [True, True, True, True, False]
    assert sum(isinstance(body, Read) for _, body, _ in sender.acted) == 2
    assert reader.store.unread_count(sender.identity) == 1


def test_our_own_messages_are_not_read_by_us(friends: Pair) -> None:
    sender, reader = friends
    message = sender.conversation.send(sender.contact(reader), "hello", START)
    sender.conversation.mark_read(message, after(1))
    assert sender.store.message(message.message) == message
    assert sender.store.outbox_count() == 1


def test_receipts_that_were_never_asked_for_change_nothing(friends: Pair) -> None:
    sender, reader = friends
    reader.receive(sender, letter(sender, reader, 1, "theirs", id=message_id(5)))
    reader.receive(sender, letter(sender, reader, 2, Read([message_id(5), message_id(6)])))
    states = [message.state for message in reader.store.history(sender.identity, limit=9)]
    assert states == [MessageState.RECEIVED]
    assert [event for event in reader.store.events(0, limit=9) if json.loads(event.data).get("state") == "read"] == []


def test_reads_do_not_fill_the_outbox_of_who_is_never_answered(friends: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    sender, reader = friends
    monkeypatch.setattr(limits, "OUTBOX_ITEMS", 2)
    for sequence in range(1, 6):
        reader.receive(sender, letter(sender, reader, sequence, f"text {sequence}"))
    for message in reader.store.history(sender.identity, limit=9):
        reader.conversation.mark_read(message, START)
    assert reader.store.unread_count(sender.identity) == 0
    assert reader.store.outbox_count() == 2
