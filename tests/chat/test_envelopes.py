"""An item has the same bytes on every path and every retry; another session gives it others."""

from p2pd import limits
from p2pd.chat.inbox import Outcome
from p2pd.wire.envelope import Envelope
from tests.cast import after
from tests.chat.letters import begin
from tests.chat.mailing import ABSENT, Pair, deliver, envelopes, mail, send


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


def test_counters_have_one_epoch(friends: Pair) -> None:
    sender, reader = friends
    assert sender.outbox.counters(reader.identity).epoch == sender.outbox.counters(reader.identity).epoch != b""
