import pytest

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.types import DeviceKey, IdentityKey, NodeKey
from p2pd.wire.padding import LENGTH_BYTES, SEAL_BYTES
from p2pd.wire.person import (
    DeviceCertificate,
    DeviceContent,
    PrekeyContent,
    Presence,
    Profile,
    ProfileDevice,
    SignedPrekey,
    Waiting,
)
from tests.second import formats as second
from tests.second.messagepack import pack

ROUND_IT = LENGTH_BYTES + SEAL_BYTES
HIGHEST = 2**32 - 1


def test_the_largest_profile_fits_the_third_size_class() -> None:
    content = DeviceContent(IdentityKey(bytes(32)), DeviceKey(bytes(32)), HIGHEST).encode()
    prekey = PrekeyContent(HIGHEST, bytes(32), bytes(1_184), HIGHEST).encode()
    device = ProfileDevice(DeviceCertificate(content, bytes(64)), SignedPrekey(prekey, bytes(64)))
    profile = Profile("\U0010ffff" * limits.NAME_CHARS, 2**63 - 1, 255, [device] * limits.DEVICES).encode()
    assert len(profile) + ROUND_IT <= limits.SIZE_CLASSES[2]
    assert Profile.decode(profile).devices[1] == device


def test_presence_fits_the_first_size_class_mostly_and_the_second_always() -> None:
    usual = Presence(2**41, NodeKey(bytes(32)), [second.ENDPOINT_4, second.ENDPOINT_4, second.ENDPOINT_6])
    endpoints = [second.ENDPOINT_6] * limits.RELAY_ENDPOINTS
    relays = [Waiting(NodeKey(bytes(32)), endpoints, NodeKey(bytes(32)))] * limits.RELAYS
    largest = Presence(2**63 - 1, NodeKey(bytes(32)), [second.ENDPOINT_6] * limits.ENDPOINTS, relays, 255)
    assert len(usual.encode()) + ROUND_IT <= limits.SIZE_CLASSES[0]
    assert len(largest.encode()) + ROUND_IT <= limits.SIZE_CLASSES[1]


@pytest.mark.parametrize("endpoint", [bytes(6), b"\x01" * 7])
def test_presence_refuses_what_is_no_endpoint(endpoint: bytes) -> None:
    with pytest.raises(PeerError, match="malformed"):
        Presence.decode(pack([1, second.NODE, [second.ENDPOINT_4, endpoint], []]))


@pytest.mark.parametrize("size", [1_183, 1_185])
def test_a_kem_key_has_one_size(size: int) -> None:
    with pytest.raises(PeerError, match="malformed"):
        PrekeyContent.decode(pack([1, bytes(32), bytes(size), 1]))
