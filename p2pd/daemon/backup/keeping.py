"""A home into a backup, a backup looked at, a backup into a home.

Knows no bytes of the file and no way to ask a person.
Rules: a backup is always sealed: under the home's passphrase where it has one, else under one that is given for it.
Nothing that exists is written over: neither a file by a backup nor a home by a restored one.
A restored home is marked: its first start begins anew with every contact (`p2pd.chat.restored`).
Other people's records stay out of it, since others have copies; the nodes known are in, so that it finds the network.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

from p2pd import __version__
from p2pd.chat.restored import RESTORED
from p2pd.daemon.backup.archive import SMALL_BYTES, Contents, Manifest, pack, unpack
from p2pd.errors import DamagedError, FailedError, HomeInUseError, LockedError, NotFoundError, StorageError
from p2pd.peer import own
from p2pd.storage.files import make_file, make_folder, refusal, replace_file, sync_folder
from p2pd.storage.home import CONFIG_NAME, KEYS_NAME, RECORDS_NAME, USER_NAME, holder, locked, open_home
from p2pd.storage.keys import Unwrapped, decode_keys, encode_keys, opened, read_keys
from p2pd.storage.records import SqliteRecordStore
from p2pd.storage.user import SqliteUserStore
from p2pd.store import KnownNode
from p2pd.wire.address import encode_address

_COPY_NAME = "user.db.copy"
_DRAFT_ENDING = ".restoring"


def create(home: Path, file: Path, passphrase: bytes) -> Manifest:
    """Makes a backup of a home, whether its daemon runs or not.

    Raises:
        NotFoundError: there is nothing to keep.
        LockedError: this is not the home's passphrase; UsageError: nobody can use it.
        FailedError: the file is there already.
        StorageError: a disk refuses, or the home is not as it should be.
    """
    if not home.is_dir():
        raise NotFoundError(f"there is no home at {home}", hint="name the right one with --home")
    open_home(home)
    keys = read_keys(home)
    if keys is None:
        raise NotFoundError(f"{home} holds nothing yet", hint="start p2pd once")
    master = keys.master if isinstance(keys, Unwrapped) else opened(keys, passphrase)
    copy = home / _COPY_NAME
    try:
        _copy_database(home, master, copy)
        manifest, files = _described(home, master, encode_keys(keys), copy)
        with _new_file(file) as target:
            pack(target, passphrase, manifest, files)
        return manifest
    finally:
        with suppress(OSError):
            copy.unlink()


def verify(file: Path, passphrase: bytes) -> Manifest:
    """Reads a backup to its last row.

    Raises:
        LockedError: another passphrase's; DamagedError: not whole; StorageError: as `unpack`.
    """
    with tempfile.TemporaryDirectory(prefix="p2pd-") as folder:
        database = Path(folder) / USER_NAME
        contents = _unpacked(file, passphrase, database)
        with closing(_opened(database, contents, passphrase)) as store:
            faults = store.faults()
            if faults:
                raise DamagedError(f"the backup is damaged: {faults[0]}", hint="use another one")
            if contents.manifest.address != encode_address(own.load(store).identity_key):
                raise DamagedError("the backup is of another home than it says", hint="use another one")
        return contents.manifest


def restore(home: Path, file: Path, passphrase: bytes) -> Manifest:
    """Makes a home of a backup: all of it, or nothing.

    Raises:
        HomeInUseError, FailedError: the home holds something already.
        Others: as `verify`.
    """
    _check_free(home)
    draft = home.with_name(home.name + _DRAFT_ENDING)
    if draft.is_dir() and not draft.is_symlink():  # of one that was broken off
        shutil.rmtree(draft)
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        make_folder(draft)
        contents = _fill(draft, file, passphrase)
        sync_folder(draft)
        draft.rename(home)
        sync_folder(home.parent)
    except OSError as error:
        raise refusal(error, home) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return contents.manifest


def _copy_database(home: Path, master: bytes, copy: Path) -> None:
    """A consistent copy; where no daemon writes none may begin meanwhile, since the file is read as one that rests."""
    is_held = holder(home) is not None
    if is_held and not (home / f"{USER_NAME}-wal").exists():
        raise LockedError("the daemon is locked, or just starts", hint="unlock it, or stop it, and try again")
    for beside in (copy, copy.with_name(copy.name + "-journal")):
        with suppress(FileNotFoundError):  # of a backup that was broken off
            beside.unlink()
    with (
        nullcontext() if is_held else locked(home),
        closing(SqliteUserStore(str(home / USER_NAME), own_identity=None, master_key=master, read_only=True)) as store,
    ):
        store.write_copy(copy)


def _described(home: Path, master: bytes, keys: bytes, copy: Path) -> tuple[Manifest, dict[str, bytes | Path]]:
    """What is in the backup, and where it is to be had."""
    files: dict[str, bytes | Path] = {KEYS_NAME: keys, USER_NAME: copy}
    with suppress(FileNotFoundError):
        files[CONFIG_NAME] = (home / CONFIG_NAME).read_bytes()[:SMALL_BYTES]
    sizes = {name: len(it) if isinstance(it, bytes) else it.stat().st_size for name, it in files.items()}
    with closing(SqliteUserStore(str(copy), own_identity=None, master_key=master, read_only=True)) as store:
        address = encode_address(own.load(store).identity_key)
        made_ms = time.time_ns() // 1_000_000
        return Manifest(made_ms, __version__, address, **store.totals(), files=sizes, nodes=_nodes(home)), files


def _nodes(home: Path) -> list[KnownNode]:
    """The nodes known; none where those records cannot be read, which must not stand in a backup's way."""
    try:
        with closing(SqliteRecordStore(str(home / RECORDS_NAME), read_only=True)) as records:
            return records.known_nodes()
    except StorageError:
        return []


@contextmanager
def _new_file(file: Path) -> Iterator[BinaryIO]:
    """A file that was not there, 0600 and on the disk when the block ends; gone where it breaks."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise FailedError(f"{file} is there already", hint="name a file that is not; nothing is written over") from None
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"there is no folder {file.parent}", hint="name a file in one that is there") from None
    except OSError as error:
        raise refusal(error, file) from error
    try:
        with open(descriptor, "wb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        sync_folder(file.parent)
    except BaseException as error:
        with suppress(OSError):
            file.unlink()
        if isinstance(error, OSError):
            raise refusal(error, file) from error
        raise


def _unpacked(file: Path, passphrase: bytes, database: Path) -> Contents:
    make_file(database)
    try:
        with file.open("rb") as source:
            return unpack(source, passphrase, database)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise NotFoundError(f"there is no file {file}", hint="name the one that p2pctl backup create made") from None
    except OSError as error:
        raise refusal(error, file) from error


def _opened(database: Path, contents: Contents, passphrase: bytes) -> SqliteUserStore:
    """The database in a backup, to be changed: one of an older version is brought up to date."""
    keys = decode_keys(contents.keys)
    master = keys.master if isinstance(keys, Unwrapped) else opened(keys, passphrase)
    return SqliteUserStore(str(database), own_identity=None, master_key=master)


def _check_free(home: Path) -> None:
    found = holder(home)
    if found is not None:
        raise HomeInUseError(f"{home} is in use by process {found or 'unknown'}", hint="stop it: p2pctl stop")
    if home.is_symlink() or (home.exists() and not (home.is_dir() and not any(home.iterdir()))):
        raise FailedError(
            f"{home} holds something already", hint="move it away, or name another home with --home; nothing is mixed"
        )


def _fill(draft: Path, file: Path, passphrase: bytes) -> Contents:
    """Makes the whole home, marked as one that came back."""
    contents = _unpacked(file, passphrase, draft / USER_NAME)
    replace_file(draft / KEYS_NAME, contents.keys)
    if contents.config is not None:
        replace_file(draft / CONFIG_NAME, contents.config)
    with closing(_opened(draft / USER_NAME, contents, passphrase)) as store:
        own.load(store)
        with store.transaction():
            store.set_value(RESTORED, contents.manifest.made_ms.to_bytes(8, "big"))
    with closing(SqliteRecordStore(str(draft / RECORDS_NAME))) as records:
        with records.transaction():
            for node in contents.manifest.nodes:
                records.save_node(node)
        records.commit(durable=True)
    return contents
