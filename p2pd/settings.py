"""What a user may set, and where it is written.

The fields of `Settings` are the one table of options: they feed the daemon's flags, `config list|get|set` and the
documentation.  Knows no address syntax: what names a node stays text here.  `places` knows where a home lies.
Rules: flags, then the home's `config.toml`, then the platform's configuration folder, then `/etc/p2pd/`, then the
defaults; an unknown key or a wrong type is a `UsageError` that names the file and the key.
"""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from p2pd import limits
from p2pd.errors import FailedError, StorageError, UsageError
from p2pd.places import APPLICATION

Value = str | int | bool | tuple[str, ...]
T = TypeVar("T")

COMMAND_LINE = "command line"
CONFIG_NAME = "config.toml"
SYSTEM_FOLDER = Path("/etc/p2pd")
_CONFIG_BYTES = 256 * limits.KIB
_BOOTSTRAP_LINES = 1_000
_TYPE_WORDS = {str: "text", int: "a whole number", bool: "true or false", tuple: "a list of texts"}


def _option(
    default: T,
    help: str,
    *,
    flag: str = "",
    choices: tuple[str, ...] = (),
    least: int = 0,
    most: int = 2**53,
    in_files: bool = True,
) -> T:
    """A field of `Settings` with what the documentation and the checks need; typed as its default."""
    metadata = {
        "help": help,
        "flag": flag,
        "choices": choices,
        "least": least,
        "most": most,
        "in_files": in_files,
    }
    option: T = field(default=default, metadata=metadata)
    return option


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every option of the daemon, one field each, under the name it has in `config.toml`."""

    listen: tuple[str, ...] = _option(
        ("[::]:0",),
        "where to take datagrams, HOST:PORT; [::] takes IPv4 too; port 0 is any free one, which the home remembers",
        flag="--listen",
    )
    bootstrap: tuple[str, ...] = _option(
        (), "nodes to ask for the way besides the list, HOST:PORT or KEY@HOST:PORT", flag="--bootstrap"
    )
    bootstrap_file: str = _option("", "a list of first nodes that replaces the one that ships", flag="--bootstrap-file")
    network: str = _option("main", "the network's name; nodes of different names never talk", flag="--network")
    private: bool = _option(
        False, "a network of one's own: no puzzles, no stamps, no limits on where nodes are", flag="--private"
    )
    lan: bool = _option(True, "find people on the local network", flag="--no-lan")
    port_mapping: bool = _option(True, "ask the router to let others reach this node", flag="--no-port-mapping")
    accept_requests: bool = _option(False, "accept every contact request", flag="--accept-requests")
    storage_only: bool = _option(False, "serve the network and have no person", flag="--storage-only")
    public_presence: bool = _option(
        False, "let everybody who knows the address find the node", flag="--public-presence"
    )
    passphrase_fd: int = _option(
        -1,
        "the open file that the passphrase is read from, up to a line's end; -1 for none; a new home is made with it",
        flag="--passphrase-fd",
        least=-1,
        most=65_535,
        in_files=False,
    )
    await_unlock: bool = _option(
        False,
        "where the home has a passphrase and none is given, wait for `p2pctl unlock` instead of ending",
        flag="--await-unlock",
    )
    log_level: str = _option(
        "info", "the least that is logged", flag="--log-level", choices=("debug", "info", "warning", "error")
    )
    log_file: str = _option("", "where the log goes; empty is standard error", flag="--log-file")
    role: str = _option(
        "auto",
        "whether the node serves others: auto finds out whether it can be reached; first nodes of a network say server",
        choices=("auto", "server", "client"),
    )
    relay: bool = _option(True, "whether the node, where it serves, carries frames between others who come to it")
    replicas: int = _option(limits.REPLICAS, "copies of a record on the network", least=1, most=limits.REPLICAS_MAX)
    storage_bytes: int = _option(limits.QUOTA_BYTES, "bytes kept for other people's records", least=0)


@dataclass(frozen=True, slots=True)
class Key:
    """One option as the documentation and `config` show it."""

    name: str
    type: type
    default: Value
    help: str
    flag: str
    choices: tuple[str, ...]
    least: int
    most: int
    in_files: bool
    """Whether it means anything in a file; a file descriptor does not."""

    @property
    def type_words(self) -> str:
        """The type for people: `text`, `a whole number`, …"""
        return " or ".join(self.choices) if self.choices else _TYPE_WORDS[self.type]


def _key_of(name: str, default: Any, metadata: Mapping[str, Any]) -> Key:
    return Key(name=name, type=type(default), default=default, **metadata)


KEYS: dict[str, Key] = {
    option.name: _key_of(option.name, option.default, option.metadata)
    for option in fields(Settings)
    if option.default is not MISSING
}
"""By name, in the order of `Settings`."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for each key the file or `flag` it came from; `default` where nobody set it."""

    settings: Settings
    sources: dict[str, str]


# --- reading ---------------------------------------------------------------------------------------------------------


def load_settings(home: Path, flags: Mapping[str, Value] | None = None) -> Loaded:
    """The settings of one home; `flags` holds what the command line gave, by key.

    Raises:
        UsageError: a file cannot be read as TOML, names an unknown key, or gives one the wrong type.
    """
    values: dict[str, Value] = {key.name: key.default for key in KEYS.values()}
    sources = dict.fromkeys(KEYS, "default")
    for file in reversed(config_files(home)):
        for name, value in _read_config(file).items():
            values[name], sources[name] = checked_value(name, value, str(file)), str(file)
    for name, value in (flags or {}).items():
        values[name], sources[name] = checked_value(name, value, COMMAND_LINE), "flag"
    return Loaded(Settings(**values), sources)  # type: ignore[arg-type]  # checked_value has checked each


def config_files(home: Path) -> tuple[Path, ...]:
    """Where options are read from, the strongest first; the files need not exist."""
    from platformdirs import user_config_path

    return home / CONFIG_NAME, user_config_path(APPLICATION) / CONFIG_NAME, SYSTEM_FOLDER / CONFIG_NAME


def _read_config(file: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(_read_text(file))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{file} is not valid TOML: {error}", hint="correct that line; `key = value`, texts in quotes"
        ) from None


def _read_text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(_CONFIG_BYTES + 1)
        text = data.decode()
    except (FileNotFoundError, NotADirectoryError):  # a home that cannot be is told of where it is made
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"{file} cannot be read: {reason}", hint="correct the file or remove it") from None
    if len(data) > _CONFIG_BYTES:
        raise UsageError(f"{file} is larger than {_CONFIG_BYTES} bytes", hint="settings need a few lines")
    return text


def known_key(name: str, place: str = "") -> Key:
    """The option of this name; `UsageError` with the nearest and all known names where there is none."""
    key = KEYS.get(name)
    if key is not None:
        return key
    import difflib

    near = difflib.get_close_matches(name, KEYS, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    where = f"{place}: " if place else ""
    raise UsageError(f"{where}unknown key {name!r}{meant}", hint="known keys: " + ", ".join(KEYS))


def checked_value(name: str, value: object, place: str = "") -> Value:
    """`value` in the key's own type; `UsageError` naming place and key where it has another."""
    key = known_key(name, place)
    if isinstance(value, str) and not value.isprintable():
        raise UsageError(f"{name} holds a character that cannot be printed", hint=key.help)
    if key.type is tuple and isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value):
        return _checked_list(key, tuple(value), place)
    where = f"{place}: " if place else ""
    if not key.in_files and place != COMMAND_LINE:
        raise UsageError(f"{where}{name} is given on the command line only", hint=f"p2pd {key.flag}")
    if type(value) is not key.type:
        raise UsageError(f"{where}{name} must be {key.type_words}, not {value!r}", hint=key.help)
    if key.choices and value not in key.choices:
        raise UsageError(f"{where}{name} must be {key.type_words}, not {value!r}", hint=key.help)
    if isinstance(value, int) and not key.least <= value <= key.most:
        raise UsageError(f"{where}{name} must be {key.least} to {key.most}, not {value}", hint=key.help)
    return value  # type: ignore[return-value]  # its type is the key's


def _checked_list(key: Key, entries: tuple[str, ...], place: str) -> tuple[str, ...]:
    where = f"{place}: " if place else ""
    for entry in entries:
        host, _, port = entry.strip().rpartition(":")
        is_port = port.isascii() and port.isdigit() and int(port[:6]) <= 65_535
        if not host or not is_port or not entry.isprintable():
            raise UsageError(f"{where}{key.name} holds {entry[:80]!r}, which is not HOST:PORT", hint=key.help)
    return entries


def parse_value(name: str, text: str) -> Value:
    """What a user typed for a key: `true`, `20`, `a text`, or a list with commas; raises `UsageError`."""
    key = known_key(name)
    words = text.strip()
    value: object = text
    if key.type is bool:
        value = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(
            words.lower(), text
        )
    elif key.type is int and words.removeprefix("-").isdecimal() and words.isascii():
        value = int(words[:20])
    elif key.type is tuple:
        value = tuple(entry.strip() for entry in words.split(",") if entry.strip())
    return checked_value(name, value)


# --- writing ---------------------------------------------------------------------------------------------------------


def write_setting(home: Path, name: str, value: object) -> Path:
    """Sets one key in the home's `config.toml`, leaving comments and other keys as they are; the file's path.

    Takes effect at the daemon's next start.

    Raises:
        UsageError: the key, the value or the file as it stands is wrong.
        FailedError: the file is laid out in a way that cannot be edited safely.
        StorageError: the disk refuses.
    """
    import tomllib

    checked = checked_value(name, value)
    file = home / CONFIG_NAME
    before = _read_config(file)
    text = _with_line(_read_text(file).splitlines(), name, f"{name} = {_toml(checked)}")
    after: dict[str, Any] = {}
    with contextlib.suppress(tomllib.TOMLDecodeError):  # and so it differs below
        after = tomllib.loads(text)
    if after != before | {name: list(checked) if isinstance(checked, tuple) else checked}:
        raise FailedError(f"{file} cannot be changed without losing something", hint=f"set {name} there by hand")
    _replace(file, text)
    return file


def _with_line(lines: list[str], name: str, line: str) -> str:
    """The lines with the assignment of `name` replaced, or appended where there is none, as text."""
    for first, old in enumerate(lines):
        if old.partition("=")[0].strip() == name:
            last = _last_line(lines, first)
            return "\n".join([*lines[:first], line, *lines[last + 1 :]]) + "\n"
    return "\n".join([*lines, line]) + "\n"


def _last_line(lines: list[str], first: int) -> int:
    """Where the assignment that begins at `first` ends: the shortest run of lines that is TOML."""
    import tomllib

    for last in range(first, len(lines)):
        try:
            tomllib.loads("\n".join(lines[first : last + 1]))
        except tomllib.TOMLDecodeError:
            continue
        return last
    return first


def _toml(value: Value) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    if isinstance(value, str):
        import json

        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower()


def _replace(file: Path, text: str) -> None:
    """Writes the file whole or not at all, readable by its owner only: the home's, also where root writes it."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(
            os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w", encoding="utf-8"
        ) as stream:
            stream.write(text)
            stream.flush()
            if os.geteuid() == 0:
                home = file.parent.stat()
                os.fchown(stream.fileno(), home.st_uid, home.st_gid)
            os.fsync(stream.fileno())
        fresh.replace(file)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise StorageError(
            f"{file} cannot be written: {error.strerror}", hint="make room, or correct its owner"
        ) from None


# --- the first nodes -------------------------------------------------------------------------------------------------


def read_bootstrap(settings: Settings) -> tuple[str, ...]:
    """The first nodes as text: those set one by one, then the file's, or where none is set the list that ships.

    Raises:
        UsageError: the file named cannot be read.
    """
    if settings.bootstrap_file:
        file = Path(settings.bootstrap_file).expanduser()
        if not file.is_file():
            raise UsageError(f"there is no bootstrap file {file}", hint="one node a line: HOST:PORT or KEY@HOST:PORT")
        text = _read_text(file)
    else:
        from importlib.resources import files

        text = (files("p2pd") / "bootstrap_nodes.txt").read_text(encoding="utf-8")
    lines = (line.partition("#")[0].strip() for line in text.splitlines()[:_BOOTSTRAP_LINES])
    return tuple(dict.fromkeys([*settings.bootstrap, *(line for line in lines if line)]))
