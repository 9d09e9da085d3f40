"""Homes that a daemon must not use, and disks that do not do as they should."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from tests.integration.fleet import Daemon, Fleet, befriend

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
IS_ROOT = os.geteuid() == 0
LOGGED = re.compile(r"\d{4}-\d\d-\d\dT\S+Z (info|warning) p2pd")


@pytest.fixture
def home() -> Iterator[Fleet]:
    """A folder for daemons that no network needs to know."""
    fleet = Fleet()
    try:
        yield fleet
    finally:
        fleet.end()


def one_clear_line(said: tuple[int, str], code: int, *words: str) -> None:
    """A start that failed as it should."""
    ended, log = said
    assert ended == code, log
    (line,) = [line for line in log.splitlines() if not LOGGED.match(line)]
    assert line.startswith("p2pd: ")
    assert all(word in line for word in words), line


def overwritten(file: Path) -> None:
    file.write_bytes(Random(5).randbytes(file.stat().st_size))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def of_another(file: Path) -> None:
    shutil.copyfile(file.with_name("dht.db"), file)


def torn(file: Path) -> None:
    """The pages of its tables, and not its header, as a failing disk leaves them."""
    with file.open("r+b") as stream:
        stream.seek(100)
        stream.write(b"\xa5" * (file.stat().st_size - 100))


@pytest.fixture(scope="module")
def stopped() -> Iterator[Daemon]:
    """A home that was used, to be copied."""
    fleet = Fleet()
    (person,) = fleet.people("alice", alone=True)
    person.stop()
    yield person
    fleet.end()


@pytest.mark.parametrize("damage", [overwritten, cut, of_another, torn])
def test_a_damaged_database_is_said_in_one_line(home: Fleet, stopped: Daemon, damage: Callable[[Path], None]) -> None:
    alice = home.new("alice", alone=True)
    shutil.copytree(stopped.home, alice.home)
    damage(alice.home / "user.db")
    one_clear_line(alice.fails_to_start(), 13, "user.db")
    one_clear_line(alice.fails_to_start(), 13, "user.db")  # nothing was made worse


def test_other_peoples_records_may_be_set_aside(home: Fleet, stopped: Daemon) -> None:
    alice = home.new("alice", alone=True)
    shutil.copytree(stopped.home, alice.home)
    overwritten(alice.home / "dht.db")
    one_clear_line(alice.fails_to_start(), 13, "dht.db", "p2pctl doctor --set-aside dht.db")
    alice.says("doctor", "--set-aside", "dht.db")
    assert alice.start().address == stopped.address


@pytest.mark.parametrize("name", ["", "keys", "user.db", "dht.db", "lock"])
def test_what_others_can_read_is_refused(home: Fleet, stopped: Daemon, name: str) -> None:
    alice = home.new("alice", alone=True)
    shutil.copytree(stopped.home, alice.home)
    (alice.home / name).chmod(0o755 if not name else 0o644)
    one_clear_line(alice.fails_to_start(), 15, str(alice.home / name))


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
@pytest.mark.parametrize("name", ["", "keys"])
def test_what_belongs_to_another_is_refused(home: Fleet, stopped: Daemon, name: str) -> None:
    alice = home.new("alice", alone=True)
    shutil.copytree(stopped.home, alice.home)
    os.chown(alice.home / name, 65_534, 65_534)
    one_clear_line(alice.fails_to_start(), 15, str(alice.home / name))


def test_a_link_in_place_of_a_home_is_refused(home: Fleet, stopped: Daemon) -> None:
    alice = home.new("alice", alone=True)
    alice.home.symlink_to(stopped.home)
    one_clear_line(alice.fails_to_start(), 15, str(alice.home))


def test_a_home_and_a_port_have_one_daemon(home: Fleet) -> None:
    (alice,) = home.people("alice", alone=True)
    assert alice.process is not None
    one_clear_line(alice.fails_to_start(), 10, str(alice.process.pid))
    other = home.new("other", "--listen", alice.endpoint, alone=True)
    one_clear_line(other.fails_to_start(), 11, alice.endpoint)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        one_clear_line(other.fails_to_start("--listen", f"127.0.0.1:{free.getsockname()[1]}"), 11)
    alice.is_well()


@pytest.fixture
def small_disk(home: Fleet) -> Iterator[Path]:
    """A folder on a disk of 3 MiB."""
    disk = home.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount")
    yield disk
    for daemon in home.daemons:
        daemon.kill()
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(not IS_ROOT, reason="only root can mount a small disk")
def test_a_full_disk_refuses_and_loses_nothing(home: Fleet, small_disk: Path) -> None:
    alice, bob = home.people("alice", "bob", alone=True)
    alice.stop()
    shutil.copytree(alice.home, small_disk / "home")
    alice.home = small_disk / "home"
    alice.start()
    bob.call("peer.add", node=alice.endpoint)
    befriend(alice, "alice", bob, "bob")
    bob.kill()
    accepted, refusal = fill(alice)
    print(f"{len(accepted)} texts of 60,000 bytes on a disk of 3 MiB")
    assert accepted
    assert "disk" in refusal
    assert "room" in refusal
    assert alice.call("status")["outbox"] >= len(accepted)
    history = alice.call("history", to="bob", limit=1_000)["messages"]
    assert [message["id"] for message in history] == accepted
    alice.kill()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    alice.start()
    bob.start()
    alice.knows(*accepted)
    assert bob.texts_from("alice") == [f"{number:060000}" for number in range(len(accepted))]
    for person in (alice, bob):
        person.is_well()


def fill(person: Daemon) -> tuple[list[str], str]:
    """The ids of what was accepted until the disk was full, and what was said then."""
    accepted = []
    for number in range(1_000):
        done = person.p2pctl("send", "bob", "-", "--id-only", stdin=f"{number:060000}".encode())
        if done.code:
            assert done.code == 1, done.err
            assert done.err.count("\n") == 1
            return accepted, done.err
        accepted.append(done.out.strip())
    raise AssertionError("the disk is never full")
