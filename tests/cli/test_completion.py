"""The completion scripts in the shells they are for: TAB after `p2pctl send b`, with a daemon and without one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.typist import ROOT, Typist

pytestmark = pytest.mark.slow
NAMES = [{"name": "bob"}, {"name": "bo\x1b[2J"}, {"name": "alice"}, {"name": "b $(touch oops)"}, {"name": "öl.d-é_1"}]
PROMPT = "ready>"


@pytest.fixture
def shell_environment(home: Path, tmp_path: Path) -> dict[str, str]:
    """Where `p2pctl` is the one of the checkout."""
    program = tmp_path / "bin" / "p2pctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m p2pctl.main "$@"\n')
    program.chmod(0o755)
    return {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "cli"))),
        "PYTHONIOENCODING": "utf-8",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "PS1": PROMPT,
        "PS2": "",
    }


def script(shell: str, folder: Path, p2pctl: Run) -> Path:
    """The file that `p2pctl completion` prints."""
    file = folder / f"completion.{shell}"
    file.write_text(p2pctl("completion", shell).out)
    return file


def needs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


@pytest.fixture(params=["bash", "zsh"])
def shell(
    request: pytest.FixtureRequest, tmp_path: Path, p2pctl: Run, shell_environment: dict[str, str]
) -> Iterator[Typist]:
    """Someone in a shell that knows the completion."""
    needs(request.param)
    file = script(request.param, tmp_path, p2pctl)
    start = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}[request.param]
    someone = Typist(program=start, environ=shell_environment, columns=120)
    someone.sees(PROMPT)
    if request.param == "zsh":
        someone.types("autoload -U compinit; compinit -u -D; unsetopt zle_bracketed_paste; bindkey -e\n")
        someone.sees(PROMPT)
    someone.types(f"source {file}; echo sour''ced\n")
    someone.sees("sourced")
    someone.sees(PROMPT)
    yield someone
    someone.is_sent_away()


def test_tab_writes_the_name(shell: Typist, daemon: FakeDaemon) -> None:
    daemon.set("contact.list", {"contacts": NAMES})
    shell.types("p2pctl send b\t")
    shell.sees("p2pctl send bob")


def test_a_name_beyond_ascii_is_written_too(shell: Typist, daemon: FakeDaemon) -> None:
    daemon.set("contact.list", {"contacts": NAMES})
    shell.types("p2pctl send ö\t")
    shell.sees("l.d-é_1")


def test_tab_writes_commands_and_options(shell: Typist) -> None:
    shell.types("p2pctl hist\t")
    shell.sees("p2pctl history")
    shell.types("--lim\t")
    shell.sees("--limit")


def test_without_a_daemon_nothing_is_said(shell: Typist) -> None:
    shell.types("p2pctl send b\t")
    shell.types("\x15echo the li''ne is mine\r")
    assert "error" not in shell.sees("the line is mine")


def test_fish_offers_the_names(
    tmp_path: Path, p2pctl: Run, shell_environment: dict[str, str], daemon: FakeDaemon
) -> None:
    needs("fish")
    daemon.set("contact.list", {"contacts": NAMES})
    file = script("fish", tmp_path, p2pctl)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {file}; complete -C 'p2pctl send b'"],
        env=os.environ | shell_environment | {"P2PD_HOME": str(daemon.home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["bob"], "")
