"""The envelope: one ratchet message with what is needed to open it.  `docs/protocol.md`, "Envelopes".

Knows no keys.
Rules: the same bytes go on every path; on each path something hides them: the pair's seal in a mailbox, the request's
in a public inbox, the link's cipher on a link.  All fields but the ciphertext are its associated data.
"""

from typing import Annotated, ClassVar

import msgspec

from p2pd import limits
from p2pd.domains import Domain, domain_hash
from p2pd.wire.codec import U8, U32, U63, Bytes16, Bytes32, Device, Wire
from p2pd.wire.invite import PROOF_BYTES
from p2pd.wire.person import DeviceCertificate

FIRST_CONTACT_BYTES = 1_400


class FirstContact(Wire, frozen=True):
    """The header by which the other side begins the session: X3DH and ML-KEM-768, suite 1."""

    LIMIT: ClassVar[int] = FIRST_CONTACT_BYTES
    suite: U8
    device: Device
    ephemeral: Bytes32
    prekey: U32
    one_time: U32
    kem: Annotated[bytes, msgspec.Meta(min_length=1_088, max_length=1_088)]


class Envelope(Wire, frozen=True):
    """One sealed item.

    `sequence` is the item's number from this device to that one, 0 for what is not acknowledged (acknowledgements).
    `first_contact` is the first-contact header, an encoded `FirstContact`; empty once the other side has
    answered in this session.
    """

    LIMIT: ClassVar[int] = limits.ENVELOPE_BYTES
    session: Bytes16
    sequence: U63
    ratchet: Bytes32
    previous: U32
    number: U32
    ciphertext: Annotated[bytes, msgspec.Meta(max_length=limits.ENVELOPE_BYTES)]
    first_contact: Annotated[bytes, msgspec.Meta(max_length=FIRST_CONTACT_BYTES)] = b""

    @property
    def mark(self) -> bytes:
        """What tells it from another of the same sequence: 4 bytes of the session, the last 8 of the ciphertext."""
        return self.session[:4] + self.ciphertext[-8:]


def envelope_binding(session: bytes, sequence: int, first_contact: bytes) -> bytes:
    """What the ratchet authenticates beside its own header."""
    return domain_hash(Domain.ENVELOPE, session, sequence.to_bytes(8, "big"), first_contact)


class ContactRequest(Wire, frozen=True):
    """What the seal of a request in a public inbox holds: who asks, and the first envelope.

    The certificate lets the reader open the envelope, whose first-contact header names the same device.
    `proof` shows that it comes by an invite (`invite_proof`); empty in a public inbox.
    """

    LIMIT: ClassVar[int] = 4 * limits.KIB
    certificate: DeviceCertificate
    envelope: Annotated[bytes, msgspec.Meta(max_length=4 * limits.KIB)]
    proof: Annotated[bytes, msgspec.Meta(max_length=PROOF_BYTES)] = b""
