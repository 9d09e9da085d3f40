"""The file of a backup: bytes in, the parts of a home out, and the other way.

Knows no home and no daemon.

    magic      8 B   "p2pd/bk1"
    length     u32   of the header, big-endian
    header     MessagePack: stretching (`p2pd.storage.passphrase`), stream 24 B
    chunks     64 KiB each, the last shorter, 17 bytes more sealed: `p2pd.crypto.stream`, bound to all that stands
               before them, under the key that the passphrase gives

    in them    u32 and MessagePack `Manifest`, then the files that it names, one after the other

Rules: nothing of what a file says is used before its chunk is authenticated, and a file counts as whole only with its
last chunk.  Of names only those of a home are taken.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from p2pd import limits
from p2pd.crypto.stream import HEADER_SIZE, OVERHEAD, Opening, Sealing
from p2pd.errors import DamagedError, LockedError, PeerError, StorageError
from p2pd.storage.files import refusal
from p2pd.storage.home import CONFIG_NAME, KEYS_NAME, USER_NAME
from p2pd.storage.passphrase import Stretching, checked_passphrase, fresh_stretching
from p2pd.store import KnownNode

MAGIC = b"p2pd/bk1"
CHUNK = 64 * limits.KIB
SMALL_BYTES = 256 * limits.KIB
"""Of a key file or settings, which `settings` does not read beyond this."""
_PURPOSE = b"backup"
_HEADER_BYTES = limits.KIB
_MANIFEST_BYTES = limits.MIB
_DAMAGED = "the backup is not whole"
_ANOTHER = "use another backup; this one was cut off or changed"


class Manifest(msgspec.Struct, frozen=True):
    """What is in a backup."""

    made_ms: int
    version: str
    """Of p2pd, which made it."""
    address: str
    contacts: int
    messages: int
    waiting: int
    """Items that were under way."""
    files: dict[str, int]
    """Name and size, in the order in which they stand."""
    nodes: list[KnownNode]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stretching: Stretching
    stream: bytes


class Contents(msgspec.Struct, frozen=True):
    """What was unpacked, but for the database, which lies in a file."""

    manifest: Manifest
    keys: bytes
    config: bytes | None


def pack(target: BinaryIO, passphrase: bytes, manifest: Manifest, files: dict[str, bytes | Path]) -> None:
    """Writes a backup; raises UsageError for a passphrase that cannot be set, OSError."""
    stretching = fresh_stretching()
    sealing = Sealing(stretching.key(checked_passphrase(passphrase), _PURPOSE))
    header = msgspec.msgpack.encode(_Header(stretching, sealing.header))
    before = MAGIC + len(header).to_bytes(4, "big") + header
    target.write(before)
    table = msgspec.msgpack.encode(manifest)
    waiting = b""
    for piece in _pieces(len(table).to_bytes(4, "big") + table, (files[name] for name in manifest.files)):
        waiting += piece
        while len(waiting) > CHUNK:
            target.write(sealing.seal(waiting[:CHUNK], before))
            waiting = waiting[CHUNK:]
    target.write(sealing.seal(waiting, before, last=True))


def unpack(source: BinaryIO, passphrase: bytes, database: Path) -> Contents:
    """Reads a backup to its end; its database is written to a file, which must be there and empty.

    Raises:
        LockedError: it is another passphrase's, or damaged where that cannot be told apart.
        DamagedError: it is no backup, or not whole.
        StorageError: a newer p2pd made it, or the disk refuses.
    """
    plain = _Plain(_chunks(source, passphrase))
    manifest = _manifest(plain)
    small: dict[str, bytes] = {}
    try:
        with database.open("r+b") as target:
            for name, size in manifest.files.items():
                if name == USER_NAME:
                    for piece in plain.take(size):
                        target.write(piece)
                elif size <= SMALL_BYTES:
                    small[name] = b"".join(plain.take(size))
                else:
                    raise DamagedError(_DAMAGED, hint=_ANOTHER)
    except OSError as error:
        raise refusal(error, database) from error
    plain.end()
    return Contents(manifest, small[KEYS_NAME], small.get(CONFIG_NAME))


def _pieces(first: bytes, files: Iterable[bytes | Path]) -> Iterator[bytes]:
    yield first
    for content in files:
        if isinstance(content, bytes):
            yield content
            continue
        with content.open("rb") as file:
            while piece := file.read(CHUNK):
                yield piece


def _chunks(source: BinaryIO, passphrase: bytes) -> Iterator[bytes]:
    start = source.read(len(MAGIC) + 4)
    size = int.from_bytes(start[len(MAGIC) :], "big")
    if not start.startswith(MAGIC) or len(start) < len(MAGIC) + 4 or size > _HEADER_BYTES:
        raise DamagedError("this is no backup of p2pd's", hint="name the file that p2pctl backup create made")
    encoded = source.read(size)
    try:
        header = msgspec.msgpack.decode(encoded, type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedError(_DAMAGED, hint=_ANOTHER) from error
    if len(header.stream) != HEADER_SIZE:
        raise DamagedError(_DAMAGED, hint=_ANOTHER)
    opening = Opening(header.stretching.key(passphrase, _PURPOSE), header.stream)
    before, is_first = start + encoded, True
    while sealed := source.read(CHUNK + OVERHEAD):
        try:
            chunk, is_last = opening.open(sealed, before)
        except PeerError:
            if is_first:
                raise LockedError(
                    "this is not the passphrase of this backup, or its beginning was cut off or changed",
                    hint="try again; if you are sure of the passphrase, use another backup",
                ) from None
            break
        is_first = False
        yield chunk
        if is_last:
            if source.read(1):
                break
            return
    raise DamagedError(_DAMAGED, hint=_ANOTHER)


def _manifest(plain: "_Plain") -> Manifest:
    size = int.from_bytes(b"".join(plain.take(4)), "big")
    if size > _MANIFEST_BYTES:
        raise DamagedError(_DAMAGED, hint=_ANOTHER)
    try:
        manifest = msgspec.msgpack.decode(b"".join(plain.take(size)), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StorageError("the backup was made by another version of p2pd", hint="install that version") from error
    names = manifest.files.keys()
    if not {KEYS_NAME, USER_NAME} <= names <= {KEYS_NAME, USER_NAME, CONFIG_NAME} or min(manifest.files.values()) < 0:
        raise DamagedError(_DAMAGED, hint=_ANOTHER)
    return manifest


class _Plain:
    """The opened chunks as one run of bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def take(self, size: int) -> Iterator[bytes]:
        """The next bytes, in pieces; DamagedError where there are fewer."""
        while size:
            if not self._rest:
                self._rest = self._next()
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            yield piece

    def end(self) -> None:
        """There must be no more; DamagedError otherwise."""
        if self._rest or next(self._chunks, b""):
            raise DamagedError(_DAMAGED, hint=_ANOTHER)

    def _next(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise DamagedError(_DAMAGED, hint=_ANOTHER)
