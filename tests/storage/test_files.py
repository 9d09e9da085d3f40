"""Private files: what is refused, and that a file is replaced whole."""

import os
from pathlib import Path

import pytest

from p2pd.errors import DamagedError, ForeignHomeError, StorageError
from p2pd.limits import PRIVATE_FILE_BYTES
from p2pd.storage.files import check_file, make_file, make_folder, read_file, replace_file

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def test_folder_and_file_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_folder(tmp_path / "home")
        make_file(tmp_path / "home" / "file")
        replace_file(tmp_path / "home" / "other", b"data")
    finally:
        os.umask(before)
    assert (tmp_path / "home").stat().st_mode & 0o7777 == 0o700
    assert (tmp_path / "home" / "file").stat().st_mode & 0o7777 == 0o600
    assert (tmp_path / "home" / "other").stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o601])
def test_a_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    with pytest.raises(ForeignHomeError, match="open to other users") as refused:
        check_file(path)
    assert refused.value.exit_code == 15
    assert "chmod 600" in refused.value.hint


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o711, 0o777])
def test_a_folder_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "home"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(ForeignHomeError, match="open to other users"):
        make_folder(path)


@as_root
def test_what_is_anothers_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path / "home")
    make_file(tmp_path / "file")
    for name in ("home", "file"):
        os.chown(tmp_path / name, 12345, 12345)
    with pytest.raises(ForeignHomeError, match="another user") as caught:
        make_folder(tmp_path / "home")
    assert "--reuid=12345" in caught.value.hint, "root must not take a user's home for itself"
    with pytest.raises(ForeignHomeError, match="another user"):
        make_file(tmp_path / "file")


def test_links_are_not_followed(tmp_path: Path) -> None:
    make_folder(tmp_path / "home")
    make_file(tmp_path / "file")
    (tmp_path / "to-home").symlink_to("home")
    (tmp_path / "to-file").symlink_to("file")
    (tmp_path / "to-nothing").symlink_to("nothing")
    (tmp_path / "second-name").hardlink_to(tmp_path / "file")
    with pytest.raises(ForeignHomeError):
        make_folder(tmp_path / "to-home")
    for name in ("to-file", "to-nothing", "second-name"):
        with pytest.raises(ForeignHomeError):
            make_file(tmp_path / name)
    with pytest.raises(ForeignHomeError):
        read_file(tmp_path / "to-nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_folder_cannot_be_made_in_a_file(tmp_path: Path) -> None:
    make_file(tmp_path / "file")
    with pytest.raises(StorageError):
        make_folder(tmp_path / "file" / "home")


def test_a_file_is_replaced_and_its_draft_is_gone(tmp_path: Path) -> None:
    (tmp_path / "file.new").write_bytes(b"left behind by a crash")
    replace_file(tmp_path / "file", b"one")
    replace_file(tmp_path / "file", b"two")
    assert read_file(tmp_path / "file") == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    replace_file(tmp_path / "file", b"one")
    (tmp_path / "file.new").mkdir()
    with pytest.raises(StorageError):
        replace_file(tmp_path / "file", b"two")
    assert read_file(tmp_path / "file") == b"one"


def test_a_file_longer_than_ours_is_not_read(tmp_path: Path) -> None:
    replace_file(tmp_path / "file", b"x" * (PRIVATE_FILE_BYTES + 1))
    with pytest.raises(DamagedError):
        read_file(tmp_path / "file")
    assert read_file(tmp_path / "none") is None
