import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import p2pd
from p2pd.domains import Domain, derive_key, domain_hash, framed
from tests.second.formats import label_hash

PARTS = st.lists(st.binary(max_size=8), max_size=4).map(tuple)


def test_labels_are_unique_readable_and_of_this_version() -> None:
    values = [domain.value for domain in Domain.__members__.values()]
    assert len(set(values)) == len(Domain.__members__), "an alias: two names for one label"
    for value in values:
        assert re.fullmatch(rb"p2pd/1 [a-z0-9][a-z0-9 ,]+", value)


def test_every_label_is_in_use() -> None:
    sources = "".join(path.read_text() for path in Path(p2pd.__file__).parent.rglob("*.py"))
    assert [name for name in Domain.__members__ if f"Domain.{name}" not in sources] == []


def test_no_framed_label_begins_another() -> None:
    framings = [framed((domain.value,)) for domain in Domain]
    for one in framings:
        assert [other for other in framings if other.startswith(one)] == [one]


@given(one=PARTS, other=PARTS)
def test_framing_is_injective(one: tuple[bytes, ...], other: tuple[bytes, ...]) -> None:
    assert (framed(one) == framed(other)) == (one == other)


@given(one=PARTS, cut=st.integers(0, 8))
def test_moving_a_boundary_between_parts_changes_the_framing(one: tuple[bytes, ...], cut: int) -> None:
    joined = b"".join(one)
    moved = (joined[:cut], joined[cut:])
    assert (framed(moved) == framed(one)) == (moved == one)


def test_framing_is_as_the_protocol_says() -> None:
    assert framed((b"ab", b"")) == b"\x00\x00\x00\x02ab\x00\x00\x00\x00"
    assert domain_hash(Domain.NODE_ID, b"key", size=20) == label_hash("node id", b"key", size=20)


def test_hashes_differ_by_label_and_keys_by_secret() -> None:
    hashes = {domain_hash(domain, b"part") for domain in Domain}
    keys = {derive_key(domain, b"s" * 32, b"part") for domain in Domain}
    assert len(hashes | keys) == 2 * len(Domain)
    assert derive_key(Domain.RING, b"s" * 32) != derive_key(Domain.RING, b"t" * 32)


@pytest.mark.parametrize("size", [1, 16, 64])
def test_sizes(size: int) -> None:
    assert len(domain_hash(Domain.NETWORK, b"x", size=size)) == size
    assert len(derive_key(Domain.RING, b"s" * 16, size=size)) == size
