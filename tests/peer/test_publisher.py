from contextlib import ExitStack

import pytest

from p2pd import limits
from p2pd.peer import own
from p2pd.peer.published import PRESENCE, PROFILE, open_presence, open_profile, personal_address
from p2pd.peer.publisher import Publisher
from p2pd.types import Endpoint, NodeKey, Now
from p2pd.wire.person import NatKind, Presence, Profile, Waiting
from p2pd.wire.record import Single
from p2pd.wire.rpc import pack_endpoint
from tests.cast import START, Person, Put, after

HERE = Endpoint("192.0.2.1", 4242)
SETTLED = after(limits.SETTLE_S)


class Publishing:
    """A person who publishes, and what they have put."""

    def __init__(self, stack: ExitStack, *, public: bool = False) -> None:
        self.person = Person("alice", stack)
        self.endpoints: tuple[Endpoint, ...] = (HERE,)
        self.relays: list[Waiting] = []
        person = self.person
        self.publisher = Publisher(
            person.keys, person.store, person.prekeys, person.dht, person.random,  # type: ignore[arg-type]
            inbox_bits=7, public_presence=public, where=self.where,
        )  # fmt: skip

    def where(self) -> Presence:
        packed = [pack_endpoint(endpoint) for endpoint in self.endpoints]
        return Presence(0, self.person.keys.node_key, packed, self.relays, NatKind.SYMMETRIC)

    def begin(self) -> list[Put]:
        """The node has joined, and a moment has passed: what is put."""
        self.publisher.start(START)
        return self.at(SETTLED)

    def at(self, now: Now) -> list[Put]:
        """What is put at this time."""
        self.publisher.on_timer(now)
        return self.person.dht.take_puts()

    def profile(self, put: Put, day: int) -> Profile:
        content = put.records[0].parse()
        assert isinstance(content, Single)
        assert content.address == personal_address(self.person.identity, PROFILE, b"", day)
        return open_profile(self.person.identity, day, content)

    def presence(self, put: Put, day: int, secret: bytes | None = None) -> Presence:
        secret = own.secrets(self.person.store)[0].secret if secret is None else secret
        content = put.records[0].parse()
        assert isinstance(content, Single)
        assert content.address == personal_address(self.person.identity, PRESENCE, secret, day)
        return open_presence(self.person.identity, secret, day, content)


@pytest.fixture
def publishing(stack: ExitStack) -> Publishing:
    return Publishing(stack)


def test_nothing_is_published_before_the_node_has_joined(publishing: Publishing) -> None:
    assert (publishing.at(START), publishing.publisher.next_deadline()) == ([], None)
    publishing.publisher.profile_changed(START)
    publishing.publisher.presence_changed(START)
    assert publishing.publisher.next_deadline() is None


def test_both_are_published_at_the_start(publishing: Publishing) -> None:
    publishing.publisher.start(START)
    assert publishing.at(START) == []
    assert publishing.publisher.next_deadline() == SETTLED.steady
    profile, presence = publishing.at(SETTLED)
    assert publishing.profile(profile, START.day).inbox_bits == 7
    assert publishing.presence(presence, START.day).node == publishing.person.keys.node_key
    assert publishing.at(after(1)) == []


def test_each_day_has_a_profile_of_its_own(publishing: Publishing) -> None:
    first = publishing.profile(publishing.begin()[0], START.day)
    midnight = after(limits.DAY_S - START.wall_s % limits.DAY_S + 2)
    second = publishing.profile(publishing.at(midnight)[0], START.day + 1)
    assert second.made_ms > first.made_ms


def test_presence_is_renewed_hourly(publishing: Publishing) -> None:
    publishing.begin()
    due = after(limits.PRESENCE_RENEW_S, SETTLED)
    assert publishing.at(after(-1, due)) == []
    (again,) = publishing.at(due)
    assert publishing.presence(again, due.day)


def test_presence_follows_our_endpoints(publishing: Publishing) -> None:
    publishing.endpoints = ()
    publishing.begin()
    publishing.endpoints = (HERE,)
    publishing.publisher.on_heard()
    assert publishing.at(after(1)) == []
    due = after(limits.PRESENCE_GAP_S, SETTLED)
    assert publishing.publisher.next_deadline() == due.steady
    (put,) = publishing.at(due)
    assert len(publishing.presence(put, START.day).endpoints) == 1
    assert publishing.at(after(2 * limits.PRESENCE_GAP_S)) == []


@pytest.mark.parametrize(("receipts", "again"), [(8, False), (3, True)])
def test_what_too_few_took_is_put_again(publishing: Publishing, receipts: int, again: bool) -> None:
    for put in publishing.begin():
        put.answer(SETTLED, receipts=receipts)
    assert len(publishing.at(after(limits.PROFILE_RETRY_S, SETTLED))) == (2 if again else 0)


def test_a_change_is_published_at_once(publishing: Publishing) -> None:
    publishing.begin()
    publishing.person.store.set_value("name", b"Alice")
    publishing.publisher.profile_changed(after(5))
    assert publishing.profile(publishing.at(after(5))[0], START.day).name == "Alice"
    fresh = own.rotate_secret(publishing.person.store, publishing.person.random, after(6))
    publishing.publisher.presence_changed(after(6))
    assert publishing.presence(publishing.at(after(6))[0], START.day, fresh)


def test_presence_can_be_for_everyone_too(stack: ExitStack) -> None:
    publishing = Publishing(stack, public=True)
    _, closed, public = publishing.begin()
    assert publishing.presence(closed, START.day)
    assert publishing.presence(public, START.day, b"")


def test_a_profile_has_the_new_prekey_when_the_old_is_a_week_old(publishing: Publishing) -> None:
    before = publishing.profile(publishing.begin()[0], START.day)
    week = after(limits.PREKEY_ROTATE_S + 1)
    later = publishing.profile(publishing.at(week)[0], week.day)
    assert before.devices[0].prekey != later.devices[0].prekey


def test_a_place_that_has_not_changed_is_not_told_again(publishing: Publishing) -> None:
    publishing.begin()
    publishing.publisher.place_changed(after(5))
    assert publishing.at(after(5)) == []
    publishing.endpoints = (Endpoint("192.0.2.9", 4242),)
    publishing.publisher.place_changed(after(6))
    (put,) = publishing.at(after(6))
    assert publishing.presence(put, START.day).endpoints == [pack_endpoint(publishing.endpoints[0])]


def test_of_two_presences_of_one_moment_the_later_is_the_newer(publishing: Publishing) -> None:
    publishing.begin()
    told = []
    for host in ("192.0.2.8", "192.0.2.9"):
        publishing.endpoints = (Endpoint(host, 4242),)
        publishing.publisher.place_changed(after(6))
        (put,) = publishing.at(after(6))
        told.append(publishing.presence(put, START.day).made_ms)
    assert told[0] < told[1]


RELAY = Waiting(NodeKey(b"r" * 32), [pack_endpoint(Endpoint("198.51.100.1", 4242))], NodeKey(b"w" * 32))


def test_who_shall_learn_no_address_of_ours_is_told_our_relays_only(publishing: Publishing) -> None:
    person = publishing.person
    publishing.relays = [RELAY]
    shielded = own.rotate_secret(person.store, person.random, START, shielded=True)
    _, plain, hidden = publishing.begin()
    assert publishing.presence(plain, START.day, own.secret(person.store)).endpoints == [pack_endpoint(HERE)]
    told = publishing.presence(hidden, START.day, shielded)
    assert (told.endpoints, told.relays, told.nat) == ([], [RELAY], NatKind.UNKNOWN)
    assert told.node != person.keys.node_key
    body = told.encode()
    assert person.keys.node_key not in body
    assert pack_endpoint(HERE) not in body
    again = publishing.presence(publishing.at(after(limits.PRESENCE_RENEW_S, SETTLED))[1], SETTLED.day, shielded)
    assert again.node != told.node, "nor is there another key to know us by"


def test_where_nobody_is_shielded_from_us_there_is_no_such_presence(publishing: Publishing) -> None:
    assert len(publishing.begin()) == 2


def test_a_new_relay_is_told_soon(publishing: Publishing) -> None:
    publishing.begin()
    publishing.relays = [RELAY]
    publishing.publisher.presence_changed(after(9))
    (put,) = publishing.at(after(9))
    assert publishing.presence(put, START.day).relays == [RELAY]


def test_where_others_see_us_is_looked_at_only_after_something_came_from_them(publishing: Publishing) -> None:
    publishing.begin()
    publishing.endpoints = (Endpoint("192.0.2.9", 4242),)
    later = after(2 * limits.PRESENCE_GAP_S, SETTLED)
    assert publishing.at(later) == [], "a timer of others' has come due, and nobody can have said anything"
    publishing.publisher.on_heard()
    (put,) = publishing.at(later)
    assert publishing.presence(put, later.day).endpoints == [pack_endpoint(publishing.endpoints[0])]
