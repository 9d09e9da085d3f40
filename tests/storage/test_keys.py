"""The key file: made once, told from a damaged one, opened by its passphrase alone, never written over."""

from pathlib import Path
from random import Random

import msgspec
import pytest

from p2pd import limits
from p2pd.errors import DamagedError, LockedError, NotFoundError, StorageError, UsageError
from p2pd.storage import keys as module
from p2pd.storage.files import replace_file
from p2pd.storage.keys import (
    Keys,
    Unwrapped,
    Wrapped,
    change_passphrase,
    decode_keys,
    encode_keys,
    master_key,
    opened,
    read_keys,
    wrapped,
)
from p2pd.storage.passphrase import Stretching

KEYS = Unwrapped(bytes(range(32)))
LEAST = Stretching(bytes(16), limits.PASSPHRASE_MEMORY_BYTES, limits.PASSPHRASE_PASSES)
SEALED = Wrapped(LEAST, bytes(24), bytes(48))


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured: the least that is allowed is used."""
    monkeypatch.setattr(module, "fresh_stretching", lambda: LEAST)


def test_it_is_made_once(tmp_path: Path) -> None:
    first = master_key(tmp_path)
    assert len(first) == 32
    assert master_key(tmp_path) == first
    assert (tmp_path / "keys").stat().st_mode & 0o7777 == 0o600


def test_two_homes_have_two_keys(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert master_key(tmp_path) != master_key(tmp_path / "other")


def test_any_damage_is_noticed_and_the_file_stays(tmp_path: Path) -> None:
    good = encode_keys(KEYS)
    damaged = [good[:end] for end in range(len(good))]
    damaged += [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(len(good))]
    for data in [*damaged, b"\x00" * len(good)]:
        (tmp_path / "keys").write_bytes(data)
        (tmp_path / "keys").chmod(0o600)
        with pytest.raises(StorageError):
            master_key(tmp_path)
        assert (tmp_path / "keys").read_bytes() == data
    assert decode_keys(good) == KEYS


def mutated(data: bytes, random: Random) -> bytes:
    """A few bytes changed, put in or left out, somewhere."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(changed) + 1)
        match random.randrange(4):
            case 0:
                changed[at : at + 1] = bytes([random.randrange(256)])
            case 1:
                changed[at:at] = random.randbytes(random.randint(1, 8))
            case 2:
                del changed[at : at + random.randint(1, 8)]
            case _:
                changed[at : at + 4] = random.randbytes(4)
    return bytes(changed)


def with_its_checksum(body: bytes) -> bytes:
    """As whoever knows the format could write it."""
    return msgspec.msgpack.encode({"version": 1, "checksum": module._checksum(body), "keys": body})


@pytest.mark.parametrize("count", [2_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_no_mutated_file_crashes_or_is_written_over(tmp_path: Path, count: int) -> None:
    """Half of them under a right checksum, so that what is inside is read too; none asks a guess to cost less."""
    random = Random(41)
    file = tmp_path / "keys"
    replace_file(file, b"")
    refused = 0
    for number in range(count):
        keys = SEALED if number % 4 < 3 else KEYS
        if number % 2:
            data = with_its_checksum(mutated(msgspec.msgpack.encode(keys), random))
        else:
            data = mutated(encode_keys(keys), random)
        file.write_bytes(data)
        try:
            found = read_keys(tmp_path)
        except StorageError:
            refused += 1
        else:
            assert found is not None
            assert isinstance(found, Unwrapped) or found.stretching.memory_bytes >= limits.PASSPHRASE_MEMORY_BYTES
            assert isinstance(found, Unwrapped) or found.stretching.passes >= limits.PASSPHRASE_PASSES
        assert file.read_bytes() == data
    print(f"{refused} of {count} refused, 0 written over")
    assert refused > count / 2
    assert [path.name for path in tmp_path.iterdir()] == ["keys"]


@pytest.mark.usefixtures("quickly")
def test_a_new_home_is_made_under_its_passphrase(tmp_path: Path) -> None:
    made = master_key(tmp_path, b"right")
    assert made not in (tmp_path / "keys").read_bytes()
    before = (tmp_path / "keys").read_bytes()
    assert master_key(tmp_path, b"right") == made
    with pytest.raises(LockedError, match="none was given"):
        master_key(tmp_path)
    for wrong in (b"wrong", b"", b"right "):
        with pytest.raises(LockedError, match="not the passphrase"):
            master_key(tmp_path, wrong)
    assert (tmp_path / "keys").read_bytes() == before


@pytest.mark.usefixtures("quickly")
def test_a_passphrase_is_set_changed_and_removed(tmp_path: Path) -> None:
    master = master_key(tmp_path)
    with pytest.raises(UsageError, match="no passphrase"):
        change_passphrase(tmp_path, b"something", b"one")
    change_passphrase(tmp_path, None, b"one")
    for wrong in (None, b"two"):
        with pytest.raises(LockedError):
            change_passphrase(tmp_path, wrong, b"two")
    change_passphrase(tmp_path, b"one", b"two")
    with pytest.raises(LockedError):
        master_key(tmp_path, b"one")
    with pytest.raises(UsageError, match="empty"):
        change_passphrase(tmp_path, b"two", b"")
    assert master_key(tmp_path, b"two") == master
    change_passphrase(tmp_path, b"two", None)
    assert master_key(tmp_path) == master
    assert (tmp_path / "keys").stat().st_mode & 0o7777 == 0o600


@pytest.mark.usefixtures("quickly")
def test_the_file_before_a_passphrase_does_not_stay_on_the_disk(tmp_path: Path) -> None:
    master = master_key(tmp_path)
    with (tmp_path / "keys").open("rb") as before:
        change_passphrase(tmp_path, None, b"one")
        assert master not in before.read()


def test_a_home_without_keys_has_no_passphrase_to_change(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        change_passphrase(tmp_path, None, b"one")
    assert not (tmp_path / "keys").exists()


@pytest.mark.usefixtures("quickly")
def test_what_a_guess_costs_cannot_be_changed_behind_our_back() -> None:
    good = wrapped(bytes(32), b"right")
    dearer = Stretching(good.stretching.salt, good.stretching.memory_bytes, good.stretching.passes + 1)
    with pytest.raises(LockedError):
        opened(Wrapped(dearer, good.nonce, good.box), b"right")
    cheaper: Keys = Wrapped(Stretching(good.stretching.salt, limits.MIB, 1), good.nonce, good.box)
    with pytest.raises(DamagedError):
        decode_keys(encode_keys(cheaper))


def test_a_database_without_its_key_gets_no_new_one(tmp_path: Path) -> None:
    (tmp_path / "user.db").write_bytes(b"something")
    with pytest.raises(DamagedError, match="missing") as refused:
        master_key(tmp_path)
    assert refused.value.exit_code == 13
    assert not (tmp_path / "keys").exists()


def test_a_file_of_a_newer_version_is_not_called_damaged() -> None:
    newer = msgspec.msgpack.encode({**msgspec.msgpack.decode(encode_keys(KEYS)), "version": 2})
    with pytest.raises(StorageError, match="newer") as refused:
        decode_keys(newer)
    assert not isinstance(refused.value, DamagedError)


def test_a_kind_that_is_not_known_is_of_a_newer_version() -> None:
    body = msgspec.msgpack.encode({"kind": 7, "master": bytes(32)})
    with pytest.raises(StorageError, match="newer") as refused:
        decode_keys(with_its_checksum(body))
    assert not isinstance(refused.value, DamagedError)
