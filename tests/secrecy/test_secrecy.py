"""Every promise of `make secrecy` at a size that a check has time for, and that a line can fail."""

import re

import pytest

from tests.integration.fleet import ROOT
from tests.secrecy.__main__ import FULL, promise
from tests.secrecy.line import Line, Measure

SMALL = {
    "sessions": 3_000,
    "kci": 100,
    "labels": 1,
    "storers": 400,
    "sizes": 120,
    "fuzz": 500,
    "floods": 80,
    "doors": 500,
}


def test_every_promise_has_a_small_size() -> None:
    assert SMALL.keys() == FULL.keys()
    assert all(SMALL[name] < FULL[name] for name in FULL)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SMALL)
def test_promise_holds(name: str) -> None:
    line = promise(name)(SMALL[name], 1)
    print(line)
    assert line.ok, line.failures


def test_a_line_holds_only_where_all_its_measures_do_and_something_was_tried() -> None:
    good, bad = Measure("leaks", 0, most=0), Measure("leaks", 1, most=0)
    assert Line("x", 1, [good]).ok
    assert not Line("x", 1, [good, bad]).ok
    assert not Line("x", 0, [good]).ok
    assert not Line("x", 1, []).ok
    assert not Measure("tries", 4, least=5).ok
    assert "FAIL" in str(Line("x", 1, [bad]))
    with pytest.raises(AssertionError, match="nothing could fail"):
        _ = Measure("anything", 1).ok


def test_the_threat_model_names_what_shows_each_cannot_and_that_exists() -> None:
    text = (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")
    table = text.partition("| who | can | cannot | shown by |\n")[2].partition("\n\n")[0].splitlines()[1:]
    assert len(table) > 15
    for row in table:
        who, _, cannot, shown = (cell.strip() for cell in row.strip("|").split(" | "))
        assert cannot, who
        assert shown, who
        assert all((ROOT / path).is_file() for path in re.findall(r"`(tests/[^`]+)`", shown)), who
        assert set(re.findall(r"`([a-z]+)`", shown)) <= FULL.keys(), who
