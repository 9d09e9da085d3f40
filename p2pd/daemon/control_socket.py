"""The control socket's place: a folder and a socket that only this user can reach.

Knows no protocol.  Rules (R39): the folder is 0700 and ours, the socket 0600 from its first moment; only the holder of
the home's lock comes here, so a socket that is found is a dead daemon's.
"""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from p2pd import limits
from p2pd.errors import ForeignHomeError, StorageError
from p2pd.places import control_path
from p2pd.storage.files import make_folder, refusal, replace_file

POINTER_NAME = "control"
"""Says where the socket lies, where that is not the home's run folder."""


@contextmanager
def control_socket(home: Path) -> Iterator[tuple[socket.socket, Path]]:
    """The listening socket, non-blocking, and its path; both are gone afterwards.

    Raises:
        ForeignHomeError: its folder is not only ours, or something else lies in its place.
        StorageError: it cannot be made.
    """
    path = control_path(home)
    make_folder(path.parent.parent)  # whoever could rename the folder could put another in its place
    make_folder(path.parent)
    _point_to(path, home)
    _remove_dead(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _bind(listening, path)
        yield listening, path
    finally:
        listening.close()
        with suppress(OSError):
            path.unlink()


def _bind(listening: socket.socket, path: Path) -> None:
    before = os.umask(0o177)
    try:
        listening.bind(os.fspath(path))
        listening.listen(limits.CONTROL_CLIENTS)
        listening.setblocking(False)
    except OSError as error:
        raise refusal(error, path) from error
    finally:
        os.umask(before)


def _point_to(path: Path, home: Path) -> None:
    pointer = home / POINTER_NAME
    if path.is_relative_to(home):
        with suppress(FileNotFoundError):
            pointer.unlink()
    else:
        replace_file(pointer, f"{path}\n".encode())


def _remove_dead(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ForeignHomeError(f"{path} is not a socket", hint="remove it")
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StorageError(f"{path} cannot be removed: {error.strerror}", hint="remove it") from None
