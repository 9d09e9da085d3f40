"""The one entrance: whatever order envelopes come in, each is acted on once, and nothing is lost or stalls."""

from random import Random

import pytest
from msgspec.structs import replace

from p2pd import limits
from p2pd.chat.envelopes import NOTHING
from p2pd.chat.inbox import Outcome
from p2pd.store import ContactState
from p2pd.types import DeviceKey
from p2pd.wire.content import Nothing, PairProposal, Text
from p2pd.wire.envelope import Envelope
from tests.cast import START, Person, after
from tests.chat.letters import begin, letter, message_id, sealed

Pair = tuple[Person, Person]
HELD = START.steady + limits.HOLD_S


def texts(friends: Pair, *numbers: int) -> list[bytes]:
    sender, reader = friends
    return [letter(sender, reader, number, f"text {number}") for number in numbers]


def receive(friends: Pair, *envelopes: bytes) -> list[Outcome]:
    return [friends[1].receive(friends[0], envelope) for envelope in envelopes]


def shown(friends: Pair) -> list[str]:
    return [content_text(body) for _, body, _ in friends[1].acted if isinstance(body, Text)]


def content_text(body: Text) -> str:
    return body.text.decode()


def through(friends: Pair) -> int:
    return friends[1].store.counters(friends[0].identity).received


def forged(envelope: bytes) -> bytes:
    """The same with another ciphertext."""
    fields = {name: getattr(Envelope.decode(envelope), name) for name in Envelope.__struct_fields__}
    return Envelope(**{**fields, "ciphertext": bytes(64)}).encode()


def test_in_order(friends: Pair) -> None:
    assert receive(friends, *texts(friends, 1, 2, 3)) == [Outcome.DONE] * 3
    assert shown(friends) == ["text 1", "text 2", "text 3"]
    counters = friends[1].store.counters(friends[0].identity)
    assert (counters.received, counters.received_above, counters.acknowledgement_due) == (3, (), True)
    assert counters.heard_ms == START.wall_ms


@pytest.mark.parametrize("seed", range(8))
def test_any_order_and_repetition_is_acted_on_in_order_once(friends: Pair, seed: int) -> None:
    envelopes = texts(friends, *range(1, 31))
    random = Random(seed)
    mixed = envelopes + random.choices(envelopes, k=20)
    random.shuffle(mixed)
    receive(friends, *mixed)
    assert shown(friends) == [f"text {number}" for number in range(1, 31)]
    assert through(friends) == 30
    assert friends[1].inbox.next_deadline() is None


def test_what_is_missing_is_waited_for_a_while_only(friends: Pair) -> None:
    first, *others = texts(friends, 1, 2, 3)
    assert receive(friends, *others) == [Outcome.HELD] * 2
    reader = friends[1]
    assert reader.inbox.next_deadline() == HELD
    reader.inbox.on_timer(after(limits.HOLD_S - 0.1))
    assert shown(friends) == []
    reader.inbox.on_timer(after(limits.HOLD_S))
    assert shown(friends) == ["text 2", "text 3"]
    assert reader.store.counters(friends[0].identity).received_above == (2, 3)
    assert receive(friends, first) == [Outcome.DONE]
    assert through(friends) == 3
    assert reader.inbox.next_deadline() is None


def test_what_was_held_is_lost_with_memory_and_comes_again(friends: Pair) -> None:
    first, second = texts(friends, 1, 2)
    receive(friends, second)
    friends[1].start()
    assert receive(friends, first, second) == [Outcome.DONE] * 2
    assert shown(friends) == ["text 1", "text 2"]


def test_what_is_committed_is_acknowledged_again(friends: Pair) -> None:
    (envelope,) = texts(friends, 1)
    receive(friends, envelope)
    reader, sender = friends[1], friends[0]
    counters = reader.store.counters(sender.identity)
    reader.store.save_counters(sender.identity, replace(counters, acknowledgement_due=False))
    reader.start()
    assert receive(friends, envelope) == [Outcome.DUPLICATE]
    assert reader.store.counters(sender.identity).acknowledgement_due
    assert reader.outbox.next_deadline() is not None


def test_an_item_sealed_anew_in_another_session_is_acknowledged_too(friends: Pair) -> None:
    sender, reader = friends
    receive(friends, *texts(friends, 1))
    reader.start()
    begin(sender, reader)
    assert receive(friends, *texts(friends, 1)) == [Outcome.DUPLICATE]
    assert shown(friends) == []
    assert reader.outbox.next_deadline() is not None


def test_too_far_ahead_is_refused_and_costs_nothing(friends: Pair) -> None:
    far = limits.UNACKNOWLEDGED + 1
    assert receive(friends, *texts(friends, far)) == [Outcome.REFUSED]
    assert friends[1].counts["too_far_ahead"] == 1
    assert receive(friends, *texts(friends, far - 1)) == [Outcome.HELD]


def test_the_widest_gap_fits_an_acknowledgement(friends: Pair) -> None:
    receive(friends, *texts(friends, limits.UNACKNOWLEDGED))
    reader, sender = friends[1], friends[0]
    reader.inbox.on_timer(after(limits.HOLD_S))
    reader.outbox.add(sender.identity, NOTHING, START)
    item = reader.store.outbox(sender.identity)[0]
    session = reader.sessions.current(sender.identity)
    assert session is not None
    reader.outbox.seal_request(reader.contact(sender), session, item)
    envelope = reader.store.outbox(sender.identity)[0].envelope
    sent = replace(sender.outbox.counters(reader.identity), next_sequence=limits.UNACKNOWLEDGED + 1)
    sender.store.save_counters(reader.identity, sent)
    assert sender.receive(reader, envelope) is Outcome.DONE
    assert sender.acted[0][0].acknowledgement.above == bytes(63) + b"\x40"


def test_held_envelopes_are_bounded(friends: Pair) -> None:
    reader = friends[1]
    (early,) = texts(friends, 2)
    for number in range(limits.HELD_ENVELOPES + 5):
        fields = {name: getattr(Envelope.decode(early), name) for name in Envelope.__struct_fields__}
        receive(friends, Envelope(**{**fields, "session": number.to_bytes(16, "big")}).encode())
    assert reader.counts["too_many_held"] == 5


@pytest.mark.parametrize("data", [b"", b"\x90", bytes(100), b"\x96" + bytes(90)])
def test_bytes_that_are_no_envelope_are_refused(friends: Pair, data: bytes) -> None:
    assert receive(friends, data) == [Outcome.REFUSED]


def test_an_envelope_that_was_changed_does_not_stall_the_true_one(friends: Pair) -> None:
    (true,) = texts(friends, 1)
    assert receive(friends, forged(true)) == [Outcome.HELD]
    assert receive(friends, true) == [Outcome.DONE]
    friends[1].inbox.on_timer(after(limits.HOLD_S))
    assert shown(friends) == ["text 1"]


@pytest.mark.parametrize("plaintext", [b"", b"nonsense", b"\x94\xc0\xc0\xc0\xc0"])
def test_a_content_without_sense_is_acknowledged_and_does_not_stall_what_follows(
    friends: Pair, plaintext: bytes
) -> None:
    sender, reader = friends
    assert receive(friends, sealed(sender, reader, 1, plaintext)) == [Outcome.DONE]
    receive(friends, *texts(friends, 2))
    assert (shown(friends), through(friends)) == (["text 2"], 2)
    assert reader.counts["malformed"] == 1


@pytest.mark.parametrize(
    ("body", "reason"), [(b"\x91\x63", "unknown_body"), (b"\x91\x01", "malformed"), (b"", "malformed")]
)
def test_a_body_of_no_known_kind_is_acknowledged_and_counted(friends: Pair, body: bytes, reason: str) -> None:
    sender, reader = friends
    assert receive(friends, letter(sender, reader, 1, body)) == [Outcome.DONE]
    receive(friends, *texts(friends, 2))
    assert (shown(friends), reader.counts[reason]) == (["text 2"], 1)


def test_an_unknown_session_is_held_and_a_new_one_asked_for(friends: Pair) -> None:
    sender, reader = friends
    (envelope,) = texts(friends, 1)
    for session in reader.store.sessions(sender.identity):
        reader.store.remove_session(session)
    reader.start()
    assert receive(friends, envelope) == [Outcome.HELD]
    assert reader.resyncs == [sender.identity]
    reader.inbox.on_timer(after(limits.HOLD_S))
    assert (shown(friends), reader.inbox.next_deadline(), through(friends)) == ([], None, 0)
    begin(sender, reader)
    assert receive(friends, *texts(friends, 1)) == [Outcome.DONE]


def test_what_comes_before_its_session_is_tried_again_after_it(friends: Pair) -> None:
    sender, reader = friends
    begin(sender, reader)
    begun, early = texts(friends, 1, 2)
    assert receive(friends, early, begun) == [Outcome.HELD, Outcome.DONE]
    assert shown(friends) == ["text 1", "text 2"]


def test_a_known_session_that_opens_nothing_more_is_replaced(friends: Pair) -> None:
    sender, reader = friends
    receive(friends, forged(texts(friends, 1)[0]))
    assert reader.resyncs == []
    reader.inbox.on_timer(after(limits.HOLD_S))
    assert reader.resyncs == [sender.identity]


def test_what_was_opened_before_and_is_not_committed_is_asked_for_in_another_session(friends: Pair) -> None:
    sender, reader = friends
    (envelope,) = texts(friends, 1)
    reader.sessions.open(reader.contact(sender), Envelope.decode(envelope), START)
    assert receive(friends, envelope) == [Outcome.DUPLICATE]
    assert reader.resyncs == [sender.identity]
    assert through(friends) == 0


def test_acknowledgements_have_no_sequence_and_are_not_acknowledged(friends: Pair) -> None:
    sender, reader = friends
    envelope = letter(sender, reader, 0, Nothing())
    assert receive(friends, envelope, envelope) == [Outcome.DONE, Outcome.DUPLICATE]
    assert reader.store.counters(sender.identity).acknowledgement_due is False
    assert reader.outbox.next_deadline() is None


def test_counters_that_began_anew_begin_both_ways_anew(friends: Pair) -> None:
    sender, reader = friends
    receive(friends, *texts(friends, 1, 2, 3))
    for _ in range(600):
        reader.outbox.add(sender.identity, NOTHING, START)
    for sequence in range(1, 599):
        reader.store.remove_outbox_item(sender.identity, sequence)
    former = reader.outbox.counters(sender.identity)
    begin(sender, reader)
    assert receive(friends, letter(sender, reader, 1, "anew", epoch=b"epoch  2", id=message_id(99))) == [Outcome.DONE]
    counters = reader.outbox.counters(sender.identity)
    assert reader.contact(sender).epoch == b"epoch  2"
    assert counters.epoch != former.epoch
    assert (counters.received, counters.next_sequence, counters.acknowledged) == (1, 3, 0)
    assert [item.sequence for item in reader.store.outbox(sender.identity)] == [1, 2]
    assert shown(friends)[-1] == "anew"


def test_an_older_epoch_in_a_session_that_goes_on_is_dropped(friends: Pair) -> None:
    sender, reader = friends
    receive(friends, *texts(friends, 1, 2))
    assert receive(friends, letter(sender, reader, 3, "old", epoch=b"epoch  0")) == [Outcome.DUPLICATE]
    assert (shown(friends), through(friends)) == (["text 1", "text 2"], 2)
    assert reader.contact(sender).epoch == sender.outbox.counters(reader.identity).epoch


def test_an_answer_to_our_beginning_anew_is_taken_without_another(friends: Pair) -> None:
    sender, reader = friends
    receive(friends, *texts(friends, 1, 2))
    ours = reader.outbox.counters(sender.identity).epoch
    assert receive(friends, letter(sender, reader, 3, "anew", epoch=b"epoch  2", of=ours)) == [Outcome.DONE]
    assert (shown(friends)[-1], through(friends)) == ("anew", 0)
    assert reader.outbox.counters(sender.identity).epoch == ours
    assert reader.contact(sender).epoch == b"epoch  2"


def test_old_mail_of_counters_that_are_gone_is_not_taken_and_they_hear_of_it(friends: Pair) -> None:
    sender, reader = friends
    (old,) = texts(friends, 1)
    reader.outbox.begin_anew(sender.identity)
    assert receive(friends, old) == [Outcome.DUPLICATE]
    assert (shown(friends), through(friends), reader.contact(sender).epoch) == ([], 0, b"")
    assert reader.outbox.next_deadline() is not None


def test_another_item_under_a_number_that_is_committed_begins_everything_anew(friends: Pair) -> None:
    sender, reader = friends
    session = sender.sessions.current(reader.identity)
    assert session is not None
    first, second = texts(friends, 1, 2)
    receive(friends, first, second, first, second)
    former = reader.outbox.counters(sender.identity).epoch
    sender.store.save_session(session)  # an old copy
    sender.start()
    assert receive(friends, letter(sender, reader, 1, "another")) == [Outcome.DUPLICATE]
    counters = reader.outbox.counters(sender.identity)
    assert (counters.epoch != former, counters.received, reader.resyncs) == (True, 0, [sender.identity])
    assert reader.sessions.current(sender.identity) is None


def test_what_is_remembered_of_committed_items_is_bounded(friends: Pair) -> None:
    receive(friends, *texts(friends, *range(1, limits.ITEMS_MARKED + 10)))
    counters = friends[1].store.counters(friends[0].identity)
    assert len(counters.marks) == limits.ITEMS_MARKED
    assert {len(mark) for mark in counters.marks} == {8 + limits.MARK_BYTES}
    assert counters.mark(1) == b""
    assert len(counters.mark(limits.ITEMS_MARKED)) == limits.MARK_BYTES


def test_an_epoch_that_began_anew_far_ahead_is_refused(friends: Pair) -> None:
    sender, reader = friends
    counters = reader.outbox.counters(sender.identity)
    reader.store.save_counters(sender.identity, replace(counters, received=5_000))
    begin(sender, reader)
    assert receive(friends, letter(sender, reader, 5_001, "x", epoch=b"epoch  2")) == [Outcome.REFUSED]
    assert reader.store.counters(sender.identity).received_above == ()


def test_two_held_envelopes_of_a_new_epoch_are_both_acted_on(friends: Pair) -> None:
    sender, reader = friends
    receive(friends, *texts(friends, 1))
    begin(sender, reader)
    anew = [letter(sender, reader, number, f"anew {number}", epoch=b"epoch  2") for number in (3, 4)]
    assert receive(friends, *anew) == [Outcome.HELD] * 2
    reader.inbox.on_timer(after(limits.HOLD_S))
    assert shown(friends) == ["text 1", "anew 3", "anew 4"]


def test_acknowledgements_inside_are_heard(friends: Pair) -> None:
    sender, reader = friends
    reader.outbox.add(sender.identity, NOTHING, START)
    epoch = reader.outbox.counters(sender.identity).epoch
    receive(friends, letter(sender, reader, 1, "x", of=b"notours!", through=1))
    assert len(reader.store.outbox(sender.identity)) == 1
    receive(friends, letter(sender, reader, 2, "x", of=epoch, through=1))
    assert reader.store.outbox(sender.identity) == []
    assert reader.acknowledged == [(sender.identity, 1)]


def test_nothing_of_the_blocked_is_acted_on_although_it_was_held(friends: Pair) -> None:
    sender, reader = friends
    receive(friends, *texts(friends, 2))
    reader.store.save_contact(replace(reader.contact(sender), state=ContactState.BLOCKED))
    reader.inbox.on_timer(after(limits.HOLD_S))
    assert (shown(friends), reader.inbox.next_deadline()) == ([], None)
    receive(friends, *texts(friends, 3))
    reader.store.remove_contact(sender.identity)
    reader.inbox.on_timer(after(2 * limits.HOLD_S))
    assert (shown(friends), reader.inbox.next_deadline()) == ([], None)


def test_another_device_is_refused(friends: Pair) -> None:
    sender, reader = friends
    begin(sender, reader)
    reader.store.save_contact(replace(reader.contact(sender), device=DeviceKey(reader.keys.device_key)))
    assert receive(friends, *texts(friends, 1)) == [Outcome.REFUSED]
    assert reader.counts["wrong_device"] == 1


def test_a_flood_of_pair_secrets_stays_bounded(friends: Pair) -> None:
    lower, higher = friends
    for number in range(1, 40):
        proposal = PairProposal(number * 7, bytes([number]) * 32)
        assert higher.receive(lower, letter(lower, higher, number, proposal)) is Outcome.DONE
    assert len(higher.contact(lower).pair_secrets) == limits.PAIR_GENERATIONS
    assert higher.contact(lower).pair_secrets[0].generation == 0
