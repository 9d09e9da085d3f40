from itertools import pairwise
from xml.etree import ElementTree

import pytest

from p2pd.sim.picture import POINTS, Panel, Series, draw, number_text, steps, thinned

SVG = "{http://www.w3.org/2000/svg}"
AGES = Series("direct", [(number * 60.0, 0.03 + number) for number in range(50)])
LATE = Series("by <mailbox> & more", [(600.0, 900.0), (1_200.0, 4.0)])
COPIES = Series("median", [(0.0, 8.0), (3_600.0, 6.0)], joined=True)


def drawn() -> ElementTree.Element:
    panels = (Panel("Ages", "seconds", (AGES, LATE), logarithmic=True), Panel("Copies", "nodes", (COPIES,)))
    return ElementTree.fromstring(draw('a "run" & <more>', panels, 3_600.0))  # noqa: S314 - our own text


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_it_is_well_formed_and_named() -> None:
    root = drawn()
    assert root.tag == f"{SVG}svg"
    assert root.attrib["aria-label"] == 'a "run" & <more>'
    assert 'a "run" & <more>' in texts(root)


def test_every_point_is_there_and_within_its_panel() -> None:
    root = drawn()
    dots = [element for element in root.iter(f"{SVG}circle")]
    squares = [element for element in root.iter(f"{SVG}rect") if "class" not in element.attrib]
    assert len(dots) == len(AGES.points) + 1, "and the one of the legend"
    assert len(squares) == len(LATE.points) + 1
    for dot in dots:
        assert 64 <= float(dot.attrib["cx"]) <= 744
        assert 0 < float(dot.attrib["cy"]) < 208.1
    (line,) = root.iter(f"{SVG}polyline")
    assert len(line.attrib["points"].split()) == len(COPIES.points)


def test_later_is_farther_right_and_more_is_higher() -> None:
    dots = [element for element in drawn().iter(f"{SVG}circle")][: len(AGES.points)]
    assert all(float(a.attrib["cx"]) < float(b.attrib["cx"]) for a, b in pairwise(dots))
    assert all(float(a.attrib["cy"]) > float(b.attrib["cy"]) for a, b in pairwise(dots))


def test_axes_units_and_legend_are_named() -> None:
    said = texts(drawn())
    assert {"Ages, seconds", "Copies, nodes", "direct", "by <mailbox> & more", "median"} <= set(said)
    assert "virtual time, hours" in said


def test_it_is_readable_on_dark_ground() -> None:
    assert "prefers-color-scheme: dark" in draw("", (), 1.0)


def test_a_panel_without_points_says_so() -> None:
    assert "nothing of this happened" in draw("", (Panel("Gets", "ms", (Series("get", ()),), logarithmic=True),), 1.0)


def test_many_points_are_thinned_and_the_highest_stays() -> None:
    points = [(float(number), 1.0) for number in range(5_000)]
    points[1_237] = (1_237.0, 99.0)
    few = thinned(points)
    assert len(few) <= POINTS
    assert (1_237.0, 99.0) in few
    assert f"({POINTS} of 5,000 shown)" in draw("", (Panel("Ages", "s", (Series("all", points),)),), 5_000.0)


@pytest.mark.parametrize("high", [0.02, 1.0, 7.0, 95.0, 1_000.0])
def test_the_steps_of_an_axis_are_few_round_and_reach_its_end(high: float) -> None:
    ticks = steps(high)
    assert 3 <= len(ticks) <= 8
    assert ticks[0] == 0
    assert ticks[-1] >= high * 0.999


def test_numbers_are_short() -> None:
    assert [number_text(value) for value in (0, 7, 1_000, 0.05, 1.2345, 2_000_000)] == [
        "0", "7", "1,000", "0.05", "1.234", "2e+06"
    ]  # fmt: skip
