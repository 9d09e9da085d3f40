"""Everything under way until it is acknowledged: over links, by mail, through restarts, midnight and full mailboxes."""

from dataclasses import replace

import pytest

from p2pd import limits
from p2pd.chat import pairs
from p2pd.chat.inbox import Outcome
from p2pd.chat.mail import MailAddress, open_mail
from p2pd.chat.outbox import NO_MESSAGE, NOTHING
from p2pd.errors import QuotaError
from p2pd.peer import own
from p2pd.peer.published import INBOX, personal_address
from p2pd.store import Contact, ContactState, Message, MessageState
from p2pd.types import Now
from p2pd.wire.content import Acknowledgement, PairProposal
from p2pd.wire.envelope import Envelope
from p2pd.wire.record import OpenItem, SetItem
from tests.cast import START, Cable, Person, Put, after
from tests.chat.letters import begin

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


def test_the_same_bytes_go_on_every_path_and_every_retry(friends: Pair) -> None:
    sender, reader = friends
    send(friends, "one")
    (first,) = mail(friends, ABSENT)
    first.answer(ABSENT, receipts=1)
    sender.start()
    sender.outbox.start(after(1))
    (second,) = mail(friends, after(limits.RETRY_S[0] + 1))
    assert first.records == second.records
    assert sender.store.outbox(reader.identity)[0].envelope == envelopes(friends, second)[0]


def test_too_few_storers_are_said_and_tried_again_later_and_later(friends: Pair) -> None:
    (message,) = send(friends, "one")
    now, waits = ABSENT, []
    for _ in range(4):
        (put,) = mail(friends, now)
        put.answer(now, receipts=2)
        assert state(friends, message) is MessageState.QUEUED
        due = friends[0].outbox.next_deadline()
        assert due is not None
        waits.append(round(due - now.steady))
        now = after(due - now.steady, now)
    assert waits == list(limits.RETRY_S[:4])
    assert "too few storers" in [step.what for step in friends[0].store.steps(message.message)]


def test_a_later_message_does_not_wait_for_the_reissue_of_an_earlier(friends: Pair) -> None:
    send(friends, "one")
    (put,) = mail(friends, ABSENT)
    put.answer(ABSENT)
    assert mail(friends, after(40)) == []
    send(friends, "two", now=after(60))
    (later,) = mail(friends, after(60 + limits.MAILBOX_AFTER_S))
    assert len(later.records) == 1


def test_mail_goes_to_the_mailbox_of_the_day_also_when_it_is_late(friends: Pair) -> None:
    before = after(-20, MIDNIGHT)
    send(friends, "one", now=before)
    (first,) = mail(friends, after(-19, MIDNIGHT))
    first.answer(after(-18, MIDNIGHT), receipts=1)
    (second,) = mail(friends, after(limits.RETRY_S[0], MIDNIGHT))
    assert second.address != first.address
    assert deliver(friends, second, day=MIDNIGHT.day) == [Outcome.DONE]


def test_what_is_not_acknowledged_for_long_is_put_again(friends: Pair) -> None:
    send(friends, "one")
    (put,) = mail(friends, ABSENT)
    put.answer(ABSENT)
    later = after(limits.MAIL_REISSUE_S + 1)
    assert mail(friends, after(limits.MAIL_REISSUE_S - 10)) == []
    (again,) = mail(friends, later)
    assert again.address != put.address
    assert again.records[0].parse().expires_s == later.wall_s + limits.MAIL_LIFE_S
    assert deliver(friends, again, now=later, day=later.day) == [Outcome.DONE]


def test_a_new_session_encrypts_and_puts_again(friends: Pair) -> None:
    sender, reader = friends
    send(friends, "one")
    (put,) = mail(friends, ABSENT)
    put.answer(ABSENT)
    begin(sender, reader)
    sender.outbox.pump(reader.identity, after(60))
    (again,) = mail(friends, after(70))
    assert Envelope.decode(envelopes(friends, again)[0]).first_contact
    assert deliver(friends, again, put) == [Outcome.DONE, Outcome.DUPLICATE]
    assert reader.texts(sender) == ["one"]


def test_full_mailboxes_lead_to_the_next_index_and_then_wait_quietly(friends: Pair) -> None:
    sender, reader = friends
    counters = sender.outbox.counters(reader.identity)
    full = replace(
        counters,
        mailbox_day=START.day,
        mailbox_index=limits.MAILBOX_INDEXES - 2,
        mailbox_items=limits.MAILBOX_INDEX_ITEMS - 1,
    )
    sender.store.save_counters(reader.identity, full)
    send(friends, "one", "two")
    first, second = mail(friends, ABSENT)
    assert len({first.address, second.address}) == 2
    counters = sender.outbox.counters(reader.identity)
    assert counters.mailbox_index == limits.MAILBOX_INDEXES - 1
    sender.store.save_counters(reader.identity, replace(counters, mailbox_items=limits.MAILBOX_INDEX_ITEMS))
    send(friends, *[f"{number}" for number in range(limits.MAIL_BATCH + 5)], now=after(1))
    now = after(5)
    assert mail(friends, now) == []
    due = sender.outbox.next_deadline()
    assert due is not None
    assert due >= now.steady + 1
    (tomorrow,) = mail(friends, after(10, MIDNIGHT))
    assert len(tomorrow.records) == limits.MAIL_BATCH


def test_nothing_spins_without_a_session(friends: Pair) -> None:
    sender, reader = friends
    for session in sender.store.sessions(reader.identity):
        sender.store.remove_session(session)
    send(friends, *[f"{number}" for number in range(limits.MAIL_BATCH + 5)])
    assert mail(friends, ABSENT) == []
    assert sender.resyncs
    due = sender.outbox.next_deadline()
    assert due is not None
    assert due >= ABSENT.steady + 1


def test_nothing_is_put_before_the_node_has_joined(friends: Pair) -> None:
    sender = friends[0]
    sender.dht.joined = False
    send(friends, "one")
    assert mail(friends, ABSENT) == []
    sender.dht.joined = True
    assert len(mail(friends, after(60))) == 1


def test_only_what_the_reader_would_take_is_sent(friends: Pair) -> None:
    sender, reader = friends
    for _ in range(limits.UNACKNOWLEDGED + 50):
        sender.outbox.add(reader.identity, NOTHING, START)
    for sequence in range(2, 52):
        sender.store.remove_outbox_item(reader.identity, sequence)
    sender.outbox.pump(reader.identity, START)
    sequences: list[int] = []
    for second in range(20):
        for put in mail(friends, after(1 + second)):
            index = sender.store.counters(reader.identity).mailbox_index
            sequences += [item.sequence for item in sender.store.outbox(reader.identity) if item.put_item]
            assert index < limits.MAILBOX_INDEXES
            put.answer(after(1 + second))
    assert max(sequences) == limits.UNACKNOWLEDGED


def test_rings_go_on_until_something_is_acknowledged(friends: Pair) -> None:
    sender, reader = friends
    send(friends, "one")
    (put,) = mail(friends, ABSENT)
    put.answer(ABSENT)
    now = ABSENT
    secret = own.secrets(reader.store)[0].secret
    (direction,) = pairs.reading(reader.keys, reader.contact(sender))
    for gap in limits.RING_GAPS_S[:4]:
        (ring,) = rings(sender)
        assert ring.address == personal_address(reader.identity, INBOX, secret, now.day)
        assert ring.body == direction.ring(START.day, 0)
        now = after(gap, now)
        sender.outbox.on_timer(now)
    deliver(friends, put, now=now)
    answer(friends, after(2, now))
    sender.dht.take_puts()
    sender.outbox.on_timer(after(limits.HOUR_S, now))
    assert rings(sender) == []


def test_a_ring_after_midnight_names_the_mailbox_of_the_day_before(friends: Pair) -> None:
    sender, reader = friends
    before = after(-2, MIDNIGHT)
    send(friends, "one", now=before)
    (put,) = mail(friends, after(-1, MIDNIGHT))
    put.answer(after(1, MIDNIGHT))
    (ring,) = rings(sender)
    (direction,) = pairs.reading(reader.keys, reader.contact(sender))
    assert ring.body == direction.ring(MIDNIGHT.day - 1, 0)
    secret = own.secrets(reader.store)[0].secret
    assert ring.address == personal_address(reader.identity, INBOX, secret, MIDNIGHT.day)


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
    lie = Acknowledgement(b"epoch  1", epoch, 2**63 - 1, above)
    assert len(sender.outbox.on_acknowledgement(reader.identity, lie, START)) == 3
    assert sender.outbox.counters(reader.identity).acknowledged == 3
    send(friends, "four")
    assert sender.store.outbox(reader.identity)[0].sequence == 4


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


def test_an_acknowledgement_that_nobody_stored_is_tried_again(friends: Pair) -> None:
    sender, reader = friends
    send(friends, "one")
    (put,) = mail(friends, ABSENT)
    deliver(friends, put, now=after(10))
    reader.outbox.on_timer(after(12))
    (lost,) = reader.dht.take_puts()
    lost.answer(after(13), receipts=0)
    reader.outbox.on_timer(after(13 + limits.RETRY_S[0]))
    (again,) = reader.dht.take_puts()
    deliver((reader, sender), again, now=after(60))
    assert sender.store.outbox_count() == 0


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


def test_a_put_that_ends_after_its_contact_is_gone_leaves_nothing(friends: Pair) -> None:
    sender, reader = friends
    send(friends, "one")
    (put,) = mail(friends, ABSENT)
    sender.store.remove_contact(reader.identity)
    put.answer(after(5))
    put.answer(after(6), receipts=0)
    sender.outbox.on_timer(after(limits.RETRY_S[0] + 1))
    assert sender.store.outbox_count() == 0
    assert sender.outbox.next_deadline() is None


def test_a_clock_set_back_does_not_hold_mail_up(friends: Pair) -> None:
    years = 4 * 365 * limits.DAY_S
    wrong = Now(START.steady, START.wall_ms + years * 1000)
    sender, reader = friends
    sender.conversation.send(sender.contact(reader), "one", wrong)
    (put,) = mail(friends, Now(ABSENT.steady, wrong.wall_ms))
    put.answer(Now(ABSENT.steady, wrong.wall_ms), receipts=0)
    (again,) = mail(friends, after(limits.RETRY_S[0] + 1))
    assert deliver(friends, again) == [Outcome.DONE]


def test_beginning_anew_keeps_what_waits_and_its_order(friends: Pair) -> None:
    sender, reader = friends
    sender.outbox.add(reader.identity, NOTHING, START)
    (first, second) = send(friends, "one", "x" * (2 * limits.PART_BYTES))
    sender.outbox.add(reader.identity, PairProposal(1, b"s" * 32).encode(), START)
    sender.store.remove_outbox_item(reader.identity, 1)
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


def test_counters_have_one_epoch(friends: Pair) -> None:
    sender, reader = friends
    assert sender.outbox.counters(reader.identity).epoch == sender.outbox.counters(reader.identity).epoch != b""


def test_without_a_pair_secret_there_is_no_mailbox_and_no_spin(friends: Pair) -> None:
    sender, reader = friends
    bare: Contact = replace(sender.contact(reader), pair_secrets=())
    sender.store.save_contact(bare)
    send(friends, "one")
    assert mail(friends, ABSENT) == []
    due = sender.outbox.next_deadline()
    assert due is not None
    assert due > ABSENT.steady
