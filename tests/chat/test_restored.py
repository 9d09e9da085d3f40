"""A home that came back from an old copy: who holds which secret afterwards.

What becomes of messages is tried with whole nodes, in `tests/test_restore.py`.
"""

from contextlib import ExitStack

from p2pd.chat.restored import RESTORED, begin_anew_where_restored
from p2pd.peer import own
from p2pd.store import PathChoice
from p2pd.wire.address import Link
from p2pd.wire.content import NewSecret
from tests.cast import START, Person, after
from tests.chat.test_people import bodies, meet, with_answers


def restore(person: Person) -> None:
    person.store.set_value(RESTORED, b"then")
    begin_anew_where_restored(person.store, person.sessions, person.outbox, person.random, after(9))


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
