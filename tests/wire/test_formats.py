"""Rules that hold for every format alike; a new one is found by itself, and fails here until it has its vector."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from p2pd.errors import PeerError
from p2pd.wire.codec import Wire
from tests.second import formats as second
from tests.second.messagepack import pack
from tests.wire.formats import DECODERS, FORMATS, GOLDEN, READERS, hostile_text, mutated, short_name, trees

PUBLIC = {name: kind for name, kind in FORMATS.items() if not kind.__name__.startswith("_")}
MADE = {made.name: made for made in second.FORMATS}


def test_vectors_are_what_the_second_implementation_makes() -> None:
    assert second.document() == second.json.loads(second.FILE.read_text(encoding="utf-8"))


def test_every_format_has_a_vector() -> None:
    assert {short_name(type(value)) for value, _ in GOLDEN} == set(PUBLIC)


@pytest.mark.parametrize(("value", "data"), GOLDEN, ids=[short_name(type(value)) for value, _ in GOLDEN])
def test_vector_both_ways(value: Wire, data: bytes) -> None:
    assert value.encode() == data
    assert type(value).decode(data) == value


def of_type(kind: msgspec.inspect.Type) -> st.SearchStrategy[Any]:
    """Values of a field's type, the ends of its range often among them."""
    match kind:
        case msgspec.inspect.BytesType(min_length=least, max_length=most):
            least = least or 0
            most = 200 if most is None else most
            sizes = st.sampled_from((least, most)) if most <= 64 else st.integers(least, max(least, min(most, 200)))
            return sizes.flatmap(lambda size: st.binary(min_size=size, max_size=size))
        case msgspec.inspect.StrType(max_length=most):
            return st.text(max_size=most)
        case msgspec.inspect.IntType(ge=low, le=high):
            assert low == 0, "no number of the protocol is negative"
            assert high is not None
            return st.sampled_from((0, 1, high)) | st.integers(0, high)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.ListType(item_type=item, max_length=most):
            assert most is not None, "a list without a bound"
            return st.lists(of_type(item), max_size=min(most, 3))
        case msgspec.inspect.StructType(cls=cls):
            return values(cls)
        case msgspec.inspect.UnionType(types=kinds):
            return st.one_of([of_type(each) for each in kinds])
    raise NotImplementedError(kind)


SMALL = {"part": st.just(1), "parts": st.integers(2, 19), "family": st.sampled_from((2, 3))}
"""Fields whose values depend on each other, or are but few of their type's."""


@st.composite
def values(draw: st.DrawFn, kind: type[Wire]) -> Wire:
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    drawn = {each.name: draw(SMALL.get(each.name, of_type(each.type))) for each in info.fields}
    try:
        return kind(**drawn)
    except ValueError:
        reject()


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_round_trip(name: str, data: st.DataObject) -> None:
    kind = FORMATS[name]
    value = data.draw(values(kind))
    assert kind.decode(value.encode()) == value


def survives(name: str, data: bytes) -> None:
    """Fails where the decoder raises anything but PeerError, or gives what does not come back from its own bytes."""
    try:
        value = DECODERS[name][0](data)
    except PeerError:
        return
    if isinstance(value, Wire):
        assert type(value).decode(value.encode()) == value


@given(data=st.binary(max_size=200) | trees)
def test_bytes_of_any_kind_raise_only_peer_error(data: bytes) -> None:
    for name in DECODERS:
        survives(name, data)


@pytest.mark.parametrize("name", DECODERS)
@given(seed=st.integers(0, 2**32))
def test_spoilt_encodings_raise_only_peer_error(name: str, seed: int) -> None:
    for step in range(10):
        survives(name, mutated(DECODERS[name][1], seed + step))


@pytest.mark.parametrize("name", READERS)
@given(text=hostile_text())
def test_hostile_text_raises_only_its_error(name: str, text: str) -> None:
    read, refusal = READERS[name]
    try:
        read(text)
    except refusal:
        return


@pytest.mark.parametrize("name", FORMATS)
def test_limit_holds(name: str) -> None:
    kind = FORMATS[name]
    with pytest.raises(PeerError, match="too_large"):
        kind.decode(bytes(kind.LIMIT + 1))


def _one_more(kind: msgspec.inspect.Type, value: Any) -> Any:
    """A value just outside the field's bound, or None where it has none."""
    match kind:
        case msgspec.inspect.BytesType(max_length=int(most)):
            return bytes(most + 1)
        case msgspec.inspect.StrType(max_length=int(most)):
            return "x" * (most + 1)
        case msgspec.inspect.IntType(le=int(most)):
            return most + 1
        case msgspec.inspect.ListType(item_type=item, max_length=int(most)):
            return [_least(item)] * (most + 1)
    return None


def _least(kind: msgspec.inspect.Type) -> Any:
    match kind:
        case msgspec.inspect.BytesType(min_length=least):
            return bytes(least or 0)
        case msgspec.inspect.IntType():
            return 0
        case msgspec.inspect.StructType(cls=cls):
            return MADE[short_name(cls)].value()
    raise NotImplementedError(kind)


@pytest.mark.parametrize("name", PUBLIC)
def test_no_field_takes_more_than_its_bound(name: str) -> None:
    made, info = MADE[name], msgspec.inspect.type_info(PUBLIC[name])
    assert isinstance(info, msgspec.inspect.StructType)
    assert [each.name for each in info.fields] == list(made.fields)
    for each in info.fields:
        changed = _one_more(each.type, made.fields[each.name])
        if changed is None:
            continue
        too_much = second.Made(name, {**made.fields, each.name: changed}, made.tag)
        with pytest.raises(PeerError, match=r"malformed|too_large"):
            PUBLIC[name].decode(too_much.encode())


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "record.Record"])
def test_fields_of_a_newer_version_are_ignored(name: str) -> None:
    value, _ = next(pair for pair in GOLDEN if short_name(type(pair[0])) == name)
    made = MADE[name].value()
    assert isinstance(made, list)
    newer = pack([*made, [b"newer", 1]])
    if len(newer) <= PUBLIC[name].LIMIT:
        last = [value for value, _ in GOLDEN if short_name(type(value)) == name][-1]
        assert PUBLIC[name].decode(newer) == last
    assert value is not None


@pytest.mark.parametrize("name", PUBLIC)
def test_bytes_after_the_array_are_refused(name: str) -> None:
    with pytest.raises(PeerError, match=r"malformed|too_large"):
        PUBLIC[name].decode(MADE[name].encode() + b"\0")


@pytest.mark.parametrize("name", PUBLIC)
def test_every_cut_is_refused(name: str) -> None:
    data = MADE[name].encode()
    for end in {*range(min(len(data), 60)), len(data) - 1}:
        with pytest.raises(PeerError):
            PUBLIC[name].decode(data[:end])
