"""What a killed process and a full disk leave behind."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from p2pd.errors import StorageError
from p2pd.storage.records import SqliteRecordStore
from tests.storage.samples import LARGER, files_of, held_record, message, user_store

USER_WRITER = """
import sys
from tests.storage.samples import LARGER, message, outbox_item, user_store
store = user_store(sys.argv[1])
number = store.newest_cursor()
while True:
    number += 1
    with store.transaction():
        store.save_message(message(number, text="x" * 500))
        store.save_outbox_item(outbox_item(LARGER, number))
        if number > 20:
            store.remove_outbox_item(LARGER, number - 20)
        store.add_event("message", "{}", number)
    print(number, flush=True)
"""

RECORD_WRITER = """
import sys
from p2pd.storage.records import SqliteRecordStore
from tests.storage.samples import held_record
store = SqliteRecordStore(sys.argv[1])
number = store.usage()[0]
while True:
    for _ in range(3):
        number += 1
        with store.transaction():
            store.hold(held_record(number, data=b"x" * 500))
    store.commit(durable=number % 2 == 0)
    print(number, flush=True)
"""


def killed_while_writing(program: str, path: Path, after: int) -> int:
    """Runs a writer, kills it when it has acknowledged `after` commits or more; the last acknowledged number."""
    writer = subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, cwd=Path.cwd())
    with writer:
        assert writer.stdout is not None
        for _ in range(after):
            assert writer.stdout.readline()
        writer.kill()
        lines = writer.stdout.read().splitlines(keepends=True)
    assert writer.returncode == -signal.SIGKILL
    whole = [line for line in lines if line.endswith(b"\n")]
    return int(whole[-1]) if whole else 0


@pytest.mark.slow
def test_a_killed_process_loses_no_committed_turn(tmp_path: Path) -> None:
    chance = random.Random(1)
    for _ in range(10):
        acknowledged = killed_while_writing(USER_WRITER, tmp_path / "user.db", chance.randrange(1, 60))
        store = user_store(tmp_path / "user.db")
        assert store.faults() == []
        there = store.newest_cursor()
        assert there >= acknowledged
        expected = [message(number, text="x" * 500) for number in range(1, there + 1)]
        assert store.history(LARGER, limit=1_000_000) == expected
        assert [item.sequence for item in store.outbox(LARGER)] == list(range(max(1, there - 19), there + 1))
        store.close()


@pytest.mark.slow
def test_a_killed_process_loses_no_committed_record(tmp_path: Path) -> None:
    chance = random.Random(2)
    for _ in range(5):
        acknowledged = killed_while_writing(RECORD_WRITER, tmp_path / "dht.db", chance.randrange(1, 60))
        store = SqliteRecordStore(str(tmp_path / "dht.db"))
        assert store.faults() == []
        records, size_bytes = store.usage()
        assert records >= acknowledged
        assert size_bytes == 500 * records
        assert store.keys_held() == [held_record(number).key for number in range(1, records + 1)]
        store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass


def test_a_full_disk_refuses_turns_until_there_is_room(small_disk: Path) -> None:
    store = user_store(small_disk / "user.db")
    written = 0
    fill(small_disk / "ballast")

    def write_until_refused() -> None:
        nonlocal written
        for _ in range(1_000):
            with store.transaction():
                store.save_message(message(written, text="x" * 3_000))
            written += 1

    for _ in range(2):  # refused again and again, and no harm done
        with pytest.raises(StorageError) as refused:
            write_until_refused()
        assert refused.value.exit_code == 12
        assert [each.clock for each in store.history(LARGER, limit=9_999)] == list(range(written))
    (small_disk / "ballast").unlink()
    with store.transaction():
        store.save_message(message(written, text="x" * 3_000))
    assert len(store.history(LARGER, limit=9_999)) == written + 1
    assert store.faults() == []
    store.close()


def test_a_full_disk_refuses_records_until_there_is_room(small_disk: Path) -> None:
    store = SqliteRecordStore(str(small_disk / "dht.db"))
    with store.transaction():
        store.hold(held_record(0))
    store.commit(durable=True)
    fill(small_disk / "ballast")

    committed = 1

    def commit_until_refused() -> None:
        nonlocal committed
        for number in range(1, 1_000):
            with store.transaction():
                store.hold(held_record(number, data=b"x" * 10_000))
            store.commit(durable=True)
            committed += 1

    with pytest.raises(StorageError) as refused:
        commit_until_refused()
    assert refused.value.exit_code == 12
    assert store.usage()[0] == committed
    (small_disk / "ballast").unlink()
    with store.transaction():
        store.hold(held_record(5_000))
    store.commit(durable=True)
    store.close()
    store = SqliteRecordStore(str(small_disk / "dht.db"))
    assert store.usage()[0] == committed + 1
    assert store.held(held_record(0).key) == [held_record(0)]
    assert store.faults() == []
    store.close()


def test_a_read_only_disk_is_refused(small_disk: Path) -> None:
    user_store(small_disk / "user.db").close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(StorageError) as refused:
        user_store(small_disk / "user.db")
    assert refused.value.exit_code == 12
    assert "write" in refused.value.hint
    assert [name for name, _ in files_of(small_disk)] == ["user.db"]
