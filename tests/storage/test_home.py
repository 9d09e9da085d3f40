"""The home: what is refused, and that one process has it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from p2pd.errors import ForeignHomeError, HomeInUseError
from p2pd.storage.home import holder, locked, open_home, refused
from p2pd.storage.keys import master_key

HOLDER = """
import sys
from pathlib import Path
from p2pd.storage.home import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_home_is_made_with_its_parents_and_opened_again(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    open_home(home)
    open_home(home)
    assert home.stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("name", ["keys", "user.db", "dht.db", "user.db-wal", "control", "anything"])
def test_everything_in_it_is_checked(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    open_home(home)
    (home / name).touch(mode=0o600)
    open_home(home)
    (home / name).chmod(0o644)
    with pytest.raises(ForeignHomeError):
        open_home(home)
    (home / name).unlink()
    (home / name).symlink_to("/dev/null")
    with pytest.raises(ForeignHomeError):
        open_home(home)


def another(place: Path) -> None:
    """Given away, where we may; else a mode that nobody may have."""
    os.chown(place, 65_534, 65_534) if os.geteuid() == 0 else place.chmod(0o777)


def a_link(place: Path) -> None:
    kept = place.with_name("elsewhere")
    place.rename(kept)
    place.symlink_to(kept)


DOORS = {
    "home of another": lambda home: another(home),
    "home open to its group": lambda home: home.chmod(0o750),
    "home open to the world": lambda home: home.chmod(0o705),
    "home a link": a_link,
    "home a file": lambda home: (shutil.rmtree(home), home.touch(mode=0o600)),
    "keys of another": lambda home: another(home / "keys"),
    "keys read by its group": lambda home: (home / "keys").chmod(0o640),
    "keys read by the world": lambda home: (home / "keys").chmod(0o604),
    "keys a link": lambda home: a_link(home / "keys"),
    "keys with a second name": lambda home: home.with_name("second").hardlink_to(home / "keys"),
    "database written by the world": lambda home: (home / "user.db").chmod(0o602),
    "lock a device": lambda home: ((home / "lock").unlink(), (home / "lock").symlink_to("/dev/null")),
}
"""Every way in that somebody else could have left open (R38)."""


@pytest.mark.parametrize("door", DOORS)
def test_an_open_door_is_refused_and_left_as_it_is(tmp_path: Path, door: str) -> None:
    home = tmp_path / "home"
    open_home(home)
    master_key(home)
    for name in ("user.db", "lock"):
        (home / name).touch(mode=0o600)
    open_home(home)
    DOORS[door](home)
    before = {path: path.lstat() for path in (home, *sorted(tmp_path.rglob("*")))}
    with pytest.raises(ForeignHomeError) as refused:
        open_home(home)
    assert refused.value.exit_code == 15
    assert refused.value.hint
    after = {path: path.lstat() for path in (home, *sorted(tmp_path.rglob("*")))}
    assert [(path, it.st_mode, it.st_uid, it.st_ino, it.st_mtime_ns) for path, it in before.items()] == [
        (path, it.st_mode, it.st_uid, it.st_ino, it.st_mtime_ns) for path, it in after.items()
    ]


def test_a_folder_in_it_is_checked(tmp_path: Path) -> None:
    open_home(tmp_path / "home")
    (tmp_path / "home" / "run").mkdir()
    (tmp_path / "home" / "run").chmod(0o755)
    with pytest.raises(ForeignHomeError):
        open_home(tmp_path / "home")


def test_settings_may_be_readable_but_not_writable_by_others(tmp_path: Path) -> None:
    open_home(tmp_path / "home")
    config = tmp_path / "home" / "config.toml"
    config.touch()
    config.chmod(0o644)
    open_home(tmp_path / "home")
    config.chmod(0o664)
    with pytest.raises(ForeignHomeError, match="changed by other users"):
        open_home(tmp_path / "home")


def test_a_second_holder_is_told_who_has_it(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(HomeInUseError, match=f"process {os.getpid()}") as refused, locked(tmp_path):
            pass
        assert refused.value.exit_code == 10
    with locked(tmp_path):
        pass


def test_the_lock_ends_with_a_killed_process(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path.cwd()
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    with holder:
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(HomeInUseError, match=f"process {holder.pid}"), locked(tmp_path):
            pass
        holder.kill()
        holder.wait()
        with locked(tmp_path):
            assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_all_that_is_refused_is_named_and_nothing_is_changed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    open_home(home)
    for name in ("one", "two"):
        (home / name).touch(mode=0o644)
    (home / "well").touch(mode=0o600)
    found = refused(home, os.geteuid())
    assert [error.message.split()[0] for error in found] == [str(home / "one"), str(home / "two")]
    assert all("chmod 600" in error.hint for error in found)
    assert len(refused(home, os.geteuid() + 1)) == 1, "another's home is not looked into"
    assert len(refused(tmp_path / "none", os.geteuid())) == 1
    assert not (tmp_path / "none").exists()


def test_the_holder_is_known_without_taking_the_lock(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    assert not (tmp_path / "lock").exists()
    with locked(tmp_path):
        assert holder(tmp_path) == str(os.getpid())
    assert holder(tmp_path) is None
