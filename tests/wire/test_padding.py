import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.wire.padding import LENGTH_BYTES, SEAL_BYTES, pad, pad_for_seal, unpad
from tests.wire.formats import DERIVED

LARGEST = limits.SIZE_CLASSES[-1] - SEAL_BYTES - LENGTH_BYTES


def test_golden_padding() -> None:
    golden = DERIVED["padded"]
    assert pad(golden["plaintext"], golden["size"]) == golden["bytes"]
    assert unpad(golden["bytes"]) == golden["plaintext"]


@given(size=st.integers(0, LARGEST), least=st.sampled_from((0, *limits.SIZE_CLASSES)))
def test_a_sealed_body_has_the_smallest_class_that_fits(size: int, least: int) -> None:
    padded = pad_for_seal(b"x" * size, least=least)
    body = len(padded) + SEAL_BYTES
    smaller = [each for each in limits.SIZE_CLASSES if least <= each < body]
    assert body in limits.SIZE_CLASSES
    assert body >= least
    assert all(size + LENGTH_BYTES + SEAL_BYTES > each for each in smaller)
    assert unpad(padded) == b"x" * size


def test_the_largest_envelope_is_what_just_fits() -> None:
    assert limits.ENVELOPE_BYTES == LARGEST
    with pytest.raises(ValueError, match="do not fit"):
        pad_for_seal(bytes(LARGEST + 1))
    with pytest.raises(ValueError, match="do not fit"):
        pad(b"12345", 8)


def test_what_follows_the_length_is_ignored() -> None:
    assert unpad(b"\0\0\0\x02hi there") == b"hi"


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"\0\0\0\x01", b"\xff\xff\xff\xff" + bytes(100)])
def test_a_length_beyond_the_end_is_refused(data: bytes) -> None:
    with pytest.raises(PeerError, match="malformed"):
        unpad(data)
