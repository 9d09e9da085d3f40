"""When a commit waits for the disk: the calls that the kernel sees."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from p2pd.storage.database import Database, Schema
from p2pd.storage.transactions import SharedCommit, Turns

SCHEMA = Schema(1, (("CREATE TABLE things (name TEXT)",),), "none")

# Marks in the trace: reading a name that does not exist.
RECORDS = """
import os, sys
from p2pd.storage.records import SqliteRecordStore
from tests.storage.samples import held_record
store = SqliteRecordStore(sys.argv[1])
store.commit(durable=False)
for number, durable in enumerate((True, False, False, True, True)):
    os.path.exists(f"/mark-{number}")
    if number < 4:
        with store.transaction():
            store.hold(held_record(number))
    store.commit(durable=durable)
os.path.exists("/mark-end")
"""

USER = """
import os, sys
from tests.storage.samples import user_store
store = user_store(sys.argv[1])
with store.transaction():
    store.set_value("warm", b"up")
for number, changes in enumerate((True, False, True)):
    os.path.exists(f"/mark-{number}")
    with store.transaction():
        if changes:
            store.set_value("name", b"value")
os.path.exists("/mark-end")
"""


def flushes(program: str, path: Path) -> list[list[str]]:
    """The files that were flushed after each mark but the last."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace shows what reaches the disk")
    command = [strace, "-y", "-e", "trace=fsync,fdatasync,stat,newfstatat", sys.executable, "-c", program, str(path)]
    trace = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path.cwd()).stderr
    between = re.split(r'"/mark-\w+"', trace)[1:-1]
    return [re.findall(r"\bf(?:data)?sync\(\d+<[^>]*/([^/>]+)>\) = 0", part) for part in between]


@pytest.mark.slow
def test_a_durable_commit_flushes_the_log_and_another_does_not(tmp_path: Path) -> None:
    first, *later = flushes(RECORDS, tmp_path / "dht.db")
    assert first == ["dht.db-wal", tmp_path.name]  # the folder once, for the log's name
    assert later == [[], [], ["dht.db-wal"], []]


@pytest.mark.slow
def test_a_turn_flushes_the_log_if_it_changed_anything(tmp_path: Path) -> None:
    assert flushes(USER, tmp_path / "user.db") == [["user.db-wal"], [], ["user.db-wal"]]


def test_a_turn_without_changes_begins_no_transaction() -> None:
    turns = Turns(Database(":memory:", SCHEMA, synchronous="FULL"))
    with turns.transaction():
        assert not turns.database.in_transaction
        turns.change("INSERT INTO things VALUES ('one')")
        assert turns.database.in_transaction
    assert not turns.database.in_transaction
    turns.database.close()


def test_turns_share_a_commit() -> None:
    shared = SharedCommit(Database(":memory:", SCHEMA, synchronous="NORMAL"))
    for _ in range(2):
        with shared.transaction():
            shared.change("INSERT INTO things VALUES ('one')")
        assert shared.database.in_transaction
    shared.commit(durable=False)
    assert not shared.database.in_transaction
    assert shared.database.number("SELECT count(*) FROM things") == 2
    shared.database.close()
