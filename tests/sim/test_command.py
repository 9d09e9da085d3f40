import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from p2pd.sim import menu, stage
from p2pd.sim.__main__ import _Bar, main
from p2pd.sim.menu import Course, Outcome, Tally, courses
from p2pd.sim.scenarios import SCENARIOS
from p2pd.sim.stage import Options

SMALL = ["calm", "--nodes", "6", "--hours", "0.05"]


def command(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_the_list_names_all_scenarios_and_mutants() -> None:
    result = command("--list")
    assert result.exit_code == 0
    assert all(scenario.line in result.stdout for scenario in SCENARIOS.values())
    assert "tombstone-rank" in result.stdout


def test_help_has_examples() -> None:
    result = command("--help")
    assert result.exit_code == 0
    assert "python -m p2pd.sim storm --seed 7" in result.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["storms"], "there are: calm, storm"),
        (["calm", "--nodes", "3"], "at least 5 nodes"),
        (["calm", "--nodes", "1000000"], "not in the range"),
        (["calm", "--hours", "0"], "--hours is more than 0"),
        (["calm", "--share", "0.5"], "--share is for `liars`"),
        (["calm", "--mutant", "nothing"], "there is no mutant"),
        (["calm", "--picture", "calm.png"], "the picture is SVG: name it calm.svg"),
        ([], "Missing argument"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(words: list[str], told: str) -> None:
    result = command(*words)
    assert result.exit_code == 2
    assert told in result.stderr


@pytest.mark.parametrize("option", ["--json", "--trace", "--picture"])
def test_what_cannot_be_written_is_said_before_the_run(tmp_path, option: str) -> None:
    result = command("crowd", option, str(tmp_path / "nowhere" / "file"))
    assert result.exit_code == 2, "1 would be a violation"
    assert len(result.stderr.splitlines()) == 1
    assert "No such file" in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is Linux's /dev/full here")
@pytest.mark.parametrize("option", ["--json", "--trace", "--picture"])
def test_a_disk_that_is_full_is_no_violation(option: str) -> None:
    result = command("calm", "--nodes", "5", "--hours", "0.01", option, "/dev/full")
    assert result.exit_code == 2
    assert result.stderr == "Error: what came of it cannot be written: No space left on device\n"


def test_what_is_interrupted_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "perform", interrupted)
    result = command(*SMALL)
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


@pytest.mark.slow
def test_a_run_is_summed_up_drawn_and_traced(tmp_path) -> None:
    files = {name: tmp_path / name for name in ("summary.json", "trace.txt", "picture.svg")}
    result = command(
        *SMALL, "--json", str(files["summary.json"]), "--trace", str(files["trace.txt"]),
        "--picture", str(files["picture.svg"]),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "violations    none" in result.stdout
    summary = json.loads(files["summary.json"].read_text())
    assert summary["nodes"] == 6
    assert summary["messages"]["delivered"] == summary["messages"]["accepted"] > 0
    assert summary["trace"] in result.stdout or summary["trace"][:32] in result.stdout
    assert "send" in files["trace.txt"].read_text()
    ElementTree.parse(files["picture.svg"])  # noqa: S314 - our own text


@pytest.mark.slow
def test_json_can_be_all_that_is_printed() -> None:
    result = command(*SMALL, "--json", "-")
    assert json.loads(result.stdout)["scenario"] == "calm"


@pytest.mark.slow
def test_a_violation_ends_with_1_and_the_command_that_plays_it_again() -> None:
    result = command("mailbox", "--nodes", "5", "--hours", "0.03", "--mutant", "end-to-end")
    assert result.exit_code == 1
    assert "VIOLATIONS" in result.stdout
    assert "python -m p2pd.sim mailbox --seed 1 --nodes 5 --hours 0.03 --mutant end-to-end" in result.stdout


class Stream:
    def __init__(self, is_terminal: bool) -> None:
        self.text, self._is_terminal = "", is_terminal

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return self._is_terminal


def test_progress_is_for_terminals() -> None:
    for is_terminal in (True, False):
        stream = Stream(is_terminal)
        with _Bar(stream) as bar:
            bar.show(0.5, "1.00 virtual hours")
        assert ("50%" in stream.text) is is_terminal


# --- the menu


def test_the_menu_has_every_scenario_and_so_many_storms() -> None:
    served = [course.scenario for course in courses(200, 7, "")]
    assert set(served) == set(SCENARIOS)
    assert served.count("storm") == 200
    assert served.count("calm") == 2
    assert [course.options.seed for course in courses(3, 7, "crash")] == [7, 8, 9]


def test_a_failing_run_is_told_at_once_by_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    course = Course("storm", Options(9, SCENARIOS["storm"].nodes, SCENARIOS["storm"].hours))
    tally = Tally(2, Stream(False))
    tally.add(Outcome(course, ("order: it was wrong",), ("order",), 1.0, 1.0))
    tally.add(Outcome(course, (), (), 1.0, 1.0))
    assert "python -m p2pd.sim storm --seed 9\n    order: it was wrong" in capsys.readouterr().out
    assert "2 of 2 runs" in tally.verdict()
    assert "1 failed" in tally.verdict()


@pytest.mark.slow
@pytest.mark.parametrize("well", [True, False])
def test_the_menu_ends_with_1_where_something_failed(monkeypatch: pytest.MonkeyPatch, well: bool) -> None:
    few = [Course("mailbox", Options(seed, 5, 0.03, mutant="" if well else "end-to-end")) for seed in (1, 2, 3)]
    monkeypatch.setattr(menu, "courses", lambda *arguments: iter(few))
    result = CliRunner().invoke(menu.main, ["--jobs", "1"])
    assert "3 of 3 runs" in result.output
    assert (result.exit_code == 0) is well
