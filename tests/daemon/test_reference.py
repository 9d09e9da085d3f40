"""The reference page is what the method table says."""

from pathlib import Path

from p2pd.daemon.methods import METHODS, discover
from p2pd.daemon.reference import reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run: python -m p2pd.daemon.reference > docs/api.md"


def test_every_method_and_parameter_has_its_help() -> None:
    for entry in METHODS.values():
        assert entry.help.endswith("."), entry.name
        assert entry.result, entry.name
        assert all(each.help for each in entry.parameters.values()), entry.name


def test_discovery_tells_the_same_table() -> None:
    assert [entry["name"] for entry in discover()] == list(METHODS)
    send = next(entry for entry in discover() if entry["name"] == "send")
    assert {"name": "to", "type": "text", "required": True}.items() <= send["parameters"][0].items()  # type: ignore[index]
