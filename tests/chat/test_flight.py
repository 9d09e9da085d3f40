"""What is due, and when, for each contact."""

from p2pd import limits
from p2pd.chat.flight import Flight, Flights
from p2pd.types import IdentityKey
from tests.cast import START, after

ALICE, BOB = IdentityKey(b"a" * 32), IdentityKey(b"b" * 32)


def test_the_earliest_wish_for_the_mailbox_counts() -> None:
    flight = Flight()
    for when in (3.0, 5.0, 2.0):
        flight.mail_by(when)
    assert flight.mail_at == 2.0


def test_whatever_is_due_first_is_the_deadline() -> None:
    flights = Flights()
    assert flights.next_deadline() is None
    flights.of(ALICE).ring_at = START.steady + 10
    flights.of(BOB).resend_at = START.steady + 5
    flights.of(BOB).acknowledge_at = START.steady + 20
    assert flights.next_deadline() == START.steady + 5
    assert flights.due(after(4)) == []
    assert flights.due(after(5)) == [(BOB, flights.of(BOB))]
    assert [contact for contact, _ in flights.due(after(10))] == [BOB, ALICE], "the first first"


def test_what_is_forgotten_is_due_no_more() -> None:
    flights = Flights()
    flights.of(ALICE).mail_at = START.steady
    flights.forget(ALICE)
    flights.forget(BOB)
    assert (flights.due(START), flights.known(ALICE)) == ([], None)


def test_a_link_is_trusted_as_long_as_it_usually_takes() -> None:
    flight = Flight()
    assert flight.patience_s == limits.MAILBOX_AFTER_S
    for number in range(1, 6):
        flight.sent(number, after(number))
        flight.sent(number + 100, after(number))  # one at a time
        flight.answered(number - 1, after(number + 0.001))
        flight.answered(number, after(number + 0.002))
    assert flight.patience_s == limits.MAILBOX_AFTER_MIN_S
    for number in range(6, 40):
        flight.sent(number, after(number))
        flight.answered(number, after(number + 0.5))
    assert 4 * 0.4 < flight.patience_s < limits.MAILBOX_AFTER_S
    flight.silent = True
    assert flight.patience_s == 0
