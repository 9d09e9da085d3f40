"""An old copy of a home is started: from then on nothing is lost, and nothing is shown twice."""

import pytest

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


def check(talk: str, fresh: int, apart: bool) -> None:
    """Two people write, what they `talk` is lost with the restoring of one home, and both write `fresh` more each.

    Where they are `apart`, neither is up while the other is, after the restoring, until the end.
    """
    town = Town()
    alice, bob = town.friends()
    known = exchange(town, alice, bob, "first", BATCH, BATCH)
    copied = alice.copy()
    lost = talked(town, alice, bob, talk)
    alice.restore(copied)
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
