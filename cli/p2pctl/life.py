"""The daemon's life: `start`, `stop`, `restart`, `logs`.

Knows how p2pd is found and asked to detach, and nothing of what it does.
Rule: the p2pd of the same environment is preferred, so that two installations never mix.
"""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from p2pctl.caller import Caller
from p2pctl.commands import command
from p2pctl.harmless import harmless_line
from p2pctl.passphrase import ask, can_ask
from p2pctl.tail import Tail
from p2pctl.terminal import show, show_json
from p2pd.errors import FailedError, LockedError, NotFoundError, P2pdError, RefusedError, TimeUpError, UsageError

LOG_NAME = "p2pd.log"
STOP_S = 10.0
"""The daemon ends within 5 s; past this something is wrong with it."""
GLANCE_S = 0.05
"""Between looks at a process."""
LOG_ASKS_S = 2.0
"""`logs` asks the daemon where it logs; one that hangs shall not keep its log from being seen."""
FLAGS = {"ignore_unknown_options": True}
EXITS_OF_P2PD = {2: UsageError, 14: LockedError}
"""What the daemon's exit codes mean to the caller of `start`; the others are failures."""
BY_ITSELF = ("--passphrase-fd", "--await-unlock")
"""With one of these nobody need be asked for the passphrase."""


@command(
    "start",
    examples=[
        "p2pctl start",
        "p2pctl start --listen 0.0.0.0:4040",
        "p2pctl --home /tmp/a start --private --listen 127.0.0.1:0",
    ],
    context_settings=FLAGS,
)
@click.argument("flags", nargs=-1, type=click.UNPROCESSED, metavar="[P2PD FLAGS]...")
@click.pass_obj
def start(caller: Caller, flags: tuple[str, ...]) -> None:
    """Start the daemon in the background, and return once it answers.

    All flags of p2pd are passed on; `p2pd --help` lists them.
    """
    running = _status(caller)
    if running is not None:
        note = "; `p2pctl restart` takes other flags" if flags else ""
        _tell(caller, running, "already running", _flags_of(running.get("pid")), note)
    else:
        _tell(caller, _launched(caller, flags), "started", flags)


@command("stop", examples=["p2pctl stop"])
@click.pass_obj
def stop(caller: Caller) -> None:
    """Stop the daemon, and return once it is gone."""
    end(caller)
    if caller.as_json:
        show_json({"stopped": True})
    else:
        show("stopped")


@command("restart", examples=["p2pctl restart", "p2pctl restart --log-level debug"], context_settings=FLAGS)
@click.argument("flags", nargs=-1, type=click.UNPROCESSED, metavar="[P2PD FLAGS]...")
@click.pass_obj
def restart(caller: Caller, flags: tuple[str, ...]) -> None:
    """Stop the daemon if it runs, and start it again: with the flags given, else with those it had.

    What systemd started, systemd restarts: systemctl --user restart p2pd.
    """
    running = _status(caller)
    service = _service_of(running)
    if service:
        raise FailedError(
            f"the daemon is systemd's {service.unit}.service", hint=f"run: {service.call('systemctl restart')}"
        )
    if running is None:
        _tell(caller, _launched(caller, flags), "started", flags)
        return
    _be_able_to_start(caller)
    flags = flags or _flags_of(running.get("pid"))
    wants = bool(running.get("passphrase")) and not any(flag.startswith("--passphrase-fd") for flag in flags)
    # Before the end: who has forgotten it keeps what runs.
    passphrase = ask("passphrase") if wants and (can_ask() or "--await-unlock" not in flags) else None
    end(caller)
    _tell(caller, launch(caller, flags, passphrase), "started again", flags)


@command("logs", examples=["p2pctl logs", "p2pctl logs --follow", "p2pctl logs --lines 500"])
@click.option("-f", "--follow", is_flag=True, help="Go on showing what is written, until Ctrl-C or for --timeout.")
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=50, show_default=True, help="How many to begin with."
)
@click.pass_obj
def logs(caller: Caller, follow: bool, lines: int) -> None:
    """Show the log of a daemon in the background, running or not; under systemd it says how to see it."""
    try:
        running = _status(caller, within_s=caller.within(LOG_ASKS_S))
    except (LockedError, TimeUpError):
        running = None  # what it logs while it is locked, or hangs, is what one may want to see
    flags = _flags_of(running.get("pid")) if running else ()
    service = _service_of(running)
    if service and not _named_log(caller.resolved_home(), flags):
        message = f"the daemon is systemd's {service.unit}.service, and logs to the journal"
        raise NotFoundError(message, hint=f"run: {service.call('journalctl')} -n {lines}{' -f' if follow else ''}")
    file = log_file(caller.resolved_home(), flags)
    try:
        tail = Tail(file)
    except OSError as error:
        hint = "a daemon in the foreground logs where it was started; one under systemd: journalctl --user -u p2pd"
        raise NotFoundError(f"no log at {file}: {error.strerror}", hint=hint) from None
    with closing(tail), caller.following(follow=follow):
        for line in tail.last(lines):
            _show_log_line(caller, line)
        for line in tail.growing() if follow else tail.unfinished()[:lines]:
            _show_log_line(caller, line)


def _be_able_to_start(caller: Caller) -> None:
    """Root can stop anybody's daemon, and starts none but its own: what runs is better left running then."""
    home = caller.resolved_home()
    owner = home.stat().st_uid
    if owner != os.geteuid():
        hint = f"run p2pctl restart as that user, as with: setpriv --reuid={owner} --clear-groups COMMAND"
        raise RefusedError(f"{home} belongs to another user, who alone can start it again", hint=hint)


def _launched(caller: Caller, flags: Sequence[str]) -> dict[str, Any]:
    """As `launch`, asking for the passphrase where the home turns out to have one."""
    try:
        return launch(caller, flags)
    except LockedError:
        if any(flag.startswith(BY_ITSELF) for flag in flags) or not can_ask():
            raise
    return launch(caller, flags, ask("passphrase"))


def launch(caller: Caller, flags: Sequence[str], passphrase: str | None = None) -> dict[str, Any]:
    """Starts p2pd in the background and waits until it answers; its status, with `locked` where that is all.

    Raises:
        LockedError: it wants the passphrase, or another one.
        P2pdError: p2pd ended, with what it said.
    """
    import subprocess
    import tempfile

    home = caller.resolved_home()
    words = [*p2pd(), "--home", str(home), *(flag for flag in flags if flag != "--detach"), "--detach"]
    keeps_files = any(flag.startswith("--passphrase-fd") for flag in flags)
    pipe = () if passphrase is None else (_pipe_with(passphrase),)
    words += [word for descriptor in pipe for word in ("--passphrase-fd", str(descriptor))]
    # A file and no pipe: the daemon, were it to keep its standard error open, would keep us waiting for a pipe's end.
    with tempfile.TemporaryFile() as said:
        # S603: the words are the user's own.
        done = subprocess.run(  # noqa: S603
            words,
            stdin=None if keeps_files else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            close_fds=not keeps_files,
            pass_fds=pipe,
            check=False,
        )
        for descriptor in pipe:
            os.close(descriptor)
        if done.returncode:
            raise _refusal(caller, done.returncode, said)
    try:
        answer: dict[str, Any] = caller.call("status")
    except LockedError:
        return {"locked": True}
    return answer


def _pipe_with(passphrase: str) -> int:
    """The reading end of a pipe that holds it, which is more than the longest takes."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(passphrase.encode() + b"\n")
    return reading


def p2pd() -> list[str]:
    """The command that starts p2pd: of the same environment, else the one in the PATH."""
    beside = Path(sys.executable).parent / "p2pd"
    if beside.is_file():
        return [str(beside)]
    found = shutil.which("p2pd")
    return [found] if found else [sys.executable, "-m", "p2pd"]


def end(caller: Caller) -> None:
    """Asks the daemon to stop, and waits until its process is gone.

    Raises:
        NotRunningError: there is none.
        TimeUpError: it does not end.
    """
    pid = caller.call("stop").get("pid")
    deadline = time.monotonic() + caller.within(STOP_S)
    while _is_there(caller, pid):
        if time.monotonic() > deadline:
            raise TimeUpError("the daemon has not ended yet", hint="see: p2pctl logs")
        time.sleep(GLANCE_S)


def log_file(home: Path, flags: Sequence[str] = ()) -> Path:
    """Where a daemon with these flags, in the background, writes its log."""
    return _named_log(home, flags) or home / LOG_NAME


def _named_log(home: Path, flags: Sequence[str]) -> Path | None:
    """The file that the flags or the settings name."""
    from p2pd.settings import load_settings

    for place, flag in enumerate(flags):
        name, equals, value = flag.partition("=")
        if name == "--log-file":
            return Path(value if equals else "".join(flags[place + 1 : place + 2])).absolute()
    named = load_settings(home).settings.log_file
    return home / Path(named).expanduser() if named else None


@dataclass(frozen=True, slots=True)
class _Service:
    """The unit of systemd's that a daemon runs as."""

    unit: str
    manager: str
    """"" for the system's, `--user` for the user's."""

    def call(self, program: str) -> str:
        """How one of systemd's programs is called for it."""
        name, *verb = program.split()
        option = ["-u"] if name == "journalctl" else []
        return " ".join(word for word in (name, self.manager, *verb, *option, self.unit) if word)


def _service_of(running: dict[str, Any] | None) -> _Service | None:
    """The unit of a running daemon; None for one that went to the background by itself."""
    from p2pctl.unit import unit_of

    if running is None or "--detach" in _flags_of(running.get("pid")):
        return None
    found = unit_of(running.get("pid"))
    return _Service(*found) if found else None


def _refusal(caller: Caller, code: int, said: Any) -> P2pdError:
    said.seek(0)
    lines = [line for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    words = lines[-1] if lines else f"exit code {code}; p2pctl logs says more"
    return EXITS_OF_P2PD.get(code, FailedError)(f"p2pd did not start: {caller.addressed(words.removeprefix('p2pd: '))}")


def _status(caller: Caller, *, within_s: float | None = None) -> dict[str, Any] | None:
    try:
        answer: dict[str, Any] = caller.call("status", within_s=within_s)
    except P2pdError as error:
        if error.code == "not_running":
            return None
        raise
    return answer


def _tell(caller: Caller, status: dict[str, Any], what: str, flags: Sequence[str], note: str = "") -> None:
    file = log_file(caller.resolved_home(), flags)
    if caller.as_json:
        show_json({**status, "log": str(file)})
    else:
        who = harmless_line(str(status.get("address") or status.get("node_id")))
        how = "locked; p2pctl unlock" if status.get("locked") else who
        show(harmless_line(caller.addressed(f"{what}: {how}{note}")))
        show(f"log: {harmless_line(str(file))}")


def _is_there(caller: Caller, pid: object) -> bool:
    """Whether the daemon still answers, or its process still ends its work."""
    if isinstance(pid, int):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True  # another user's, so we know no more
        return not _is_zombie(pid)
    return _status(caller) is not None


def _is_zombie(pid: int) -> bool:
    """Whether the process has ended and only its parent has not noticed; only Linux tells."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1] == ["Z"]
    except OSError:
        return False


def _flags_of(pid: object) -> tuple[str, ...]:
    """The flags that a running daemon was started with, but for its home; only Linux tells."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    except (OSError, UnicodeDecodeError):
        return ()
    for place, word in enumerate(words):
        if Path(word).name == "p2pd":  # the script, or the module after -m
            return _lasting(words[place + 1 :])
    return ()


def _lasting(words: list[str]) -> tuple[str, ...]:
    """Without the home, which is named anew, and the open file of then."""
    gone = ("--home", "--passphrase-fd")
    kept = [word for place, word in enumerate(words) if not (place and words[place - 1] in gone)]
    return tuple(word for word in kept if word.partition("=")[0] not in gone)


def _show_log_line(caller: Caller, line: str) -> None:
    if caller.as_json:
        show_json({"line": line})
    else:
        show(harmless_line(line))


COMMANDS = {"start": start, "stop": stop, "restart": restart, "logs": logs}
