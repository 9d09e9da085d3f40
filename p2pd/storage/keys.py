"""The key file: the master key under which the user's database is sealed.

Knows nothing of what is sealed.  The seeds of identity, device and node are rows of that database.

    field     type    what
    version   int     1
    checksum  16 B    BLAKE2b of `keys`, label "at rest": tells a damaged file from a wrong passphrase
    keys      bytes   MessagePack of one of the kinds below, by its field `kind`

    kind 0    master      32 B   the key itself; the folder's mode and disk encryption protect it
    kind 1    stretching  map    how the passphrase becomes a key (`passphrase`)
              nonce       24 B   random
              box         48 B   the master key, XChaCha20-Poly1305, bound to the stretching

Rules (R41): the file is replaced whole, and never while it cannot be read; a database without its key file never gets a
new one, which could only make things worse.  Setting, changing and removing a passphrase changes this file alone, so
the database need not be sealed again, and the daemon may run meanwhile.
"""

import os
from pathlib import Path
from typing import Annotated

import msgspec

from p2pd.crypto.sealing import NONCE_SIZE, seal, unseal
from p2pd.domains import Domain, domain_hash
from p2pd.errors import DamagedError, LockedError, NotFoundError, PeerError, StorageError, UsageError
from p2pd.limits import BOX_OVERHEAD_BYTES, KEY_BYTES
from p2pd.storage.files import read_file, replace_file
from p2pd.storage.home import KEYS_NAME, USER_NAME
from p2pd.storage.passphrase import Stretching, checked_passphrase, fresh_stretching

_VERSION = 1
_CHECKSUM_BYTES = 16
_BOX_BYTES = KEY_BYTES + BOX_OVERHEAD_BYTES
_PURPOSE = b"key file"
_RESTORE = "put the file `keys` back from a backup of the home; nothing else can open its user.db"
_WANTED = "p2pctl start asks for it; scripts give it with --passphrase-fd; --await-unlock waits for p2pctl unlock"


class Unwrapped(msgspec.Struct, frozen=True, tag_field="kind", tag=0, forbid_unknown_fields=True):
    """The master key as it is."""

    master: Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]


class Wrapped(msgspec.Struct, frozen=True, tag_field="kind", tag=1, forbid_unknown_fields=True):
    """The master key under a passphrase."""

    stretching: Stretching
    nonce: Annotated[bytes, msgspec.Meta(min_length=NONCE_SIZE, max_length=NONCE_SIZE)]
    box: Annotated[bytes, msgspec.Meta(min_length=_BOX_BYTES, max_length=_BOX_BYTES)]


Keys = Unwrapped | Wrapped


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    checksum: bytes
    keys: bytes


def master_key(home: Path, passphrase: bytes | None = None) -> bytes:
    """The home's master key, 32 bytes, made at the first call, under the passphrase where one is given.

    Raises:
        LockedError: a passphrase is wanted, or this is not it.
        UsageError: one is given and none is wanted.
        DamagedError: the file is damaged, or missing beside a database.
        ForeignHomeError: it is not only ours.
        StorageError: it cannot be read or written, or a newer p2pd wrote it.
    """
    keys = read_keys(home)
    if keys is not None:
        return opened(keys, passphrase)
    master = os.urandom(KEY_BYTES)
    made = Unwrapped(master) if passphrase is None else wrapped(master, passphrase)
    replace_file(home / KEYS_NAME, encode_keys(made))
    return master


def read_keys(home: Path) -> Keys | None:
    """What the key file holds; None where the home is new.  Raises as `master_key`, but for the passphrase."""
    data = read_file(home / KEYS_NAME)
    if data is not None:
        return decode_keys(data)
    if _holds_something(home / USER_NAME):
        raise DamagedError(f"{home / KEYS_NAME} is missing", hint=_RESTORE)
    return None


def change_passphrase(home: Path, present: bytes | None, wanted: bytes | None) -> None:
    """Sets, changes or removes the home's passphrase; the old key file is overwritten as far as the disk does that.

    Raises:
        NotFoundError: the home has no keys yet.
        Others: as `master_key`; nothing is changed then.
    """
    keys = read_keys(home)
    if keys is None:
        raise NotFoundError(f"{home} has no keys yet", hint="start p2pd once, at best with --passphrase-fd")
    master = opened(keys, present)
    made = Unwrapped(master) if wanted is None else wrapped(master, wanted)
    replace_file(home / KEYS_NAME, encode_keys(made), overwrite=True)


def opened(keys: Keys, passphrase: bytes | None) -> bytes:
    """The master key; raises LockedError or UsageError as `master_key`."""
    match keys:
        case Unwrapped():
            if passphrase is not None:
                raise UsageError("this home has no passphrase", hint="start it without one; set one: p2pctl passphrase")
            return keys.master
        case Wrapped():
            if passphrase is None:
                raise LockedError("this home has a passphrase, and none was given", hint=_WANTED)
            key = keys.stretching.key(passphrase, _PURPOSE)
            try:
                return unseal(key, keys.nonce, keys.box, keys.stretching.associated())
            except PeerError:
                raise LockedError("this is not the passphrase of this home", hint="try again") from None


def wrapped(master: bytes, passphrase: bytes) -> Wrapped:
    """The master key under a passphrase; UsageError where that is empty or too long."""
    checked_passphrase(passphrase)
    stretching, nonce = fresh_stretching(), os.urandom(NONCE_SIZE)
    key = stretching.key(passphrase, _PURPOSE)
    return Wrapped(stretching, nonce, seal(key, nonce, master, stretching.associated()))


def encode_keys(keys: Keys) -> bytes:
    """The key file's bytes."""
    body = msgspec.msgpack.encode(keys)
    return msgspec.msgpack.encode(_KeyFile(_VERSION, _checksum(body), body))


def decode_keys(data: bytes) -> Keys:
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


def _decode_body(body: bytes) -> Keys:
    try:
        keys: Keys = msgspec.msgpack.decode(body, type=Keys)
    except msgspec.ValidationError as error:  # its checksum is right: whoever wrote it knew more than we do
        raise _newer() from error
    if isinstance(keys, Wrapped):
        keys.stretching.check()
    return keys


def _checksum(body: bytes) -> bytes:
    return domain_hash(Domain.AT_REST, b"key file", body, size=_CHECKSUM_BYTES)


def _newer() -> StorageError:
    return StorageError("the key file was written by a newer p2pd", hint="install that version again")


def _holds_something(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
