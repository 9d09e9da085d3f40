"""Files that are only ours: how they are checked, made and replaced.

Knows no format.
Rules (R38): folders 0700, files 0600, owned by us, never reached through a symbolic link or a second name.  What is
otherwise is refused, never mended: someone may have read it already.  A file is replaced whole, or not at all.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from p2pd.errors import DamagedError, ForeignHomeError, StorageError
from p2pd.limits import MIB, PRIVATE_FILE_BYTES

_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW
_ZEROS_BYTES = MIB


def make_folder(path: Path) -> None:
    """Makes a folder with mode 0700 where there is none, and checks it.

    Raises:
        ForeignHomeError: it is a link, another's, or open to others.
        StorageError: it cannot be made.
    """
    try:
        path.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    except FileExistsError:
        pass  # a file or a dangling link, which the check names
    except OSError as error:
        raise refusal(error, path) from error
    check_folder(path)


def check_folder(path: Path, owner: int | None = None) -> None:
    """Refuses (ForeignHomeError) a folder that is a link, another's than ours or `owner`'s, or open to others."""
    status = _status(path)
    if not stat.S_ISDIR(status.st_mode):
        raise ForeignHomeError(f"{path} is not a folder", hint="name another home; links are not followed")
    _check(path, status, _PRIVATE_FOLDER, owner)


def check_file(path: Path, owner: int | None = None) -> None:
    """Refuses (ForeignHomeError) a file that is a link, has a second name, or is as `check_folder` refuses."""
    status = _status(path)
    if not stat.S_ISREG(status.st_mode):
        raise ForeignHomeError(f"{path} is not a plain file", hint="remove it; links are not followed")
    if status.st_nlink > 1:
        raise ForeignHomeError(f"{path} has a second name elsewhere", hint="make a copy, and put it in its place")
    _check(path, status, _PRIVATE_FILE, owner)


def make_file(path: Path, owner: int | None = None) -> None:
    """Makes an empty file with mode 0600 where there is none, and checks it; raises as `make_folder`."""
    try:
        # Not opened where it exists: closing a database's file would drop SQLite's locks on it in this process.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, _PRIVATE_FILE))
    except FileExistsError:
        pass
    except OSError as error:
        raise refusal(error, path) from error
    check_file(path, owner)


def read_file(path: Path) -> bytes | None:
    """The bytes of a private file; None where there is none.

    Raises:
        ForeignHomeError: it is not only ours.
        DamagedError: it is longer than any that we write.
        StorageError: it cannot be read.
    """
    if not os.path.lexists(path):
        return None
    check_file(path)
    try:
        with open(os.open(path, os.O_RDONLY | _FLAGS), "rb") as file:
            data = file.read(PRIVATE_FILE_BYTES + 1)
    except OSError as error:
        raise refusal(error, path) from error
    if len(data) > PRIVATE_FILE_BYTES:
        raise DamagedError(f"{path} is too long", hint="put it back from a backup")
    return data


def replace_file(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Writes a private file whole and durably; whatever happens, the old one or the new one is there.

    With `overwrite` the old one's bytes are overwritten once the new one is safe; a disk that copies on write, or wears
    its cells evenly, keeps them for a while all the same.

    Raises:
        StorageError: the disk refuses; the old file is as it was.
    """
    draft = path.with_name(path.name + ".new")
    old = os.open(path, os.O_WRONLY | _FLAGS) if overwrite and path.exists() else None
    try:
        with suppress(FileNotFoundError):
            draft.unlink()
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, _PRIVATE_FILE), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
        if old is not None:
            os.pwrite(old, bytes(os.fstat(old).st_size), 0)
            os.fsync(old)
    except OSError as error:
        raise refusal(error, path) from error
    finally:
        if old is not None:
            os.close(old)


def lengthen_file(path: Path, size: int) -> None:
    """Fills an empty file with zeros, durably; raises OSError where there is no room, and then it is empty still."""
    descriptor = os.open(path, os.O_WRONLY | _FLAGS)
    try:
        if os.fstat(descriptor).st_size:
            return
        try:
            for start in range(0, size, _ZEROS_BYTES):
                os.pwrite(descriptor, bytes(min(_ZEROS_BYTES, size - start)), start)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, 0)
            raise
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refusal(error: OSError, path: Path) -> StorageError:
    """What the operating system refused, with what to do about it."""
    return StorageError(f"{path}: {error.strerror or error}", hint=hint_for(error.errno))


def hint_for(number: int | None) -> str:
    """What a user can do about an error number."""
    match number:
        case errno.ENOSPC | errno.EDQUOT:
            return "make room on the disk; nothing that was accepted is lost"
        case errno.EROFS | errno.EACCES | errno.EPERM:
            return "the home must lie where this user may write"
        case _:
            return "check the disk and the mount that hold the home"


def _status(path: Path) -> os.stat_result:
    try:
        return path.lstat()
    except OSError as error:
        raise refusal(error, path) from error


def _check(path: Path, status: os.stat_result, mode: int, owner: int | None) -> None:
    wanted = os.geteuid() if owner is None else owner
    if status.st_uid != wanted:
        # Root that looks after another's home must not make it its own: the other could use it no more.
        as_them = f"do this as that user, as with: setpriv --reuid={status.st_uid} --clear-groups COMMAND"
        hint = as_them if wanted == 0 and stat.S_ISDIR(status.st_mode) else f"run: chown {wanted} {path}"
        raise ForeignHomeError(f"{path} belongs to another user", hint=hint)
    if stat.S_IMODE(status.st_mode) & ~mode:
        raise ForeignHomeError(
            f"{path} is open to other users", hint=f"if nobody has misused it, run: chmod {mode:o} {path}"
        )
