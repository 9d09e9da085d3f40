"""The command `p2pd`: flags, the start, and what every end is called.

Knows no part of the daemon but where it begins.
Rules: every flag is a key of `Settings`; every failure is one line on standard error that says what to do, and an exit
code of `docs/usage.md`, mapped here and nowhere else.  Slow imports come after the flags are known to be right, and
after the process is the one that stays.
A daemon that locks itself ends and is executed again: what it knew goes with its memory, which Python cannot wipe.
"""

import gc
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import click

from p2pd import __version__
from p2pd.daemon.detach import Outcome, detach
from p2pd.daemon.process import prepare_process
from p2pd.errors import DamagedError, LockedError, P2pdError, UsageError
from p2pd.places import resolve_home
from p2pd.settings import KEYS, Key, Value, load_settings

INTERNAL = 70
LOCKED = 14
EXITS = {2, 10, 11, 12, 13, 15, LOCKED, INTERNAL}
"""2 usage, 10 home in use, 11 address taken, 12 disk, 13 damaged, 14 locked, 15 home open to others, 70 internal."""
LOG_NAME = "p2pd.log"
"""In the home: the log of a detached daemon that was given no other."""
_logger = logging.getLogger("p2pd.daemon.main")

Tell = Callable[[Outcome], None]


def exit_code(error: BaseException) -> int:
    """The exit code that an error ends the daemon with."""
    if isinstance(error, LockedError):
        return LOCKED
    code = error.exit_code if isinstance(error, P2pdError) else INTERNAL
    return code if code in EXITS else INTERNAL


def run(
    home: Path, flags: dict[str, Value], tell: Tell, *, passphrase: bytes | None = None, is_detached: bool = False
) -> int | None:
    """Runs a daemon from its start to its end; the exit code, or None where it shall come back locked.

    How the start went is told, once.
    """
    told: list[Outcome] = []

    def tell_once(outcome: Outcome) -> None:
        if not told:
            tell(outcome)
        told.append(outcome)

    gc.disable()  # a start makes much and drops little: looking for garbage among it costs a tenth of the time
    try:
        prepare_process()
        if _serve(home, flags, passphrase, tell_once, is_detached=is_detached):
            return None
    except Exception as error:
        code = exit_code(error)
        if code == INTERNAL:
            _logger.error("the daemon ended by a bug", exc_info=error)
        elif told:
            _logger.error("the daemon ended: %s", error)
        tell_once(Outcome(code, _line_of(error)))
        return code
    finally:
        gc.enable()
    tell_once(Outcome(INTERNAL, "p2pd: it was stopped before it was ready"))
    return 0


def _serve(home: Path, flags: dict[str, Value], passphrase: bytes | None, tell: Tell, *, is_detached: bool) -> bool:
    import asyncio

    from p2pd.daemon.assembly import serve
    from p2pd.daemon.logs import start_logging
    from p2pd.storage.home import locked, open_home

    loaded = load_settings(home, flags)
    open_home(home)
    with locked(home):
        start_logging(loaded.settings.log_level, _log_file(home, loaded.settings.log_file, is_detached))
        _logger.info("p2pd %s starts, home %s", __version__, home)
        locks = asyncio.run(serve(home, loaded, lambda line: tell(Outcome(0, line)), passphrase))
        _logger.info("locked: everything known is forgotten" if locks else "stopped")
    return locks


def _log_file(home: Path, named: str, is_detached: bool) -> Path | None:
    """Where the log goes; a relative path of a configuration file means in the home."""
    if named:
        return home / Path(named).expanduser()
    return home / LOG_NAME if is_detached else None


def _line_of(error: BaseException) -> str:
    """The one line that a user sees, harmless on a terminal."""
    from p2pd.daemon.logs import harmless

    if isinstance(error, DamagedError) and "doctor" not in error.hint:
        error.hint += "; p2pctl doctor says what else can be done"
    if isinstance(error, P2pdError):
        return harmless(f"p2pd: {error.message}; {error.hint}" if error.hint else f"p2pd: {error.message}")
    if isinstance(error, OSError):
        return harmless(f"p2pd: {error}")
    return f"p2pd: it met a bug ({type(error).__name__}); the log says where"


def _print(outcome: Outcome) -> None:
    with suppress(OSError):  # nobody may be listening any more
        print(outcome.line, file=sys.stderr if outcome.exit_code else sys.stdout, flush=True)


# --- the command line ------------------------------------------------------------------------------------------------


def _flag(key: Key) -> click.Option:
    names = [key.flag, key.name]
    if key.type is bool:
        return click.Option(names, is_flag=True, flag_value=not key.default, default=None, help=_help(key))
    if key.type is tuple:
        return click.Option(names, multiple=True, default=None, metavar=_metavar(key), help=key.help)
    kind = click.Choice(key.choices) if key.choices else key.type
    return click.Option(names, type=kind, default=None, metavar=_metavar(key), help=key.help)


def _help(key: Key) -> str:
    return key.help if not key.default else f"do not {key.help}"


def _metavar(key: Key) -> str | None:
    metavars = {"listen": "HOST:PORT", "bootstrap": "NODE", "bootstrap_file": "FILE", "log_file": "FILE"}
    return None if key.choices else metavars.get(key.name, "N" if key.type is int else "NAME")


def _start(home: str | None, detached: bool, **given: Value | None) -> None:
    flags = {name: value for name, value in given.items() if value not in (None, ())}
    for name in ("bootstrap_file", "log_file"):
        if flags.get(name):
            flags[name] = os.path.abspath(str(flags[name]))  # a detached daemon stands elsewhere
    place = resolve_home(home)
    environment = dict(os.environ)
    passphrase = _passphrase(flags)
    tell = detach() if detached else _print
    code = run(place, flags, tell, passphrase=passphrase, is_detached=detached)
    if code is None:
        words = _words_of(place, flags, detached=detached)
        os.execve(sys.executable, [sys.executable, "-P", "-m", "p2pd", *words], environment)  # noqa: S606  ourselves
    sys.stdout.flush()
    # Nothing is left to be closed: a thread that still works at a puzzle must not hold up the end.
    os._exit(code) if detached else sys.exit(code)


def _passphrase(flags: Mapping[str, Value]) -> bytes | None:
    """Read before the process goes to the background, where its standard input is no longer."""
    from p2pd.daemon.passphrase import read_passphrase

    descriptor = flags.get("passphrase_fd")
    if not isinstance(descriptor, int) or descriptor < 0:
        return None
    try:
        return read_passphrase(descriptor)
    except UsageError as error:
        _print(Outcome(error.exit_code, _line_of(error)))
        sys.exit(error.exit_code)


def _words_of(home: Path, flags: Mapping[str, Value], *, detached: bool) -> list[str]:
    """The command line that starts this daemon again, locked."""
    words = ["--home", str(home), "--await-unlock", *(["--detach"] if detached else [])]
    for name, value in flags.items():
        flag = KEYS[name].flag
        match value:
            case _ if name in ("passphrase_fd", "await_unlock"):
                pass
            case bool():
                words.append(flag)
            case tuple():
                words += [word for entry in value for word in (flag, entry)]
            case _:
                words += [flag, str(value)]
    return words


def _show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(f"p2pd {__version__}")
        context.exit()


command = click.Command(
    "p2pd",
    callback=_start,
    params=[
        click.Option(["--home"], metavar="DIR", help="where keys, messages and records are kept; else P2PD_HOME"),
        *(_flag(key) for key in KEYS.values() if key.flag),
        click.Option(["--detach", "detached"], is_flag=True, help="go to the background once the daemon answers"),
        click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_show_version),
    ],
    help="The p2pd daemon: one person's node of a chat network without servers.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main() -> None:
    """Runs the command line of this process, and ends the process."""
    command.main(prog_name="p2pd")


if __name__ == "__main__":
    main()
