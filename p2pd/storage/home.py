"""The home: one folder that is only ours, and the lock by which one process has it.

Knows the names of what lies there; `keys` and the databases know what is in it.
Rules (R38): everything in it is checked before any of it is used.  `config.toml` holds no secret and is written with
editors, so it may be readable by others, but not writable, and may be a link.
The lock is the kernel's and ends with its process, however that dies; the file's text only says who it is.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from p2pd.errors import ForeignHomeError, HomeInUseError, StorageError
from p2pd.storage.files import check_file, check_folder, make_file, make_folder, refusal

KEYS_NAME = "keys"
USER_NAME = "user.db"
RECORDS_NAME = "dht.db"
LOCK_NAME = "lock"
CONFIG_NAME = "config.toml"


def open_home(path: Path) -> None:
    """Makes the home, 0700, where there is none, and checks it and everything directly in it.

    Raises:
        ForeignHomeError: the home or something in it is a link, another user's, or open to others.
        StorageError: it cannot be made or read.
    """
    make_folder(path)
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise refusal(error, path) from error
    for entry in entries:
        _check_entry(entry)


def refused(path: Path, owner: int) -> list[StorageError]:
    """All that `open_home` would refuse in the home of that user, each with its remedy; changes nothing."""
    try:
        check_folder(path, owner)
        entries = sorted(path.iterdir())
    except StorageError as error:
        return [error]
    except OSError as error:
        return [refusal(error, path)]
    found: list[StorageError] = []
    for entry in entries:
        try:
            _check_entry(entry, owner)
        except StorageError as error:
            found.append(error)
    return found


def holder(path: Path) -> str | None:
    """Who has the home: the number of a process as far as it is known, else ""; None where nobody has it."""
    try:
        descriptor = os.open(path / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        return text.decode() if text.isdigit() else ""
    finally:
        os.close(descriptor)
    return None


@contextmanager
def locked(home: Path, owner: int | None = None) -> Iterator[None]:
    """Has the home, ours or `owner`'s, for this process; to be taken after detaching: the file names the process.

    Raises:
        HomeInUseError: another process has it.
        ForeignHomeError, StorageError: as `open_home`.
    """
    path = home / LOCK_NAME
    make_file(path, owner)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise refusal(error, path) from error
    try:
        _take(descriptor, home)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, home: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        raise _in_use(os.pread(descriptor, 32, 0), home) from None
    except OSError as error:
        raise refusal(error, home / LOCK_NAME) from error


def _in_use(text: bytes, home: Path) -> HomeInUseError:
    holder = text.strip().decode("ascii", "replace")
    # Empty between another's lock and its writing of who it is.
    process = f"process {holder}" if holder.isdigit() else "another process"
    return HomeInUseError(f"{home} is in use by {process}", hint="stop it, or name another home with --home")


def _check_entry(entry: Path, owner: int | None = None) -> None:
    if entry.name == CONFIG_NAME:
        _check_config(entry, os.geteuid() if owner is None else owner)
        return
    try:
        mode = entry.lstat().st_mode
    except FileNotFoundError:
        return  # another process of ours has removed it meanwhile
    except OSError as error:
        raise refusal(error, entry) from error
    if stat.S_ISDIR(mode):
        check_folder(entry, owner)
    elif not stat.S_ISSOCK(mode):  # a socket's folder protects it, and the daemon makes it anew
        check_file(entry, owner)


def _check_config(path: Path, owner: int) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise StorageError(f"{path} cannot be read", hint="remove it, or mend the link") from error
    if status.st_uid not in (owner, 0) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ForeignHomeError(f"{path} can be changed by other users", hint=f"run: chmod go-w {path}")
