"""Lines for people stay aligned and uncoloured where they must; JSON is exact and harmless."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pctl import terminal


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@given(st.text())
def test_json_is_exact_and_printable_ascii(text: str) -> None:
    line = terminal.as_json({"text": text})
    assert json.loads(line) == {"text": text}
    assert all(" " <= letter <= "~" for letter in line)


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_on_a_terminal(environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b" in terminal.paint("x", "red", Terminal())) is coloured


def test_no_colour_in_a_pipe() -> None:
    assert terminal.paint("x", "red", io.StringIO()) == "x"


@given(st.lists(st.tuples(st.text(max_size=80), st.text(max_size=5)), min_size=1, max_size=4))
def test_columns_stay_aligned(rows: list[tuple[str, str]]) -> None:
    lines = terminal.table(("name", "x"), [(name, f"|{rest}") for name, rest in rows])
    at = {terminal.columns(line[: line.rindex("|")]) for line in lines[1:] if line.count("|") == 1}
    assert len(at) <= 1


def test_a_long_cell_is_cut() -> None:
    assert terminal.cut("x" * 100, 10) == "x" * 9 + "…"
    assert terminal.cut("日本語日本語", 5) == "日本…"


def test_pairs_show_every_kind_of_value() -> None:
    values = {"a": None, "long name": True, "c": ["x", 1], "d": {"e": 2}, "f": "\x1b"}
    assert terminal.pairs(values) == [
        "a          -",
        "long name  yes",
        "c          x, 1",
        "d          e 2",
        "f          ␛",
    ]


def test_further_lines_cannot_pose_as_messages() -> None:
    assert terminal.message_lines("one\n12:00 bob: two", indent=4) == "one\n    12:00 bob: two"


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "5s"), (65.9, "1m 5s"), (3700, "1h 1m"), (180000, "2d 2h"), (None, "-")]
)
def test_durations(seconds: object, words: str) -> None:
    assert terminal.duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2e13, "20.0 TB"), ("x", "-")]
)
def test_sizes(count: object, words: str) -> None:
    assert terminal.size(count) == words


def test_a_moment_that_is_none_is_shown_harmlessly() -> None:
    assert terminal.clock("\x1b[2J") == "␛[2J"
    assert terminal.clock(None) == "-"


@pytest.mark.parametrize(
    ("line", "width", "shown"),
    [
        ("name  value", 20, "name  value"),
        ("name  value", 8, "name  v…"),
        ("\x1b[2mname  \x1b[0mvalue", 8, "\x1b[2mname  \x1b[0mv…"),
        ("\x1b[2mname  \x1b[0mvalue", 6, "\x1b[2mname  \x1b[0m"),
        ("\x1b[2mname  \x1b[0mvalue", 3, "\x1b[2mna…\x1b[0m"),
        ("漢字漢字", 5, "漢字…"),
    ],
)
def test_a_line_fits_its_terminal(line: str, width: int, shown: str) -> None:
    assert terminal.fitted(line, width) == shown
