"""The command line as a whole: options before and after, help, errors, exit codes, what a start costs."""

import json
import os
import re
import resource
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from p2pctl import caller as calling
from p2pctl.caller import Caller
from p2pctl.commands import Command
from p2pctl.failures import EXITS, exit_code
from p2pctl.main import root
from p2pd.errors import P2pdError
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon, Gone, Refusal

ROOT = Path(__file__).resolve().parent.parent.parent
STATUS = {"address": "p2p:me", "node_id": "n", "uptime_s": 5, "dht": {"nodes": 3, "records": 0, "record_bytes": 0}}


def all_commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from all_commands(command, *path, name)


COMMANDS = dict(all_commands(root))
EXAMPLES = [example for command in COMMANDS.values() if isinstance(command, Command) for example in command.examples]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...], p2pctl: Run) -> None:
    done = p2pctl(*path, "--help")
    assert (done.code, done.err) == (0, "")
    assert COMMANDS[path].help


@pytest.mark.parametrize(
    "path", [path for path, it in COMMANDS.items() if not isinstance(it, click.Group)], ids=" ".join
)
def test_every_command_has_examples_of_itself(path: tuple[str, ...]) -> None:
    examples = COMMANDS[path].examples  # type: ignore[attr-defined]
    assert examples
    assert any(" ".join(path) in example for example in examples)


def parsed(words: list[str]) -> str:
    """The command that the words call, without calling it; raises where they do not parse."""
    command: click.Command = root
    context = root.make_context("p2pctl", words, obj=Caller())
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest and command.invoke_without_command:
            break
        name, found, words = command.resolve_command(context, rest)
        assert found is not None
        context = found.make_context(name, words, parent=context)
        command = found
    return context.command_path.removeprefix("p2pctl ")


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_parse(example: str) -> None:
    words = shlex.split(re.split(r" > | \d< ", example.rpartition("| ")[2])[0])
    assert words.pop(0) == "p2pctl"
    assert parsed(words)


@pytest.mark.parametrize(
    "words",
    [
        ("--json", "--timeout", "3", "contact", "list"),
        ("contact", "--json", "--timeout", "3", "list"),
        ("contact", "list", "--json", "--timeout=3"),
        ("--json", "contact", "list", "--timeout", "3"),
    ],
)
def test_shared_options_stand_anywhere(words: tuple[str, ...], p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("contact.list", {"contacts": [{"name": "bob"}]})
    done = p2pctl(*words)
    assert (done.code, done.out) == (0, '{"name": "bob"}\n')


@pytest.mark.parametrize(("seconds", "code"), [("inf", 0), ("1e300", 0), ("nan", 2), ("-1", 2), ("soon", 2)])
def test_odd_times_to_wait(seconds: str, code: int, p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("status", STATUS)
    assert p2pctl("status", "--timeout", seconds).code == code


def test_no_time_to_wait_is_not_the_usual_one(p2pctl: Run, daemon: FakeDaemon) -> None:
    hangs = threading.Event()
    daemon.set("id", lambda _: hangs.wait(20))
    assert p2pctl("id", "--timeout", "0").code == 6
    hangs.set()


@pytest.mark.parametrize("order", ["before", "after"])
def test_home_stands_anywhere(order: str, p2pctl: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    fake = FakeDaemon(other)
    fake.set("status", STATUS)
    words = ["--home", str(other)]
    done = p2pctl(*words, "status") if order == "before" else p2pctl("status", *words)
    fake.close()
    assert done.code == 0
    assert "p2p:me" in done.out


def test_no_daemon(p2pctl: Run) -> None:
    done = p2pctl("status")
    assert (done.code, done.out) == (3, "")
    assert done.err.count("\n") == 1
    assert "start it with: p2pctl start" in done.err


def test_no_daemon_in_json(p2pctl: Run) -> None:
    done = p2pctl("status", "--json")
    assert done.code == 3
    error = json.loads(done.err)["error"]
    assert error["code"] == "not_running"
    assert error["hint"] == "start it with: p2pctl start"


@pytest.mark.parametrize("code", sorted(EXITS.keys() - {"not_running", "lost"}))
def test_the_daemons_errors_have_their_exit_codes(code: str, p2pctl: Run, daemon: FakeDaemon) -> None:
    def refuse(_: object) -> None:
        raise Refusal(code, "no", "do this")

    daemon.set("status", refuse)
    done = p2pctl("status", "--json")
    assert done.code == EXITS[code]
    assert json.loads(done.err) == {"error": {"code": code, "message": "no", "hint": "do this"}}


def test_exit_codes_are_those_of_the_error_tree() -> None:
    waiting = [P2pdError]
    while waiting:
        kind = waiting.pop()
        expected = kind.exit_code if kind.exit_code <= 9 else EXITS.get(kind.code, 1)
        assert exit_code(kind("")) == expected, kind
        waiting += [known for known in kind.__subclasses__() if known.__module__ == "p2pd.errors"]


def test_an_error_code_that_is_not_known_is_a_failure() -> None:
    error = P2pdError("")
    error.code = "from_the_future"
    assert exit_code(error) == 1


def test_a_daemon_that_dies_during_a_call(p2pctl: Run, daemon: FakeDaemon) -> None:
    def die(_: object) -> None:
        raise Gone

    daemon.set("status", die)
    done = p2pctl("status", "--json")
    assert done.code == 3
    assert json.loads(done.err)["error"]["code"] == "lost"


@pytest.mark.parametrize("words", [("sned",), ("contact", "lsit"), ("send",), ("send", "--nope"), ("history",), ()])
def test_usage_errors(words: tuple[str, ...], p2pctl: Run) -> None:
    done = p2pctl(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err


def test_a_wrong_command_names_the_nearest(p2pctl: Run) -> None:
    assert "'send'" in p2pctl("sned").err
    assert "'list'" in p2pctl("contact", "lsit").err


def test_usage_errors_in_json(p2pctl: Run) -> None:
    done = p2pctl("--json", "sned")
    assert json.loads(done.err)["error"]["code"] == "usage"


def test_words_repeated_in_errors_are_harmless(p2pctl: Run) -> None:
    done = p2pctl("\x1b[2Jevil\u202e")
    assert done.code == 2
    assert "\x1b" not in done.err
    assert "\u202e" not in done.err


def test_a_wrong_name_gets_the_nearest(p2pctl: Run, daemon: FakeDaemon) -> None:
    def unknown(_: object) -> None:
        raise Refusal("not_found", "no such person")

    daemon.set("history", unknown)
    daemon.set("contact.list", {"contacts": [{"name": "barbara"}, {"name": "bob"}]})
    done = p2pctl("history", "barbra")
    assert done.code == 4
    assert "did you mean barbara?" in done.err


def test_a_new_name_is_told_as_it_is_kept(p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("contact.rename", {"name": "robert"})
    assert p2pctl("contact", "rename", "bob", "@robert").out == "bob is now robert\n"


def test_hostile_names_cannot_reach_the_terminal(p2pctl: Run, daemon: FakeDaemon) -> None:
    entry = {
        "name": "b\x1b[2J\nob\u202e",
        "address": "p2p:x\x9b",
        "state": "accepted",
        "online": True,
        "verified": False,
    }
    daemon.set("contact.list", {"contacts": [entry]})
    done = p2pctl("contact", "list")
    assert done.out.count("\n") == 2
    assert not set(done.out) & set("\x1b\x9b\u202e")
    exact = p2pctl("contact", "list", "--json").out
    assert json.loads(exact) == entry
    assert not set(exact) & set("\x1b\x9b\u202e")


def completed(words: str, home: Path) -> list[str]:
    """What the shell offers after these words."""
    environment = os.environ | {
        "P2PD_HOME": str(home),
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "cli"))),
        "_P2PCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "p2pctl.main"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.slow
def test_completion_offers_names(home: Path, daemon: FakeDaemon) -> None:
    names = [{"name": "bob"}, {"name": "bo\x1b[2J"}, {"name": "alice"}, {"name": "b $(reboot)"}]
    daemon.set("contact.list", {"contacts": names})
    assert completed("p2pctl send b", home) == ["bob"]


@pytest.mark.slow
def test_completion_offers_commands_and_survives_without_a_daemon(home: Path) -> None:
    assert completed("p2pctl hist", home) == ["history"]
    assert completed("p2pctl send b", home) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, p2pctl: Run) -> None:
    done = p2pctl("completion", shell)
    assert done.code == 0
    assert f"_P2PCTL_COMPLETE={shell}_complete" in done.out


@pytest.mark.slow
def test_a_short_call_costs_few_starts_of_python(home: Path, daemon: FakeDaemon, tmp_path: Path) -> None:
    """Compared within one run, with bytecode at hand as after an installation.

    In processor time, the quickest of each: what other programs take from the machine only ever adds.
    """
    daemon.set("status", STATUS)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment |= {
        "P2PD_HOME": str(home),
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "cli"))),
        "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode"),
    }
    commands = {"bare": [sys.executable, "-c", "pass"], "status": [sys.executable, "-m", "p2pctl.main", "status"]}
    took: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(12):
        for name, command in commands.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            took[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    ratio = min(took["status"]) / min(took["bare"])
    assert ratio < 7, f"status costs {ratio:.1f} bare starts: {took}"


def test_a_reader_that_goes_is_no_error(home: Path, daemon: FakeDaemon) -> None:
    daemon.set("history", {"messages": [{"id": str(n), "direction": "in", "text": "x" * 1000} for n in range(2000)]})
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "cli")))}
    command = [sys.executable, "-m", "p2pctl.main", "history", "bob"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_daemon_that_hangs_does_not_keep_who_looks_waiting(
    p2pctl: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "GLANCE_S", 0.05)
    hangs = threading.Event()
    for words, method in (("status",), "status"), (("net", "stats"), "net.stats"), (("dht", "stats"), "dht.stats"):
        daemon.set(method, lambda _: hangs.wait(20))
        done = p2pctl(*words)
        assert (done.code, "p2pctl doctor" in done.err) == (6, True)
    hangs.set()
