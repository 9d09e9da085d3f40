"""The key file: the master key under which the user's database is sealed.

Knows nothing of what is sealed.  The seeds of identity, device and node are rows of that database.

    field     type    what
    version   int     1
    checksum  16 B    BLAKE2b of `keys`, label "at rest": tells a damaged file from a wrong passphrase
    keys      bytes   MessagePack of one of the kinds below, by its field `kind`

    kind 0    master  32 B   the key itself; the folder's mode and disk encryption protect it

A key wrapped under a passphrase (Argon2id) would be kind 1, and change nothing else.
Rules: the file is replaced whole, and never while it cannot be read; a database without its key file never gets a
new one, which could only make things worse.
"""

import os
from pathlib import Path
from typing import Annotated

import msgspec

from p2pd.domains import Domain, domain_hash
from p2pd.errors import DamagedError, StorageError
from p2pd.limits import KEY_BYTES
from p2pd.storage.files import read_file, replace_file
from p2pd.storage.home import KEYS_NAME, USER_NAME

_VERSION = 1
_CHECKSUM_BYTES = 16
_RESTORE = "put the file `keys` back from a backup of the home; nothing else can open its user.db"


class Unwrapped(msgspec.Struct, frozen=True, tag_field="kind", tag=0, forbid_unknown_fields=True):
    """The master key as it is."""

    master: Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    checksum: bytes
    keys: bytes


def master_key(home: Path) -> bytes:
    """The home's master key, 32 bytes, made at the first call.

    Raises:
        DamagedError: the file is damaged, or missing beside a database.
        ForeignHomeError: it is not only ours.
        StorageError: it cannot be read or written, or a newer p2pd wrote it.
    """
    data = read_file(home / KEYS_NAME)
    if data is not None:
        return decode_keys(data).master
    if _holds_something(home / USER_NAME):
        raise DamagedError(f"{home / KEYS_NAME} is missing", hint=_RESTORE)
    keys = Unwrapped(os.urandom(KEY_BYTES))
    replace_file(home / KEYS_NAME, encode_keys(keys))
    return keys.master


def encode_keys(keys: Unwrapped) -> bytes:
    """The key file's bytes."""
    body = msgspec.msgpack.encode(keys)
    return msgspec.msgpack.encode(_KeyFile(_VERSION, _checksum(body), body))


def decode_keys(data: bytes) -> Unwrapped:
    """What `encode_keys` wrote; raises DamagedError, or StorageError for a newer format."""
    try:
        file = msgspec.msgpack.decode(data, type=_KeyFile)
        if file.version == _VERSION and file.checksum == _checksum(file.keys):
            return _decode_body(file.keys)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # the second for a damaged field name
        raise DamagedError("the key file is damaged", hint=_RESTORE) from error
    if file.version > _VERSION:
        raise _newer()
    raise DamagedError("the key file is damaged", hint=_RESTORE)


def _decode_body(body: bytes) -> Unwrapped:
    try:
        return msgspec.msgpack.decode(body, type=Unwrapped)
    except msgspec.ValidationError as error:  # its checksum is right: whoever wrote it knew more than we do
        raise _newer() from error


def _checksum(body: bytes) -> bytes:
    return domain_hash(Domain.AT_REST, b"key file", body, size=_CHECKSUM_BYTES)


def _newer() -> StorageError:
    return StorageError("the key file was written by a newer p2pd", hint="install that version again")


def _holds_something(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
