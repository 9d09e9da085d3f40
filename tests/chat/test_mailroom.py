"""Reading what waits on the DHT: rings, mailboxes and inboxes, over absences, midnights and incomplete answers."""

from contextlib import ExitStack

import msgspec
import pytest
from msgspec.structs import replace

from p2pd import limits
from p2pd.chat import pairs
from p2pd.chat.mail import MailAddress, mail_record, ring_record
from p2pd.crypto.keys import SigningKey
from p2pd.crypto.stamp import solve
from p2pd.dht.records import verified
from p2pd.domains import Domain
from p2pd.peer import own
from p2pd.peer.published import INBOX, personal_address, signed_record
from p2pd.store import ContactState
from p2pd.types import AddressKey, ItemId, Now
from p2pd.wire.record import Family, OpenItem, Record, SetItem, Tombstone
from tests.cast import START, Cable, Person, after
from tests.chat.letters import begin, letter
from tests.chat.test_requests import asked

Pair = tuple[Person, Person]
NOON = after(limits.DAY_S // 2 - START.wall_s % limits.DAY_S)


class Post:
    """A writer's mail for a reader, and the records that the DHT has of it."""

    def __init__(self, friends: Pair) -> None:
        self.writer, self.reader = friends
        self.records: list[Record] = []
        self._items = 0

    def address(self, day: int, index: int = 0) -> MailAddress:
        direction = pairs.writing(self.writer.keys, self.writer.contact(self.reader))
        assert direction is not None
        return MailAddress(direction, day, index)

    def put(self, *numbers: int, day: int = NOON.day, index: int = 0) -> None:
        for number in numbers:
            self.put_bytes(letter(self.writer, self.reader, number, f"text {number}"), day, index)

    def put_bytes(self, envelope: bytes, day: int = NOON.day, index: int = 0) -> None:
        self._items += 1
        item = ItemId(self._items.to_bytes(16, "big"))
        expires_s = (day + 14) * limits.DAY_S
        self.records.append(mail_record(self.address(day, index), item, envelope, expires_s))

    def ring(self, now: Now, day: int, index: int = 0) -> Record:
        secret = own.secrets(self.reader.store)[0].secret
        inbox = personal_address(self.reader.identity, INBOX, secret, now.day)
        return ring_record(inbox, self.address(day, index).direction.ring(day, index), self.writer.random, now)

    def serve(self, now: Now = NOON, *, holders: int = 4) -> int:
        """Answers what is asked, and keeps what is put."""
        count = self.reader.dht.serve(self.records, now, holders=holders)
        self.keep()
        return count

    def begin(self, now: Now) -> None:
        """The reader's node has joined, and a moment has passed."""
        self.reader.mailroom.start(now)
        self.reader.mailroom.on_timer(after(limits.SETTLE_S, now))

    def settle(self, now: Now) -> None:
        """The reading that counts, a minute after it has joined."""
        settled = after(limits.SWEEP_SETTLED_S, now)
        self.reader.mailroom.on_timer(settled)
        self.serve(settled)

    def keep(self) -> list[Record]:
        """What the reader has put, which are tombstones."""
        records = [record for put in self.reader.dht.take_puts() for record in put.records]
        self.records += records
        return records

    def asked(self) -> list[AddressKey]:
        """The mailboxes that are asked for."""
        return [get.address for get in self.reader.dht.gets if get.family is Family.SET]

    @property
    def swept_day(self) -> int:
        return self.reader.contact(self.writer).swept_day

    @property
    def inbox_read_day(self) -> int:
        return int.from_bytes(self.reader.store.value(own.INBOX_READ_DAY) or b"", "big")

    def shown(self) -> list[str]:
        return self.reader.texts(self.writer)


@pytest.fixture
def post(friends: Pair) -> Post:
    return Post(friends)


def push(post: Post, record: Record, now: Now) -> None:
    """A holder pushes a record of one of our inboxes."""
    address = record.parse().address
    (listen,) = [listen for listen in post.reader.dht.listens if listen.public == address and not listen.closed]
    listen.on_push([verified(record.encode())], now)


def test_at_the_start_everything_is_read_and_ended(post: Post) -> None:
    post.put(3, 1, 2)
    post.begin(NOON)
    post.serve()
    assert post.shown() == ["text 1", "text 2", "text 3"]
    assert sum(isinstance(record.parse(), Tombstone) for record in post.records) == 3
    assert post.swept_day == NOON.day


def test_mail_is_read_before_anything_is_listened_for(post: Post) -> None:
    room, dht = post.reader.mailroom, post.reader.dht
    room.start(NOON)
    assert post.asked()
    assert dht.listens == []
    assert room.next_deadline() == NOON.steady + limits.SETTLE_S
    room.on_timer(after(limits.SETTLE_S, NOON))
    assert len(dht.listens) == 2


def test_what_was_missed_while_away_is_read(post: Post) -> None:
    post.put(1, day=NOON.day)
    post.put(2, day=NOON.day + 5)
    back = after(6 * limits.DAY_S, NOON)
    post.begin(back)
    post.serve(back)
    assert post.shown() == ["text 1", "text 2"]


def test_a_sweep_comes_every_six_hours_and_looks_back_a_day(post: Post) -> None:
    post.begin(NOON)
    post.serve()
    post.put(1, day=NOON.day - 1)
    later = after(limits.SWEEP_S, NOON)
    post.reader.mailroom.on_timer(later)
    post.serve(later)
    assert post.shown() == ["text 1"]


def test_who_has_a_link_is_read_once_a_day(post: Post) -> None:
    cable = Cable(post.reader, post.writer, NOON)
    post.begin(NOON)
    post.serve()
    settled = after(limits.SWEEP_SETTLED_S, NOON)
    read = {}
    for hours in (0, 6, 12, 18, 24, 30, 36):
        now = after(hours * 3600, settled)
        post.reader.mailroom.on_timer(now)
        read[hours] = bool(post.asked())
        post.serve(now)
        assert post.swept_day == now.day
    assert read == {0: True, 6: False, 12: True, 18: False, 24: False, 30: False, 36: True}
    post.put(1, day=now.day)
    cable.cut(now)
    now = after(42 * 3600, settled)
    post.reader.mailroom.on_timer(now)
    post.serve(now)
    assert post.shown() == ["text 1"]


def test_an_answer_without_holders_completes_nothing(post: Post) -> None:
    before = post.swept_day
    two_days = after(2 * limits.DAY_S, NOON)
    post.begin(two_days)
    post.serve(two_days, holders=0)
    assert post.swept_day == before
    again = after(limits.SWEEP_S, two_days)
    post.reader.mailroom.on_timer(again)
    post.serve(again)
    assert post.swept_day == again.day


def test_a_ring_reads_one_mailbox_and_says_nothing_of_the_others(post: Post) -> None:
    back = after(6 * limits.DAY_S, NOON)
    post.begin(back)
    post.reader.dht.take_gets()  # the whole sweep is lost
    post.put(1, day=NOON.day)
    post.put(2, day=back.day)
    push(post, post.ring(back, back.day), back)
    assert post.asked() == [post.address(back.day).address()]
    post.serve(back)
    assert post.swept_day < back.day
    again = after(limits.SWEEP_S, back)
    post.reader.mailroom.on_timer(again)
    post.serve(again)
    post.reader.inbox.on_timer(after(limits.HOLD_S + 1, again))
    assert sorted(post.shown()) == ["text 1", "text 2"]


def test_a_ring_after_midnight_leads_to_the_mailbox_before_it(post: Post) -> None:
    midnight = after(limits.DAY_S - START.wall_s % limits.DAY_S)
    post.begin(after(60, midnight))
    post.serve(after(60, midnight))
    post.put(1, day=midnight.day - 1)
    push(post, post.ring(after(61, midnight), midnight.day - 1), after(61, midnight))
    post.serve(after(62, midnight))
    assert post.shown() == ["text 1"]


def test_rings_are_ended_and_forged_ones_are_not(post: Post) -> None:
    post.begin(NOON)
    post.serve()
    ring = post.ring(NOON, NOON.day)
    push(post, ring, NOON)
    assert [record.parse().item for record in post.keep()] == [ring.parse().item]  # type: ignore[union-attr]
    content = ring.parse()
    assert isinstance(content, OpenItem)
    signer = SigningKey(b"s" * 32)
    forged = signed_record(OpenItem(content.address, content.expires_s, b"?" * 16, signer.public), signer)
    push(post, forged, NOON)
    assert (post.keep(), post.reader.counts["unknown_ring"]) == ([], 1)


def test_a_storer_that_rings_without_end_has_few_read_and_nothing_missed(post: Post) -> None:
    """A ring's tag is no secret to its storers: each can sign it again and again."""
    post.begin(NOON)
    post.serve()
    for _ in range(100):
        push(post, post.ring(NOON, NOON.day), NOON)
    first, *others = post.reader.dht.take_gets()
    assert len(others) == limits.RING_READS - 1
    post.put(1)
    first.answer([], NOON)  # as of before it was there
    assert post.asked() == [first.address], "nor does a slow liar keep the next one waiting"
    post.serve()
    assert post.shown() == ["text 1"]
    for get in others:
        get.answer([], NOON)
    assert post.asked() == []


def test_many_mails_go_on_in_the_next_mailbox(post: Post) -> None:
    post.put(1, 2, index=0)
    post.put(3, index=1)
    post.put(4, index=2)
    post.begin(NOON)
    post.serve()
    assert post.shown() == [f"text {number}" for number in range(1, 5)]


def test_a_later_index_is_read_although_the_first_is_empty_by_now(post: Post) -> None:
    post.put(1, index=0)
    post.put(2, index=1)
    post.begin(NOON)
    post.serve()
    post.reader.start()
    post.put(3, index=1)
    post.put(4, index=2)
    post.begin(after(60, NOON))
    post.serve(after(60, NOON))
    assert post.shown() == [f"text {number}" for number in range(1, 5)]


def test_an_index_that_was_filled_and_ended_leads_to_the_next(post: Post) -> None:
    post.put(1)
    post.begin(NOON)
    post.serve()
    post.put(2, index=1)  # the writer has filled the first meanwhile, and we have read it
    later = after(limits.SWEEP_S, NOON)
    post.reader.mailroom.on_timer(later)
    post.serve(later)
    assert post.shown() == ["text 1", "text 2"]


def test_no_mailbox_is_read_twice_in_a_sweep(post: Post) -> None:
    for index in range(3):
        post.put(index + 1, index=index)
    post.begin(NOON)
    post.serve()
    post.put(4, index=0)
    post.put(5, index=1)
    later = after(limits.SWEEP_S, NOON)
    post.reader.mailroom.on_timer(later)
    asked = []
    while new := post.asked():
        asked += new
        post.serve(later)
    assert len(asked) == len(set(asked))


def test_what_was_not_read_whole_is_read_again_soon_and_not_for_ever(post: Post) -> None:
    post.put(1)
    post.begin(NOON)
    post.reader.mailroom._sweep_at = NOON.steady + limits.SWEEP_S
    now, waits = NOON, []
    while len(waits) < 10:
        for get in post.reader.dht.take_gets():
            get.answer([], now, complete=False)
        due = post.reader.mailroom.next_deadline()
        assert due is not None
        waits.append(due - now.steady)
        now = after(due - now.steady, now)
        post.reader.mailroom.on_timer(now)
        if len(waits) == len(limits.SWEEP_AGAIN_S):
            break
    assert waits == list(limits.SWEEP_AGAIN_S)
    post.serve(now)
    assert post.shown() == ["text 1"]
    assert post.swept_day == now.day


def test_what_liars_hid_from_who_had_just_come_is_read_a_minute_later(post: Post, stack: ExitStack) -> None:
    """Of whatever day: who knows one liar alone must not take its word for all days before."""
    stranger = Person("carol", stack)
    post.records.append(asked(stranger, post.reader, now=NOON))
    post.put(1)
    back = after(5 * limits.DAY_S, NOON)
    for joined in (back, after(limits.DAY_S / 4, back)):  # by an island, and then elsewhere
        post.begin(joined)
        for get in post.reader.dht.take_gets():
            get.answer([], joined)
        assert post.reader.mailroom.next_deadline() == joined.steady + limits.SWEEP_SETTLED_S
    later = after(limits.SWEEP_SETTLED_S, joined)
    post.reader.mailroom.on_timer(later)
    post.serve(later)
    assert post.shown() == ["text 1"]
    assert [request.identity for request in post.reader.people.requests()] == [stranger.identity]
    assert post.reader.mailroom._sweep_at == later.steady + limits.SWEEP_S
    assert post.swept_day == later.day


def test_rings_that_are_found_together_are_ended_together(post: Post) -> None:
    for index in range(limits.MAILBOX_INDEXES):
        post.put(index + 1, index=index)
        post.records.append(post.ring(NOON, NOON.day, index))
    post.begin(NOON)
    post.reader.dht.serve(post.records, NOON)
    ends = [[record.parse() for record in put.records] for put in post.reader.dht.take_puts()]
    assert [len(end) for end in ends if isinstance(end[0], Tombstone) and end[0].family == Family.OPEN_SET] == [
        limits.MAILBOX_INDEXES
    ]


def test_everybodys_mail_of_today_is_read_before_anybodys_of_before(post: Post, stack: ExitStack) -> None:
    carol, later = Person("carol", stack), after(5 * limits.DAY_S, NOON)
    post.reader.knows(carol)
    post.begin(later)
    directions = [
        direction
        for person in (carol, post.writer)
        for direction in pairs.reading(post.reader.keys, post.reader.contact(person))
    ]
    asked = post.asked()
    assert len(asked) > 2 * len(directions)
    for place, day in enumerate((later.day, later.day - 1)):
        ours = {MailAddress(direction, day, 0).address() for direction in directions}
        assert ours == set(asked[place * len(ours) : (place + 1) * len(ours)])


def test_indexes_end(post: Post) -> None:
    for index in range(limits.MAILBOX_INDEXES):
        post.put(index + 1, index=index)
    post.begin(NOON)
    post.serve()
    assert len(post.shown()) == limits.MAILBOX_INDEXES


def test_mail_that_came_too_early_is_ended_soon_after(post: Post) -> None:
    post.reader.store.save_contact(replace(post.reader.contact(post.writer), swept_day=NOON.day - 1))
    post.put(2)
    post.begin(NOON)
    post.serve()
    assert post.shown() == []
    assert post.swept_day != NOON.day
    post.reader.inbox.on_timer(after(limits.HOLD_S, NOON))
    again = after(limits.HOLD_S + 1, NOON)
    assert post.reader.mailroom.next_deadline() == again.steady
    post.reader.mailroom.on_timer(again)
    post.serve(again)
    assert post.shown() == ["text 2"]
    post.settle(NOON)
    assert post.swept_day == NOON.day
    assert isinstance(post.records[-1].parse(), Tombstone)


def test_mail_that_never_opens_is_not_read_for_ever(post: Post) -> None:
    begin(post.writer, post.reader)
    post.put(1)
    for prekey in post.reader.store.prekeys():
        post.reader.store.remove_prekey(prekey.id)
    post.begin(NOON)
    post.reader.mailroom._sweep_at = NOON.steady + limits.SWEEP_S
    post.serve()
    now, reads = NOON, 0
    for _ in range(20):
        due = post.reader.mailroom.next_deadline()
        assert due is not None
        if due - NOON.steady > limits.MINUTE_S:
            break
        now = after(due - now.steady, now)
        post.reader.mailroom.on_timer(now)
        reads += post.serve(now) > 0
        post.reader.inbox.on_timer(after(limits.HOLD_S, now))
    assert reads == 1


@pytest.mark.parametrize("body", [b"", bytes(256), bytes(16_384)])
def test_mail_that_is_no_envelope_is_counted_and_does_not_stop_the_rest(post: Post, body: bytes) -> None:
    where = post.address(NOON.day)
    content = SetItem(where.address(), ItemId(b"x" * 16), NOON.wall_s + 60, body)
    post.records.append(signed_record(content, where.signer()))
    post.put_bytes(b"no envelope")
    post.put(1)
    post.begin(NOON)
    post.serve()
    assert post.shown() == ["text 1"]
    assert sum(post.reader.counts.values()) >= 2


def test_a_long_absence_with_many_contacts_is_read_in_pieces(post: Post, stack: ExitStack) -> None:
    for number in range(20):
        other = Person(f"friend {number}", stack)
        post.reader.knows(other)
    post.put(1, day=NOON.day)
    back = after(14 * limits.DAY_S, NOON)
    post.begin(back)
    assert len(post.asked()) == limits.MAILBOXES_READ // 2
    push(post, post.ring(back, back.day), back)
    rung = post.address(back.day).address()
    assert post.asked()[limits.MAILBOXES_READ // 2 :] == [rung], "who rings waits for nobody"
    post.serve(back)
    assert post.shown() == ["text 1"]
    post.settle(back)
    assert {contact.swept_day for contact in post.reader.store.contacts()} == {back.day}


def test_a_sweep_takes_the_place_of_what_the_one_before_has_left(post: Post, stack: ExitStack) -> None:
    for number in range(20):
        post.reader.knows(Person(f"friend {number}", stack))
    back = after(14 * limits.DAY_S, NOON)
    room = post.reader.mailroom
    lengths = []
    for minutes in range(4):
        post.begin(after(60 * minutes, back))
        lengths.append(len(room._unread) + len(room._unread_leisurely))
    assert max(lengths) <= lengths[0] + limits.MAILBOXES_READ


def test_nothing_is_read_of_the_blocked(post: Post) -> None:
    post.put(1)
    post.begin(NOON)
    post.reader.store.save_contact(replace(post.reader.contact(post.writer), state=ContactState.BLOCKED))
    post.serve()
    assert post.shown() == []
    assert post.keep() == []
    later = after(limits.SWEEP_S, NOON)
    post.reader.mailroom.on_timer(later)
    assert post.asked() == []


def test_a_contact_who_is_removed_meanwhile_breaks_nothing(post: Post) -> None:
    post.put(1)
    post.begin(NOON)
    post.reader.store.remove_contact(post.writer.identity)
    post.serve()
    assert post.reader.store.contacts() == []


def test_all_generations_are_read_from_the_day_that_they_began(post: Post) -> None:
    contact = post.reader.contact(post.writer)
    pair = replace(contact.pair_secrets[0], generation=1, secret=b"1" * 32, made_ms=NOON.wall_ms)
    post.reader.store.save_contact(pairs.with_pair(contact, pair, NOON))
    post.reader.mailroom.contacts_changed(post.writer.identity, NOON)
    assert post.asked() == []
    post.begin(NOON)
    days = len({*range(NOON.day - 1, NOON.day + 2)})
    assert len(post.asked()) == 2 * days


def test_listening_follows_the_day(post: Post) -> None:
    room, dht = post.reader.mailroom, post.reader.dht
    post.begin(NOON)
    secret = own.secrets(post.reader.store)[0].secret

    def open_now(days: list[int]) -> bool:
        wanted = {personal_address(post.reader.identity, INBOX, each, day) for day in days for each in (b"", secret)}
        return {listen.public for listen in dht.listens if not listen.closed} == wanted

    assert open_now([NOON.day])
    midnight = after(limits.DAY_S // 2, NOON)
    for offset, days in ((-60, [0, -1]), (60, [0, -1]), (limits.ROLLOVER_S + 60, [0])):
        now = after(offset, midnight)
        room.on_timer(now)
        assert open_now([midnight.day + day for day in days])


def test_the_next_watch_is_never_missed_by_much(post: Post) -> None:
    room = post.reader.mailroom
    post.begin(NOON)
    midnight = after(limits.DAY_S // 2, NOON)
    now = NOON
    while now.wall_ms < midnight.wall_ms:
        due = room.next_deadline()
        assert due is not None
        assert due > now.steady
        now = after(due - now.steady, now)
        room.on_timer(now)
        post.reader.dht.take_gets()
    late = [listen for listen in post.reader.dht.listens if not listen.closed]
    assert len(late) == 4


def test_a_changed_secret_is_listened_at_beside_the_old(post: Post) -> None:
    room = post.reader.mailroom
    room.secret_changed(NOON)
    assert room.next_deadline() is None
    post.begin(NOON)
    own.rotate_secret(post.reader.store, post.reader.random, NOON)
    room.secret_changed(after(1, NOON))
    room.on_timer(after(1, NOON))
    assert len([listen for listen in post.reader.dht.listens if not listen.closed]) == 3


def test_the_public_inbox_is_read_back_to_the_last_time(post: Post, stack: ExitStack) -> None:
    stranger = Person("carol", stack)
    post.records.append(asked(stranger, post.reader, now=NOON))
    back = after(5 * limits.DAY_S, NOON)
    post.begin(back)
    post.serve(back)
    assert [request.identity for request in post.reader.people.requests()] == [stranger.identity]
    post.settle(back)
    assert post.inbox_read_day == back.day


def test_a_request_that_finds_no_room_is_read_again_whatever_day_it_is(
    post: Post, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (Person(name, stack) for name in ("carol", "dave"))
    post.records += [asked(stranger, post.reader, now=NOON) for stranger in (first, second)]
    monkeypatch.setattr(limits, "REQUESTS_KEPT", 1)
    back = after(5 * limits.DAY_S, NOON)
    post.begin(back)
    post.serve(back)
    post.settle(back)
    (request,) = post.reader.people.requests()
    post.reader.people.reject(request, back)
    later = after(3 * limits.DAY_S, back)
    post.reader.mailroom.on_timer(later)
    post.serve(later)
    assert {first.identity, second.identity} == {request.identity, post.reader.people.requests()[0].identity}
    assert post.inbox_read_day == later.day


@pytest.mark.parametrize(("bits", "taken"), [(1, True), (9, False)])
def test_a_request_must_have_been_paid(post: Post, stack: ExitStack, bits: int, taken: bool) -> None:
    reader = post.reader
    reader.settings["bits"] = 2 * bits if not taken else bits
    reader.start()
    item, signer = asked(Person("carol", stack), reader, now=NOON).parse(), SigningKey(bytes(32))
    assert isinstance(item, OpenItem)
    item = msgspec.structs.replace(item, signer=signer.public)
    nonce = solve(Domain.STAMP, item.challenge, bits)
    post.begin(NOON)
    for stamp in (b"", nonce) if taken else (b"", b"\0" * 8):
        push(post, signed_record(msgspec.structs.replace(item, stamp=stamp), signer), NOON)
    assert len(reader.people.requests()) == int(taken)
    assert reader.counts["unpaid_request"] == (1 if taken else 2)
