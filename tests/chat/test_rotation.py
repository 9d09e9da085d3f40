"""What rotates, against every boundary: a week's turn, the end of its time, weeks of absence, wrong clocks, restarts.

| | a new one | the old one is kept | from when |
|---|---|---|---|
| prekey | after 7 days | 70 days | it was published last |
| pair secret | after 7 days, proposed by the lower identity | 45 days | a later one came into use |
| contact secret | when somebody who has it is blocked or removed | 15 days | then |

The fourth, throwaway node keys, keeps nothing: `tests/test_rotation.py`.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from p2pd import limits
from p2pd.chat import pairs
from p2pd.chat.inbox import Outcome
from p2pd.errors import DuplicateError, UndecryptableError
from p2pd.peer import own
from p2pd.store import MessageState
from p2pd.types import Now
from p2pd.wire.envelope import Envelope
from tests.cast import START, Cable, Person, after

DAY, WEEK, YEAR = limits.DAY_S, 7 * limits.DAY_S, 400 * limits.DAY_S


class Home:
    """The lower of two friends, whose secrets are looked at, and what their daemon does with time."""

    def __init__(self, friends: tuple[Person, Person], stack: ExitStack, *, restarts: bool) -> None:
        self.one, self.other = friends
        self._stack = stack
        self._restarts = restarts
        self._strangers = 0
        self._sealed: dict[bytes, None] = {}
        self._steady = START.steady

    def act(self, what: Callable[["Home", Now], None], wall_s: float) -> None:
        """Something is done in a turn when the wall's clock says so, by a daemon that has just begun if it `restarts`.

        The wall's clock may go back; the other goes on.
        """
        if self._restarts:
            self.one.start()
        self._steady += limits.HOUSEKEEPING_S
        what(self, Now(self._steady, after(wall_s).wall_ms))
        self._sealed |= dict.fromkeys(self._rows())

    def keep_house(self, now: Now) -> None:
        """What every hour does."""
        self.one.prekeys.expire(now)
        self.one.people.rotate_pairs(now)
        own.drop_old_secrets(self.one.store, now)
        self.one.store.wipe_deleted()

    def publish(self, now: Now) -> None:
        self.one.prekeys.publish(now)

    def agree(self, now: Now) -> None:
        """A proposal that is due is made, and acknowledged."""
        self.one.people.rotate_pairs(now)
        cable = Cable(self.one, self.other, now)
        cable.cut(now)

    def part(self, now: Now) -> None:
        """Somebody is blocked who had our contact secret."""
        self._strangers += 1
        stranger = Person(f"stranger {self._strangers}", self._stack)
        self.one.people.block(self.one.knows(stranger), now)

    def prekeys(self) -> list[bytes]:
        return [prekey.secret for prekey in self.one.store.prekeys()]

    def pair_secrets(self) -> list[bytes]:
        return [pair.secret for pair in self.one.contact(self.other).pair_secrets if pair.generation]

    def contact_secrets(self) -> list[bytes]:
        return [held.secret for held in reversed(own.secrets(self.one.store))]

    def survivors(self) -> list[bytes]:
        """Sealed rows of before that are still in a page of the database."""
        pages, now = self.one.store._database._connection.serialize(), set(self._rows())
        assert all(row in pages for row in now), "what is there would be found"
        return [row for row in self._sealed if row not in now and row in pages]

    def _rows(self) -> list[bytes]:
        tables = ("prekeys", "contacts", "single_values")
        rows = self.one.store._database.rows
        return [bytes(sealed)[-24:] for name in tables for (sealed,) in rows(f"SELECT sealed FROM {name}")]  # noqa: S608


@dataclass(frozen=True)
class Rotation:
    """One kind of secret: what makes a new one, which are there, the oldest first, and how long one is kept."""

    turn: Callable[[Home, Now], None]
    held: Callable[[Home], list[bytes]]
    kept_s: int


ROTATIONS = {
    "prekey": Rotation(Home.publish, Home.prekeys, limits.PREKEY_KEEP_S),
    "pair secret": Rotation(Home.agree, Home.pair_secrets, limits.PAIR_READ_S),
    "contact secret": Rotation(Home.part, Home.contact_secrets, limits.SECRET_READ_S),
}
WEEKLY = ("prekey", "pair secret")


@pytest.fixture(params=[False, True], ids=["running", "restarted"])
def home(request: pytest.FixtureRequest, friends: tuple[Person, Person], stack: ExitStack) -> Home:
    return Home(friends, stack, restarts=request.param)


def test_the_times_are_those_that_are_promised() -> None:
    assert {name: rotation.kept_s // DAY for name, rotation in ROTATIONS.items()} == {
        "prekey": 70, "pair secret": 45, "contact secret": 15,
    }  # fmt: skip
    assert limits.PREKEY_ROTATE_S == limits.PAIR_ROTATE_S == WEEK
    under_way_s = limits.PROFILE_LIFE_S + limits.OUTBOX_LIFE_S + limits.MAIL_LIFE_S
    assert under_way_s + 2 * limits.CLOCK_SKEW_S < limits.PREKEY_KEEP_S, "no first contact outlives its prekey"
    assert limits.OUTBOX_LIFE_S + limits.MAIL_LIFE_S < limits.PAIR_READ_S, "no mail outlives its generation"


@pytest.mark.parametrize("name", WEEKLY)
@pytest.mark.parametrize(("at_s", "made"), [(0, 1), (WEEK - 1, 1), (WEEK, 2), (WEEK + 1, 2), (2 * WEEK - 1, 1 + 1)])
def test_a_new_one_comes_with_the_week_and_not_before(home: Home, name: str, at_s: int, made: int) -> None:
    rotation = ROTATIONS[name]
    home.act(rotation.turn, 0)
    home.act(rotation.turn, at_s)
    assert len(rotation.held(home)) == made


@pytest.mark.parametrize("name", ROTATIONS)
@pytest.mark.parametrize(("late_s", "there"), [(-1, True), (0, False), (limits.HOUSEKEEPING_S, False)])
def test_an_old_one_goes_when_its_time_is_over_and_no_page_has_it(
    home: Home, name: str, late_s: int, there: bool
) -> None:
    rotation = ROTATIONS[name]
    home.act(rotation.turn, 0)
    old = rotation.held(home)[-1]
    since_s = WEEK - 1 if name == "prekey" else WEEK  # published last; or replaced
    home.act(rotation.turn, since_s)
    home.act(rotation.turn, WEEK)
    home.act(Home.keep_house, since_s + rotation.kept_s + late_s)
    assert (old in rotation.held(home)) is there
    assert len(rotation.held(home)) > there, "and there is one in use"
    assert home.survivors() == []


@pytest.mark.parametrize(
    ("weeks", "kept"),
    [
        (1, {"prekey", "pair secret", "contact secret"}),
        (5, {"prekey", "pair secret"}),
        (9, {"prekey", "pair secret"}),
        (11, {"pair secret"}),  # its time begins when the two meet again
    ],
)
def test_what_is_left_of_one_after_weeks_of_absence(home: Home, weeks: int, kept: set[str]) -> None:
    for rotation in ROTATIONS.values():
        home.act(rotation.turn, 0)
    old = {name: rotation.held(home)[0] for name, rotation in ROTATIONS.items()}  # a contact secret just retired
    back = weeks * WEEK
    home.act(Home.publish, back)
    home.act(Home.agree, back)
    home.act(Home.keep_house, back)
    assert {name for name, secret in old.items() if secret in ROTATIONS[name].held(home)} == kept
    assert [len(home.prekeys()), len(home.pair_secrets())] == [1 + ("prekey" in kept), 2]


@pytest.mark.parametrize("name", WEEKLY)
@pytest.mark.parametrize(("wrong_s", "made"), [(3_600, 0), (-3_600, 0), (WEEK, 1), (YEAR, 2), (-YEAR, 2)])
def test_a_clock_that_was_wrong_for_a_moment_costs_nothing(home: Home, name: str, wrong_s: int, made: int) -> None:
    rotation = ROTATIONS[name]
    home.act(rotation.turn, 0)
    (old,) = rotation.held(home)
    home.act(rotation.turn, wrong_s)
    home.act(rotation.turn, 1)  # it is right again
    assert rotation.held(home)[0] == old
    assert len(rotation.held(home)) == 1 + made
    home.act(Home.keep_house, 2)
    assert old in rotation.held(home)
    home.act(rotation.turn, WEEK + 1)
    newest = rotation.held(home)[-1]
    home.act(rotation.turn, 2 * WEEK + 2)
    assert rotation.held(home)[-1] != newest, "the weeks go on"


@pytest.mark.slow
@pytest.mark.parametrize("name", ROTATIONS)
@pytest.mark.parametrize("wrong_s", [3_600, -3_600, YEAR, -YEAR])
def test_nothing_lives_on_for_a_date_of_a_clock_that_was_wrong(home: Home, name: str, wrong_s: int) -> None:
    rotation = ROTATIONS[name]
    home.act(rotation.turn, wrong_s)
    wrong = rotation.held(home)[-1]
    for week in range(1, rotation.kept_s // WEEK + 4):
        home.act(Home.publish, week * WEEK)
        home.act(Home.agree, week * WEEK)
        home.act(Home.part, week * WEEK)
        home.act(Home.keep_house, week * WEEK)
    assert wrong not in rotation.held(home)
    assert len(rotation.held(home)) <= rotation.kept_s // WEEK + 2
    assert home.survivors() == []


@pytest.mark.slow
def test_whatever_the_clock_does_prekeys_are_bounded_and_no_id_is_given_twice(home: Home) -> None:
    ids = []
    for jump in range(3 * limits.PREKEYS):
        home.act(Home.publish, (-1) ** jump * YEAR)
        ids.append(home.one.store.prekeys()[-1].id)
        home.act(Home.keep_house, (-1) ** jump * YEAR)
    assert ids == sorted(set(ids))
    assert len(home.prekeys()) <= limits.PREKEYS
    home.act(Home.keep_house, 2 * YEAR)
    assert home.one.store.prekeys()[-1].id == ids[-1] + 1, "also where none was published for longer than one lives"


def test_both_weeks_prekeys_begin_sessions_with_one_who_has_an_old_profile(friends: tuple[Person, Person]) -> None:
    sender, reader = friends
    devices = [reader.profile_device(after(seconds)) for seconds in (WEEK - 1, WEEK)]
    for device, text in zip(devices, (b"old", b"new"), strict=True):
        begun = sender.sessions.begin(reader.identity, device, after(WEEK))
        sealed = Envelope.decode(sender.sessions.seal(begun.session, 0, text))
        assert reader.sessions.open(reader.contact(sender), sealed, after(WEEK)).plaintext == text
    assert len(reader.store.prekeys()) == 2


@pytest.mark.parametrize(("late_s", "opens"), [(-1, True), (0, False)])
def test_a_first_message_that_comes_after_its_prekey_is_reported(
    friends: tuple[Person, Person], late_s: int, opens: bool
) -> None:
    sender, reader = friends
    begun = sender.sessions.begin(reader.identity, reader.profile_device(START), START)
    message = sender.conversation.send(sender.contact(reader), "are you back?", START)
    item = sender.store.outbox(reader.identity)[-1]
    envelope = sender.outbox.seal_request(sender.contact(reader), begun.session, item)
    late = after(limits.PREKEY_KEEP_S + late_s)
    reader.prekeys.publish(late)
    reader.prekeys.expire(late)
    outcome = reader.receive(sender, envelope, late, "mailbox")
    if opens:
        assert (outcome, reader.texts(sender)) == (Outcome.DONE, ["are you back?"])
        return
    with pytest.raises(UndecryptableError, match="unknown_prekey"):
        reader.sessions.open(reader.contact(sender), Envelope.decode(envelope), late)
    assert outcome is Outcome.HELD, "it is not ended at its storers, and never acknowledged"
    assert reader.counts["unknown_prekey"] == 1
    reader.inbox.on_timer(after(limits.HOLD_S, late))
    assert reader.resyncs == [sender.identity], "the reader begins a session, in which it comes again"
    sender.outbox.expire(after(limits.OUTBOX_LIFE_S))
    assert sender.store.message(message.message).state is MessageState.EXPIRED  # type: ignore[union-attr]


@pytest.mark.slow
def test_the_id_of_a_session_outlives_the_prekey_that_could_begin_it_once_more(friends: tuple[Person, Person]) -> None:
    sender, reader = friends
    device = reader.profile_device(START)
    replayed = []
    for text in (b"first", b"second"):
        begun = sender.sessions.begin(reader.identity, device, START)
        replayed.append(Envelope.decode(sender.sessions.seal(begun.session, 0, text)))
        reader.sessions.open(reader.contact(sender), replayed[-1], START)
    reader.prekeys.publish(after(WEEK - 1))
    reader.prekeys.publish(after(WEEK))
    opened = 0
    for hour in range(0, limits.SESSION_FORGET_S // 3_600 + 48):
        now = after(hour * 3_600)
        reader.prekeys.expire(now)  # as the engine does it: these first
        reader.sessions.expire(sender.identity, now)
        if hour % 24 == 0 or abs(hour * 3_600 - limits.SESSION_FORGET_S) < DAY:
            opened += _opens(reader, sender, replayed[0], now)
    assert opened == 0
    assert not reader.sessions.knows(sender.identity, replayed[0].session)


def _opens(reader: Person, sender: Person, envelope: Envelope, now: Now) -> bool:
    try:
        reader.sessions.open(reader.contact(sender), envelope, now)
    except (DuplicateError, UndecryptableError):
        return False
    return True


def test_mail_of_a_generation_made_by_a_wrong_clock_is_swept_for(home: Home) -> None:
    home.act(Home.agree, YEAR)
    (newest, zero) = pairs.reading(home.one.keys, home.one.contact(home.other))
    assert newest.pair.generation == 1
    assert all(newest.used_on(START.day - days, START.day) for days in range(limits.SWEEP_DAYS))
    assert zero.used_on(START.day, START.day)
