"""Who is a contact: asking, accepting, blocking, removing, and beginning again."""

from contextlib import ExitStack

import pytest
from msgspec.structs import replace

from p2pd import limits
from p2pd.chat.outbox import NOTHING
from p2pd.errors import AmbiguousError, FailedError, NotFoundError, RefusedError, UsageError
from p2pd.peer import own
from p2pd.peer.published import INBOX, personal_address
from p2pd.store import Contact, ContactState, MessageState, PairSecret, PathChoice
from p2pd.types import Endpoint, IdentityKey, Now
from p2pd.wire.address import Link, encode_address, encode_id
from p2pd.wire.content import Accept, Body, Content, NewName, NewSecret, PairProposal, Request, decode_content_body
from p2pd.wire.invite import Invitation
from p2pd.wire.record import Record
from tests.cast import START, Cable, Person, after
from tests.chat.test_requests import asked, find, profile, requests_put

Pair = tuple[Person, Person]


def bodies(person: Person, other: Person) -> list[Body]:
    return [decode_content_body(item.body) for item in person.store.outbox(other.identity)]


def with_answers(person: Person) -> Person:
    """Acts on acceptances and new secrets too, as a whole node does."""
    plain = person.act

    def act(contact: Contact, content: Content, body: Body, via: str, now: Now) -> None:
        plain(contact, content, body, via, now)
        contact = person.contact_of(contact.identity)
        match body:
            case Accept():
                person.people.on_accept(contact, body, now)
            case NewSecret():
                person.people.on_new_secret(contact, body)
            case NewName():
                person.people.on_new_name(contact, body)

    person.inbox._act = act
    return person


@pytest.fixture
def alice(stack: ExitStack) -> Person:
    return with_answers(Person("alice", stack))


@pytest.fixture
def bob(stack: ExitStack) -> Person:
    return with_answers(Person("bob", stack))


def meet(one: Person, other: Person, now: Now = START) -> None:
    """One asks, the other accepts, and both know it."""
    find(other, asked(one, other, now=now), now)
    other.people.accept(other.people.requests()[0], now)
    Cable(other, one, now).cut(now)


def test_who_is_asked_accepts_and_both_are_contacts(alice: Person, bob: Person) -> None:
    bob.store.set_value("name", b"Bob")
    meet(alice, bob)
    assert alice.contact(bob).state is bob.contact(alice).state is ContactState.ACCEPTED
    assert alice.contact(bob).claimed_name == "Bob"
    assert alice.contact(bob).secret == own.secrets(bob.store)[0].secret
    assert bob.contact(alice).secret == own.secrets(alice.store)[0].secret
    assert bob.texts(alice) == alice.texts(bob) == ["hello"]
    assert alice.store.history(bob.identity, limit=1)[0].state is MessageState.DELIVERED


def test_who_add_each_other_are_contacts_without_a_question(alice: Person, bob: Person) -> None:
    from_alice, from_bob = asked(alice, bob, "from alice"), asked(bob, alice, "from bob")
    find(bob, from_alice)
    find(alice, from_bob)
    cable = Cable(alice, bob)
    assert alice.contact(bob).state is bob.contact(alice).state is ContactState.ACCEPTED
    assert alice.texts(bob) == bob.texts(alice)
    assert sorted(alice.texts(bob)) == ["from alice", "from bob"]
    one, other = (person.sessions.current(friend.identity) for person, friend in ((alice, bob), (bob, alice)))
    assert one is not None
    assert other is not None
    assert one.session == other.session
    cable.run()
    assert alice.store.outbox_count() == bob.store.outbox_count() == 0


def test_requests_are_accepted_at_once_where_that_is_set(stack: ExitStack, alice: Person) -> None:
    bot = Person("bot", stack)
    bot.settings["accept_requests"] = True
    bot.start()
    alice.store.set_value("name", "ﷺ \x1b[2J".encode())
    find(bot, asked(alice, bot))
    assert bot.contact(alice).state is ContactState.ACCEPTED
    assert bot.contact(alice).petname.replace("-", "").isalnum()


def test_adding_who_has_asked_is_accepting(alice: Person, bob: Person) -> None:
    find(bob, asked(alice, bob))
    contact, sent = bob.people.add(Link(alice.identity), START, name="al")
    assert (contact.state, contact.petname, sent) == (ContactState.ACCEPTED, "al", None)


def test_who_was_removed_and_adds_again_is_answered(alice: Person, bob: Person) -> None:
    meet(alice, bob)
    for number in range(3):
        bob.conversation.send(bob.contact(alice), f"unheard {number}", after(10))
    alice.people.remove(alice.contact(bob), after(20))
    assert alice.store.contact(bob.identity) is None
    again = asked(alice, bob, "me again", after(30))
    find(bob, again, after(40))
    cable = Cable(bob, alice, after(50))
    assert alice.contact(bob).state is bob.contact(alice).state is ContactState.ACCEPTED
    assert [text for text in alice.texts(bob) if text.startswith("unheard")] == [
        f"unheard {number}" for number in range(3)
    ]
    assert bob.texts(alice)[-1] == "me again"
    assert bob.store.outbox_count() == alice.store.outbox_count() == 0
    alice.conversation.send(alice.contact(bob), "both ways", after(60))
    bob.conversation.send(bob.contact(alice), "and back", after(60))
    cable.run(after(61))
    assert bob.texts(alice) == alice.texts(bob)
    assert sorted(bob.texts(alice)[-2:]) == ["and back", "both ways"]


def test_a_friend_who_began_anew_after_many_messages_is_still_heard(alice: Person, bob: Person) -> None:
    meet(alice, bob)
    counters = bob.outbox.counters(alice.identity)
    high = 3 * limits.UNACKNOWLEDGED
    bob.store.save_counters(alice.identity, replace(counters, next_sequence=high, acknowledged=high - 1))
    alice.people.remove(alice.contact(bob), after(1))
    find(bob, asked(alice, bob, "me again", after(2)), after(3))
    bob.conversation.send(bob.contact(alice), "welcome back", after(4))
    Cable(bob, alice, after(5))
    assert alice.texts(bob)[-1] == "welcome back"
    assert alice.contact(bob).state is ContactState.ACCEPTED


def test_generations_of_before_are_not_written_with_after_beginning_anew(alice: Person, bob: Person) -> None:
    meet(alice, bob)
    bob_of_alice = bob.contact(alice)
    later = PairSecret(9, b"9" * 32, START.wall_ms)
    bob.store.save_contact(replace(bob_of_alice, pair_secrets=(*bob_of_alice.pair_secrets, later)))
    alice.people.remove(alice.contact(bob), after(1))
    find(bob, asked(alice, bob, "me again", after(2)), after(3))
    assert max(pair.generation for pair in bob.contact(alice).pair_secrets if pair.usable) == 0


def test_blocking_ends_what_waits_and_unblocking_leaves_no_hole(alice: Person, bob: Person) -> None:
    meet(alice, bob)
    cable = Cable(alice, bob, after(1))
    cable.cut(after(2))
    message = alice.conversation.send(alice.contact(bob), "never mind", after(3))
    blocked = alice.people.block(alice.contact(bob), after(4))
    assert blocked.state is ContactState.BLOCKED
    assert alice.store.message(message.message).state is MessageState.FAILED  # type: ignore[union-attr]
    alice.people.unblock(alice.contact(bob), after(5))
    alice.conversation.send(alice.contact(bob), "hello again", after(6))
    Cable(alice, bob, after(7))
    assert bob.texts(alice)[-1] == "hello again"
    counters = bob.store.counters(alice.identity)
    assert counters.received_above == ()
    assert bob.contact(alice).secret == own.secrets(alice.store)[0].secret


def test_a_proposal_that_was_blocked_is_never_written_with(friends: Pair) -> None:
    lower, higher = friends
    lower.people.rotate_pairs(START)
    assert [type(body) for body in bodies(lower, higher)] == [PairProposal]
    lower.people.block(lower.contact(higher), START)
    lower.people.unblock(lower.contact(higher), after(1))
    Cable(lower, higher, after(2))
    assert lower.store.outbox_count() == 0
    assert [pair.generation for pair in lower.contact(higher).pair_secrets if pair.usable] == [0]
    lower.people.rotate_pairs(after(3))
    assert PairProposal in [type(body) for body in bodies(lower, higher)]


def test_who_never_answered_is_asked_anew_when_unblocked(alice: Person, bob: Person) -> None:
    asked(alice, bob)
    alice.people.block(alice.contact(bob), after(1))
    assert alice.store.outbox_count() == 0
    assert alice.people.unblock(alice.contact(bob), after(2)).state is ContactState.PENDING
    alice.dht.serve([profile(bob)], after(3))
    (put,) = [put for put in alice.dht.take_puts() if put.records[0].parse().address]
    find(bob, put.records[0], after(4))
    assert len(bob.people.requests()) == 1


def test_who_held_our_secret_holds_it_no_more_and_the_others_are_told(
    alice: Person, bob: Person, stack: ExitStack
) -> None:
    carol = with_answers(Person("carol", stack))
    meet(bob, alice)
    meet(carol, alice)
    before = own.secrets(alice.store)[0].secret
    alice.people.remove(alice.contact(bob), after(1))
    fresh = own.secrets(alice.store)[0].secret
    assert fresh != before
    assert "secret" in alice.changed
    Cable(alice, carol, after(2))
    assert carol.contact(alice).secret == fresh
    assert bob.contact(alice).secret == before


def test_blocking_works_although_anothers_outbox_is_full(
    alice: Person, bob: Person, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    carol = with_answers(Person("carol", stack))
    meet(bob, alice)
    meet(carol, alice)
    monkeypatch.setattr(limits, "OUTBOX_ITEMS", 1)
    alice.outbox.add(carol.identity, NOTHING, START)
    assert alice.people.block(alice.contact(bob), after(1)).state is ContactState.BLOCKED


def test_a_generation_is_proposed_known_and_used(friends: Pair) -> None:
    lower, higher = friends
    for person in friends:
        person.people.rotate_pairs(START)
    assert higher.store.outbox_count() == 0
    assert [pair.usable for pair in lower.contact(higher).pair_secrets] == [True, False]
    Cable(lower, higher)
    assert [(pair.generation, pair.usable) for pair in lower.contact(higher).pair_secrets] == [(0, True), (1, True)]
    assert [pair.secret for pair in higher.contact(lower).pair_secrets] == [
        pair.secret for pair in lower.contact(higher).pair_secrets
    ]


def test_a_proposal_by_the_higher_or_of_an_old_generation_is_ignored(friends: Pair) -> None:
    lower, higher = friends
    lower.people.on_pair_proposal(lower.contact(higher), PairProposal(1, b"s" * 32), START)
    assert len(lower.contact(higher).pair_secrets) == 1
    for generation, secret in ((5, b"5" * 32), (3, b"3" * 32), (5, b"6" * 32), (0, b"0" * 32)):
        higher.people.on_pair_proposal(higher.contact(lower), PairProposal(generation, secret), START)
    assert [(pair.generation, pair.secret[:1]) for pair in higher.contact(lower).pair_secrets][1:] == [(5, b"5")]


def test_an_address_that_nobody_can_have_is_refused(alice: Person) -> None:
    for key in (b"\1" + bytes(31), b"\xff" * 32):
        with pytest.raises(UsageError, match="nobody"):
            alice.people.add(Link(IdentityKey(key)), START)
    assert alice.store.contacts() == []
    assert alice.requests.next_deadline() is None


@pytest.mark.parametrize("text", ["x" * (limits.REQUEST_TEXT_BYTES + 1), "\ud800"])
def test_first_texts_that_are_refused(alice: Person, bob: Person, text: str) -> None:
    with pytest.raises(UsageError):
        alice.people.add(Link(bob.identity), START, text=text)
    assert alice.store.contacts() == []


def test_nobody_is_added_twice_or_while_blocked_or_under_a_name_in_use(
    alice: Person, bob: Person, stack: ExitStack
) -> None:
    carol = Person("carol", stack)
    alice.people.add(Link(bob.identity), START, name="bob")
    with pytest.raises(FailedError, match="already"):
        alice.people.add(Link(bob.identity), START)
    with pytest.raises(FailedError, match="another contact"):
        alice.people.add(Link(carol.identity), START, name="BOB")
    alice.people.block(alice.contact(bob), START)
    with pytest.raises(RefusedError):
        alice.people.add(Link(bob.identity), START)


def test_contacts_are_found_by_name_address_and_its_beginning(alice: Person, bob: Person, stack: ExitStack) -> None:
    for person in (bob, Person("carol", stack)):
        alice.knows(person)
    address = encode_address(bob.identity)
    for text in ("bob", "@BOB", address, address.upper().replace("P2P", "p2p"), address[:14], f"{address}/yyy"):
        assert alice.people.find(text).identity == bob.identity
    for text in ("", "rob", "p2p:", address[:-1] + "9"):
        with pytest.raises((NotFoundError, UsageError)):
            alice.people.find(text)
    twin = replace(alice.contact(bob), identity=IdentityKey(bob.identity[:31] + b"?"), petname="twin")
    alice.store.save_contact(twin)
    with pytest.raises(AmbiguousError):
        alice.people.find(address[:14])


def test_requests_are_found_by_id_address_and_name(alice: Person, bob: Person) -> None:
    alice.store.set_value("name", b"Al")
    find(bob, asked(alice, bob))
    (request,) = bob.people.requests()
    for text in (
        encode_id(request.request_id or b""),
        encode_id(request.request_id or b"")[:6],
        encode_address(alice.identity),
        "al",
    ):
        assert bob.people.find_request(text) == request
    for text in ("", " ", "zz"):
        with pytest.raises(NotFoundError):
            bob.people.find_request(text)


def test_rejecting_is_silent_and_for_good(alice: Person, bob: Person) -> None:
    find(bob, asked(alice, bob))
    bob.people.reject(bob.people.requests()[0], START)
    assert bob.people.requests() == []
    assert bob.store.outbox_count() == 0
    find(bob, asked_again(alice, bob), after(10))
    assert bob.people.requests() == []


def asked_again(alice: Person, bob: Person) -> Record:
    alice.people.remove(alice.contact(bob), after(5))
    return asked(alice, bob, "please", after(6))


def test_whom_we_rejected_we_can_add(alice: Person, bob: Person) -> None:
    find(bob, asked(alice, bob))
    bob.people.reject(bob.people.requests()[0], START)
    find(alice, asked(bob, alice, "I thought again", after(10)), after(11))
    Cable(alice, bob, after(12))
    assert alice.contact(bob).state is bob.contact(alice).state is ContactState.ACCEPTED
    assert bob.contact(alice).secret == own.secrets(alice.store)[0].secret


def test_a_request_tells_where_to_dial(alice: Person, bob: Person) -> None:
    alice.endpoints = (Endpoint("192.0.2.9", 4242), Endpoint("2001:db8::1", 4242), Endpoint("192.0.2.10", 1))
    find(bob, asked(alice, bob))
    assert len(bob.contact(alice).endpoints) == 2


def test_renaming_is_checked(friends: Pair) -> None:
    one, other = friends
    assert one.people.rename(one.contact(other), "@friend", START).petname == "friend"
    assert one.people.rename(one.contact(other), "FRIEND", START).petname == "FRIEND"
    for bad in ("a b", "", " "):
        with pytest.raises(UsageError):
            one.people.rename(one.contact(other), bad, START)
    assert one.contact(other).petname == "FRIEND"


# --- which ways to someone are used ---


def hears(person: Person, sender: Person, now: Now) -> None:
    """A link carries what waits."""
    Cable(sender, person, now).cut(now)


def test_who_shall_learn_no_address_any_more_gets_another_secret_and_so_do_the_others(
    stack: ExitStack, alice: Person, bob: Person
) -> None:
    carol = with_answers(Person("carol", stack))
    meet(alice, bob)
    meet(alice, carol, after(1))
    before = own.secret(alice.store)
    alice.people.set_path(alice.contact(bob), PathChoice.RELAY_ONLY, after(2))
    shielded, plain = own.secret(alice.store, shielded=True), own.secret(alice.store)
    assert len({before, shielded, plain}) == 3
    assert alice.changed.count("secret") == 2, "both presences are published anew"
    assert bodies(alice, bob) == [NewSecret(shielded or b"")]
    assert bodies(alice, carol) == [NewSecret(plain or b"")]
    hears(bob, alice, after(3))
    hears(carol, alice, after(3))
    assert (bob.contact(alice).secret, carol.contact(alice).secret) == (shielded, plain)


def test_who_may_learn_our_address_again_gets_the_plain_secret_back(alice: Person, bob: Person) -> None:
    meet(alice, bob)
    alice.people.set_path(alice.contact(bob), PathChoice.RELAY_ONLY, after(2))
    plain = own.secret(alice.store)
    alice.people.set_path(alice.contact(bob), PathChoice.AUTO, after(3))
    hears(bob, alice, after(4))
    assert bob.contact(alice).secret == plain == own.secret(alice.store)


def test_choosing_direct_or_the_same_again_changes_no_secret(alice: Person, bob: Person) -> None:
    meet(alice, bob)
    before = own.secrets(alice.store)
    alice.people.set_path(alice.contact(bob), PathChoice.DIRECT, after(2))
    alice.people.set_path(alice.contact(bob), PathChoice.DIRECT, after(3))
    assert (own.secrets(alice.store), bodies(alice, bob)) == (before, [])
    assert alice.contact(bob).path is PathChoice.DIRECT


def test_a_link_of_a_way_that_is_allowed_no_more_ends(alice: Person, bob: Person) -> None:
    meet(alice, bob)
    Cable(alice, bob, after(2))
    assert alice.links.up(bob.identity) is not None
    alice.dht.take_gets()
    alice.people.set_path(alice.contact(bob), PathChoice.RELAY_ONLY, after(3))
    assert alice.links.up(bob.identity) is None
    assert alice.reach.tried(bob.identity) == [], "nothing of the attempt before is left"
    assert len(alice.dht.take_gets()) == 1, "and another has begun"


def test_who_has_not_answered_yet_hears_of_a_new_secret_when_they_have(
    stack: ExitStack, alice: Person, bob: Person
) -> None:
    carol = with_answers(Person("carol", stack))
    meet(alice, carol)
    request = asked(alice, bob, now=after(1))
    alice.people.block(alice.contact(carol), after(2))
    fresh = own.secret(alice.store)
    find(bob, request, after(3))
    bob.people.accept(bob.people.requests()[0], after(4))
    assert bob.contact(alice).secret != fresh
    Cable(bob, alice, after(5)).cut(after(5))
    hears(bob, alice, after(6))
    assert bob.contact(alice).secret == fresh


def test_a_request_to_who_shall_learn_no_address_shows_none(alice: Person, bob: Person) -> None:
    alice.endpoints = (Endpoint("192.0.2.1", 4242),)
    alice.people.add(Link(bob.identity), START, name="bob", path=PathChoice.RELAY_ONLY)
    (request,) = bodies(alice, bob)
    assert isinstance(request, Request)
    assert (request.node, request.endpoints) == (b"", [])
    assert request.secret == own.secret(alice.store, shielded=True) != own.secret(alice.store)


def test_by_an_invite_someone_pending_is_asked_without_an_address_where_that_is_wanted(
    alice: Person, bob: Person
) -> None:
    alice.endpoints = (Endpoint("192.0.2.1", 4242),)
    asked(alice, bob)
    link = Link(bob.identity, invitation=Invitation(START.wall_s + 1_000, b"s" * limits.INVITE_SECRET_BYTES))
    contact, _ = alice.people.add(link, after(1), path=PathChoice.RELAY_ONLY)
    assert contact.path is alice.contact(bob).path is PathChoice.RELAY_ONLY
    request = bodies(alice, bob)[0]
    assert isinstance(request, Request)
    assert request.endpoints == []
    assert contact.invitation is not None


def test_a_request_under_way_shows_no_address_once_that_is_chosen(alice: Person, bob: Person) -> None:
    alice.endpoints = (Endpoint("192.0.2.1", 4242),)
    asked(alice, bob, "hello")
    alice.people.set_path(alice.contact(bob), PathChoice.RELAY_ONLY, after(1))
    request = bodies(alice, bob)[0]
    assert isinstance(request, Request)
    assert (request.text, request.node, request.endpoints) == (b"hello", b"", [])
    assert request.secret == own.secret(alice.store, shielded=True)
    assert not alice.store.outbox(bob.identity)[0].request, "what is sealed already is not put again"
    alice.dht.serve([profile(bob, after(1))], after(1))
    (put,) = requests_put(alice)
    find(bob, put.records[0], after(2))
    assert bob.contact(alice).endpoints == ()
    bob.people.accept(bob.people.requests()[0], after(3))
    Cable(bob, alice, after(4)).cut(after(4))
    assert alice.contact(bob).state is ContactState.ACCEPTED
    assert bob.contact(alice).secret == own.secret(alice.store, shielded=True)


def test_someone_shielded_who_is_blocked_loses_the_shielded_secret_only(
    stack: ExitStack, alice: Person, bob: Person
) -> None:
    carol = with_answers(Person("carol", stack))
    meet(alice, bob)
    meet(alice, carol, after(1))
    alice.people.set_path(alice.contact(bob), PathChoice.RELAY_ONLY, after(2))
    shielded, plain = own.secret(alice.store, shielded=True), own.secret(alice.store)
    alice.people.block(alice.contact(bob), after(3))
    assert own.secret(alice.store, shielded=True) != shielded
    assert (own.secret(alice.store), bodies(alice, carol)[1:]) == (plain, [])


def test_rings_are_listened_for_under_the_shielded_secret_too(alice: Person, bob: Person) -> None:
    meet(alice, bob)
    alice.people.set_path(alice.contact(bob), PathChoice.RELAY_ONLY, after(2))
    alice.mailroom.start(after(3), 0.0)
    alice.mailroom.on_timer(after(3))
    shielded = own.secret(alice.store, shielded=True)
    assert shielded is not None
    wanted = personal_address(alice.identity, INBOX, shielded, after(3).day)
    assert wanted in [listen.public for listen in alice.dht.listens if not listen.closed]
