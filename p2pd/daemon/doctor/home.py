"""The checks that need no other node: daemon, versions, settings, the home's files, disk, keys and databases."""

import os
import platform
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from typing import Any, TypeVar

from p2pd import __version__, client, limits
from p2pd.client import NotRunningError
from p2pd.daemon.doctor.finding import Case, Finding, State, ok, problem, warning
from p2pd.daemon.listening import remembered_ports
from p2pd.daemon.nodes import split_node
from p2pd.errors import DamagedError, LockedError, P2pdError, RefusedError, TimeUpError
from p2pd.net.clock import SystemRandom
from p2pd.net.selftest import UnsuitableError, check_private_names
from p2pd.settings import Settings, load_settings, read_bootstrap
from p2pd.storage.database import Database
from p2pd.storage.home import KEYS_NAME, RECORDS_NAME, USER_NAME, holder, refused
from p2pd.storage.keys import Wrapped, decode_keys
from p2pd.storage.records import SqliteRecordStore
from p2pd.storage.user import SqliteUserStore
from p2pd.storage.user_schema import USER_SCHEMA

ANSWER_S = 10.0
"""A daemon that answers is done in milliseconds; one that takes longer hangs, or its machine does."""
SPARE_BYTES = 64 * limits.MIB
"""With less room than this the next commit may be refused."""
LIBRARIES = ("aioquic", "cryptography", "pynacl", "kademlia", "doubleratchet", "x3dh")
Store = TypeVar("Store", SqliteUserStore | Database, SqliteRecordStore)
KNOWN_NODES = 8
"""Nodes known from before that are asked, besides the first ones."""
RESTORE = (
    "stop p2pd, move the home away and keep it, and put all of it back: p2pctl backup restore FILE; where the backup "
    "is a copy of the folder, {} from it: docs/operations.md, Backups"
)


def check_daemon(case: Case) -> Finding:
    """Whether one runs, and answers; asks it for what the other checks need."""
    held_by = case.holder = holder(case.home)
    process = f"process {held_by}" if held_by else "another process"
    try:
        case.running = client.call("doctor", home=case.home, answer_within_s=ANSWER_S)
    except NotRunningError:
        if held_by is None:
            return ok("not running; the files are looked at as they are")
        hint = "see its log; if it is starting, wait; if it hangs, end it: kill " + (held_by or "PID")
        return problem(f"{process} has the home, and does not answer", hint)
    except TimeUpError:
        return problem(f"{process} does not answer in {ANSWER_S:g} s", f"see its log, and: kill {held_by or 'PID'}")
    except RefusedError as error:
        return problem(error.message, error.hint)
    except LockedError:
        return ok(f"{process}, locked; p2pctl unlock brings it back")
    except P2pdError as error:
        return warning(f"it answers: {error.message}", "it is another version; restart it: p2pctl restart")
    return ok(f"running, process {case.running['pid']}, for {int(case.running['uptime_s'])} s")


def check_version(case: Case) -> Finding:
    """Whether what runs is what is installed, and aioquic is what we take it for."""
    details = [f"{name} {version(name)}" for name in LIBRARIES]
    runs = case.running["version"] if case.running else __version__
    if runs != __version__:
        return warning(f"p2pd {runs} runs, and {__version__} is installed", "restart it: p2pctl restart", *details)
    try:
        check_private_names(SystemRandom())
    except UnsuitableError as error:
        return problem(error.message, error.hint, *details)
    return ok(f"p2pd {__version__}, Python {platform.python_version()}", *details)


def check_settings(case: Case) -> Finding:
    """Whether the configuration files can be read, and their nodes are nodes."""
    if case.running is not None:
        case.settings, case.first_nodes = _in_force(case.running), tuple(case.running["first_nodes"])
    try:
        loaded = load_settings(case.home)
        first_nodes = read_bootstrap(loaded.settings)
        for node in first_nodes:
            split_node(node)
    except P2pdError as error:
        return problem(error.message, error.hint)
    if case.running is None:
        case.settings, case.first_nodes = loaded.settings, first_nodes
    files = sorted({source for source in loaded.sources.values() if source != "default"})
    return ok("right" if files else "all as they come", *files)


def _in_force(running: dict[str, Any]) -> Settings:
    """What the running daemon goes by: its flags may say otherwise than the files."""
    return Settings(**{key: running[key] for key in ("network", "private", "storage_bytes")})


def check_home(case: Case) -> Finding:
    """Whether the home and all in it are the user's alone."""
    if not os.path.lexists(case.home):
        case.is_readable = False
        return warning(f"there is no home at {case.home}", "p2pctl start makes it; or name the right one with --home")
    found = refused(case.home, case.owner)
    case.is_readable = not found
    if not found:
        return ok(f"{case.home}, closed to others")
    details = [f"{error.message}; {error.hint}" for error in found[1:]]
    return problem(found[0].message, found[0].hint, *details)


def check_disk(case: Case) -> Finding:
    """Whether the home can be written, and there is room for what it may grow to."""
    place = next(path for path in (case.home, *case.home.parents) if path.exists())
    disk = os.statvfs(place)
    free = disk.f_bavail * disk.f_frsize
    words = f"{_megabytes(free)} free"
    if disk.f_flag & os.ST_RDONLY:
        return problem(f"{place} lies on a disk that is mounted read-only", "check the disk; then: mount -o remount,rw")
    if not os.access(place, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return problem(f"{place} cannot be written", "correct its owner and mode, or name another home")
    if free < SPARE_BYTES or (disk.f_files and not disk.f_favail):
        hint = f"make room, {_megabytes(SPARE_BYTES)} at least; nothing accepted is lost"
        full = "full" if free < limits.MIB else "nearly full"
        return problem(f"the disk is {full}: {words}, room for {disk.f_favail} files", hint)
    room = case.settings.storage_bytes - _size(case, RECORDS_NAME) + limits.WAL_KEPT_BYTES + SPARE_BYTES
    if free < room:
        hint = "make room, or lower it: p2pctl config set storage_bytes 67108864"
        return warning(f"{words}; what is kept for others may take {_megabytes(room)} more", hint)
    return ok(words)


def check_keys(case: Case) -> Finding:
    """Whether the key file opens."""
    file = case.home / KEYS_NAME
    if not case.is_readable:
        return _unread(case)
    if not file.exists() and not _size(case, USER_NAME):
        return ok("none yet: the first start makes them")
    try:
        keys = decode_keys(file.read_bytes())
    except FileNotFoundError:
        return problem(f"{file} is missing", RESTORE.format("the file `keys`"))
    except DamagedError as error:
        return problem(error.message, RESTORE.format("the file `keys`"))
    return ok("the key file is whole" + (", and under a passphrase" if isinstance(keys, Wrapped) else ""))


def check_user_database(case: Case) -> Finding:
    """Whether every page, index and row of `user.db` can be read; under a passphrase every page and index."""
    hint = RESTORE.format("`keys` and user.db")
    path = str(case.home / USER_NAME)

    def opened() -> SqliteUserStore | Database:
        keys = decode_keys((case.home / KEYS_NAME).read_bytes())
        if isinstance(keys, Wrapped):
            return Database(path, USER_SCHEMA, synchronous="FULL", read_only=True)
        return SqliteUserStore(path, own_identity=None, master_key=keys.master, read_only=True)

    def look(store: SqliteUserStore | Database) -> None:
        if isinstance(store, SqliteUserStore):
            case.ports = remembered_ports(store)

    return _database(case, USER_NAME, opened, look, hint)


def check_record_database(case: Case) -> Finding:
    """Whether every page and index of `dht.db` can be read."""
    hint = "it holds other people's records only, and others have copies: p2pctl stop, p2pctl doctor --set-aside "

    def opened() -> SqliteRecordStore:
        return SqliteRecordStore(str(case.home / RECORDS_NAME), read_only=True)

    def look(store: SqliteRecordStore) -> None:
        case.known_nodes = tuple(node.endpoint for node in store.known_nodes()[:KNOWN_NODES])

    return _database(case, RECORDS_NAME, opened, look, f"{hint}{RECORDS_NAME}, p2pctl start")


def _database(case: Case, name: str, opened: Callable[[], Store], look: Callable[[Store], None], hint: str) -> Finding:
    if not case.is_readable:
        return _unread(case)
    if not _size(case, name):
        return ok("none yet: the first start makes it")
    finding = _read(case, name, opened, look, hint)
    if finding.state is State.PROBLEM and holder(case.home) != case.holder:
        # What nobody had open was read as if it could not change.
        return warning("a daemon started or ended meanwhile", "run p2pctl doctor again")
    return finding


def _read(case: Case, name: str, opened: Callable[[], Store], look: Callable[[Store], None], hint: str) -> Finding:
    try:
        with closing(opened()) as store:
            faults = store.faults()
            if not faults:
                look(store)
    except FileNotFoundError:
        return problem("it cannot be opened without the file keys", hint)
    except DamagedError as error:
        return problem(error.message, hint)
    except P2pdError as error:
        return problem(error.message, error.hint)
    if faults:
        return problem(f"{name} is damaged: {faults[0]}", hint, *faults[1:10])
    return ok(f"whole, {_megabytes(_size(case, name))}")


def _unread(case: Case) -> Finding:
    """For files of a home that is not as it should be, which are better not opened."""
    if not case.home.exists():
        return ok("none yet")
    return warning("not looked at", "do first what is said of the home")


def _size(case: Case, name: str) -> int:
    """Of a file of the home with its log; 0 where there is none."""
    files = (case.home / name, case.home / f"{name}-wal")
    return sum(file.stat().st_size for file in files if file.exists())


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"
