"""Invites: who comes by one is let in without asking, once; and what others, late comers and storers cannot do."""

import json
from contextlib import ExitStack
from dataclasses import replace

import pytest
from msgspec import structs

from p2pd import limits
from p2pd.chat.invites import invitation
from p2pd.crypto.keys import SigningKey
from p2pd.dht.records import verified
from p2pd.effects import SolveStamp
from p2pd.errors import FailedError, NotFoundError, QuotaError, RefusedError, UsageError
from p2pd.peer import own
from p2pd.peer.published import INBOX, personal_address, signed_record
from p2pd.store import ContactState, Invite, MessageState
from p2pd.types import Now
from p2pd.wire.address import Link, encode_address
from p2pd.wire.content import Accept, decode_content_body
from p2pd.wire.record import OpenItem, Record, Tombstone
from tests.cast import START, Person, after
from tests.chat.test_requests import find, profile, requests_put

DAY_S = limits.DAY_S
NOON = after(DAY_S // 2 - START.wall_s % DAY_S)


@pytest.fixture
def alice(stack: ExitStack) -> Person:
    return Person("alice", stack, now=NOON)


@pytest.fixture
def bob(stack: ExitStack) -> Person:
    return Person("bob", stack, now=NOON)


def make(person: Person, *, now: Now = NOON, days: float = 7, once: bool = True, name: str = "") -> Invite:
    return person.invites.make(now, life_s=round(days * DAY_S), once=once, name=name)


def link(person: Person, invite: Invite) -> Link:
    return Link(person.identity, (), invitation(invite))


def come(comer: Person, host: Person, invite: Invite, now: Now = NOON, text: str = "hello") -> Record:
    """The comer adds the invite and finds the host's profile; the record of their request."""
    comer.people.add(link(host, invite), now, name=host.name, text=text)
    comer.dht.serve([profile(host, now)], now)
    (put,) = requests_put(comer)
    put.answer(now)
    return put.records[0]


def sweep(host: Person, *records: Record, now: Now = NOON, holders: int = 4) -> list[Record]:
    """The host reads its inboxes as at a start, and again a minute later; the tombstones it leaves."""
    host.invites.start(now)
    host.dht.serve(list(records), now, holders=holders)
    left = tombstones(host)
    later = after(limits.SWEEP_SETTLED_S, now)
    host.invites.on_timer(later)
    host.dht.serve([*records, *left], later, holders=holders)
    return left + tombstones(host)


def tombstones(host: Person) -> list[Record]:
    records = [record for put in host.dht.take_puts() for record in put.records]
    return [record for record in records if isinstance(record.parse(), Tombstone)]


def push(host: Person, record: Record, now: Now = NOON) -> None:
    address = record.parse().address
    (listen,) = [listen for listen in host.dht.listens if listen.public == address and not listen.closed]
    listen.on_push([verified(record.encode())], now)


def again(record: Record, host: Person, invite: Invite, now: Now, secret: bytes | None = None) -> Record:
    """The same request under a new item of the invited inbox of that day, or of another one, as anyone can put it."""
    content = record.parse()
    assert isinstance(content, OpenItem)
    signer = SigningKey(now.wall_ms.to_bytes(32, "big"))
    address = personal_address(host.identity, INBOX, invite.secret if secret is None else secret, now.day)
    return signed_record(OpenItem(address, now.wall_s + 60, content.body, signer.public), signer)


def events(person: Person, type: str = "invite") -> list[dict[str, str]]:
    return [json.loads(event.data) for event in person.store.events(0, limit=999, types=(type,))]


def states(person: Person) -> list[str]:
    return [event["state"] for event in events(person)]


def test_who_comes_by_an_invite_is_accepted_without_asking(alice: Person, bob: Person) -> None:
    invite = make(alice)
    record = come(bob, alice, invite)
    assert len(sweep(alice, record)) == 1
    assert alice.contact(bob).state is ContactState.ACCEPTED
    assert alice.texts(bob) == ["hello"]
    assert alice.people.requests() == []
    assert events(alice, "request") == []
    assert isinstance(decode_content_body(alice.store.outbox(bob.identity)[0].body), Accept)


def accepted(alice: Person, bob: Person) -> None:
    """The host's yes reaches who came."""
    yes = alice.store.outbox(bob.identity)[0]
    envelope = alice.outbox._envelopes.sealed(alice.contact(bob), yes, NOON)
    assert envelope is not None
    bob.receive(alice, envelope, NOON)


def test_the_answer_opens_in_the_same_session_and_ends_the_asking(alice: Person, bob: Person) -> None:
    sweep(alice, come(bob, alice, make(alice)))
    accepted(alice, bob)
    contact, session = bob.contact(alice), bob.sessions.current(alice.identity)
    assert (contact.state, contact.invitation) == (ContactState.ACCEPTED, None)
    assert contact.secret == own.secret(alice.store)
    assert session is not None
    assert session.header == b""
    assert bob.requests.next_deadline() is None


def test_the_request_lies_where_only_the_invites_holders_find_it_and_costs_nothing(alice: Person, bob: Person) -> None:
    invite = make(alice)
    bob.people.add(link(alice, invite), NOON, text="hello")
    bob.dht.serve([profile(alice, NOON, bits=20)], NOON)
    assert not [effect for effect in bob.effects.take() if isinstance(effect, SolveStamp)]
    (put,) = requests_put(bob)
    assert put.address == personal_address(alice.identity, INBOX, invite.secret, NOON.day)
    assert put.address != personal_address(alice.identity, INBOX, b"", NOON.day)
    put.answer(NOON)
    (message,) = bob.store.history(alice.identity, limit=9)
    assert message.state is MessageState.STORED
    assert "invite" in str(bob.store.steps(message.message)[-1].detail["note"])


def test_the_one_time_key_is_in_the_agreement_and_gone_with_its_first_use(alice: Person, bob: Person) -> None:
    invite = make(alice)
    record = come(bob, alice, invite)
    session = bob.sessions.current(alice.identity)
    assert session is not None
    assert alice.prekeys.find_one_time(invite.id) is not None
    sweep(alice, record)
    assert alice.prekeys.find_one_time(invite.id) is None
    spent = alice.store.invite(invite.id)
    assert spent is not None
    assert (spent.one_time, spent.spent) == (b"", True)
    assert alice.invites.listed() == []
    assert states(alice) == ["open", "used"]
    assert events(alice)[-1]["name"] == alice.contact(bob).petname


def test_what_comes_by_a_used_invite_is_refused_and_counted(alice: Person, bob: Person, stack: ExitStack) -> None:
    carol = Person("carol", stack, now=NOON)
    invite = make(alice)
    first, second = come(bob, alice, invite), come(carol, alice, invite)
    sweep(alice, first, second)
    assert alice.store.contact(carol.identity) is None
    assert alice.counts["used_invite"] == 1
    find(alice, again(second, alice, invite, NOON, b""), NOON)
    assert alice.store.contact(carol.identity) is None
    assert alice.counts["used_one_time_prekey"] == 1


@pytest.mark.parametrize("once", [True, False])
def test_a_replayed_request_is_refused_a_thousand_times(alice: Person, bob: Person, once: bool) -> None:
    invite = make(alice, once=once)
    record = come(bob, alice, invite)
    sweep(alice, record)
    alice.people.remove(alice.contact(bob), NOON)
    later = NOON
    for number in range(1_000):
        later = after(number, NOON)
        alice.invites._on_records(invite.id, later.day, [verified(again(record, alice, invite, later).encode())], later)
        alice.dht.take_puts()
    assert alice.store.contact(bob.identity) is None
    assert alice.store.sessions(bob.identity) == []
    assert alice.counts["used_invite"] == 1_000
    assert "late" not in states(alice)


def test_an_invite_for_several_lets_in_several_but_not_without_end(
    alice: Person, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INVITE_PERSONS", 3)
    invite = make(alice, once=False)
    comers = [Person(f"comer {number}", stack, now=NOON) for number in range(5)]
    records = [come(comer, alice, invite) for comer in comers]
    assert all(record.parse().address == records[0].parse().address for record in records)
    sweep(alice, *records)
    assert [alice.store.contact(comer.identity) is not None for comer in comers] == [True] * 3 + [False] * 2
    assert states(alice) == ["open", "open", "open", "used"]
    assert alice.counts["closed_invite"] == 2
    assert alice.people.requests() == []


def test_a_holder_who_floods_the_inbox_disturbs_no_other_invite(alice: Person, bob: Person, stack: ExitStack) -> None:
    mallory = Person("mallory", stack, now=NOON)
    flooded, other = make(alice, once=False), make(alice)
    true = come(mallory, alice, flooded)
    content = true.parse()
    assert isinstance(content, OpenItem)
    junk = [other_item(content, number) for number in range(limits.SET_ITEMS)]
    ended = sweep(alice, *junk, come(bob, alice, other))
    assert alice.contact(bob).state is ContactState.ACCEPTED
    assert len(ended) == limits.SET_ITEMS + 1
    assert len(alice.store.contacts()) == 1
    alice.invites.revoke(str(flooded.id), NOON)
    sweep(alice, *junk)
    assert alice.dht.gets == []


def test_what_no_honest_holder_has_room_for_is_not_ended(alice: Person, bob: Person) -> None:
    """One liar could have us put tombstones without end."""
    content = come(bob, alice, make(alice, once=False)).parse()
    assert isinstance(content, OpenItem)
    alice.invites.start(NOON)
    alice.dht.serve([other_item(content, number) for number in range(2 * limits.SET_ITEMS)], NOON)
    assert len(tombstones(alice)) == limits.SET_ITEMS


def other_item(content: OpenItem, number: int) -> Record:
    signer = SigningKey(number.to_bytes(32, "big"))
    body = content.body[:-4] + number.to_bytes(4, "big")
    return signed_record(OpenItem(content.address, content.expires_s, body, signer.public), signer)


def test_storers_who_see_the_inbox_but_not_the_secret_are_not_let_in(
    alice: Person, bob: Person, stack: ExitStack
) -> None:
    mallory = Person("mallory", stack, now=NOON)
    for once in (True, False):
        invite = make(alice, once=once)
        guess = replace(invitation(invite), secret=b"?" * 16)
        mallory.store.remove_contact(alice.identity)
        mallory.people.add(Link(alice.identity, (), guess), NOON, text="let me in")
        mallory.dht.serve([profile(alice, NOON)], NOON)
        (put,) = requests_put(mallory)
        sweep(alice, again(put.records[0], alice, invite, NOON))
        assert alice.store.contact(mallory.identity) is None
        assert alice.store.invite(invite.id) is not None
    assert alice.counts["bad_invite_proof"] == 2


def test_a_public_request_moved_into_an_invited_inbox_is_refused(alice: Person, bob: Person) -> None:
    invite = make(alice, once=False)
    bob.people.add(Link(alice.identity), NOON, text="hello")
    bob.dht.serve([profile(alice, NOON)], NOON)
    (put,) = requests_put(bob)
    sweep(alice, again(put.records[0], alice, invite, NOON))
    assert alice.store.contact(bob.identity) is None


def test_an_invite_for_one_cannot_be_used_without_its_one_time_key(alice: Person, bob: Person) -> None:
    invite = make(alice)
    without = replace(invitation(invite), one_time_id=0, one_time=b"")
    bob.people.add(Link(alice.identity, (), without), NOON, text="hello")
    bob.dht.serve([profile(alice, NOON)], NOON)
    (put,) = requests_put(bob)
    sweep(alice, put.records[0])
    assert alice.store.contact(bob.identity) is None
    assert alice.counts["wrong_one_time_prekey"] == 1
    assert alice.store.invite(invite.id) is not None


def test_a_one_time_key_of_another_invite_does_not_serve(alice: Person, bob: Person) -> None:
    one, other = make(alice), make(alice)
    mixed = replace(invitation(one), one_time_id=other.id, one_time=invitation(other).one_time)
    bob.people.add(Link(alice.identity, (), mixed), NOON, text="hello")
    bob.dht.serve([profile(alice, NOON)], NOON)
    (put,) = requests_put(bob)
    sweep(alice, put.records[0])
    assert alice.store.contact(bob.identity) is None
    assert len(alice.invites.listed()) == 2


def test_a_wrong_one_time_key_opens_nothing_and_uses_nothing_up(alice: Person, bob: Person) -> None:
    invite = make(alice)
    wrong = replace(invitation(invite), one_time=invitation(make(alice)).one_time)
    bob.people.add(Link(alice.identity, (), wrong), NOON, text="hello")
    bob.dht.serve([profile(alice, NOON)], NOON)
    (put,) = requests_put(bob)
    sweep(alice, put.records[0])
    assert alice.store.contact(bob.identity) is None
    assert alice.store.invite(invite.id) is not None


@pytest.mark.parametrize("state", [ContactState.BLOCKED, ContactState.REJECTED])
def test_the_blocked_and_rejected_stay_so_and_use_nothing_up(alice: Person, bob: Person, state: ContactState) -> None:
    alice.knows(bob, state)
    invite = make(alice)
    sweep(alice, come(bob, alice, invite))
    assert alice.contact(bob).state is state
    assert alice.acted == []
    assert alice.store.invite(invite.id) is not None


def test_a_contact_who_comes_by_an_invite_stays_one(alice: Person, bob: Person) -> None:
    alice.knows(bob, verified=True)
    sweep(alice, come(bob, alice, make(alice, name="robert")))
    assert (alice.contact(bob).state, alice.contact(bob).petname) == (ContactState.ACCEPTED, "bob")
    assert alice.contact(bob).verified
    assert states(alice) == ["open", "used"]


def test_who_waits_among_the_requests_is_let_in_by_an_invite(alice: Person, bob: Person) -> None:
    bob.people.add(Link(alice.identity), NOON, name="alice", text="may I?")
    bob.dht.serve([profile(alice, NOON)], NOON)
    (put,) = requests_put(bob)
    find(alice, put.records[0], NOON)
    assert alice.contact(bob).state is ContactState.REQUESTED
    invite = make(alice)
    bob.people.add(link(alice, invite), NOON)
    bob.dht.serve([profile(alice, NOON)], NOON)
    (put,) = requests_put(bob)
    assert put.address == personal_address(alice.identity, INBOX, invite.secret, NOON.day)
    sweep(alice, put.records[0])
    assert alice.contact(bob).state is ContactState.ACCEPTED
    assert alice.texts(bob) == ["may I?"]


def test_whom_we_have_asked_comes_by_our_invite(alice: Person, bob: Person) -> None:
    alice.people.add(Link(bob.identity), NOON, name="robert")
    sweep(alice, come(bob, alice, make(alice)))
    assert (alice.contact(bob).state, alice.contact(bob).petname) == (ContactState.ACCEPTED, "robert")


def test_the_name_given_at_the_invite_is_the_contacts(alice: Person, bob: Person, stack: ExitStack) -> None:
    bob.store.set_value("name", b"Bobby")
    sweep(alice, come(bob, alice, make(alice)))
    assert alice.contact(bob).petname == "Bobby"
    friends = make(alice, once=False, name="friend")
    comers = [Person(f"comer {number}", stack, now=NOON) for number in range(2)]
    sweep(alice, *[come(comer, alice, friends) for comer in comers])
    assert {alice.contact(comer).petname for comer in comers} == {"friend", "friend-2"}


def test_names_lives_and_numbers_are_bounded(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    for life_s in (0, -1, limits.INVITE_LIFE_MAX_S + 1):
        with pytest.raises(UsageError):
            alice.invites.make(NOON, life_s=life_s, once=True, name="")
    with pytest.raises(UsageError):
        make(alice, name="two words")
    for _ in range(limits.INVITES):
        make(alice, once=False)
    with pytest.raises(QuotaError):
        make(alice)
    alice.invites.revoke("1", NOON)
    assert make(alice).id == limits.INVITES + 1
    assert 2 * limits.INVITES <= limits.LISTENS // 2


@pytest.mark.parametrize("id", ["", "0", "9", "-1", "1x", "\u0661", "9" * 99])
def test_only_an_open_invite_can_be_revoked(alice: Person, id: str) -> None:
    make(alice)
    with pytest.raises(NotFoundError):
        alice.invites.revoke(id, NOON)
    assert len(alice.invites.listed()) == 1


def test_a_revoked_invite_lets_nobody_in_and_is_not_listened_for(alice: Person, bob: Person) -> None:
    invite = make(alice)
    record = come(bob, alice, invite)
    alice.invites.start(NOON)
    alice.invites.on_timer(after(limits.SETTLE_S, NOON))
    alice.dht.take_gets()
    alice.invites.revoke(f" {invite.id} ", NOON)
    alice.invites.on_timer(NOON)
    assert all(listen.closed for listen in alice.dht.listens)
    sweep(alice, record)
    assert alice.store.contact(bob.identity) is None
    assert states(alice) == ["open", "revoked"]
    assert alice.invites.next_deadline() is None


def test_ids_are_never_used_again(alice: Person) -> None:
    first = make(alice)
    alice.invites.revoke("1", NOON)
    alice.start()
    assert make(alice).id == first.id + 1


# --- time ---


def test_what_is_pushed_is_let_in_at_once(alice: Person, bob: Person) -> None:
    invite = make(alice)
    record = come(bob, alice, invite)
    sweep(alice)
    alice.invites.on_timer(after(limits.SETTLE_S, NOON))
    push(alice, record)
    assert alice.contact(bob).state is ContactState.ACCEPTED
    late = after(8 * DAY_S, NOON)
    alice.invites.on_timer(late)
    assert all(listen.closed for listen in alice.dht.listens)
    alice.dht.serve([], late)
    assert (alice.store.invites(), states(alice)) == ([], ["open", "used"])


def test_who_comes_by_a_used_invite_is_told_of_once_and_can_be_asked(
    alice: Person, bob: Person, stack: ExitStack
) -> None:
    carol = Person("carol", stack, now=NOON)
    invite = make(alice)
    first, second = come(bob, alice, invite), come(carol, alice, invite)
    sweep(alice, first)
    alice.invites.on_timer(after(limits.SETTLE_S, NOON))
    for moment in (NOON, after(60, NOON)):
        push(alice, again(second, alice, invite, moment), moment)
    push(alice, again(first, alice, invite, NOON))
    address = encode_address(carol.identity)
    assert events(alice)[2:] == [{"id": str(invite.id), "state": "late", "address": address}]
    assert [each.late for each in alice.invites.listed()] == [(carol.identity,)]
    assert alice.store.contact(carol.identity) is None
    alice.people.add(Link(carol.identity), NOON)
    alice.dht.serve([profile(carol, NOON)], NOON)
    (put,) = requests_put(alice)
    carol.requests.on_inbox_record(put.records[0].parse(), NOON.day, NOON)
    assert carol.contact(alice).state is ContactState.ACCEPTED
    alice.invites.revoke(str(invite.id), NOON)
    assert alice.invites.listed() == []


def test_who_has_not_the_invite_is_not_told_of_as_late(alice: Person, bob: Person, stack: ExitStack) -> None:
    carol, invite = Person("carol", stack, now=NOON), make(alice)
    sweep(alice, come(bob, alice, invite))
    alice.invites.on_timer(after(limits.SETTLE_S, NOON))
    carol.people.add(Link(alice.identity), NOON)
    carol.dht.serve([profile(alice, NOON)], NOON)
    (put,) = requests_put(carol)
    push(alice, again(put.records[0], alice, invite, NOON))
    assert (alice.counts["bad_invite_proof"], states(alice)) == (1, ["open", "used"])


def test_used_invites_and_those_who_come_late_are_bounded(
    alice: Person, bob: Person, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INVITES", 2)
    monkeypatch.setattr(limits, "INVITE_PERSONS", 1)
    first = make(alice)
    records = [come(person, alice, first) for person in (bob, Person("carol", stack), Person("dave", stack))]
    sweep(alice, *records)
    assert states(alice) == ["open", "used", "late"]
    kept = [make(alice), make(alice)]
    assert alice.store.invites() == kept
    with pytest.raises(QuotaError):
        make(alice)


def test_an_invite_made_while_up_is_listened_for_at_once(alice: Person, bob: Person) -> None:
    alice.invites.start(NOON)
    assert alice.invites.next_deadline() is None
    record = come(bob, alice, make(alice))
    alice.invites.on_timer(NOON)
    push(alice, record)
    assert alice.contact(bob).state is ContactState.ACCEPTED


@pytest.mark.parametrize("days", [1, 6, 7, 8, 13])
def test_nothing_is_missed_by_an_absence(alice: Person, bob: Person, days: int) -> None:
    """Asked on the first day by a clock a little behind, after midnight, or just before the end; then found later."""
    record = come(bob, alice, make(alice, days=20), after(60, NOON))
    alice.start()
    back = after(days * DAY_S, NOON)
    sweep(alice, record, now=back)
    assert alice.contact(bob).state is ContactState.ACCEPTED


def test_a_request_that_was_in_time_is_found_after_the_expiry(alice: Person, bob: Person) -> None:
    record = come(bob, alice, make(alice, days=3), after(2.9 * DAY_S, NOON))
    alice.start()
    sweep(alice, record, now=after(10 * DAY_S, NOON))
    assert alice.contact(bob).state is ContactState.ACCEPTED
    assert states(alice) == ["open", "used"]


@pytest.mark.parametrize("weeks", [1, 2, 3, 52])
def test_an_expired_invite_is_read_to_the_end_and_gone(alice: Person, bob: Person, weeks: int) -> None:
    invite = make(alice, days=3)
    record = come(bob, alice, invite, after(2 * DAY_S, NOON))
    alice.start()
    back = after(weeks * 7 * DAY_S, NOON)
    sweep(alice, now=back)
    assert states(alice) == ["open", "expired"]
    assert alice.store.invite(invite.id) is None
    sweep(alice, record, now=back)
    assert alice.store.contact(bob.identity) is None


def test_an_expired_invite_stays_until_it_was_read_completely(alice: Person, bob: Person) -> None:
    record = come(bob, alice, make(alice, days=3), after(2 * DAY_S, NOON))
    back = after(4 * DAY_S, NOON)
    sweep(alice, now=back, holders=0)
    assert len(alice.invites.listed()) == 1
    later = after(limits.SWEEP_SETTLED_S + limits.SWEEP_AGAIN_S[-1], back)
    alice.invites.on_timer(later)
    alice.dht.serve([record], later)
    assert alice.contact(bob).state is ContactState.ACCEPTED


@pytest.mark.parametrize("days", [8, 22, 400])
def test_a_clock_that_is_wrong_at_the_start_ends_no_invite(alice: Person, days: int) -> None:
    """Peers tell the time within the first minute."""
    invite = make(alice, days=7)
    alice.start()
    wrong = after(days * DAY_S, NOON)
    alice.invites.start(wrong)
    alice.dht.serve([], wrong)
    right = Now(wrong.steady + limits.SWEEP_SETTLED_S, NOON.wall_ms)
    alice.invites.on_timer(right)
    alice.dht.serve([], right)
    assert [kept.id for kept in alice.invites.listed()] == [invite.id]
    assert states(alice) == ["open"]


def test_an_invite_ends_while_its_owner_is_up(alice: Person, bob: Person) -> None:
    invite = make(alice, days=1 / 24)
    late = come(bob, alice, invite, after(3_000, NOON))
    sweep(alice)
    alice.invites.on_timer(after(limits.SETTLE_S, NOON))
    alice.dht.serve([], NOON)
    now = NOON
    while now.steady < NOON.steady + 2 * limits.HOUR_S:
        due = alice.invites.next_deadline()
        if due is None:
            break
        now = after(due - now.steady, now)
        alice.invites.on_timer(now)
        alice.dht.serve([], now)
    assert states(alice) == ["open", "expired"]
    assert now.steady - NOON.steady == pytest.approx(limits.HOUR_S + limits.CLOCK_SKEW_S, abs=120)
    alice.invites._on_records(invite.id, now.day, [verified(again(late, alice, invite, now).encode())], now)
    assert alice.store.contact(bob.identity) is None
    assert alice.counts["closed_invite"] == 1


@pytest.mark.parametrize("ahead_s", [-limits.CLOCK_SKEW_S, limits.CLOCK_SKEW_S])
@pytest.mark.parametrize("from_midnight_s", [-limits.CLOCK_SKEW_S / 2, limits.CLOCK_SKEW_S / 2])
def test_near_midnight_clocks_may_differ(alice: Person, bob: Person, from_midnight_s: float, ahead_s: int) -> None:
    invite = make(alice)
    now = after(DAY_S // 2 + from_midnight_s, NOON)
    alice.invites.start(now)
    alice.invites.on_timer(after(limits.SETTLE_S, now))
    push(alice, come(bob, alice, invite, Now(now.steady, now.wall_ms + ahead_s * 1000)), now)
    assert alice.contact(bob).state is ContactState.ACCEPTED


def test_days_read_completely_are_not_read_again(alice: Person) -> None:
    make(alice, days=30, once=False)
    back = after(10 * DAY_S, NOON)
    alice.invites.start(back)
    settled = after(limits.SWEEP_SETTLED_S, back)
    for now, day in ((back, NOON.day), (settled, back.day)):  # who has just joined may have heard one liar alone
        alice.invites.on_timer(now)
        assert alice.dht.serve([], now) == 12
        assert alice.store.invites()[0].read_day == day
    alice.invites.on_timer(after(limits.SWEEP_S, settled))
    assert len(alice.dht.take_gets()) == 2


def test_a_long_absence_with_many_invites_asks_for_few_inboxes_at_once(alice: Person) -> None:
    for _ in range(limits.INVITES):
        make(alice, days=60)
    back = after(40 * DAY_S, NOON)
    alice.invites.start(back)
    assert len(alice.dht.gets) == limits.INVITES_READ
    assert alice.dht.serve([], back) == limits.INVITES * limits.SWEEP_DAYS
    settled = after(limits.SWEEP_SETTLED_S, back)
    alice.invites.on_timer(settled)
    alice.dht.serve([], settled)
    assert {invite.read_day for invite in alice.invites.listed()} == {back.day}


# --- who is invited ---


def test_an_expired_invite_is_refused_with_words(alice: Person, bob: Person) -> None:
    invite = make(alice, days=1)
    bob.people.add(link(alice, invite), after(DAY_S + limits.CLOCK_SKEW_S, NOON))
    bob.store.remove_contact(alice.identity)
    with pytest.raises(FailedError, match="expired"):
        bob.people.add(link(alice, invite), after(DAY_S + limits.CLOCK_SKEW_S + 1, NOON))
    assert bob.store.contacts() == []


def test_an_invite_of_oneself_of_a_contact_and_of_the_blocked(alice: Person, bob: Person) -> None:
    invite = make(alice)
    with pytest.raises(UsageError, match="your own"):
        alice.people.add(link(alice, invite), NOON)
    bob.knows(alice)
    with pytest.raises(FailedError, match="contact already"):
        bob.people.add(link(alice, invite), NOON)
    bob.store.save_contact(structs.replace(bob.contact(alice), state=ContactState.BLOCKED))
    with pytest.raises(RefusedError):
        bob.people.add(link(alice, invite), NOON)


def test_where_their_profile_is_missing_the_request_waits_and_says_so(alice: Person, bob: Person) -> None:
    bob.people.add(link(alice, make(alice)), NOON, text="hello")
    bob.dht.serve([], NOON)
    (message,) = bob.store.history(alice.identity, limit=9)
    assert "their profile is not on the network" in [step.what for step in bob.store.steps(message.message)]
    later = after(limits.REQUEST_GAPS_S[0], NOON)
    bob.start()
    bob.requests.start(later)
    bob.dht.serve([profile(alice, later)], later)
    (put,) = requests_put(bob)
    sweep(alice, put.records[0], now=later)
    assert alice.contact(bob).state is ContactState.ACCEPTED


@pytest.mark.parametrize("once", [True, False])
def test_who_waits_by_an_invite_for_one_learns_that_it_may_be_used_and_asks_in_public(
    alice: Person, bob: Person, once: bool
) -> None:
    come(bob, alice, make(alice, once=once))
    bob.conversation.send(bob.contact(alice), "are you there?", NOON)
    for message in bob.store.history(alice.identity, limit=9):
        told = str([(step.what, step.detail) for step in bob.store.steps(message.message)])
        assert (f"contact add {encode_address(alice.identity)}" in told) is once
    bob.people.add(Link(alice.identity), NOON)
    bob.dht.serve([profile(alice, NOON)], NOON)
    (put,) = requests_put(bob)
    assert put.address == personal_address(alice.identity, INBOX, b"", NOON.day)
    alice.requests.on_inbox_record(put.records[0].parse(), NOON.day, NOON)
    assert [contact.identity for contact in alice.people.requests()] == [bob.identity]
    with pytest.raises(FailedError, match="contact already"):
        bob.people.add(Link(alice.identity), NOON)


def test_an_unanswered_request_goes_public_when_the_invite_has_expired(alice: Person, bob: Person) -> None:
    invite = make(alice, days=2)
    come(bob, alice, invite)
    alice.invites.revoke("1", NOON)
    due = bob.requests.next_deadline()
    assert due == pytest.approx(NOON.steady + 2 * DAY_S + limits.CLOCK_SKEW_S, abs=2)
    late = after(due - NOON.steady + 1, NOON)
    bob.requests.on_timer(late)
    bob.dht.serve([profile(alice, late)], late)
    (put,) = requests_put(bob)
    assert put.address == personal_address(alice.identity, INBOX, b"", late.day)
    find(alice, put.records[0], late)
    assert [request.request_text for request in alice.people.requests()] == ["hello"]
    (message,) = bob.store.history(alice.identity, limit=9)
    assert any("expired" in step.what for step in bob.store.steps(message.message))


def test_a_request_by_a_long_invite_is_put_again_before_its_record_ends(alice: Person, bob: Person) -> None:
    come(bob, alice, make(alice, days=60))
    due = bob.requests.next_deadline()
    assert due == NOON.steady + limits.MAIL_REISSUE_S
    later = after(limits.MAIL_REISSUE_S, NOON)
    bob.start()
    bob.requests.start(later)
    bob.dht.serve([profile(alice, later)], later)
    (put,) = requests_put(bob)
    alice.start()
    sweep(alice, put.records[0], now=after(3 * DAY_S, later))
    assert alice.contact(bob).state is ContactState.ACCEPTED


def test_the_longest_request_by_an_invite_fits(alice: Person, bob: Person) -> None:
    bob.store.set_value("name", ("\U0001f600" * limits.NAME_CHARS).encode())
    sweep(alice, come(bob, alice, make(alice), text="x" * limits.REQUEST_TEXT_BYTES))
    assert alice.texts(bob) == ["x" * limits.REQUEST_TEXT_BYTES]


def test_too_many_contacts_leave_the_request_where_it_is(
    alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONTACTS", 0)
    record = come_with(bob, alice, monkeypatch)
    assert sweep(alice, record) == []
    assert alice.counts["too_many_contacts"] == 2
    monkeypatch.setattr(limits, "CONTACTS", 1)
    sweep(alice, record, now=after(limits.SWEEP_S, NOON))
    assert alice.contact(bob).state is ContactState.ACCEPTED


def come_with(bob: Person, alice: Person, monkeypatch: pytest.MonkeyPatch) -> Record:
    with monkeypatch.context() as patch:
        patch.setattr(limits, "CONTACTS", 9)
        return come(bob, alice, make(alice))
