"""What people copy: addresses, contact links, message ids, node hints.  `docs/protocol.md`, "Addresses".

Knows nothing of who is behind them.
z-base-32 (Zooko O'Whielacronx, 2002) writes 5 bits a letter, most significant first, in an alphabet made for reading
aloud; where the bits do not fill the last letter they are zero, and anything else is refused.

| text | is |
|---|---|
| `p2p:` and 56 letters | identity key 32, checksum 3 |
| the same, `/`, letters | and packed node hints: for each a length 1, node key 32, endpoint 6 or 18 |
| the same, `/`, letters | and an invite, see `invite`; the hints may be none |
| 26 letters | a message id |
| `KEY@HOST:PORT`, `HOST:PORT` | a node; KEY is 52 letters |
"""

from base64 import b32encode
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from p2pd import limits
from p2pd.domains import Domain, domain_hash
from p2pd.errors import PeerError, UsageError
from p2pd.types import Endpoint, IdentityKey, MessageId, NodeHint, NodeKey
from p2pd.wire.invite import Invitation
from p2pd.wire.rpc import pack_endpoint, unpack_endpoint

ALPHABET = "ybndrfg8ejkmcpqxot1uwisza345h769"
_Z_BASE_32 = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", ALPHABET.encode())
"""From the letters of RFC 4648, which packs bits in the same way."""
_VALUES = {letter: value for value, letter in enumerate(ALPHABET)}
PREFIX = "p2p:"
CHECKSUM_BYTES = 3
ADDRESS_LETTERS = 56
HINTS_IN_LINK = 3
_ID_LETTERS = 26


def encode_letters(data: bytes) -> str:
    """`data` in z-base-32."""
    return b32encode(data).translate(_Z_BASE_32, b"=").decode()


def decode_letters(text: str) -> bytes:
    """The bytes of z-base-32 letters; raises `PeerError` for other letters, lengths, or stray bits."""
    if len(text) > limits.LETTERS or not text.isascii():
        raise PeerError("malformed", "too long, or a letter that is not z-base-32")
    number = 0
    for letter in text.lower():
        value = _VALUES.get(letter)
        if value is None:
            raise PeerError("malformed", "a letter that is not z-base-32")
        number = number << 5 | value
    size, stray = divmod(len(text) * 5, 8)
    if stray >= 5 or number & ((1 << stray) - 1):
        raise PeerError("malformed", "letters that no bytes give")
    return (number >> stray).to_bytes(size, "big")


def _checksum(identity: bytes) -> bytes:
    return domain_hash(Domain.ADDRESS_CHECKSUM, identity, size=CHECKSUM_BYTES)


@lru_cache(maxsize=1_024)
def encode_address(identity: IdentityKey) -> str:
    """A person's address."""
    return PREFIX + encode_letters(identity + _checksum(identity))


@dataclass(frozen=True, slots=True)
class Link:
    """A person's address and, in a contact link, up to three nodes by which a newcomer can join; perhaps an invite."""

    identity: IdentityKey
    hints: tuple[NodeHint, ...] = ()
    invitation: Invitation | None = None

    def encode(self) -> str:
        """The link's text; without hints and invitation it is the plain address."""
        packed = b""
        keyed = [hint.key + pack_endpoint(hint.endpoint) for hint in self.hints if hint.key is not None]
        for entry in keyed[:HINTS_IN_LINK]:
            packed += bytes([len(entry)]) + entry
        text = encode_address(self.identity) + (f"/{encode_letters(packed)}" if packed or self.invitation else "")
        return f"{text}/{encode_letters(self.invitation.encode(self.identity, packed))}" if self.invitation else text


def looks_like_address(text: str) -> bool:
    """Whether a recipient's text is an address or link, or the beginning of one, rather than a name."""
    return text.lower().startswith(PREFIX)


def parse_link(text: str) -> Link:
    """The link in a user's text.

    Raises:
        UsageError: it is not an address; the text says which rule it breaks.
    """
    address, *tails = text.strip().split("/", 2)
    letters = address[len(PREFIX) :]
    if not looks_like_address(address) or len(letters) != ADDRESS_LETTERS:
        raise UsageError(
            f"not an address: it should be {PREFIX} and {ADDRESS_LETTERS} letters, and has {len(letters)}",
            hint="copy it again from `p2pctl id` on the other side",
        )
    try:
        data = decode_letters(letters)
        packed = decode_letters(tails[0]) if tails else b""
        hints = _decode_hints(packed)
    except PeerError as error:
        raise UsageError(
            f"not an address: {error.message}", hint="copy it again from `p2pctl id` on the other side"
        ) from None
    identity = IdentityKey(data[:32])
    if data[32:] != _checksum(identity):
        raise UsageError(
            "a letter of this address is wrong: its checksum does not fit",
            hint="copy it again from `p2pctl id` on the other side",
        )
    return Link(identity, hints, _decode_invitation(tails[1], identity, packed) if len(tails) > 1 else None)


def _decode_invitation(letters: str, identity: IdentityKey, hints: bytes) -> Invitation:
    try:
        return Invitation.decode(decode_letters(letters), identity, hints)
    except PeerError as error:
        raise UsageError(
            f"not an invite: {error.message}", hint="copy all of it again, or ask for another: p2pctl invite"
        ) from None


def _decode_hints(packed: bytes) -> tuple[NodeHint, ...]:
    hints: list[NodeHint] = []
    while packed and len(hints) < HINTS_IN_LINK:
        size = packed[0]
        entry, packed = packed[1 : 1 + size], packed[1 + size :]
        if size not in (38, 50) or len(entry) != size:
            raise PeerError("malformed", "its node hints are cut off")
        hints.append(NodeHint(unpack_endpoint(entry[32:]), NodeKey(entry[:32])))
    return tuple(hints)


@lru_cache(maxsize=256)
def encode_id(message: bytes) -> str:
    """A message id as people see it: 26 letters."""
    return encode_letters(message)


def id_range(prefix: str) -> tuple[MessageId, MessageId]:
    """The lowest and highest message id that begin with these letters.

    Raises:
        UsageError: no id begins so.
    """
    letters = prefix.strip()
    if not letters.isascii() or not 0 < len(letters) <= _ID_LETTERS or not _VALUES.keys() >= set(letters.lower()):
        raise _not_an_id()
    letters = letters.lower()
    low = high = 0
    for place in range(_ID_LETTERS):
        value = _VALUES[letters[place]] if place < len(letters) else None
        low = low << 5 | (0 if value is None else value)
        high = high << 5 | (31 if value is None else value)
    if len(letters) == _ID_LETTERS and low & 3:
        raise _not_an_id()
    return MessageId((low >> 2).to_bytes(16, "big")), MessageId((high >> 2).to_bytes(16, "big"))


def _not_an_id() -> UsageError:
    return UsageError(
        "not a message id: it is the letters that `send` and `history` print", hint="a beginning of it is enough"
    )


def encode_node_key(key: bytes) -> str:
    """A node key or id as 52 letters."""
    return encode_letters(key)


def format_hint(hint: NodeHint) -> str:
    """`KEY@HOST:PORT`, or `HOST:PORT` where the key is not known."""
    return f"{encode_node_key(hint.key)}@{hint.endpoint}" if hint.key else str(hint.endpoint)


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint in `HOST:PORT` or `[IPV6]:PORT`, an IP address, no name; raises `UsageError`."""
    host, _, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = IPv6Address(host[1:-1]) if bracketed else IPv4Address(host)
    except ValueError:
        raise UsageError(f"not HOST:PORT with an IP address: {text.strip()[:80]}") from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise UsageError(f"an address with a zone means nothing to others: {text.strip()[:80]}")
    if not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) > 65_535:
        raise UsageError(f"not a port: {port[:20]}")
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return Endpoint(str(mapped or address), int(port))


def parse_node_hint(text: str) -> NodeHint:
    """The node in `HOST:PORT` or `KEY@HOST:PORT`; raises `UsageError`."""
    key, at, endpoint = text.strip().rpartition("@")
    where = parse_endpoint(endpoint)
    if where.port == 0:
        raise UsageError("a node has no port 0")
    if not at:
        return NodeHint(where)
    try:
        data = decode_letters(key)
    except PeerError as error:
        raise UsageError(f"not a node key: {error.message}") from None
    if len(data) != 32:
        raise UsageError(f"not a node key: it should be 52 letters, and has {len(key)}")
    return NodeHint(where, NodeKey(data))
