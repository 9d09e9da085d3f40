"""Texts that have an end: gone from both ends when it comes, whatever clocks and restarts do."""

import pytest

from p2pd import limits
from p2pd.errors import PeerError, UsageError
from p2pd.store import Message, MessageState
from p2pd.types import Now
from p2pd.wire.content import Text
from tests.cast import START, Cable, Person, after
from tests.chat.letters import letter, message_id

Pair = tuple[Person, Person]
LIFE_S = 60


def send(friends: Pair, text: str, expire_s: int = LIFE_S, now: Now = START) -> Message:
    sender, reader = friends
    return sender.conversation.send(sender.contact(reader), text, now, expire_s=expire_s)


def tick(friends: Pair, now: Now) -> None:
    for person in friends:
        person.expiry.on_timer(now)


def texts(friends: Pair) -> list[list[str]]:
    return [friends[0].texts(friends[1]), friends[1].texts(friends[0])]


def told(person: Person, types: tuple[str, ...] = ()) -> str:
    return "\n".join(event.data for event in person.store.events(0, limit=1_000, types=types))


def test_a_delivered_text_goes_from_both_ends_and_everything_else_stays(friends: Pair) -> None:
    tick(friends, START)
    passing = send(friends, "passing")
    send(friends, "staying", 0)
    Cable(*friends)
    assert texts(friends) == [["passing", "staying"]] * 2
    assert passing.message not in friends[1].store.events(0, limit=10)
    tick(friends, after(LIFE_S - 1))
    assert texts(friends) == [["passing", "staying"]] * 2
    tick(friends, after(LIFE_S))
    assert texts(friends) == [["staying"]] * 2
    assert "passing" not in told(friends[1])
    assert "staying" in told(friends[1])
    assert len(friends[0].store.events(0, limit=10, types=("receipt",))) == 1, "of what stays"
    for person in friends:
        assert person.store.message(passing.message) is None


def test_what_was_not_delivered_is_told_as_expired_and_its_words_are_gone(friends: Pair) -> None:
    tick(friends, START)
    message = send(friends, "in vain")
    tick(friends, after(LIFE_S))
    left = friends[0].store.message(message.message)
    assert left is not None
    assert (left.state, left.text) == (MessageState.EXPIRED, "")
    assert '"state":"expired"' in told(friends[0], ("receipt",))
    assert friends[0].expiry.next_deadline() is None
    Cable(*friends, after(LIFE_S + 1))
    assert friends[1].texts(friends[0]) == []


def test_the_end_is_waited_for_and_survives_a_restart(friends: Pair) -> None:
    tick(friends, START)
    assert [person.expiry.next_deadline() for person in friends] == [None, None]
    send(friends, "later", 2 * LIFE_S)
    send(friends, "sooner")
    Cable(*friends)
    assert [person.expiry.next_deadline() for person in friends] == [after(LIFE_S).steady] * 2
    for person in friends:
        person.start()
        person.expiry.on_timer(after(LIFE_S / 2))
    assert [person.expiry.next_deadline() for person in friends] == [after(LIFE_S).steady] * 2
    for person in friends:
        person.start()
    tick(friends, after(LIFE_S * 1.5))  # both were away when the end came
    assert texts(friends) == [["later"]] * 2
    assert [person.expiry.next_deadline() for person in friends] == [after(2 * LIFE_S).steady] * 2


def test_a_clock_that_is_set_puts_nothing_off(friends: Pair) -> None:
    tick(friends, START)
    send(friends, "passing", 6 * 3600)
    Cable(*friends)
    ahead = Now(START.steady + 1, START.wall_ms + limits.DAY_MS)
    tick(friends, ahead)  # whatever timer comes next
    assert texts(friends) == [[], []]


def test_a_clock_that_is_set_back_ends_it_later_and_is_looked_at_hourly(friends: Pair) -> None:
    tick(friends, START)
    send(friends, "passing")
    Cable(*friends)
    back = Now(START.steady + LIFE_S, START.wall_ms - limits.DAY_MS)
    tick(friends, back)
    assert texts(friends) == [["passing"]] * 2
    assert friends[0].expiry.next_deadline() == back.steady + limits.HOUSEKEEPING_S
    right = Now(START.steady + LIFE_S + 5, START.wall_ms + LIFE_S * 1000 + 5)  # set right again
    tick(friends, right)
    assert texts(friends) == [[], []]


@pytest.mark.parametrize("ahead_s", [LIFE_S - 1, LIFE_S + 1, limits.DAY_S])
@pytest.mark.parametrize("parts", [1, 3])
def test_a_text_is_shown_for_a_moment_to_a_reader_whose_clock_is_ahead(friends: Pair, parts: int, ahead_s: int) -> None:
    """Its writer is told that it was delivered."""
    sender, reader = friends
    reader.expiry.on_timer(START)
    came = Now(START.steady, START.wall_ms + ahead_s * 1000)
    for part in range(parts):
        body = Text(b"passing", part, parts, expires_s=START.wall_s + LIFE_S)
        reader.receive(sender, letter(sender, reader, part + 1, body, id=message_id(7)), came)
        reader.expiry.on_timer(came)
    assert reader.store.counters(sender.identity).received == parts
    assert reader.texts(sender) == ["passing" * parts]
    assert reader.expiry.next_deadline() == came.steady + limits.TEXT_SHOWN_MIN_S
    reader.expiry.on_timer(after(limits.TEXT_SHOWN_MIN_S - 1, came))
    assert reader.texts(sender) == ["passing" * parts]
    reader.expiry.on_timer(after(limits.TEXT_SHOWN_MIN_S, came))
    assert reader.texts(sender) == []


def test_what_lasts_too_long_is_refused(friends: Pair) -> None:
    with pytest.raises(UsageError, match="30d at most"):
        send(friends, "x", limits.OUTBOX_LIFE_S + 1)
    send(friends, "x", limits.OUTBOX_LIFE_S)
    assert texts(friends) == [["x"], []]


def test_parts_that_never_become_a_text_go_too(friends: Pair) -> None:
    sender, reader = friends
    reader.expiry.on_timer(START)
    body = Text(b"half", 0, 2, expires_s=START.wall_s + LIFE_S)
    reader.receive(sender, letter(sender, reader, 1, body))
    assert reader.store.parts_bytes(sender.identity) > 0
    assert reader.expiry.next_deadline() == after(LIFE_S).steady
    reader.expiry.on_timer(after(LIFE_S))
    assert reader.store.parts_bytes(sender.identity) == 0
    assert reader.expiry.next_deadline() is None


def test_nobody_misses_what_is_forgotten(friends: Pair) -> None:
    """A later message does not name it as one that came before."""
    tick(friends, START)
    send(friends, "passing")
    cable = Cable(*friends)
    send(friends, "after it", 0)
    send(friends, "last", 0)
    cable.run()
    bodies = [body for _, body, _ in friends[1].acted if isinstance(body, Text)]
    assert [len(body.parents) for body in bodies] == [0, 0, 1]


def test_many_ends_at_once_take_several_turns(friends: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EXPIRE_MESSAGES", 4)
    tick(friends, START)
    cable = Cable(*friends)
    for number in range(10):
        send(friends, str(number))
        cable.run()
    late = after(LIFE_S)
    for left in (6, 2, 0):
        tick(friends, late)
        assert [len(found) for found in texts(friends)] == [left, left]
    assert friends[0].expiry.next_deadline() is None


def test_the_blocked_cannot_set_ends(friends: Pair) -> None:
    sender, reader = friends
    reader.expiry.on_timer(START)
    reader.people.block(reader.contact(sender), START)
    with pytest.raises(PeerError):
        reader.conversation.on_text(
            reader.contact(sender),
            None,
            Text(b"x", expires_s=START.wall_s + 1),
            "direct",
            START,  # type: ignore[arg-type]
        )
    assert reader.expiry.next_deadline() is None
