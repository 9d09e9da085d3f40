"""What lies on the disk, with real daemons: texts that end, locked homes, and homes that come back from a backup."""

import sqlite3
import time
from pathlib import Path

import pytest

from p2pd.errors import LockedError
from tests.integration.fleet import WITHIN_S, Daemon, Fleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
LIFE_S = 8
MARK = "nobody shall ever know of the otters"
SECRET = b"correct horse"
FROM_STDIN = ("--passphrase-fd", "0")


def ended_by(person: Daemon, id: str, within_s: float = WITHIN_S) -> None:
    """Waits until a message is gone."""
    deadline = time.monotonic() + within_s
    while any(message["id"] == id for name in ("alice", "bob") for message in said(person, name)):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def said(person: Daemon, name: str) -> list[dict[str, object]]:
    known = {contact["name"] for contact in person.call("contact.list")["contacts"]}
    return list(person.call("history", to=name)["messages"]) if name in known else []


def sealed_ends(home: Path) -> set[bytes]:
    """The last bytes of every sealed message and event."""
    database = sqlite3.connect(f"file:{home / 'user.db'}?mode=ro", uri=True)
    try:
        return {
            bytes(blob[-24:])
            for table in ("messages", "events")
            for (blob,) in database.execute(f"SELECT sealed FROM {table}")  # noqa: S608  our own names
        }
    finally:
        database.close()


def holds(home: Path, wanted: bytes) -> bool:
    return any(wanted in file.read_bytes() for file in home.rglob("*") if file.is_file())


def test_a_text_with_an_end_leaves_both_homes_also_across_a_restart(fleet: Fleet) -> None:
    alice, bob = fleet.friends()
    before = {person: sealed_ends(person.home) for person in (alice, bob)}
    sent = alice.asks("send", "bob", MARK, "--expire", f"{LIFE_S}s", "--wait", "delivered")
    kept = alice.asks("send", "bob", "this stays", "--wait", "delivered")
    assert bob.texts_from("alice") == [MARK, "this stays"]
    sealed = {person: sealed_ends(person.home) - before[person] for person in (alice, bob)}
    bob.kill()
    alice.stop()
    time.sleep(LIFE_S)  # both are away when the end comes
    for person in (alice, bob):
        person.start()
        ended_by(person, sent["id"])
        assert sent["id"] not in str(person.call("events", type="message")["events"])
        assert MARK not in str(person.call("events")["events"])
        gone = sealed[person] - sealed_ends(person.home)
        assert gone, "the row and its events were sealed"
        assert [end for end in gone if holds(person.home, end)] == []
        assert not holds(person.home, MARK.encode())
    assert bob.texts_from("alice") == ["this stays"]
    assert [message["id"] for message in said(alice, "bob")] == [kept["id"]]
    alice.is_refused(4, "why", sent["id"])


@pytest.mark.long
def test_a_thousand_texts_with_an_end_leave_nothing(fleet: Fleet) -> None:
    alice, bob = fleet.friends()
    before = {person: sealed_ends(person.home) for person in (alice, bob)}
    began = time.monotonic()
    sent = [alice.call("send", to="bob", text=f"{MARK} {number}", expire="120s")["id"] for number in range(1_000)]
    alice.knows(*sent)
    assert time.monotonic() - began < 110, "this machine is too slow to see them first"
    sealed = {person: sealed_ends(person.home) - before[person] for person in (alice, bob)}
    for person in (alice, bob):
        ended_by(person, sent[-1], 200)
        gone = sealed[person] - sealed_ends(person.home)
        files = b"".join(file.read_bytes() for file in person.home.rglob("*") if file.is_file())
        hits = sum(end in files for end in gone)
        words = files.count(MARK.encode())
        print(f"{person.home.name}: {hits} of {len(gone)} sealed rows, {words} times their words")
        assert len(gone) >= len(sent)
        assert (hits, words) == (0, 0)


def test_a_text_that_did_not_arrive_in_time_is_told_and_its_words_are_gone(fleet: Fleet) -> None:
    alice, bob = fleet.friends()
    bob.kill()
    sent = alice.asks("send", "bob", MARK, "--expire", "2s")
    alice.knows(sent["id"], state="expired")
    assert alice.asks("why", sent["id"])["state"] == "expired"
    assert [message["text"] for message in said(alice, "bob")] == [""]


def test_mail_waits_for_who_is_locked(fleet: Fleet) -> None:
    alice, bob = fleet.friends()
    alice.says("passphrase", "--new-passphrase-fd", "0", stdin=SECRET)
    alice.says("lock")
    assert alice.is_refused(9, "history", "bob").count("unlock") == 1
    with pytest.raises(LockedError):
        alice.call("contact.list")
    sent = bob.asks("send", "alice", "while you were locked", "--wait", "stored")
    alice.is_refused(9, "unlock", *FROM_STDIN, stdin=b"wrong")
    alice.says("unlock", *FROM_STDIN, stdin=SECRET)
    alice.has(sent["id"])
    bob.knows(sent["id"])
    assert alice.texts_from("bob") == ["while you were locked"]
    assert alice.stop() == 0


def test_a_home_comes_back_from_a_backup_and_nothing_is_lost_or_doubled(fleet: Fleet) -> None:
    alice, bob = fleet.friends()
    for number in range(3):
        alice.asks("send", "bob", f"a {number}", "--wait", "delivered")
        bob.asks("send", "alice", f"b {number}", "--wait", "delivered")
    file = str(fleet.folder / "backup")
    made = alice.asks("backup", "create", file, *FROM_STDIN, stdin=SECRET)
    assert (made["address"], made["contacts"], made["messages"]) == (alice.address, 1, 6)
    for number in range(3):
        alice.asks("send", "bob", f"a lost {number}", "--wait", "delivered")
        bob.asks("send", "alice", f"b lost {number}", "--wait", "delivered")
    alice.kill()
    alice.home.rename(alice.home.with_suffix(".old"))
    assert alice.asks("backup", "restore", file, *FROM_STDIN, stdin=SECRET)["messages"] == 6
    address = alice.address
    alice.start()
    assert alice.address == address
    ours = [alice.call("send", to="bob", text=f"a later {number}")["id"] for number in range(3)]
    theirs = [bob.call("send", to="alice", text=f"b later {number}")["id"] for number in range(3)]
    bob.has_all(*ours)
    alice.has_all(*theirs)
    alice.knows(*ours)
    bob.knows(*theirs)
    numbers = range(3)
    batches = [[f"{who}{batch} {number}" for number in numbers] for who in "ab" for batch in ("", " lost", " later")]
    assert bob.texts_from("alice") == [*batches[0], *batches[1], *batches[2]]
    assert alice.texts_from("bob") == [*batches[3], *batches[5]]
