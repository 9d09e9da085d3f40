"""The key file: made once, told from a damaged one, never written over."""

from pathlib import Path

import msgspec
import pytest

from p2pd.errors import DamagedError, StorageError
from p2pd.storage.keys import Unwrapped, decode_keys, encode_keys, master_key

KEYS = Unwrapped(bytes(range(32)))


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
