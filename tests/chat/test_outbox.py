"""Everything under way until it is acknowledged: over links, by mail, through restarts and old copies of a home."""

import pytest
from msgspec.structs import replace

from p2pd import limits
from p2pd.chat.envelopes import NO_MESSAGE, NOTHING
from p2pd.chat.inbox import Outcome
from p2pd.errors import QuotaError
from p2pd.store import ContactState, MessageState
from p2pd.wire.content import Acknowledgement, PairProposal
from p2pd.wire.envelope import Envelope
from tests.cast import START, Cable, after
from tests.chat.letters import begin
from tests.chat.mailing import ABSENT, MIDNIGHT, Pair, answer, deliver, mail, rings, send, state


def test_over_a_link_and_back(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    sent = send(friends, "one", "two")
    cable.run()
    assert reader.texts(sender) == ["one", "two"]
    assert [state(friends, message) for message in sent] == [MessageState.DELIVERED] * 2
    assert sender.store.outbox(reader.identity) == []
    assert (sender.outbox.next_deadline(), reader.outbox.next_deadline()) == (None, None)


def test_what_waited_goes_when_a_link_comes_up(friends: Pair) -> None:
    sender, reader = friends
    send(friends, "one", "two")
    Cable(reader, sender)
    assert reader.texts(sender) == ["one", "two"]
    assert sender.store.outbox(reader.identity) == []


def test_a_link_takes_a_window_and_then_the_next(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    numbers = [f"{number}" for number in range(2 * limits.LINK_WINDOW + 10)]
    send(friends, *numbers)
    assert len(sender.effects) - len(numbers) < 3 * limits.LINK_WINDOW
    cable.run()
    assert reader.texts(sender) == numbers
    assert sender.store.outbox_count() == 0


def test_what_a_silent_link_does_not_acknowledge_goes_by_mail_and_again(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    cable.lost = True
    send(friends, "one")
    cable.run()
    (put,) = mail(friends, after(limits.MAILBOX_AFTER_S))
    sender.outbox.on_timer(after(limits.RETRY_S[0]))
    assert cable.run() == 1
    cable.cut(after(35))
    Cable(sender, reader, after(36))
    assert reader.texts(sender) == ["one"]
    assert deliver(friends, put, now=after(40)) == [Outcome.DUPLICATE]
    assert reader.texts(sender) == ["one"]


def test_by_mail_and_the_acknowledgement_by_mail(friends: Pair) -> None:
    sender = friends[0]
    one, two = send(friends, "one", "two")
    (put,) = mail(friends, ABSENT)
    assert len(put.records) == 2
    put.answer(ABSENT)
    assert state(friends, one) is state(friends, two) is MessageState.STORED
    assert [ring.body for ring in rings(sender)] != []
    assert deliver(friends, put, now=after(100)) == [Outcome.DONE] * 2
    answer(friends, after(102))
    assert state(friends, one) is state(friends, two) is MessageState.DELIVERED
    assert sender.store.outbox_count() == 0


@pytest.mark.parametrize("given_s", [60, 0])
def test_what_is_not_delivered_in_time_expires_and_leaves_no_hole(friends: Pair, given_s: int) -> None:
    sender, reader = friends
    message = sender.conversation.send(sender.contact(reader), "late", START, expire_s=given_s)
    send(friends, "kept", now=after(10))
    life_s = given_s or limits.OUTBOX_LIFE_S
    sender.outbox.expire(after(life_s - 1))
    assert state(friends, message) is MessageState.QUEUED
    sender.outbox.expire(after(life_s))
    assert state(friends, message) is MessageState.EXPIRED
    Cable(sender, reader, after(life_s + 1))
    assert reader.texts(sender) == ["kept"]
    assert reader.store.counters(sender.identity).received == 2


def test_an_expired_message_is_mailed_as_a_void(friends: Pair) -> None:
    message = friends[0].conversation.send(friends[0].contact(friends[1]), "late", START, expire_s=60)
    (put,) = mail(friends, ABSENT)
    put.answer(ABSENT)
    assert put.records[0].parse().expires_s == START.wall_s + 60
    now = after(61)
    friends[0].outbox.expire(now)
    (void,) = mail(friends, after(limits.MAILBOX_AFTER_S, now))
    assert state(friends, message) is MessageState.EXPIRED
    assert deliver(friends, void) == [Outcome.DONE]
    assert friends[1].texts(friends[0]) == []


def test_an_acknowledgement_of_other_counters_acknowledges_nothing(friends: Pair) -> None:
    sender, reader = friends
    send(friends, "one")
    wrong = Acknowledgement(b"epoch  1", b"not ours", 1)
    assert sender.outbox.on_acknowledgement(reader.identity, wrong, START) == []
    assert sender.store.outbox_count() == 1


@pytest.mark.parametrize("above", [b"", b"\xff" * 64, b"\x05"])
def test_a_liars_acknowledgement_harms_only_itself(friends: Pair, above: bytes) -> None:
    sender, reader = friends
    send(friends, "one", "two", "three")
    epoch = sender.outbox.counters(reader.identity).epoch
    for lie in (Acknowledgement(b"epoch  1", epoch, 2**63 - 1, above), Acknowledgement(b"epoch  1", epoch, 3, b"\x01")):
        assert sender.outbox.on_acknowledgement(reader.identity, lie, START) == []
    send(friends, "four")
    assert [item.sequence for item in sender.store.outbox(reader.identity)] == [1, 2, 3, 4]


def test_an_acknowledgement_of_what_was_never_sent_begins_everything_anew(friends: Pair) -> None:
    sender, reader = friends
    send(friends, "one", "two")
    former = sender.outbox.counters(reader.identity)
    beyond = Acknowledgement(reader.outbox.counters(sender.identity).epoch, former.epoch, 3)
    assert sender.outbox.on_acknowledgement(reader.identity, beyond, START) == []
    assert sender.outbox.counters(reader.identity).epoch != former.epoch
    assert (sender.contact(reader).epoch, sender.sessions.current(reader.identity)) == (b"", None)
    assert sender.resyncs == [reader.identity]
    begin(sender, reader)
    Cable(sender, reader)
    assert reader.texts(sender) == ["one", "two"]
    assert sender.store.outbox_count() == 0


def test_an_acknowledgement_of_another_item_under_the_number_begins_everything_anew(friends: Pair) -> None:
    sender, reader = friends
    send(friends, "one", "two")
    former, theirs = sender.outbox.counters(reader.identity).epoch, reader.outbox.counters(sender.identity).epoch
    session = sender.sessions.current(reader.identity)
    assert session is not None
    sender.outbox.seal_request(sender.contact(reader), session, sender.store.outbox(reader.identity)[0])
    (first, second) = sender.store.outbox(reader.identity)
    mark = Envelope.decode(first.envelope).mark
    other_session = Acknowledgement(theirs, former, 1, b"", bytes(4) + mark[4:-1] + b"?")
    assert sender.outbox.on_acknowledgement(reader.identity, other_session, START) == [first]
    unsealed = Acknowledgement(theirs, former, 2, b"", mark)
    assert sender.outbox.on_acknowledgement(reader.identity, unsealed, START) == []
    assert sender.outbox.counters(reader.identity).epoch != former
    assert [item.message for item in sender.store.outbox(reader.identity)] == [second.message]


@pytest.mark.parametrize(("end", "dropped"), [(b"", 1), (b"?", 0)])
def test_an_acknowledgement_names_the_envelope_that_it_is_of(friends: Pair, end: bytes, dropped: int) -> None:
    sender, reader = friends
    send(friends, "one")
    mail(friends, ABSENT)
    epoch = sender.outbox.counters(reader.identity).epoch
    mark = Envelope.decode(sender.store.outbox(reader.identity)[0].envelope).mark
    said = Acknowledgement(b"epoch  1", epoch, 1, b"", mark[: len(mark) - len(end)] + end)
    assert len(sender.outbox.on_acknowledgement(reader.identity, said, START)) == dropped


def test_an_acknowledgement_of_something_new_and_yet_of_less_begins_everything_anew(friends: Pair) -> None:
    sender, reader = friends
    send(friends, "one", "two", "three", "four")
    former, theirs = sender.outbox.counters(reader.identity).epoch, reader.outbox.counters(sender.identity).epoch
    sender.outbox.on_acknowledgement(reader.identity, Acknowledgement(theirs, former, 2), START)
    late = Acknowledgement(theirs, former, 1)
    assert sender.outbox.on_acknowledgement(reader.identity, late, START) == []
    assert sender.outbox.counters(reader.identity).epoch == former
    less = Acknowledgement(theirs, former, 1, b"\x02")
    assert [item.sequence for item in sender.outbox.on_acknowledgement(reader.identity, less, START)] == [4]
    assert sender.outbox.counters(reader.identity).epoch != former
    assert [item.sequence for item in sender.store.outbox(reader.identity)] == [1]


def test_bits_above_acknowledge_out_of_order(friends: Pair) -> None:
    sender, reader = friends
    sent = send(friends, "one", "two", "three", "four")
    epoch = sender.outbox.counters(reader.identity).epoch
    sender.outbox.on_acknowledgement(reader.identity, Acknowledgement(b"epoch  1", epoch, 1, b"\x02"), START)
    assert [item.sequence for item in sender.store.outbox(reader.identity)] == [2, 3]
    sender.outbox.on_acknowledgement(reader.identity, Acknowledgement(b"epoch  1", epoch, 0), START)
    assert sender.outbox.counters(reader.identity).acknowledged == 1
    states = [state(friends, message) for message in sent]
    assert states == [MessageState.DELIVERED, MessageState.QUEUED, MessageState.QUEUED, MessageState.DELIVERED]


def test_a_long_text_is_delivered_with_its_last_part(friends: Pair) -> None:
    sender, reader = friends
    (message,) = send(friends, "x" * (3 * limits.PART_BYTES))
    epoch = sender.outbox.counters(reader.identity).epoch
    for through, expected in ((1, MessageState.QUEUED), (2, MessageState.QUEUED), (3, MessageState.DELIVERED)):
        acknowledgement = Acknowledgement(b"epoch  1", epoch, through)
        sender.outbox.on_acknowledgement(reader.identity, acknowledgement, START)
        assert state(friends, message) is expected


def test_messages_are_bounded_and_what_daemons_say_is_not_refused(
    friends: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, reader = friends
    monkeypatch.setattr(limits, "OUTBOX_ITEMS", 3)
    send(friends, "one", "two", "three")
    with pytest.raises(QuotaError):
        send(friends, "four")
    assert sender.outbox.add(reader.identity, NOTHING, START) == 4
    assert not sender.outbox.has_room(reader.identity)


def test_an_acknowledgement_that_is_owed_survives_a_restart_and_a_full_mailbox(friends: Pair) -> None:
    sender, reader = friends
    send(friends, "one")
    (put,) = mail(friends, ABSENT)
    deliver(friends, put, now=after(10))
    full = replace(reader.outbox.counters(sender.identity), mailbox_day=START.day, mailbox_index=limits.MAILBOX_INDEXES)
    reader.store.save_counters(sender.identity, full)
    reader.outbox.on_timer(after(12))
    assert reader.dht.take_puts() == []
    reader.start()
    reader.outbox.start(after(20))
    answer(friends, after(5, MIDNIGHT))
    assert sender.store.outbox_count() == 0


def test_an_acknowledgement_lost_with_its_link_goes_by_mail(friends: Pair) -> None:
    sender, reader = friends
    cable = Cable(sender, reader)
    send(friends, "one")
    frames = [effect for effect in sender.effects.take() if hasattr(effect, "frame")]
    reader.links.on_frame(cable.names[1], frames[0].frame, START)
    reader.outbox.on_timer(START)
    cable.cut(after(1))
    answer(friends, after(5))
    assert sender.store.outbox_count() == 0


def test_nothing_goes_to_who_has_not_accepted_or_is_blocked_or_gone(friends: Pair) -> None:
    sender, reader = friends
    for contact_state in (ContactState.PENDING, ContactState.BLOCKED):
        sender.store.save_contact(replace(sender.contact(reader), state=contact_state))
        sender.outbox.add(reader.identity, NOTHING, START)
        sender.outbox.pump(reader.identity, START)
        assert sender.outbox.next_deadline() is None
    sender.store.save_contact(replace(sender.contact(reader), state=ContactState.ACCEPTED))
    sender.outbox.pump(reader.identity, START)
    sender.outbox.acknowledge(reader.identity, START)
    sender.store.remove_contact(reader.identity)
    sender.outbox.on_timer(after(100))
    assert sender.outbox.next_deadline() is None


def test_beginning_anew_keeps_what_waits_and_its_order(friends: Pair) -> None:
    sender, reader = friends
    sender.outbox.add(reader.identity, NOTHING, START)
    (first, second) = send(friends, "one", "x" * (2 * limits.PART_BYTES))
    sender.outbox.add(reader.identity, PairProposal(1, b"s" * 32).encode(), START)
    sender.store.remove_outbox_item(reader.identity, 1)
    begin(sender, reader)
    sender.outbox.begin_anew(reader.identity)
    items = sender.store.outbox(reader.identity)
    assert [item.sequence for item in items] == [1, 2, 3, 4]
    assert [item.message for item in items] == [first.message, second.message, second.message, NO_MESSAGE]
    assert items[3].body == NOTHING
    moved = sender.store.message(second.message)
    assert moved is not None
    assert (moved.first_sequence, moved.last_sequence) == (2, 3)
    Cable(sender, reader)
    assert reader.texts(sender) == ["one", "x" * (2 * limits.PART_BYTES)]
    assert state(friends, first) is state(friends, second) is MessageState.DELIVERED
