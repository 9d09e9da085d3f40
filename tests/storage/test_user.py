"""The user's store, in memory and in a file alike."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from p2pd import limits
from p2pd.errors import DamagedError, StorageError
from p2pd.storage.user import SqliteUserStore
from p2pd.store import Counters, Direction, Invite, MessageState, PairSecret, Part, Prekey, Step, UserStore
from p2pd.types import IdentityKey
from p2pd.wire.invite import Invitation
from tests.storage.samples import (
    LARGER,
    MASTER,
    OWN,
    SMALLER,
    contact,
    files_of,
    message,
    message_id,
    outbox_item,
    session,
    user_store,
)


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteUserStore]:
    made = user_store(":memory:" if request.param == "memory" else tmp_path / "user.db")
    yield made
    made.close()


def remembered_and_read(store: SqliteUserStore) -> Iterator[SqliteUserStore]:
    """The store as it is, and once more when it has forgotten what it remembered."""
    yield store
    for table in store._turns._tables:
        table.forget()
    yield store


def test_it_keeps_the_protocol(store: SqliteUserStore) -> None:
    kept: UserStore = store
    assert kept.newest_cursor() == 0


def test_a_value_is_replaced(store: SqliteUserStore) -> None:
    with store.transaction():
        store.set_value("name", b"one")
        store.set_value("name", b"two")
        store.set_value("other", b"")
    assert (store.value("name"), store.value("other"), store.value("none")) == (b"two", b"", None)


def test_an_exception_undoes_the_whole_turn(store: SqliteUserStore) -> None:
    with store.transaction():
        store.set_value("name", b"before")

    def break_off() -> None:
        with store.transaction():
            store.set_value("name", b"after")
            store.add_event("message", "{}", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert store.value("name") == b"before"
    assert store.newest_cursor() == 0


def test_an_attempt_is_undone_alone(store: SqliteUserStore) -> None:
    def fail() -> None:
        with store.attempt():
            store.set_value("name", b"attempted")
            store.set_value("other", b"attempted")
            store.save_contact(contact(LARGER))
            store.add_event("message", "attempted", 1)
            store.save_session(session(SMALLER, b"t" * 16))
            store.save_message(message(2, SMALLER))
            assert store.newest_messages(SMALLER, 9) == [message_id(1), message_id(2)]  # which writes all of it
            assert len(store.events(0, limit=9)) == 2
            raise ZeroDivisionError

    with store.transaction():
        store.set_value("name", b"before")
        store.add_event("message", "before", 1)
        store.save_contact(contact(SMALLER))
        store.save_session(session(SMALLER, b"s" * 16))
        store.save_message(message(1, SMALLER))
        with pytest.raises(ZeroDivisionError):
            fail()
        with store.attempt():
            store.set_value("later", b"kept")
        assert store.newest_cursor() == 1
    for seen in remembered_and_read(store):
        assert [seen.value(name) for name in ("name", "other", "later")] == [b"before", None, b"kept"]
        assert [event.data for event in seen.events(0, limit=9)] == ["before"]
        assert [known.identity for known in seen.contacts()] == [SMALLER]
        assert [known.session for known in seen.sessions(SMALLER)] == [b"s" * 16]
        assert seen.newest_messages(SMALLER, 9) == [message_id(1)]
        assert seen.message(message_id(2), contact=SMALLER) is None


def test_an_attempt_that_was_all_leaves_nothing(store: SqliteUserStore) -> None:
    def fail() -> None:
        with store.attempt():
            store.set_value("name", b"attempted")
            raise ZeroDivisionError

    with store.transaction(), pytest.raises(ZeroDivisionError):
        fail()
    assert [seen.value("name") for seen in remembered_and_read(store)] == [None, None]


def test_an_attempt_outside_a_transaction_is_a_bug(store: SqliteUserStore) -> None:
    with pytest.raises(RuntimeError), store.attempt():
        pass
    with store.transaction(), store.attempt(), pytest.raises(RuntimeError), store.attempt():
        pass


def test_what_is_remembered_is_what_was_written(store: SqliteUserStore) -> None:
    counts = [limits.ROWS_REMEMBERED + 5, 3]
    with store.transaction():
        for number in range(1, counts[0] + 1):
            store.save_outbox_item(outbox_item(LARGER, number))
        store.save_outbox_item(replace(outbox_item(LARGER, 2), body=b"x" * 2 * limits.ROW_REMEMBERED_BYTES))
        store.remove_outbox_item(LARGER, 3)
    for seen in remembered_and_read(store):
        assert seen.outbox_item(LARGER, 1) == outbox_item(LARGER, 1)
        assert len(seen.outbox_item(LARGER, 2).body) == 2 * limits.ROW_REMEMBERED_BYTES  # type: ignore[union-attr]
        assert seen.outbox_item(LARGER, 3) is None
        assert seen.outbox_count(LARGER) == counts[0] - 1
    assert len(store._outbox._known) <= limits.ROWS_REMEMBERED


def test_a_row_that_changes_often_is_written_once_a_turn(store: SqliteUserStore) -> None:
    statements: list[str] = []
    assert store.counters(LARGER) == Counters()
    store._database._connection.set_trace_callback(statements.append)
    with store.transaction():
        for number in range(5):
            store.save_counters(LARGER, Counters(received=number))
            assert store.counters(LARGER) == Counters(received=number)
    store._database._connection.set_trace_callback(None)
    assert sum("counters" in statement for statement in statements) == 1
    assert [seen.counters(LARGER).received for seen in remembered_and_read(store)] == [4, 4]


def test_a_transaction_within_a_transaction_is_a_bug(store: SqliteUserStore) -> None:
    with store.transaction(), pytest.raises(RuntimeError), store.transaction():
        pass
    with store.transaction():
        store.set_value("name", b"after")
    assert store.value("name") == b"after"


def test_a_change_outside_a_transaction_is_a_bug(store: SqliteUserStore) -> None:
    with pytest.raises(RuntimeError):
        store.set_value("name", b"value")


def test_contacts_come_by_petname(store: SqliteUserStore) -> None:
    ann = replace(contact(LARGER, "ann"), pair_secrets=(PairSecret(0, b"s" * 32, 7),), endpoints=("k@h:1",))
    with store.transaction():
        store.save_contact(contact(SMALLER, "zoe"))
        store.save_contact(contact(LARGER, "old"))
        store.save_contact(ann)
    assert store.contacts() == [ann, contact(SMALLER, "zoe")]
    assert store.contact(LARGER) == ann
    assert store.contact(OWN) is None


def test_removing_a_contact_leaves_only_its_messages(store: SqliteUserStore) -> None:
    with store.transaction():
        for identity in (LARGER, SMALLER):
            store.save_contact(contact(identity))
            store.save_counters(identity, Counters(next_sequence=9))
            store.save_session(session(identity, b"s" * 16))
            store.save_outbox_item(outbox_item(identity, 1))
            store.save_part(Part(identity, message_id(1), 0, 2, b"body"))
            store.save_message(message(1, identity))
        store.remove_contact(LARGER)
    assert store.contact(LARGER) is None
    assert store.counters(LARGER) == Counters()
    assert store.sessions(LARGER) == store.outbox(LARGER) == store.parts(LARGER, message_id(1)) == []
    assert store.history(LARGER, limit=9) == [message(1, LARGER)]
    assert store.contacts() == [contact(SMALLER)]
    assert store.counters(SMALLER).next_sequence == 9
    assert len(store.sessions(SMALLER)) == len(store.outbox(SMALLER)) == len(store.unfinished_texts(SMALLER)) == 1


def test_sessions_come_oldest_first(store: SqliteUserStore) -> None:
    new, old = session(LARGER, b"a" * 16, made_ms=2), session(LARGER, b"b" * 16, made_ms=1)
    with store.transaction():
        store.save_session(new)
        store.save_session(old)
        store.save_session(session(SMALLER, b"c" * 16))
        store.save_session(replace(new, ratchet=b"later"))
    assert store.sessions(LARGER) == [old, replace(new, ratchet=b"later")]
    with store.transaction():
        store.remove_session(old)
    assert store.sessions(LARGER) == [replace(new, ratchet=b"later")]


def test_prekeys_come_by_id(store: SqliteUserStore) -> None:
    with store.transaction():
        for number in (3, 1, 2):
            store.save_prekey(Prekey(number, 1, 2, b"secret"))
        store.remove_prekey(2)
    assert [prekey.id for prekey in store.prekeys()] == [1, 3]


def test_the_outbox_is_read_in_order_and_in_pieces(store: SqliteUserStore) -> None:
    with store.transaction():
        for sequence in (300, 1, 2):
            store.save_outbox_item(outbox_item(LARGER, sequence))
        store.save_outbox_item(outbox_item(SMALLER, 1))
    assert [item.sequence for item in store.outbox(LARGER)] == [1, 2, 300]
    assert [item.sequence for item in store.outbox(LARGER, after=1, limit=1)] == [2]
    assert store.outbox_item(LARGER, 300) == outbox_item(LARGER, 300)
    assert store.outbox_contacts() == [SMALLER, LARGER]
    assert (store.outbox_count(), store.outbox_count(LARGER)) == (4, 3)
    with store.transaction():
        store.remove_outbox_item(SMALLER, 1)
    assert store.outbox_contacts() == [LARGER]
    assert store.outbox_item(SMALLER, 1) is None


@pytest.mark.parametrize(("peer", "own_first"), [(LARGER, True), (SMALLER, False)])
def test_the_order_is_clock_then_sender_then_id(store: SqliteUserStore, peer: IdentityKey, own_first: bool) -> None:
    ours = [message(number, peer, clock=5) for number in (3, 4)]
    theirs = [message(number, peer, clock=5, direction=Direction.IN) for number in (1, 2)]
    first, last = message(9, peer, clock=4), message(0, peer, clock=6)
    expected = [first, *(ours + theirs if own_first else theirs + ours), last]
    with store.transaction():
        for each in (last, theirs[1], ours[1], ours[0], first, theirs[0]):
            store.save_message(each)
        store.save_message(message(7, OWN))  # another conversation
    assert store.history(peer, limit=99) == expected
    assert store.history(peer, limit=2) == expected[-2:]
    assert store.newest_messages(peer, 3) == [each.message for each in expected[-3:]]
    assert [store.position(each) for each in expected] == list(range(6))


def test_position_follows_removals_and_ignores_replacements(store: SqliteUserStore) -> None:
    with store.transaction():
        for number in range(5):
            store.save_message(message(number))
        store.save_message(replace(message(0), text="again"))
        store.remove_message(LARGER, message_id(1))
    assert store.position(message(4)) == 3
    assert store.position(message(99)) == 4


def test_history_since_is_when_it_was_written_or_came_here(store: SqliteUserStore) -> None:
    late = message(1, direction=Direction.IN, sent_ms=10, received_ms=500)
    with store.transaction():
        store.save_message(late)
        store.save_message(message(2, sent_ms=100, received_ms=900))
    assert store.history(LARGER, since_ms=200, limit=9) == [late]


def test_messages_are_found_by_id_prefix_and_request(store: SqliteUserStore) -> None:
    asked = message(6, request_id="call-7")
    with store.transaction():
        for number in range(6):
            store.save_message(message(number))
        store.save_message(asked)
    assert store.message(message_id(6)) == asked
    assert store.message(message_id(6), contact=LARGER) == asked
    assert store.message(message_id(6), contact=SMALLER) is None
    assert store.message(message_id(77)) is None
    assert store.messages_by_prefix(message_id(5), message_id(6)) == [message(5), asked]
    assert len(store.messages_by_prefix(message_id(0), message_id(6))) == 3
    assert store.message_by_request("call-7") == asked
    assert store.message_by_request("call-8") is store.message_by_request("") is None


def test_unread_counts_what_came_and_was_not_read(store: SqliteUserStore) -> None:
    came = message(1, direction=Direction.IN, state=MessageState.RECEIVED)
    with store.transaction():
        store.save_message(came)
        store.save_message(replace(came, message=message_id(2)))
        store.save_message(message(3))
    assert store.unread_count(LARGER) == 2
    with store.transaction():
        store.save_message(replace(came, state=MessageState.READ))
    assert (store.unread_count(LARGER), store.unread_count(SMALLER)) == (1, 0)


def test_unread_through_a_message_is_what_stands_before_it(store: SqliteUserStore) -> None:
    came = [
        replace(message(number, direction=Direction.IN, state=MessageState.RECEIVED), clock=number)
        for number in range(1, 7)
    ]
    came[2] = replace(came[2], state=MessageState.READ)
    with store.transaction():
        for each in came:
            store.save_message(each)
        store.save_message(replace(came[0], contact=SMALLER))
        store.save_message(replace(message(9), clock=2))
    assert store.unread_through(came[4], limit=9) == [came[0], came[1], came[3], came[4]]
    assert store.unread_through(came[4], limit=2) == [came[3], came[4]]
    assert store.unread_through(came[2], limit=9) == [came[0], came[1]]


def test_steps_keep_the_first_and_the_newest(store: SqliteUserStore) -> None:
    with store.transaction():
        store.save_message(message(1))
        for number in range(100):
            store.save_message(store.history(LARGER, limit=1)[0].went(Step(number, "retry", {"try": number})))
        store.save_message(message(2).went(Step(7, "queued")))
    newest = range(100 - limits.STEPS_NEWEST, 100)
    assert [step.at_ms for step in store.steps(message_id(1))] == [*range(limits.STEPS_FIRST), *newest]
    assert store.steps(message_id(2)) == [Step(7, "queued")]


def test_steps_go_with_their_message(store: SqliteUserStore) -> None:
    with store.transaction():
        store.save_message(message(1).went(Step(1, "queued")))
        store.remove_message(LARGER, message_id(1))
    assert store.steps(message_id(1)) == []


def test_parts_are_counted_in_bytes(store: SqliteUserStore) -> None:
    with store.transaction():
        for number, size in ((1, 2_000), (0, 3_000)):
            store.save_part(Part(LARGER, message_id(2), number, 2, b"x" * size))
        store.save_part(Part(LARGER, message_id(1), 0, 2, b"x" * 5))
    assert [part.part for part in store.parts(LARGER, message_id(2))] == [0, 1]
    assert store.unfinished_texts(LARGER) == [message_id(2), message_id(1)]
    assert store.parts_bytes(LARGER) == 5_000 + limits.PART_ROW_BYTES
    with store.transaction():
        store.remove_parts(LARGER, message_id(2))
    assert (store.parts_bytes(LARGER), store.parts_bytes(SMALLER)) == (limits.PART_ROW_BYTES, 0)


def test_events_are_read_from_a_cursor_and_by_type(store: SqliteUserStore) -> None:
    with store.transaction():
        cursors = [store.add_event(type, "{}", 7) for type in ("message", "receipt", "message", "contact")]
    assert cursors == [1, 2, 3, 4]
    assert store.newest_cursor() == 4
    assert [event.cursor for event in store.events(1, limit=2)] == [2, 3]
    assert [event.cursor for event in store.events(0, limit=9, types=("message", "contact"))] == [1, 3, 4]
    assert store.events(4, limit=9) == []


def test_the_oldest_events_go() -> None:
    kept = 500
    store = SqliteUserStore(own_identity=OWN, master_key=MASTER, events_kept=kept)
    with store.transaction():
        for number in range(4 * limits.EVENTS_TRIM):
            store.add_event("message", str(number), 1)
    cursors = [event.cursor for event in store.events(0, limit=10_000)]
    assert cursors == list(range(4 * limits.EVENTS_TRIM - kept + 1, 4 * limits.EVENTS_TRIM + 1))
    store.close()


def test_a_consumer_has_its_own_cursor(store: SqliteUserStore) -> None:
    with store.transaction():
        store.save_consumer("bot", 5)
    assert (store.consumer("bot"), store.consumer("new")) == (5, 0)


def test_a_large_text_comes_back(store: SqliteUserStore) -> None:
    large = message(1, text="\N{SNOWMAN}" * 80_000)
    with store.transaction():
        store.save_message(large)
    assert store.history(LARGER, limit=1) == [large]


def test_messages_need_to_know_whose_they_are() -> None:
    store = SqliteUserStore(own_identity=None, master_key=MASTER)
    with pytest.raises(RuntimeError), store.transaction():
        store.save_message(message(1))
    store.own_identity = OWN
    with store.transaction():
        store.save_message(message(1))
    assert store.position(message(1)) == 0
    store.close()


def test_what_is_committed_is_there_after_opening_again(tmp_path: Path) -> None:
    store = user_store(tmp_path / "user.db")
    with store.transaction():
        store.save_message(message(1))
    store.close()
    store = user_store(tmp_path / "user.db")
    assert store.history(LARGER, limit=1) == [message(1)]
    assert store.faults() == []
    store.close()


def test_another_master_key_opens_nothing(tmp_path: Path) -> None:
    user_store(tmp_path / "user.db").close()
    with pytest.raises(DamagedError, match="key of this home"):
        SqliteUserStore(str(tmp_path / "user.db"), own_identity=OWN, master_key=b"K" * 32)


def test_nothing_secret_reaches_the_disk(tmp_path: Path) -> None:
    store = user_store(tmp_path / "user.db")
    with store.transaction():
        store.set_value("seed", b"SECRET-value")
        store.save_contact(contact(LARGER, "SECRET-petname"))
        store.save_session(replace(session(LARGER, b"s" * 16), ratchet=b"SECRET-ratchet"))
        store.save_prekey(Prekey(1, 1, 1, b"SECRET-prekey"))
        store.save_outbox_item(replace(outbox_item(LARGER, 1), body=b"SECRET-body"))
        store.save_message(message(1, text="SECRET-text", request_id="SECRET-request").went(Step(1, "SECRET-step")))
        store.save_part(Part(LARGER, message_id(1), 0, 2, b"SECRET-part"))
        store.add_event("message", '{"text":"SECRET-event"}', 1)
        store.save_consumer("SECRET-consumer", 1)
    seen = dict(files_of(tmp_path))
    store.close()
    assert {"user.db", "user.db-wal"} <= set(seen)
    for name, data in [*seen.items(), *files_of(tmp_path)]:
        assert b"SECRET" not in data, name


def test_what_was_deleted_is_overwritten(tmp_path: Path) -> None:
    store = user_store(tmp_path / "user.db")
    with store.transaction():
        for number in range(200):
            store.save_message(message(number))
    (blob,) = store._database.rows("SELECT sealed FROM messages WHERE message=?", (message_id(77),))[0]
    with store.transaction():
        for number in range(200):
            store.remove_message(LARGER, message_id(number))
    store.close()
    assert [name for name, _ in files_of(tmp_path)] == ["user.db"]
    assert blob not in (tmp_path / "user.db").read_bytes()


def test_a_row_in_another_ones_place_does_not_open(tmp_path: Path) -> None:
    store = user_store(tmp_path / "user.db")
    with store.transaction():
        store.set_value("one", b"1")
        store.set_value("two", b"2")
    with store.transaction():
        sealed = "SELECT sealed FROM single_values WHERE name=?"
        store._turns.change(f"UPDATE single_values SET sealed=({sealed}) WHERE name=?", (b"one", b"two"))  # noqa: S608
    store.close()
    store = user_store(tmp_path / "user.db")
    assert store.value("one") == b"1"
    with pytest.raises(DamagedError, match="single_values"):
        store.value("two")
    assert store.faults() == ["1 unreadable rows in single_values"]
    store.close()


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_failed_change_dooms_the_turn_even_if_swallowed(store: SqliteUserStore, goes_on: bool) -> None:
    pages = store._database.number("PRAGMA page_count")
    store._database.rows(f"PRAGMA max_page_count={pages + 2}")

    def fill() -> None:
        store.set_value("name", b"doomed")
        with suppress(StorageError):
            store.set_value("large", b"x" * 100_000)
        if goes_on:
            store.set_value("small", b"x")

    with pytest.raises(StorageError, match="full") as refused, store.transaction():
        fill()
    assert refused.value.exit_code == 12
    assert "make room" in refused.value.hint
    assert store.value("name") is store.value("small") is None
    store._database.rows("PRAGMA max_page_count=1000000")
    with store.transaction():
        store.set_value("large", b"x" * 100_000)
    assert store.value("large") == b"x" * 100_000
    assert store.faults() == []


def test_invites_are_kept_replaced_and_removed_by_id(store: SqliteUserStore) -> None:
    second = Invite(2, b"s" * 16, made_ms=1, expires_ms=2, one_time=b"k" * 32, petname="bob", let_in=(LARGER, SMALLER))
    with store.transaction():
        store.save_invite(replace(second, petname=""))
        store.save_invite(second)
        store.save_invite(Invite(1, b"t" * 16, made_ms=1, expires_ms=2))
    for kept in remembered_and_read(store):
        assert [invite.id for invite in kept.invites()] == [1, 2]
        assert kept.invite(2) == second
        assert kept.invite(3) is None
    with store.transaction():
        store.remove_invite(2)
        store.remove_invite(9)
    assert [invite.id for invite in store.invites()] == [1]


def test_a_contact_keeps_the_invitation_by_which_it_is_asked(store: SqliteUserStore) -> None:
    asked = replace(contact(LARGER), invitation=Invitation(7, b"s" * 16, 3, b"k" * 32), invited=True)
    with store.transaction():
        store.save_contact(asked)
    for kept in remembered_and_read(store):
        assert kept.contact(LARGER) == asked
