"""A home into a backup and back: nothing is written over, and nothing half done stays."""

import os
import shutil
from pathlib import Path

import pytest

from p2pd.chat.restored import RESTORED
from p2pd.daemon.backup import archive, keeping
from p2pd.daemon.backup.keeping import create, restore, verify
from p2pd.errors import DamagedError, FailedError, HomeInUseError, LockedError, NotFoundError, StorageError, UsageError
from p2pd.limits import PASSPHRASE_MEMORY_BYTES, PASSPHRASE_PASSES
from p2pd.net.clock import SystemClock, SystemRandom
from p2pd.peer import own
from p2pd.storage import keys
from p2pd.storage.home import locked, open_home
from p2pd.storage.keys import master_key
from p2pd.storage.passphrase import Stretching
from p2pd.storage.records import SqliteRecordStore
from p2pd.storage.user import SqliteUserStore
from p2pd.store import KnownNode
from p2pd.types import NodeKey
from tests.storage.samples import LARGER, contact, message, outbox_item

SECRET = b"open sesame"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured: the least that is allowed is used."""
    for module in (archive, keys):
        monkeypatch.setattr(
            module, "fresh_stretching", lambda: Stretching(os.urandom(16), PASSPHRASE_MEMORY_BYTES, PASSPHRASE_PASSES)
        )


def made(home: Path, passphrase: bytes | None) -> Path:
    """A home with a person, a contact, some messages and a known node."""
    open_home(home)
    store = SqliteUserStore(str(home / "user.db"), own_identity=None, master_key=master_key(home, passphrase))
    with store.transaction():
        own.create(store, bytes(32), SystemRandom(), SystemClock().now())
        store.own_identity = own.load(store).identity_key
        store.save_contact(contact(LARGER))
        for number in range(3):
            store.save_message(message(number))
        store.save_outbox_item(outbox_item(LARGER, 1))
    store.close()
    records = SqliteRecordStore(str(home / "dht.db"))
    with records.transaction():
        records.save_node(KnownNode(NodeKey(b"n" * 32), "192.0.2.1:4040", 1, 2))
    records.commit(durable=True)
    records.close()
    (home / "config.toml").write_text("private = true\n")
    return home


@pytest.fixture(params=[None, SECRET], ids=["without", "with a passphrase"])
def passphrase(request: pytest.FixtureRequest) -> bytes | None:
    """The home's."""
    given: bytes | None = request.param
    return given


def test_a_home_comes_back_as_it_was_and_marked(tmp_path: Path, passphrase: bytes | None) -> None:
    home, again, file = made(tmp_path / "home", passphrase), tmp_path / "deep" / "again", tmp_path / "file"
    created = create(home, file, SECRET)
    assert file.stat().st_mode & 0o7777 == 0o600
    assert (created.contacts, created.messages, created.waiting, len(created.nodes)) == (1, 3, 1, 1)
    assert sorted(path.name for path in home.iterdir()) == ["config.toml", "dht.db", "keys", "lock", "user.db"]
    assert verify(file, SECRET) == created
    assert restore(again, file, SECRET) == created
    assert again.stat().st_mode & 0o7777 == 0o700
    open_home(again)
    assert sorted(path.name for path in again.iterdir()) == ["config.toml", "dht.db", "keys", "user.db"]
    master = master_key(again, passphrase)
    assert master == master_key(home, passphrase)
    store = SqliteUserStore(str(again / "user.db"), own_identity=None, master_key=master)
    assert int.from_bytes(store.value(RESTORED) or b"", "big") == created.made_ms
    store.own_identity = own.load(store).identity_key
    assert [said.text for said in store.history(LARGER, limit=10)] == ["text"] * 3
    store.close()
    records = SqliteRecordStore(str(again / "dht.db"))
    assert [node.endpoint for node in records.known_nodes()] == ["192.0.2.1:4040"]
    records.close()
    assert (again / "config.toml").read_text() == "private = true\n"


def test_a_copy_is_consistent_while_others_write(tmp_path: Path) -> None:
    home = made(tmp_path / "home", None)
    store = SqliteUserStore(str(home / "user.db"), own_identity=LARGER[::-1], master_key=master_key(home))
    store.own_identity = own.load(store).identity_key
    with locked(home):  # as its daemon has it
        with store.transaction():
            store.save_message(message(10))
        assert create(home, tmp_path / "one", SECRET).messages == 4
        with store.transaction():
            store.save_message(message(11))
            assert create(home, tmp_path / "two", SECRET).messages == 4, "not committed yet"
    store.close()
    assert verify(tmp_path / "two", SECRET).messages == 4


def test_beside_a_locked_daemon_none_is_made(tmp_path: Path) -> None:
    home = made(tmp_path / "home", None)
    with locked(home), pytest.raises(LockedError):
        create(home, tmp_path / "file", SECRET)
    assert not (tmp_path / "file").exists()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    home, file = made(tmp_path / "home", None), tmp_path / "file"
    file.write_bytes(b"something else")
    with pytest.raises(FailedError, match="already"):
        create(home, file, SECRET)
    assert file.read_bytes() == b"something else"
    file.unlink()
    file.symlink_to("nowhere")
    with pytest.raises(FailedError):
        create(home, file, SECRET)
    assert not (tmp_path / "nowhere").exists()
    file.unlink()
    create(home, file, SECRET)
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    with pytest.raises(FailedError, match="holds something"):
        restore(home, file, SECRET)
    with locked(home), pytest.raises(HomeInUseError):
        restore(home, file, SECRET)
    (tmp_path / "link").symlink_to("nowhere")
    for place in ("link", "file"):
        with pytest.raises(FailedError):
            restore(tmp_path / place, file, SECRET)
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before | {"lock": (home / "lock").read_bytes()}


def test_an_empty_folder_becomes_the_home(tmp_path: Path) -> None:
    create(made(tmp_path / "home", None), tmp_path / "file", SECRET)
    (tmp_path / "empty").mkdir(mode=0o755)
    restore(tmp_path / "empty", tmp_path / "file", SECRET)
    open_home(tmp_path / "empty")


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_what_goes_wrong_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, file = made(tmp_path / "home", SECRET), tmp_path / "file"
    with pytest.raises(LockedError):
        create(home, file, b"wrong")
    with pytest.raises(NotFoundError):
        create(tmp_path / "none", file, SECRET)
    (tmp_path / "new").mkdir(mode=0o700)
    with pytest.raises(NotFoundError):
        create(tmp_path / "new", file, SECRET)
    with monkeypatch.context() as patch:
        patch.setattr(keeping, "pack", full)
        with pytest.raises(StorageError):
            create(home, file, SECRET)
    assert not file.exists()
    create(home, file, SECRET)
    again = tmp_path / "again"
    for wrong in (b"wrong", b""):
        with pytest.raises(LockedError):
            restore(again, file, wrong)
        with pytest.raises(LockedError):
            verify(file, wrong)
    for elsewhere in (tmp_path / "none" / "file", file / "file"):
        with pytest.raises(NotFoundError, match="no folder"):
            create(home, elsewhere, SECRET)
    for nothing in (tmp_path / "nothing", tmp_path):
        with pytest.raises(NotFoundError, match="no file"):
            verify(nothing, SECRET)
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    for work in (lambda: verify(file, SECRET), lambda: restore(again, file, SECRET)):
        with pytest.raises(DamagedError, match="not whole"):
            work()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "home", "new"]


def test_a_passphrase_that_nobody_can_type_makes_no_backup(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        create(made(tmp_path / "home", None), tmp_path / "file", b"")
    assert not (tmp_path / "file").exists()


def test_what_was_broken_off_before_does_not_matter(tmp_path: Path) -> None:
    home, file = made(tmp_path / "home", None), tmp_path / "file"
    (home / "user.db.copy").touch(mode=0o600)
    create(home, file, SECRET)
    shutil.copytree(home, tmp_path / "again.restoring")
    restore(tmp_path / "again", file, SECRET)
    assert not (tmp_path / "again.restoring").exists()


def test_a_damaged_row_is_found(tmp_path: Path) -> None:
    home, file = made(tmp_path / "home", None), tmp_path / "file"
    data = (home / "user.db").read_bytes()
    store = SqliteUserStore(str(home / "user.db"), own_identity=None, master_key=master_key(home))
    (blob,) = store._database.rows("SELECT sealed FROM outbox")[0]
    store.close()
    assert data.count(blob) == 1
    (home / "user.db").write_bytes(data.replace(blob, blob[:-1] + bytes([blob[-1] ^ 1])))
    create(home, file, SECRET)
    with pytest.raises(DamagedError, match="outbox"):
        verify(file, SECRET)
