"""The README and the usage page say what the command line does: their commands parse, their tables are complete."""

import re
import shlex
from pathlib import Path

import click
import pytest

from p2pctl.failures import EXITS, INTERRUPTED
from p2pd.daemon.doctor.__main__ import CHECKS
from p2pd.daemon.main import EXITS as EXITS_OF_P2PD
from p2pd.settings import KEYS
from tests.cli.test_main import COMMANDS, parsed

ROOT = Path(__file__).resolve().parent.parent.parent
USAGE = (ROOT / "docs" / "usage.md").read_text()
README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def commands(text: str) -> list[str]:
    """The p2pctl command lines in the indented blocks of a page, without what stands beside them."""
    lines = re.findall(r"^    (?:\$ )?(?:.*\| )?(p2pctl .*)$", text, re.MULTILINE)
    return [re.split(r" {3,}| > | \d< ", line)[0] for line in lines]


@pytest.mark.parametrize("line", commands(USAGE) + commands(README) + commands(OPERATIONS))
def test_commands_parse(line: str) -> None:
    assert parsed(shlex.split(line)[1:])


def test_every_command_is_on_the_usage_page() -> None:
    shown = {parsed(shlex.split(line)[1:]) for line in commands(USAGE)}
    assert {" ".join(path) for path, command in COMMANDS.items() if not isinstance(command, click.Group)} <= shown


def test_every_setting_is_on_the_usage_page() -> None:
    assert set(KEYS) <= set(re.findall(r"^\| `(\w+)` \|", USAGE, re.MULTILINE))


def test_every_exit_code_is_on_the_usage_page() -> None:
    table = USAGE.partition("### Exit codes of p2pctl")[2].partition("##")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == {0, *EXITS.values(), INTERRUPTED}


def test_every_check_of_the_doctor_is_on_the_operations_page() -> None:
    assert {f"| `{check}` |" for check in CHECKS} <= set(re.findall(r"^\| `[\w. ]+` \|", OPERATIONS, re.MULTILINE))


def test_every_exit_code_of_p2pd_is_on_the_operations_page() -> None:
    table = OPERATIONS.partition("## Exit codes of p2pd")[2]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == {0, *EXITS_OF_P2PD}


@pytest.mark.parametrize("page", [USAGE, OPERATIONS, README], ids=["usage", "operations", "readme"])
def test_links_lead_somewhere(page: str) -> None:
    folder = ROOT if page is README else ROOT / "docs"
    for target in re.findall(r"\]\(([^)#:]+)\)", page):
        assert (folder / target).exists(), target
