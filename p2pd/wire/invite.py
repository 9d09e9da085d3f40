"""What an invite holds beyond a contact link, and what shows that a request comes by it.

`docs/protocol.md`, "Addresses and links" and "Invites".
Knows no letters: `address` writes and reads the whole link.

    | offset | bytes |                                                                              |
    |--------|-------|------------------------------------------------------------------------------|
    | 0      | 1     | kind: 1 lets several in; 2 lets one in, and carries a one-time prekey        |
    | 1      | 4     | expires_s                                                                    |
    | 5      | 16    | secret                                                                       |
    | 21     | 4     | kind 2: the one-time prekey's id, from 1                                     |
    | 25     | 32    | kind 2: its X25519 public half                                               |
    | last   | 3     | checksum over everything before it in the link: a mistyped letter is an error |

Extra bytes are refused: a kind has one length.
"""

from dataclasses import dataclass, field
from typing import Self

from p2pd import limits
from p2pd.domains import Domain, derive_key, domain_hash
from p2pd.errors import PeerError
from p2pd.types import IdentityKey

PROOF_BYTES = 16
_CHECKSUM_BYTES = 3
_ONE_TIME_AT = 1 + 4 + limits.INVITE_SECRET_BYTES
_KINDS = {1: _ONE_TIME_AT, 2: _ONE_TIME_AT + 4 + limits.KEY_BYTES}
"""Kind: its length without the checksum."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the invited person gets: until when, the inbox's secret, and perhaps a one-time prekey (id 0: none)."""

    expires_s: int
    secret: bytes = field(repr=False)
    one_time_id: int = 0
    one_time: bytes = b""

    def encode(self, identity: IdentityKey, hints: bytes) -> bytes:
        """The bytes of this invitation in a link of that person with those packed node hints."""
        key = self.one_time_id.to_bytes(4, "big") + self.one_time if self.one_time_id else b""
        body = bytes([2 if key else 1]) + self.expires_s.to_bytes(4, "big") + self.secret + key
        return body + _checksum(identity, hints, body)

    @classmethod
    def decode(cls, data: bytes, identity: IdentityKey, hints: bytes) -> Self:
        """What `encode` made for that link.

        Raises:
            PeerError: a letter of the link is wrong, or the invite is of a newer version.
        """
        body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
        if not body or checksum != _checksum(identity, hints, body):
            raise PeerError("malformed", "a letter of it is wrong or missing: its checksum does not fit")
        if len(body) != _KINDS.get(body[0]):
            raise PeerError("unknown_kind", "it is of a newer version of p2pd")
        expires_s, secret = int.from_bytes(body[1:5], "big"), body[5:_ONE_TIME_AT]
        one_time_id, one_time = int.from_bytes(body[_ONE_TIME_AT:][:4], "big"), body[_ONE_TIME_AT + 4 :]
        if one_time and not one_time_id:
            raise PeerError("malformed", "its one-time key has no number")
        return cls(expires_s, secret, one_time_id, one_time)


def _checksum(identity: IdentityKey, hints: bytes, body: bytes) -> bytes:
    return domain_hash(Domain.INVITE_CHECKSUM, identity, hints, body, size=_CHECKSUM_BYTES)


def invite_proof(secret: bytes, identity: IdentityKey, envelope: bytes) -> bytes:
    """What only who has the invite's secret can put beside a request to that identity, 16 bytes."""
    return derive_key(Domain.INVITE_PROOF, secret, identity, envelope, size=PROOF_BYTES)
