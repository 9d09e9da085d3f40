"""The file of a backup: whole or refused, whatever somebody did to it."""

import io
from pathlib import Path
from random import Random

import pytest

from p2pd.daemon.backup import archive
from p2pd.daemon.backup.archive import CHUNK, MAGIC, Contents, Manifest, pack, unpack
from p2pd.errors import DamagedError, LockedError, StorageError, UsageError
from p2pd.limits import PASSPHRASE_MEMORY_BYTES, PASSPHRASE_PASSES
from p2pd.storage.passphrase import Stretching
from p2pd.store import KnownNode
from p2pd.types import NodeKey

LEAST = Stretching(bytes(16), PASSPHRASE_MEMORY_BYTES, PASSPHRASE_PASSES)
NODES = [KnownNode(NodeKey(b"n" * 32), "192.0.2.1:4040", 1, 2)]
SECRET = b"open sesame"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured, and a passphrase is stretched once."""
    known: dict[bytes, bytes] = {}
    stretch = archive.Stretching.key

    def key(self: Stretching, passphrase: bytes, purpose: bytes) -> bytes:
        self.check()
        if passphrase not in known:
            known[passphrase] = stretch(self, passphrase, purpose)
        return known[passphrase]

    monkeypatch.setattr(archive, "fresh_stretching", lambda: LEAST)
    monkeypatch.setattr(archive.Stretching, "key", key)


def packed(tmp_path: Path, size: int = 100, names: tuple[str, ...] = ("keys", "user.db", "config.toml")) -> bytes:
    (tmp_path / "source").write_bytes(Random(size).randbytes(size))
    files: dict[str, bytes | Path] = {"keys": b"the keys", "user.db": tmp_path / "source", "config.toml": b""}
    files = {name: files.get(name, b"?") for name in names}
    sizes = {name: size if isinstance(it, Path) else len(it) for name, it in files.items()}
    target = io.BytesIO()
    pack(target, SECRET, Manifest(1, "0", "p2p:me", 2, 3, 4, sizes, NODES), files)
    return target.getvalue()


def unpacked(tmp_path: Path, data: bytes, passphrase: bytes = SECRET) -> Contents:
    (tmp_path / "target").write_bytes(b"")
    return unpack(io.BytesIO(data), passphrase, tmp_path / "target")


@pytest.mark.parametrize("size", [0, 1, CHUNK - 500, CHUNK, CHUNK + 1, 3 * CHUNK, 1_000_000])
def test_what_goes_in_comes_out(tmp_path: Path, size: int) -> None:
    data = packed(tmp_path, size)
    contents = unpacked(tmp_path, data)
    assert (tmp_path / "target").read_bytes() == (tmp_path / "source").read_bytes()
    assert (contents.keys, contents.config) == (b"the keys", b"")
    assert contents.manifest.nodes == NODES
    assert (contents.manifest.address, contents.manifest.contacts) == ("p2p:me", 2)
    assert b"the keys" not in data
    assert b"p2p:me" not in data


def test_another_passphrase_does_not_open_it(tmp_path: Path) -> None:
    data = packed(tmp_path)
    with pytest.raises(LockedError):
        unpacked(tmp_path, data, b"open barley")
    with pytest.raises(UsageError):
        pack(io.BytesIO(), b"", Manifest(1, "0", "", 0, 0, 0, {}, []), {})


def test_what_was_cut_off_or_goes_on_is_refused(tmp_path: Path) -> None:
    data = packed(tmp_path, 2 * CHUNK)
    for end in (0, 5, 20, 60, 200, CHUNK, CHUNK + 200, 2 * CHUNK, len(data) - 1):
        with pytest.raises((StorageError, LockedError)):
            unpacked(tmp_path, data[:end])
    for more in (b"x", bytes(CHUNK)):
        with pytest.raises(DamagedError):
            unpacked(tmp_path, data + more)


@pytest.mark.parametrize("count", [300, pytest.param(20_000, marks=pytest.mark.long)])
def test_no_changed_backup_is_taken(tmp_path: Path, count: int) -> None:
    data, random = packed(tmp_path, 3_000), Random(42)
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(random.randint(1, 3)):
            changed[random.randrange(len(changed))] ^= random.randint(1, 255)
        if bytes(changed) == data:
            continue
        with pytest.raises((StorageError, LockedError)):
            unpacked(tmp_path, bytes(changed))


@pytest.mark.parametrize("names", ["keys", "user.db", "keys user.db ../evil", "keys user.db lock"])
def test_only_names_of_a_home_are_taken(tmp_path: Path, names: str) -> None:
    with pytest.raises(DamagedError):
        unpacked(tmp_path, packed(tmp_path, names=tuple(names.split())))


def test_sizes_that_lie_are_refused(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 10)
    files: dict[str, bytes | Path] = {"keys": b"the keys", "user.db": tmp_path / "source"}
    for sizes in ({"keys": 8, "user.db": 11}, {"keys": 8, "user.db": 9}, {"keys": 2**30, "user.db": 10}, {"keys": -1}):
        target = io.BytesIO()
        pack(target, SECRET, Manifest(1, "0", "", 0, 0, 0, {"user.db": 10} | sizes, []), files)
        with pytest.raises(DamagedError):
            unpacked(tmp_path, target.getvalue())


def test_something_else_is_not_called_a_damaged_backup(tmp_path: Path) -> None:
    for other in (b"", b"SQLite format 3\0" * 100, MAGIC, MAGIC + b"\xff" * 100):
        with pytest.raises(DamagedError, match=r"no backup|not whole"):
            unpacked(tmp_path, other)
