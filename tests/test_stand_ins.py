"""What stands in for a library, while it does and afterwards."""

import sys
from types import ModuleType

import pytest

from p2pd.stand_ins import standing_in


def test_a_module_stands_in_for_as_long_as_is_said() -> None:
    with standing_in({"no_such": {"answer": 42}, "no_such.inside": {"other": 1}}):
        from no_such import answer  # type: ignore[import-not-found]
        from no_such.inside import other  # type: ignore[import-not-found]
    assert (answer, other) == (42, 1)
    with pytest.raises(ImportError):
        import no_such  # noqa: F401


def test_what_is_not_there_cannot_be_used() -> None:
    with standing_in({"no_such": {}}):
        import no_such
    with pytest.raises(AttributeError, match="no_such"):
        _ = no_such.anything


def test_what_is_loaded_already_stays() -> None:
    loaded = sys.modules["json"]
    with standing_in({"json": {"answer": 42}}):
        import json
    assert json is loaded is sys.modules["json"]
    assert not hasattr(json, "answer")


def test_it_ends_also_where_the_import_fails() -> None:
    with pytest.raises(ImportError), standing_in({"no_such": {}}):
        from no_such import anything  # noqa: F401
    assert "no_such" not in sys.modules


def test_a_library_that_comes_while_it_stands_in_is_not_taken_away() -> None:
    real = ModuleType("no_such")
    with standing_in({"no_such": {}}):
        sys.modules["no_such"] = real
    assert sys.modules.pop("no_such") is real
