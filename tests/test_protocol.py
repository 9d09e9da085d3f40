"""`docs/protocol.md` says what the code says, where a test can tell: labels, numbers, tags, reasons."""

import re
from pathlib import Path

import msgspec
import pytest

from p2pd import limits
from p2pd.domains import Domain
from p2pd.wire import content, link, record, relay, rpc
from p2pd.wire.person import NatKind
from p2pd.wire.relay import Over
from p2pd.wire.rpc import Refusal

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
ROWS = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in TEXT.splitlines() if line[:1] == "|"]
LABELS = {cells[0].strip('"'): cells[1] for cells in ROWS if len(cells) == 2 and re.fullmatch('".+"', cells[0])}


def shown(value: float | tuple[float, ...]) -> str:
    """A number of `limits` as the document writes it."""
    if isinstance(value, tuple):
        return "; ".join(map(shown, value))
    return f"{value:,}" if value != int(value) else f"{int(value):,}"


def test_labels_are_those_of_the_code() -> None:
    assert list(LABELS) == list(dict.fromkeys(LABELS))
    assert {f"p2pd/1 {label}" for label in LABELS} == {domain.value.decode() for domain in Domain}


def test_the_second_implementation_knows_every_label_that_others_must() -> None:
    files = [*(ROOT / "tests" / "second").glob("*.py"), ROOT / "tests" / "vectors" / "crypto.json"]
    known = "".join(path.read_text(encoding="utf-8") for path in files)
    shared = [label for label, use in LABELS.items() if "local to" not in use]
    assert [label for label in shared if label not in known] == []


def test_every_number_that_it_names_has_its_value() -> None:
    named = {name for name in re.findall(r"`[^`A-Z]*([A-Z][A-Z0-9_]+)`", TEXT) if hasattr(limits, name)}
    told = {cells[0].strip("`"): cells[1] for cells in ROWS if len(cells) == 2 and cells[0].strip("`") in named}
    assert len(named) > 50
    assert told == {name: shown(getattr(limits, name)) for name in named}


@pytest.mark.parametrize(
    "union",
    [rpc.Body, record.Content, content.Body, link.LinkMessage, relay.RelayMessage],
    ids=["questions", "records", "contents", "links", "relays"],
)
def test_tags_are_those_of_the_code(union: object) -> None:
    kinds = msgspec.inspect.type_info(union)
    assert isinstance(kinds, msgspec.inspect.UnionType)
    rows = {cells[:2] for cells in ROWS if len(cells) > 2}
    tagged = [kind for kind in kinds.types if isinstance(kind, msgspec.inspect.StructType)]
    assert len(tagged) == len(kinds.types)
    assert [kind.cls.__name__ for kind in tagged if (str(kind.tag), kind.cls.__name__) not in rows] == []


@pytest.mark.parametrize("numbers", [Refusal, Over, NatKind])
def test_every_reason_and_kind_is_told(numbers: type[Refusal] | type[Over] | type[NatKind]) -> None:
    tables = re.findall(r"\n\| (?:reason|nat) \|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)", TEXT)
    told = [[int(row.split("|")[1]) for row in table.splitlines()] for table in tables]
    assert sorted(number.value for number in numbers) in told
