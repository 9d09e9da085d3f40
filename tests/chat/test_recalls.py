"""What is taken back is shown no more, wherever it is met, and its sender learns whether it was shown."""

import json
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from msgspec.structs import replace

from p2pd import limits
from p2pd.chat.envelopes import NOTHING
from p2pd.chat.withdrawing import holders
from p2pd.errors import FailedError, RefusedError
from p2pd.store import Contact, ContactState, Message, MessageState, RecallOutcome
from p2pd.types import Now
from p2pd.wire.address import Link
from p2pd.wire.content import Read, Recall, Recalled, Text, Void, decode_content_body
from p2pd.wire.envelope import Envelope
from p2pd.wire.record import Tombstone
from tests.cast import START, Cable, Person, Put, after
from tests.chat.letters import begin, letter, message_id
from tests.chat.mailing import ABSENT, Pair, answer, deliver, envelopes, mail, send, state

NEVER_SEEN = "recalled: they never saw it"


def recall(friends: Pair, message: Message, now: Now = START) -> None:
    found = friends[0].store.message(message.message)
    assert found is not None
    friends[0].recalls.recall(found, now)


def outcome(person: Person, message: Message) -> RecallOutcome | None:
    found = person.store.message(message.message)
    return found.recall.outcome if found is not None and found.recall is not None else None


def alike(friends: Pair) -> list[tuple[bytes, str]]:
    """Ids and texts in the conversation's order, the same on both ends."""
    sender, reader = friends
    shown = [
        [(bytes(message.message), message.text) for message in person.store.history(other.identity, limit=100)]
        for person, other in ((sender, reader), (reader, sender))
    ]
    assert shown[0] == shown[1]
    return shown[0]


def tombstones(person: Person) -> list[Put]:
    """Puts of tombstones; the others stay."""
    found = [put for put in person.dht.puts if isinstance(put.records[0].parse(), Tombstone)]
    person.dht.puts = [put for put in person.dht.puts if put not in found]
    return found


def events(person: Person, kind: str) -> list[dict[str, object]]:
    return [json.loads(event.data) for event in person.store.events(0, limit=1_000, types=(kind,))]


def steps(person: Person, message: Message) -> list[str]:
    return [step.what for step in person.store.steps(message.message)]


def everything_in(person: Person) -> str:
    """All that the store says, opened."""
    store = person.store
    rows = [store.history(contact.identity, limit=1_000) for contact in store.contacts()]
    items = [store.outbox(contact.identity) for contact in store.contacts()]
    return repr((rows, items, store.events(0, limit=1_000)))


def test_what_never_left_is_recalled_at_once_and_nothing_of_it_ever_comes(friends: Pair) -> None:
    sender, reader = friends
    first, second = send(friends, "a slip", "and this")
    recall(friends, first)
    assert (state(friends, first), outcome(sender, first)) == (MessageState.RECALLED, RecallOutcome.UNSEEN)
    assert sender.dht.take_puts() == []
    bodies = [decode_content_body(item.body) for item in sender.store.outbox(reader.identity)]
    assert bodies[0] == Void(first.message)
    assert isinstance(bodies[1], Text)
    assert len(bodies) == 2
    assert "a slip" not in everything_in(sender)
    Cable(sender, reader)
    assert alike(friends) == [(first.message, ""), (second.message, "and this")]
    assert not reader.store.history(sender.identity, limit=2)[1].gap
    assert state(friends, second) is MessageState.DELIVERED
    assert [data["text"] for data in events(reader, "message")] == ["and this"]
    assert [data["before"] for data in events(reader, "recalled")] == ["unseen"]


def test_mail_is_taken_back_and_its_holders_counted(friends: Pair) -> None:
    sender, _ = friends
    (message,) = send(friends, "a slip")
    (put,) = mail(friends, ABSENT)
    put.answer(ABSENT)
    recall(friends, message, after(10))
    assert (state(friends, message), outcome(sender, message)) == (MessageState.RECALLING, RecallOutcome.ASKED)
    (ended,) = tombstones(sender)
    assert ended.address == put.address
    assert [record.parse().item for record in ended.records] == [record.parse().item for record in put.records]  # type: ignore[union-attr]
    assert ended.records[0].parse().expires_s == put.records[0].parse().expires_s
    found = sender.store.message(message.message)
    assert found is not None
    assert holders(found) == (0, 8)
    ended.answer(after(11), receipts=6)
    found = sender.store.message(message.message)
    assert found is not None
    assert holders(found) == (6, 8)
    assert "copies removed" in [step.what for step in found.steps]


def test_the_absent_reader_never_sees_it_and_its_sender_hears_so(friends: Pair) -> None:
    sender, reader = friends
    message, later = send(friends, "a slip", "and this")
    (old,) = mail(friends, ABSENT)
    old.answer(ABSENT)
    recall(friends, message, after(10))
    (void,) = mail(friends, after(11))
    deliver(friends, void, now=after(12))
    deliver(friends, old, now=after(13))
    answer(friends, after(20))
    assert alike(friends) == [(message.message, ""), (later.message, "and this")]
    assert "a slip" not in everything_in(sender) + everything_in(reader)
    Cable(sender, reader)
    assert (state(friends, message), outcome(sender, message)) == (MessageState.RECALLED, RecallOutcome.UNSEEN)
    assert state(friends, later) is MessageState.DELIVERED
    assert sender.store.steps(message.message)[-1].what == NEVER_SEEN
    assert sender.resyncs == reader.resyncs == []
    assert sender.store.outbox_count() == reader.store.outbox_count() == 0


def test_every_record_of_every_day_and_session_is_ended(friends: Pair) -> None:
    sender, reader = friends
    (message,) = send(friends, "x" * (2 * limits.PART_BYTES))
    (first,) = mail(friends, ABSENT)
    first.answer(ABSENT)
    begin(reader, sender)
    reader.outbox.add(sender.identity, NOTHING, START)
    begin(sender, reader)
    (second,) = mail(friends, after(limits.MAIL_REISSUE_S))
    second.answer(after(limits.MAIL_REISSUE_S), receipts=3)
    recall(friends, message, after(limits.MAIL_REISSUE_S + 1))
    ended = tombstones(sender)
    wanted = {(put.address, record.parse().item) for put in (first, second) for record in put.records}  # type: ignore[union-attr]
    assert {(put.address, record.parse().item) for put in ended for record in put.records} == wanted  # type: ignore[union-attr]
    assert len(wanted) == 4
    found = sender.store.message(message.message)
    assert found is not None
    assert holders(found) == (0, 8 + 3)


def test_tombstones_are_put_again_until_as_many_have_them_and_after_a_restart(friends: Pair) -> None:
    sender, _ = friends
    (message,) = send(friends, "a slip")
    (put,) = mail(friends, ABSENT)
    put.answer(ABSENT)
    recall(friends, message, after(1))
    (ended,) = tombstones(sender)
    ended.answer(after(2), receipts=2)
    sender.start()
    sender.outbox.start(after(3))
    sender.outbox.on_timer(after(5))
    assert tombstones(sender) == []
    sender.outbox.on_timer(after(40))
    (ended,) = tombstones(sender)
    ended.answer(after(41))
    sender.outbox.on_timer(after(400))
    assert tombstones(sender) == []


def test_a_recall_that_was_made_offline_ends_records_once_there_is_a_network(friends: Pair) -> None:
    sender, _ = friends
    (message,) = send(friends, "a slip")
    (put,) = mail(friends, ABSENT)
    put.answer(ABSENT)
    sender.dht.joined = False
    recall(friends, message, after(1))
    assert tombstones(sender) == []
    sender.dht.joined = True
    sender.outbox.on_timer(after(60))
    assert len(tombstones(sender)) == 1


def test_recalled_after_it_was_shown_it_is_deleted_and_its_sender_told(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    message, other = send(friends, "a slip", "stays")
    cable.run()
    assert state(friends, message) is MessageState.DELIVERED
    recall(friends, message)
    assert state(friends, message) is MessageState.RECALLING
    cable.run()
    assert (state(friends, message), outcome(sender, message)) == (MessageState.DELIVERED, RecallOutcome.SHOWN)
    assert "too late" in sender.store.steps(message.message)[-1].what
    assert alike(friends) == [(message.message, ""), (other.message, "stays")]
    assert "a slip" not in everything_in(sender) + everything_in(reader)
    assert [data.get("recalled") for data in events(reader, "message")] == [True, None]
    assert set(events(reader, "message")[0]) >= set(events(reader, "message")[1])
    assert reader.store.unread_count(sender.identity) == 1
    assert sender.dht.take_puts() == []


def test_recalled_after_it_was_read_they_say_so(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    (message,) = send(friends, "a slip")
    cable.run()
    (shown,) = reader.store.history(sender.identity, limit=1)
    reader.conversation.mark_read(shown, START)
    recall(friends, message)
    cable.run()
    assert (state(friends, message), outcome(sender, message)) == (MessageState.READ, RecallOutcome.READ)


def test_marking_a_recalled_message_as_read_says_nothing(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    (message,) = send(friends, "a slip")
    cable.run()
    recall(friends, message)
    cable.run()
    (gone,) = reader.store.history(sender.identity, limit=1)
    reader.conversation.mark_read(gone, START)
    assert reader.store.outbox_count() == 0
    assert reader.store.history(sender.identity, limit=1) == [gone]


def _text_first(text: list[bytes], rest: list[bytes]) -> list[bytes]:
    return [*text, *rest]


def _text_last(text: list[bytes], rest: list[bytes]) -> list[bytes]:
    return [*rest, *text]


def _text_between(text: list[bytes], rest: list[bytes]) -> list[bytes]:
    return [*rest[:1], *text, *rest[1:]]


def _recall_first(text: list[bytes], rest: list[bytes]) -> list[bytes]:
    return [*rest[::-1], *text]


def _all_twice(text: list[bytes], rest: list[bytes]) -> list[bytes]:
    return [*rest, *text, *text, *rest]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (_text_first, RecallOutcome.SHOWN),
        (_text_last, RecallOutcome.UNSEEN),
        (_text_between, RecallOutcome.UNSEEN),
        (_recall_first, RecallOutcome.UNSEEN),
        (_all_twice, RecallOutcome.UNSEEN),
    ],
)
@pytest.mark.parametrize("parts", [1, 3])
def test_whatever_comes_first_both_ends_agree_and_nothing_begins_anew(
    friends: Pair, order: Callable[[list[bytes], list[bytes]], list[bytes]], expected: RecallOutcome, parts: int
) -> None:
    sender, reader = friends
    text = "slip " * (limits.PART_BYTES * parts // 5)
    (message,) = send(friends, text)
    (old,) = mail(friends, ABSENT)
    recall(friends, message, after(2))
    (void,) = [put for put in mail(friends, after(5)) if put.address == old.address]
    epoch = reader.outbox.counters(sender.identity).epoch
    now = after(6)
    for number, envelope in enumerate(order(envelopes(friends, old), envelopes(friends, void))):
        now = after(6 + number * (limits.HOLD_S + 1))  # nothing waits for what is missing any longer
        reader.receive(sender, envelope, now, "mailbox")
        reader.inbox.on_timer(after(limits.HOLD_S, now))
    assert outcome(reader, message) is expected
    Cable(sender, reader, after(200))
    assert outcome(sender, message) is expected
    assert alike(friends) == [(message.message, "")]
    assert reader.outbox.counters(sender.identity).epoch == epoch
    assert sender.resyncs == reader.resyncs == []
    assert sender.store.outbox_count() == reader.store.outbox_count() == 0
    assert reader.store.parts(sender.identity, message.message) == []
    shown = len(events(reader, "message"))
    assert shown == (expected is not RecallOutcome.UNSEEN)


def test_a_text_that_went_over_the_link_is_followed_by_its_recall(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    (message,) = send(friends, "a slip")
    recall(friends, message)  # the frame is on its way
    cable.run()
    assert outcome(sender, message) is RecallOutcome.SHOWN
    assert alike(friends) == [(message.message, "")]
    assert sender.resyncs == reader.resyncs == []


def test_a_text_lost_with_its_link_is_not_shown_by_the_next(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    cable.lost = True
    (message,) = send(friends, "a slip")
    cable.run()
    cable.cut(after(1))
    recall(friends, message, after(2))
    Cable(sender, reader, after(3))
    assert outcome(sender, message) is RecallOutcome.UNSEEN
    assert [data["text"] for data in events(reader, "message")] == []


def test_a_late_original_is_not_shown_after_restarts_either(friends: Pair) -> None:
    sender, reader = friends
    (message,) = send(friends, "a slip")
    (old,) = mail(friends, ABSENT)
    recall(friends, message, after(2))
    rest = envelopes(friends, next(put for put in mail(friends, after(5)) if put.address == old.address))
    reader.receive(sender, rest[1], after(6))
    reader.inbox.on_timer(after(6 + limits.HOLD_S))
    assert outcome(reader, message) is RecallOutcome.UNSEEN
    reader.start()
    reader.receive(sender, envelopes(friends, old)[0], after(60 * limits.DAY_S))
    assert events(reader, "message") == []
    assert reader.texts(sender) == [""]


def test_what_was_shown_long_before_is_deleted_too(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    (message,) = send(friends, "a slip")
    cable.run()
    for number in range(limits.ITEMS_MARKED + 5):
        send(friends, f"{number}")
        cable.run()
    recall(friends, message)
    cable.run()
    assert outcome(sender, message) is RecallOutcome.SHOWN


def test_what_has_expired_on_its_way_contradicts_nothing(friends: Pair) -> None:
    sender, reader = friends
    message = sender.conversation.send(sender.contact(reader), "old news", START, expire_s=60)
    (put,) = mail(friends, ABSENT)
    deliver(friends, put, now=after(50))
    sender.outbox.expire(after(61))
    epoch = sender.outbox.counters(reader.identity).epoch
    Cable(sender, reader, after(62))
    assert state(friends, message) is MessageState.EXPIRED
    assert sender.outbox.counters(reader.identity).epoch == epoch
    assert sender.store.outbox_count() == 0


def test_what_has_expired_can_be_recalled_and_then_it_is_known_whether_it_was_shown(friends: Pair) -> None:
    sender, reader = friends
    message = sender.conversation.send(sender.contact(reader), "old news", START, expire_s=60)
    (put,) = mail(friends, ABSENT)
    deliver(friends, put, now=after(50))
    sender.outbox.expire(after(61))
    recall(friends, message, after(62))
    Cable(sender, reader, after(63))
    assert (state(friends, message), outcome(sender, message)) == (MessageState.DELIVERED, RecallOutcome.SHOWN)


def test_a_recalled_text_that_had_an_end_stays_in_its_place_on_both_ends(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    message = sender.conversation.send(sender.contact(reader), "a slip", START, expire_s=60)
    cable.run()
    recall(friends, message)
    cable.run()
    for person in friends:
        person.expiry.on_timer(after(100))
    assert alike(friends) == [(message.message, "")]


@pytest.mark.parametrize("read", [True, False])
def test_what_was_delivered_and_came_to_its_end_there_was_not_unseen(friends: Pair, read: bool) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    message = sender.conversation.send(sender.contact(reader), "a slip", START, expire_s=60)
    cable.run()
    if read:
        found = reader.store.message(message.message)
        assert found is not None
        reader.conversation.mark_read(found, START)
        cable.run()
    cable.cut()
    recall(friends, message, after(30))
    reader.expiry.on_timer(after(60))
    assert reader.store.message(message.message) is None
    Cable(sender, reader, after(61))
    expected = (MessageState.READ, RecallOutcome.READ) if read else (MessageState.DELIVERED, RecallOutcome.SHOWN)
    assert (state(friends, message), outcome(sender, message)) == expected
    assert steps(sender, message)[-1] == "recall came too late: it had been delivered, and is not there any more"


@pytest.mark.parametrize("expired", [True, False])
def test_where_its_end_may_have_come_first_nobody_says_that_it_was_never_seen(friends: Pair, expired: bool) -> None:
    sender, reader = friends
    message = sender.conversation.send(sender.contact(reader), "a slip", START, expire_s=60)
    (put,) = mail(friends, ABSENT)
    deliver(friends, put, now=after(40))  # shown, and their acknowledgement is not here before the recall
    if expired:
        sender.expiry.on_timer(after(60))
        assert state(friends, message) is MessageState.EXPIRED
    recall(friends, message, after(61 if expired else 50))
    reader.expiry.on_timer(after(70))
    Cable(sender, reader, after(71))
    assert (state(friends, message), outcome(sender, message)) == (MessageState.RECALLED, RecallOutcome.GONE)
    assert NEVER_SEEN not in steps(sender, message)


def test_long_before_its_end_it_is_known_that_they_never_saw_it(friends: Pair) -> None:
    sender, reader = friends
    message = sender.conversation.send(sender.contact(reader), "a slip", START, expire_s=limits.DAY_S)
    mail(friends, ABSENT)
    recall(friends, message, after(50))
    Cable(sender, reader, after(60))
    assert (state(friends, message), outcome(sender, message)) == (MessageState.RECALLED, RecallOutcome.UNSEEN)


def test_what_has_arrived_in_part_had_left_and_is_asked_for(friends: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    sender, reader = friends
    monkeypatch.setattr(limits, "MAIL_BATCH", 1)
    (message,) = send(friends, "x" * (limits.PART_BYTES + 1))
    (first,) = mail(friends, ABSENT)
    deliver(friends, first, now=ABSENT)
    answer(friends, after(60))
    assert [item.left for item in sender.outbox.waiting(message)] == [False]
    recall(friends, message, after(61))
    assert state(friends, message) is MessageState.RECALLING
    Cable(sender, reader, after(62))
    assert outcome(sender, message) is RecallOutcome.UNSEEN
    assert steps(sender, message)[-1] == NEVER_SEEN
    assert reader.store.parts(sender.identity, message.message) == []


def test_a_recall_survives_that_all_begins_anew(friends: Pair) -> None:
    sender, reader = friends
    (message,) = send(friends, "a slip")
    (old,) = mail(friends, ABSENT)
    old.answer(ABSENT)
    recall(friends, message, after(2))
    begin(sender, reader)
    sender.outbox.begin_anew(reader.identity)
    Cable(sender, reader, after(10))
    assert outcome(sender, message) is RecallOutcome.UNSEEN
    reader.receive(sender, envelopes(friends, old)[0], after(20))
    assert alike(friends) == [(message.message, "")]


def test_what_left_before_all_began_anew_is_still_known_to_have_left(friends: Pair) -> None:
    sender, reader = friends
    (message,) = send(friends, "a slip")
    (old,) = mail(friends, ABSENT)
    old.answer(ABSENT)
    begin(sender, reader)
    sender.outbox.begin_anew(reader.identity)
    recall(friends, message, after(2))
    assert state(friends, message) is MessageState.RECALLING
    assert [put.address for put in tombstones(sender)] == [old.address]


def test_twice_is_once(friends: Pair) -> None:
    sender, reader = friends
    (message,) = send(friends, "a slip")
    mail(friends, ABSENT)
    recall(friends, message)
    before = everything_in(sender)
    recall(friends, message)
    assert everything_in(sender) == before
    Cable(sender, reader)
    recall(friends, message)
    assert state(friends, message) is MessageState.RECALLED


def test_only_ones_own_messages_of_contacts_that_can_be_asked(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    (message,) = send(friends, "mine")
    cable.run()
    (theirs,) = reader.store.history(sender.identity, limit=1)
    with pytest.raises(RefusedError, match="only who wrote"):
        reader.recalls.recall(theirs, START)
    sender.people.block(sender.contact(reader), START)
    with pytest.raises(RefusedError, match="blocked"):
        recall(friends, message)
    sender.people.remove(sender.contact(reader), START)
    with pytest.raises(FailedError, match="no contact"):
        recall(friends, message)
    assert state(friends, message) is MessageState.DELIVERED


def test_blocking_ends_a_recall_and_it_can_be_taken_up_again(friends: Pair) -> None:
    sender, reader = friends
    (message,) = send(friends, "a slip")
    mail(friends, ABSENT)
    recall(friends, message)
    blocked = sender.people.block(sender.contact(reader), START)
    assert state(friends, message) is MessageState.FAILED
    tombstones(sender)
    sender.people.unblock(blocked, START)
    recall(friends, message, after(1_000))
    assert state(friends, message) is MessageState.RECALLING
    assert len(tombstones(sender)) == 1


def test_a_request_is_not_recalled_before_it_is_answered(stack: ExitStack) -> None:
    alice, bob = Person("alice", stack), Person("bob", stack)
    _, asked = alice.people.add(Link(bob.identity), START, text="may I?")
    assert asked is not None
    with pytest.raises(RefusedError, match="before it is answered"):
        alice.recalls.recall(asked, START)


def test_a_recall_that_is_never_answered_ends_after_a_month(friends: Pair) -> None:
    sender, reader = friends
    (message,) = send(friends, "a slip")
    mail(friends, ABSENT)
    recall(friends, message)
    sender.outbox.expire(after(limits.OUTBOX_LIFE_S + 1))
    assert state(friends, message) is MessageState.FAILED
    assert sender.store.steps(message.message)[-1].detail == {"reason": "they have not answered the recall"}
    assert sender.store.outbox_count(reader.identity) == 2


@pytest.mark.parametrize("body", [Void, Recall])
def test_nobody_takes_back_what_is_not_theirs(friends: Pair, body: type[Void] | type[Recall]) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    own = reader.conversation.send(reader.contact(sender), "my own", START)
    cable.run()
    third = Contact(b"t" * 32, "third", ContactState.ACCEPTED, START.wall_ms)  # type: ignore[arg-type]
    reader.store.save_contact(third)
    elsewhere = replace(own, contact=third.identity, message=message_id(77), text="somebody else's")
    reader.store.save_message(elsewhere)
    for sequence, id in ((1, own.message), (2, elsewhere.message)):
        reader.receive(sender, letter(sender, reader, sequence, body(id)))
    assert reader.counts["recall_of_another"] == 2
    assert reader.texts(sender) == ["my own"]
    assert [message.text for message in reader.store.history(third.identity, limit=5)] == ["somebody else's"]


def test_an_answer_that_nobody_asked_for_says_nothing(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    (message,) = send(friends, "stays")
    cable.run()
    sender.receive(reader, letter(reader, sender, 1, Recalled(message.message, 0)))
    assert sender.counts["recall_not_asked"] == 1
    assert state(friends, message) is MessageState.DELIVERED


def test_that_it_was_read_does_not_end_a_recall(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    (message,) = send(friends, "a slip")
    cable.run()
    cable.lost = True
    recall(friends, message)
    sender.receive(reader, letter(reader, sender, 1, Read([message.message])))
    assert state(friends, message) is MessageState.RECALLING


def test_an_answer_waits_for_room(friends: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    sender, reader = friends
    monkeypatch.setattr(limits, "OUTBOX_ITEMS", 2)
    for sequence in range(1, 6):
        reader.receive(sender, letter(sender, reader, sequence, Recall(message_id(sequence))))
    assert reader.store.outbox_count(sender.identity) == 2


def test_only_an_old_copy_still_contradicts(friends: Pair) -> None:
    sender, reader = friends
    reader.receive(sender, letter(sender, reader, 1, "one"))
    epoch = reader.outbox.counters(sender.identity).epoch
    other = letter(sender, reader, 1, "another")
    assert Envelope.decode(other).sequence == 1
    reader.receive(sender, other)
    assert reader.outbox.counters(sender.identity).epoch != epoch


def test_mail_counts_the_records_of_a_put_that_is_not_done(friends: Pair) -> None:
    sender, _ = friends
    (message,) = send(friends, "a slip")
    (put,) = mail(friends, ABSENT)
    recall(friends, message, after(1))
    put.answer(after(2))
    (ended,) = tombstones(sender)
    ended.answer(after(3), receipts=5)
    found = sender.store.message(message.message)
    assert found is not None
    assert holders(found) == (5, 8)
