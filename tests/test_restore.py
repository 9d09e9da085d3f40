"""An old copy of a home is started: from then on nothing is lost, and nothing is shown twice."""

import pytest

from p2pd.chat.restored import RESTORED
from p2pd.peer import own
from p2pd.sim.disk import Disk
from p2pd.sim.probes import Watcher, probes
from p2pd.sim.resident import Resident
from p2pd.sim.town import Town
from p2pd.store import MessageState

BATCH = 20


def write(sender: Resident, to: str, batch: str, count: int) -> list[str]:
    texts = [f"{batch} {number}" for number in range(count)]
    for text in texts:
        sender.send(to, text)
    return texts


def arrived(reader: Resident, of: str, texts: list[str]) -> bool:
    return set(texts) <= set(reader.received(of))


def delivered(sender: Resident, to: str) -> bool:
    ours = [message for message in sender.engine.history(to, limit=10_000) if message.direction == "out"]
    return all(message.state in (MessageState.DELIVERED, MessageState.READ) for message in ours)


def shown(reader: Resident, text: str) -> int:
    return sum(f'"text":"{text}"' in event.data for event in reader.engine.events(0, 100_000, ("message",)))


TALKS = ("both", "only the restored", "only the other", "in turns")
FEW = (
    ("both", BATCH, False),
    ("only the restored", 2 * BATCH, True),
    ("only the other", 5, False),
    ("in turns", 1, True),
)


@pytest.mark.parametrize(("talk", "fresh", "apart"), FEW)
def test_an_old_copy_loses_and_doubles_nothing_from_then_on(talk: str, fresh: int, apart: bool) -> None:
    check(talk, fresh, apart)


@pytest.mark.long
@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("fresh", [1, 5, BATCH, 2 * BATCH])
@pytest.mark.parametrize("apart", [False, True])
def test_the_same_in_all_combinations(talk: str, fresh: int, apart: bool) -> None:
    check(talk, fresh, apart)


class Keys(Watcher):
    """All message keys, and what each has sealed."""

    def __init__(self) -> None:
        self.sealed: dict[bytes, set[bytes]] = {}

    def on_message_key(self, key: bytes, sealed: bytes) -> None:
        self.sealed.setdefault(key, set()).add(sealed)

    def twice(self) -> int:
        """Keys that have sealed more than one thing."""
        return sum(len(what) > 1 for what in self.sealed.values())


@pytest.mark.parametrize(("talk", "fresh", "apart"), FEW)
def test_a_copy_that_knows_what_it_is_seals_nothing_twice(talk: str, fresh: int, apart: bool) -> None:
    keys = Keys()
    with probes(keys):
        check(talk, fresh, apart, marked=True)
    print(f"{len(keys.sealed)} message keys, {keys.twice()} twice")
    assert keys.twice() == 0


@pytest.mark.long
@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("fresh", [1, 5, BATCH, 2 * BATCH, 4 * BATCH])
@pytest.mark.parametrize("apart", [False, True])
def test_the_same_of_it_in_all_combinations(talk: str, fresh: int, apart: bool) -> None:
    test_a_copy_that_knows_what_it_is_seals_nothing_twice(talk, fresh, apart)


def test_contacts_learn_of_it_before_anybody_writes() -> None:
    town = Town()
    alice, bob = town.friends()
    exchange(town, alice, bob, "first", 5, 5)
    copied = alice.copy()
    exchange(town, alice, bob, "lost", 5, 5)
    before = bob.store.counters(alice.identity).epoch
    restored(alice, copied)
    alice.up()
    town.until(lambda: bob.store.counters(alice.identity).epoch != before, 60)
    town.until(lambda: not alice.store.outbox_count() and not bob.store.outbox_count(), 60)
    assert alice.store.value(RESTORED) == b""
    epoch = alice.store.counters(bob.identity).epoch
    alice.down()
    alice.up()
    town.world.run(30)
    assert alice.store.counters(bob.identity).epoch == epoch, "once, and not at every start"


def test_a_contact_removed_since_the_copy_cannot_find_it() -> None:
    """The copy knows them as a contact still, and yet does not publish under the secret that they hold."""
    town = Town()
    alice, _ = town.friends()
    copied = alice.copy()
    before = own.secrets(alice.store)[0].secret
    restored(alice, copied)
    alice.up()
    town.world.run(5)
    assert own.secrets(alice.store)[0].secret != before


def test_an_invite_used_since_the_copy_is_not_open_again() -> None:
    town = Town()
    alice, bob, carol = town.person(), town.person(), town.person()
    town.world.run(30)
    _, link = alice.do(lambda engine, now: engine.invite(now, life_s=60_000, once=True))
    copied = alice.copy()
    bob.do(lambda engine, now: engine.contact_add(link, now, name="alice"))
    town.until(lambda: town.accepted(bob, "alice"))
    restored(alice, copied)
    alice.up()
    carol.do(lambda engine, now: engine.contact_add(link, now, name="alice"))
    town.world.run(120)
    assert alice.engine.invites() == []
    assert not town.accepted(carol, "alice")


def restored(resident: Resident, copied: Disk) -> None:
    """As `p2pctl backup restore` does it."""
    resident.restore(copied)
    with resident.store.transaction():
        resident.store.set_value(RESTORED, b"then")


def check(talk: str, fresh: int, apart: bool, *, marked: bool = False) -> None:
    """Two people write, what they `talk` is lost with the restoring of one home, and both write `fresh` more each.

    Where they are `apart`, neither is up while the other is, after the restoring, until the end.
    """
    town = Town()
    alice, bob = town.friends()
    known = exchange(town, alice, bob, "first", BATCH, BATCH)
    copied = alice.copy()
    lost = talked(town, alice, bob, talk)
    restored(alice, copied) if marked else alice.restore(copied)
    if apart:
        bob.down()
    alice.up()
    ours = write(alice, "bob", "a later", fresh)
    town.world.run(60 if apart else 1)
    if apart:
        alice.down()
        bob.up()
    theirs = write(bob, "alice", "b later", fresh)
    if apart:
        town.world.run(60)
        alice.up()
    settle(town, alice, bob, ours, theirs)
    assert [shown(bob, text) for text in (*known[0], *lost[0], *ours)] == [1] * (BATCH + len(lost[0]) + fresh)
    assert [shown(alice, text) for text in (*known[1], *theirs)] == [1] * (BATCH + fresh)
    assert [text for text in bob.received("alice") if text in ours] == ours
    assert [text for text in alice.received("bob") if text in theirs] == theirs


def talked(town: Town, alice: Resident, bob: Resident, talk: str) -> tuple[list[str], list[str]]:
    """What was said between the copy and its restoring, by both."""
    match talk:
        case "both":
            return exchange(town, alice, bob, "lost", BATCH, BATCH)
        case "only the restored":
            return exchange(town, alice, bob, "lost", BATCH, 0)
        case "only the other":
            return exchange(town, alice, bob, "lost", 0, BATCH)
        case _:
            turns = [exchange(town, alice, bob, f"turn {turn},", 1, 1) for turn in range(BATCH)]
            return [texts[0] for texts, _ in turns], [texts[0] for _, texts in turns]


def exchange(
    town: Town, alice: Resident, bob: Resident, batch: str, ours: int, theirs: int
) -> tuple[list[str], list[str]]:
    said = write(alice, "bob", f"a {batch}", ours), write(bob, "alice", f"b {batch}", theirs)
    settle(town, alice, bob, *said)
    return said


def settle(town: Town, alice: Resident, bob: Resident, ours: list[str], theirs: list[str]) -> None:
    """Everything has come, and everyone knows that it has."""
    town.until(lambda: arrived(bob, "alice", ours) and arrived(alice, "bob", theirs), 3_000)
    town.until(lambda: delivered(alice, "bob") and delivered(bob, "alice"), 3_000)
