"""What is announced on the local network, who is recognised, and what strangers there can do."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from p2pd import limits
from p2pd.effects import Announce
from p2pd.peer import own
from p2pd.peer.neighbours import Neighbours, lan_tag
from p2pd.store import ContactState, PathChoice
from p2pd.types import Endpoint, IdentityKey, NodeHint, NodeKey, Now
from tests.cast import START, Person, after

THERE = Endpoint("192.168.1.7", 4242)
NODE = NodeKey(bytes([7]) * 32)
HOUR = (START.wall_s // limits.HOUR_S).to_bytes(4, "big")


class Host:
    """A person's part in the local network."""

    def __init__(self, person: Person, *, announces: bool = True) -> None:
        self.person, self.dht = person, person.dht
        self.found: list[tuple[float, IdentityKey]] = []
        self.neighbours = Neighbours(
            person.keys,
            person.store,
            person.dht,  # type: ignore[arg-type]  # what it needs of it
            person.effects,
            person.random,
            announces=announces,
            on_found=lambda contact, now: self.found.append((now.steady, contact)),
            count=lambda reason: person.counts.update([reason]),
        )

    def announced(self, now: Now = START) -> Announce:
        """What it says now."""
        self.neighbours.on_timer(now)
        (said,) = [effect for effect in self.person.effects.take() if isinstance(effect, Announce)]
        return said

    def hears(self, said: Announce, now: Now = START, endpoint: Endpoint = THERE) -> None:
        self.neighbours.on_neighbour(endpoint, said.salt, said.tag, now)

    def is_told(self, key: NodeKey = NODE, now: Now = START) -> None:
        """The node that was asked last says its key."""
        self.dht.asked.pop()[1](key, now)

    @property
    def counts(self) -> dict[str, int]:
        return dict(self.person.counts)


@pytest.fixture
def alice(friends: tuple[Person, Person]) -> Host:
    return Host(friends[0])


@pytest.fixture
def bob(friends: tuple[Person, Person]) -> Host:
    return Host(friends[1])


def test_contacts_recognise_each_other_and_are_dialled(alice: Host, bob: Host) -> None:
    alice.announced()
    alice.hears(bob.announced())
    assert alice.dht.neighbours == [THERE]
    assert [endpoint for endpoint, _ in alice.dht.asked] == [THERE]
    assert alice.neighbours.is_near(bob.person.identity, THERE, START)
    assert alice.neighbours.candidates(bob.person.identity, START) == ()
    later = after(limits.LAN_DIAL_AFTER_S)
    alice.is_told(now=later)
    assert alice.found == [(later.steady, bob.person.identity)]
    assert alice.neighbours.candidates(bob.person.identity, later) == (NodeHint(THERE, NODE),)
    assert alice.neighbours.heard(later) == 1


def test_nobody_is_dialled_before_both_have_heard(alice: Host, bob: Host) -> None:
    alice.announced()
    alice.hears(bob.announced())
    alice.is_told()
    assert alice.found == []
    due = START.steady + limits.LAN_DIAL_AFTER_S
    assert alice.neighbours.next_deadline() == due
    alice.neighbours.on_timer(after(limits.LAN_DIAL_AFTER_S))
    assert alice.found == [(due, bob.person.identity)]


def test_a_stranger_learns_and_is_nothing_but_a_node(alice: Host, bob: Host) -> None:
    bob.person.store.remove_contact(alice.person.identity)
    bob.hears(alice.announced())
    assert bob.dht.neighbours == [THERE]
    assert bob.dht.asked == []
    assert bob.neighbours.heard(START) == 1


def test_two_announcements_have_nothing_in_common_but_the_hour(bob: Host) -> None:
    first = bob.announced()
    second = bob.announced(after(1.2 * limits.LAN_ROTATE_S))
    assert first.tag != second.tag
    assert first.salt[4:] != second.salt[4:]
    assert first.salt[:4] == (START.wall_s // 3600).to_bytes(4, "big")
    assert (len(first.salt), len(first.tag)) == (16, 8)


def test_a_new_secret_is_announced_at_once(alice: Host, bob: Host) -> None:
    before = bob.announced()
    own.rotate_secret(bob.person.store, bob.person.random, START)
    bob.neighbours.secret_changed(START)
    said = bob.announced()
    assert said.salt != before.salt
    alice.hears(said)
    assert alice.dht.asked == []  # she has not been told the new one
    known = alice.person.contact(bob.person)
    alice.person.store.save_contact(replace(known, secret=own.secret(bob.person.store) or b""))
    alice.neighbours.contact_changed(bob.person.identity, START)
    assert [endpoint for endpoint, _ in alice.dht.asked] == [THERE]


def test_who_was_removed_or_blocked_is_recognised_no_longer(alice: Host, bob: Host) -> None:
    said = bob.announced()
    alice.hears(said)
    known = alice.person.contact(bob.person)
    alice.person.store.save_contact(replace(known, state=ContactState.BLOCKED))
    alice.neighbours.contact_changed(bob.person.identity, START)
    assert not alice.neighbours.is_near(bob.person.identity, THERE, START)
    alice.hears(bob.announced(after(2 * limits.LAN_ROTATE_S)), after(2 * limits.LAN_ROTATE_S))
    assert len(alice.dht.asked) == 1


def test_whom_no_address_is_shown_to_is_not_looked_for(alice: Host, bob: Host) -> None:
    known = alice.person.contact(bob.person)
    alice.person.store.save_contact(replace(known, path=PathChoice.RELAY_ONLY))
    alice.hears(bob.announced())
    assert alice.dht.asked == []


def test_an_announcement_played_again_hours_later_says_nothing(alice: Host, bob: Host) -> None:
    said = bob.announced()
    late = after((limits.LAN_HOURS + 1) * limits.HOUR_S)
    alice.hears(said, late)
    assert alice.dht.asked == []
    assert alice.counts["old_announcement"] == 1


def test_an_announcement_played_from_many_places_leads_to_few(alice: Host, bob: Host) -> None:
    said = bob.announced()
    for number in range(1, 60):
        alice.hears(said, endpoint=Endpoint(f"192.168.1.{number}", 4242))
        alice.is_told()
    assert len(alice.neighbours.candidates(bob.person.identity, START)) == limits.LAN_WAYS


def test_one_address_is_asked_a_few_times_a_minute(alice: Host, bob: Host) -> None:
    said = bob.announced()
    for port in range(2_000, 2_100):
        alice.hears(said, endpoint=Endpoint("192.168.1.9", port))
    assert len(alice.dht.asked) == limits.LAN_TRIES_PER_MINUTE


def test_a_question_that_is_lost_is_asked_again(alice: Host, bob: Host) -> None:
    alice.announced()
    said = bob.announced()
    alice.hears(said)
    for minute in range(1, 9):
        alice.neighbours.on_timer(after(minute * limits.MINUTE_S))
    assert len(alice.dht.asked) == 1 + len(limits.LAN_ASK_S)
    alice.hears(said, after(limits.LAN_ROTATE_S))  # still there
    assert len(alice.dht.asked) == 2 + len(limits.LAN_ASK_S)


def test_ten_thousand_announcements_are_few_and_push_no_contact_out(alice: Host, bob: Host) -> None:
    alice.hears(bob.announced())
    alice.is_told()
    for number in range(10_000):
        endpoint = Endpoint(f"10.0.{number // 250}.{number % 250 + 1}", 4242)
        alice.neighbours.on_neighbour(endpoint, HOUR + bytes(12), number.to_bytes(8, "big"), after(number / 1_000))
    heard = limits.LAN_CHECKS_BURST + 10 * limits.LAN_CHECKS_PER_S
    assert len(alice.dht.neighbours) <= heard + 1
    assert alice.neighbours.heard(after(10)) == limits.NEIGHBOURS + 1
    assert alice.neighbours.candidates(bob.person.identity, after(10))
    assert alice.counts["announcements"] >= 10_000 - heard - 1


@pytest.mark.parametrize(("salt", "tag"), [(15, 8), (17, 8), (16, 7), (16, 9), (0, 0)])
def test_wrong_lengths_are_nothing(alice: Host, salt: int, tag: int) -> None:
    alice.neighbours.on_neighbour(THERE, bytes(salt), bytes(tag), START)
    assert alice.dht.neighbours == []
    assert alice.counts == {"announcement": 1}


def test_what_is_not_heard_any_more_is_forgotten(alice: Host, bob: Host) -> None:
    alice.hears(bob.announced())
    alice.is_told()
    assert alice.neighbours.candidates(bob.person.identity, after(limits.LAN_LIFE_S - 1))
    assert not alice.neighbours.candidates(bob.person.identity, after(limits.LAN_LIFE_S))
    assert alice.neighbours.heard(after(limits.LAN_LIFE_S)) == 0


def test_on_another_network_all_are_others(alice: Host, bob: Host) -> None:
    home, cafe = (Endpoint(host, 4242) for host in ("192.168.1.2", "10.9.9.9"))
    alice.neighbours.on_addresses((home,))
    alice.hears(bob.announced())
    alice.is_told()
    alice.neighbours.on_addresses((home, cafe))
    assert alice.neighbours.candidates(bob.person.identity, START)
    alice.neighbours.on_addresses((Endpoint("10.9.9.8", 4242),))
    assert not alice.neighbours.candidates(bob.person.identity, START)
    assert alice.dht.neighbours == []


def test_without_a_local_network_nothing_is_said_or_heard(friends: tuple[Person, Person]) -> None:
    alice, bob = Host(friends[0], announces=False), Host(friends[1])
    assert alice.neighbours.next_deadline() is None
    alice.hears(bob.announced())
    assert alice.dht.neighbours == []


def test_the_tag_equals_the_vector() -> None:
    hexed = json.loads((Path(__file__).parents[1] / "vectors" / "crypto.json").read_text())["lan"]
    vector = {name: bytes.fromhex(value) for name, value in hexed.items()}
    assert lan_tag(vector["secret"], vector["salt"], IdentityKey(vector["identity"])) == vector["tag"]


def test_the_tag_is_of_the_secret_the_salt_and_the_person() -> None:
    tags = {
        lan_tag(bytes([secret]) * 32, bytes([salt]) * 16, IdentityKey(bytes([who]) * 32))
        for secret in (1, 2)
        for salt in (1, 2)
        for who in (1, 2)
    }
    assert len(tags) == 8
