"""What came from others shows itself and obeys nobody."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2pctl.harmless import harmless, harmless_line

FORBIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
CORPUS = [
    "\x1b[2J\x1b[H",
    "\x1b]0;title\x07",
    "\x1b]52;c;aGk=\x1b\\",
    "\x9b31m",
    "\x90q\x9c",
    "a\rb",
    "a\bb",
    "\x7f",
    "\x00",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "a\u200bb",
    "a\u200db",
    "\ufeff",
    "a\u00adb",
    "\u2028",
    "\u180e",
    "\u3164",
    "\U000e0041",
    "a\ufe01",
    "a\U000e0101",
    "\ud800",
    "\x1bP1;2",
]


def hides(letter: str) -> bool:
    return unicodedata.category(letter) in FORBIDDEN


@pytest.mark.parametrize("text", CORPUS, ids=ascii)
def test_hostile_text_becomes_visible(text: str) -> None:
    for shown in (harmless(text), harmless_line(text)):
        assert not any(map(hides, shown))
        assert shown != text


@given(st.text())
@example("".join(map(chr, range(0x300))))
def test_a_name_keeps_nothing_that_hides(text: str) -> None:
    assert not any(map(hides, harmless_line(text)))


@given(st.text())
def test_a_text_keeps_only_newlines_tabs_and_joiners(text: str) -> None:
    assert {letter for letter in harmless(text) if hides(letter)} <= set("\n\t\u200c\u200d")


@pytest.mark.parametrize(
    "text",
    [
        "plain words, 12 °C, naïve, 日本語, עברית",
        "two\nlines\tand a tab",
        "family \U0001f468\u200d\U0001f469\u200d\U0001f467",
        "heart \u2764\ufe0f\u200d\U0001f525",
        "keycap 1\ufe0f\u20e3",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    ],
)
def test_what_people_write_is_left_alone(text: str) -> None:
    assert harmless(text) == text


def test_names_have_one_line_and_no_joiners() -> None:
    assert harmless_line("bob\nmallory\t\u0645\u200c\u0645") == "bob␊mallory␉\u0645<U+200C>\u0645"


def test_marks_say_what_was_there() -> None:
    assert harmless("\x1b[31m\u202e") == "␛[31m<U+202E>"
