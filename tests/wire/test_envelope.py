from p2pd import limits
from p2pd.crypto.first_contact import REQUEST_OVERHEAD
from p2pd.types import DeviceKey, IdentityKey
from p2pd.wire.content import Acknowledgement, Content, Request
from p2pd.wire.envelope import FIRST_CONTACT_BYTES, ContactRequest, Envelope, FirstContact, envelope_binding
from p2pd.wire.padding import LENGTH_BYTES
from p2pd.wire.person import DeviceCertificate, DeviceContent
from tests.second import formats as second
from tests.wire.formats import DERIVED

RATCHET_BOX_BYTES = 16
HIGHEST = 2**32 - 1
HEADER = FirstContact(1, DeviceKey(bytes(32)), bytes(32), HIGHEST, HIGHEST, bytes(1_088)).encode()


def test_golden_binding() -> None:
    first = second.FIRST_CONTACT.encode()
    assert envelope_binding(second.SESSION, 1, first) == DERIVED["envelope_binding"]


def test_binding_changes_with_each_of_its_parts() -> None:
    bindings = [
        envelope_binding(bytes(16), 1, b"header"),
        envelope_binding(b"s" * 16, 1, b"header"),
        envelope_binding(bytes(16), 2, b"header"),
        envelope_binding(bytes(16), 1, b""),
    ]
    assert len(set(bindings)) == len(bindings)


def test_a_first_contact_header_fits_an_envelope() -> None:
    assert len(HEADER) <= FIRST_CONTACT_BYTES


def test_the_largest_contact_request_fits_its_record() -> None:
    content = DeviceContent(IdentityKey(bytes(32)), DeviceKey(bytes(32)), HIGHEST).encode()
    certificate = DeviceCertificate(content, bytes(64))
    text = bytes(limits.REQUEST_TEXT_BYTES)
    body = Request("\U0010ffff" * limits.NAME_CHARS, bytes(32), text, bytes(32), [b"\x01" * 18] * 2).encode()
    plaintext = Content(
        second.MESSAGE,
        2**63 - 1,
        Acknowledgement(bytes(8), bytes(8), 0),
        body,  # type: ignore[arg-type]
    ).encode()
    sealed = bytes(len(plaintext) + RATCHET_BOX_BYTES)
    envelope = Envelope(bytes(16), 1, bytes(32), 0, 0, sealed, HEADER).encode()
    request = ContactRequest(certificate, envelope).encode()
    assert ContactRequest.decode(request).envelope == envelope
    assert LENGTH_BYTES + len(request) + REQUEST_OVERHEAD <= limits.SIZE_CLASSES[2]
