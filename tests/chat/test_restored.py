"""A home that came back from an old copy: who holds which secret afterwards, and which prekeys serve.

What becomes of messages is tried with whole nodes, in `tests/test_restore.py`.
"""

from contextlib import ExitStack

from p2pd import limits
from p2pd.chat.restored import RESTORED, begin_anew_where_restored
from p2pd.peer import own
from p2pd.store import PathChoice
from p2pd.types import Now
from p2pd.wire.address import Link
from p2pd.wire.content import NewSecret
from tests.cast import START, Person, after
from tests.chat.test_people import bodies, meet, with_answers
from tests.chat.test_requests import asked, find, profile, requests_put


def restore(person: Person, now: Now = START) -> None:
    person.store.set_value(RESTORED, b"then")
    begin_anew_where_restored(
        person.store, person.prekeys, person.sessions, person.outbox, person.random, after(9, now)
    )


def test_who_shall_learn_no_address_gets_the_secret_of_those(stack: ExitStack) -> None:
    alice, bob, carol = (with_answers(Person(name, stack)) for name in ("alice", "bob", "carol"))
    meet(alice, bob)
    meet(alice, carol)
    alice.people.set_path(alice.contact(bob), PathChoice.RELAY_ONLY, after(2))
    before = [own.secret(alice.store, shielded=shielded) for shielded in (True, False)]
    restore(alice)
    shielded, plain = (own.secret(alice.store, shielded=shielded) for shielded in (True, False))
    assert not {shielded, plain} & {*before}, "who was removed since the copy holds neither"
    assert bodies(alice, bob)[-1] == NewSecret(shielded or b"")
    assert bodies(alice, carol)[-1] == NewSecret(plain or b"")


def test_nobody_gets_a_secret_of_a_kind_that_is_not_in_use(stack: ExitStack) -> None:
    alice, bob = (with_answers(Person(name, stack)) for name in ("alice", "bob"))
    meet(alice, bob)
    restore(alice)
    assert own.secret(alice.store, shielded=True) is None
    assert bodies(alice, bob)[-1] == NewSecret(own.secret(alice.store) or b"")


def test_who_has_not_answered_yet_is_told_when_they_have(stack: ExitStack) -> None:
    alice, bob = (with_answers(Person(name, stack)) for name in ("alice", "bob"))
    alice.people.add(Link(bob.identity), START, name="bob")
    restore(alice)
    _, *rest = bodies(alice, bob)
    assert rest == [NewSecret(own.secret(alice.store) or b"")]


def test_who_has_sealed_to_a_prekey_that_is_lost_seals_anew(stack: ExitStack) -> None:
    """It was made after the copy; the one made next is not taken for it, though both may have been the second."""
    alice, bob = Person("alice", stack), Person("bob", stack)
    alice.prekeys.publish(START)
    week = after(limits.PREKEY_ROTATE_S)
    lost = asked(bob, alice, now=week)
    alice.store.remove_prekey(alice.store.prekeys()[-1].id)
    restore(alice, week)
    find(alice, lost, week)
    assert alice.people.requests() == []
    bob.start()
    later = after(9, week)
    bob.requests.start(later)
    bob.dht.serve([profile(alice, later)], later)
    (put,) = requests_put(bob)
    find(alice, put.records[0], later)
    assert [request.identity for request in alice.people.requests()] == [bob.identity]


def test_a_copy_that_comes_back_twice_gives_no_prekeys_id_twice(stack: ExitStack) -> None:
    alice = Person("alice", stack)
    alice.prekeys.publish(START)
    ids = set()
    for _ in range(9):
        restore(alice)
        ids.add(alice.store.prekeys()[-1].id)
        alice.store.remove_prekey(alice.store.prekeys()[-1].id)
    assert len(ids) == 9
    assert alice.prekeys.find(1), "who sealed to the one of the copy is heard"


def test_whose_prekeys_were_never_made_has_none(stack: ExitStack) -> None:
    alice = Person("alice", stack)
    restore(alice)
    assert alice.store.prekeys() == []
