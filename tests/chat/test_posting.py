"""Mail is put where its reader looks, again while too few storers have it, and rings until it is read."""

import pytest
from msgspec.structs import replace

from p2pd import limits
from p2pd.chat import pairs
from p2pd.chat.envelopes import NOTHING
from p2pd.chat.inbox import Outcome
from p2pd.chat.mail import again_s
from p2pd.peer import own
from p2pd.peer.published import INBOX, personal_address
from p2pd.store import Contact, MessageState
from p2pd.types import Now
from p2pd.wire.record import SetItem
from tests.cast import START, after
from tests.chat.mailing import ABSENT, MIDNIGHT, Pair, answer, deliver, mail, rings, send, state


@pytest.mark.parametrize(
    ("receipts", "gaps_s"), [(2, limits.RETRY_S), (0, (*limits.UNREACHED_S, *limits.RETRY_S))], ids=["few", "none"]
)
def test_too_few_storers_are_said_and_tried_again_later_and_later(
    friends: Pair, receipts: int, gaps_s: tuple[float, ...]
) -> None:
    (message,) = send(friends, "one")
    now, waits = ABSENT, []
    for _ in gaps_s[:-1]:
        (put,) = mail(friends, now)
        put.answer(now, receipts=receipts)
        assert state(friends, message) is MessageState.QUEUED
        due = friends[0].outbox.next_deadline()
        assert due is not None
        waits.append(round(due - now.steady))
        now = after(due - now.steady, now)
    assert waits == list(gaps_s[:-1])
    assert "too few storers" in [step.what for step in friends[0].store.steps(message.message)]


def test_waits_begin_short_also_for_what_was_begun_anew_under_way() -> None:
    assert [again_s(attempt) for attempt in (0, 1, 2, 99)] == [30, 30, 120, 12 * limits.HOUR_S]
    assert [again_s(attempt, reached=False) for attempt in (0, 1, 4, 5, 99)] == [1, 1, 12, 30, 12 * limits.HOUR_S]


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


def test_what_few_took_because_nobody_else_was_known_is_put_again_when_others_are(friends: Pair) -> None:
    """Who knew two servers, a liar's or those of an island, must not rely on them for twelve days."""
    sender, _ = friends
    dht = sender.dht
    send(friends, "one")
    dht.receipts_wanted = 2
    (put,) = mail(friends, ABSENT)
    put.answer(ABSENT, receipts=2, wanted=2)
    now = after(limits.DAY_S, MIDNIGHT)
    assert mail(friends, now) == [], "it is as well there as it can be"
    dht.receipts_wanted = 8
    sender.outbox.start(now)
    now = after(limits.HOUR_S + 1, now)
    (again,) = mail(friends, now)
    again.answer(now)
    assert again.address != put.address
    assert deliver(friends, again, now=now, day=now.day) == [Outcome.DONE]
    assert mail(friends, after(5 * limits.DAY_S, now)) == []


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


def test_nothing_is_put_before_the_node_has_joined(friends: Pair) -> None:
    sender = friends[0]
    sender.dht.joined = False
    send(friends, "one")
    assert mail(friends, ABSENT) == []
    sender.dht.joined = True
    assert len(mail(friends, after(60))) == 1


def test_what_many_are_to_get_waits_while_look_ups_do(friends: Pair) -> None:
    sender = friends[0]
    sender.dht.is_busy = True
    send(friends, "one")
    assert mail(friends, ABSENT) == []
    due = sender.outbox.next_deadline()
    assert due is not None
    assert 0 < due - ABSENT.steady <= 2
    sender.dht.is_busy = False
    assert len(mail(friends, after(2, ABSENT))) == 1


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


@pytest.mark.parametrize("receipts", [0, 1, 7])
def test_an_acknowledgement_that_too_few_stored_is_tried_again(friends: Pair, receipts: int) -> None:
    """A liar's receipt must not be enough: nobody asks for it again before the message is put again, after 12 days."""
    sender, reader = friends
    send(friends, "one")
    (put,) = mail(friends, ABSENT)
    deliver(friends, put, now=after(10))
    now = after(12)
    sooner = () if receipts else limits.UNREACHED_S
    for wait_s in (*sooner, *limits.RETRY_S, limits.RETRY_S[-1]):
        reader.outbox.on_timer(now)
        (lost, *_) = reader.dht.take_puts()
        lost.answer(now, receipts=receipts)
        assert reader.outbox.counters(sender.identity).acknowledgement_due
        reader.outbox.on_timer(after(wait_s - 0.5, now))
        assert not [put for put in reader.dht.take_puts() if isinstance(put.records[0].parse(), SetItem)]
        now = after(wait_s, now)
    reader.outbox.on_timer(now)
    (again,) = [put for put in reader.dht.take_puts() if isinstance(put.records[0].parse(), SetItem)]
    again.answer(now)
    assert not reader.outbox.counters(sender.identity).acknowledgement_due
    deliver((reader, sender), again, now=now, day=now.day)
    assert sender.store.outbox_count() == 0


def test_what_comes_after_a_failed_acknowledgement_is_acknowledged_soon(friends: Pair) -> None:
    sender, reader = friends
    send(friends, "one")
    deliver(friends, *mail(friends, ABSENT), now=after(10))
    reader.outbox.on_timer(after(12))
    reader.dht.take_puts()[0].answer(after(12), receipts=0)
    send(friends, "two", now=after(13))
    deliver(friends, *mail(friends, after(13 + limits.MAILBOX_AFTER_S)), now=after(14))
    answer(friends, after(14 + limits.ACKNOWLEDGE_BY_MAIL_S))
    assert sender.store.outbox_count() == 0


def test_receipts_count_for_the_item_that_they_are_for(friends: Pair) -> None:
    sender, reader = friends
    send(friends, "one", "two")
    (former,) = mail(friends, ABSENT)
    sender.store.remove_outbox_item(reader.identity, 1)
    sender.outbox.begin_anew(reader.identity)
    (second,) = sender.store.outbox(reader.identity)
    sender.outbox.pump(reader.identity, ABSENT)
    (put,) = mail(friends, after(limits.MAILBOX_AFTER_ABSENT_S, ABSENT))
    former.answer(after(1))
    assert sender.store.outbox(reader.identity)[0].receipts == 0
    put.answer(after(1))
    assert sender.store.outbox(reader.identity)[0].receipts == 8
    message = sender.store.message(second.message)
    assert message is not None
    assert state(friends, message) is MessageState.STORED


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


def test_without_a_pair_secret_there_is_no_mailbox_and_no_spin(friends: Pair) -> None:
    sender, reader = friends
    bare: Contact = replace(sender.contact(reader), pair_secrets=())
    sender.store.save_contact(bare)
    send(friends, "one")
    assert mail(friends, ABSENT) == []
    due = sender.outbox.next_deadline()
    assert due is not None
    assert due > ABSENT.steady
