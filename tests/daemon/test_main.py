"""The daemon as a process: ready line, signals, exit codes, background."""

import os
import select
import signal
import socket
import tempfile
import time
from pathlib import Path

import pytest

from p2pd import client, limits
from p2pd.daemon.main import exit_code
from p2pd.errors import (
    DamagedError,
    FailedError,
    ForeignHomeError,
    HomeInUseError,
    LockedError,
    NotFoundError,
    StorageError,
    UsageError,
)
from p2pd.net.udp import AddressError
from tests.daemon.process import Daemon, command, daemon, run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError(""), 2),
        (HomeInUseError(""), 10),
        (AddressError(""), 11),
        (StorageError(""), 12),
        (DamagedError(""), 13),
        (LockedError(""), 14),
        (ForeignHomeError(""), 15),
        (FailedError(""), 70),
        (NotFoundError(""), 70),
        (ValueError(""), 70),
    ],
)
def test_every_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_the_first_start_makes_a_home_and_says_where_it_is(tmp_path: Path) -> None:
    with daemon(tmp_path / "home") as running:
        assert running.address.startswith("p2p:")
        assert client.call("id", home=tmp_path / "home")["address"] == running.address
        assert running.control == str(tmp_path / "home/run/control.sock")
        host, port = running.endpoint.rsplit(":", 1)
        assert host == "127.0.0.1"
        assert 0 < int(port) < 65_536


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_soon(tmp_path: Path, by: signal.Signals) -> None:
    with daemon(tmp_path / "home") as running, client.Connection(tmp_path / "home") as follower:
        follower.call("events.follow", since="now")
        began = time.monotonic()
        code, log = running.end(by)
        assert time.monotonic() - began < limits.STOP_S
        assert code == 0
        assert "Traceback" not in log
        assert "Warning" not in log
        assert log.splitlines()[-1].endswith("stopped")
    assert os.listdir(tmp_path / "home/run") == []


def test_identity_and_port_survive_a_kill(tmp_path: Path) -> None:
    with daemon(tmp_path / "home") as running:
        before = (running.address, running.endpoint)
        running.end(signal.SIGKILL)
    with daemon(tmp_path / "home") as running:
        assert (running.address, running.endpoint) == before


def test_a_remembered_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    with daemon(tmp_path / "home") as running:
        port = int(running.endpoint.rsplit(":", 1)[1])
        running.end()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        with daemon(tmp_path / "home") as running:
            assert running.endpoint != f"127.0.0.1:{port}"


def test_a_second_daemon_says_who_has_the_home(tmp_path: Path) -> None:
    with daemon(tmp_path / "home") as running:
        second = run(command(tmp_path / "home"))
        assert second.returncode == 10
        assert str(running.process.pid) in second.stderr
        assert second.stderr.count("\n") == 1


def test_a_taken_port_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        _, port = taken.getsockname()
        place = f"127.0.0.1:{port}"
        ended = run([*command(tmp_path / "home"), "--listen", place])
    assert ended.returncode == 11
    assert place in ended.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ("--listen", "nowhere"),
        ("--bootstrap", "nowhere"),
        ("--bootstrap-file", "/nowhere"),
        ("--log-level", "loud"),
        ("--loud",),
        ("--passphrase-fd", "3"),
    ],
)
def test_a_wrong_flag_is_a_usage_error(tmp_path: Path, flags: tuple[str, ...]) -> None:
    ended = run([*command(tmp_path / "home"), *flags])
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_an_unknown_key_of_the_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home/config.toml").write_text("replica = 3")
    ended = run(command(tmp_path / "home"))
    assert ended.returncode == 2
    assert "config.toml" in ended.stderr
    assert "replicas" in ended.stderr


def test_a_home_that_cannot_be_made_is_the_disks_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run(command(tmp_path / "file/home"))
    assert ended.returncode == 12
    assert "file/home: Not a directory" in ended.stderr


def test_a_home_open_to_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o755)
    ended = run(command(tmp_path / "home"))
    assert ended.returncode == 15
    assert "chmod" in ended.stderr


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    with daemon(tmp_path / "home") as running:
        running.end()
    for file in (tmp_path / "home").glob("user.db*"):
        file.write_bytes(b"no database at all" * 1_000)
    ended = run(command(tmp_path / "home"))
    assert ended.returncode == 13
    assert "user.db" in ended.stderr


def test_in_the_background_it_answers_once_the_command_has_returned(tmp_path: Path) -> None:
    home = tmp_path / "home"
    started = run([*command(home), "--detach"])
    assert started.returncode == 0, started.stderr
    assert started.stdout.startswith("ready p2p:")
    status = client.call("id", home=home)
    assert status["address"] in started.stdout
    pid = int((home / "lock").read_text())
    assert os.getsid(pid) != os.getsid(0)
    client.call("stop", home=home)
    _wait_for_end(pid)
    assert "stopped" in (home / "p2pd.log").read_text()


def _wait_for_end(pid: int) -> None:
    """Returns when the process, which is no child of ours, is gone."""
    handle = os.pidfd_open(pid)
    try:
        assert select.select([handle], [], [], 30)[0]
    finally:
        os.close(handle)


def test_in_the_background_a_failed_start_has_its_code_and_line(tmp_path: Path) -> None:
    with daemon(tmp_path / "home"):
        second = run([*command(tmp_path / "home"), "--detach"])
    assert second.returncode == 10
    assert "in use by process" in second.stderr
    assert second.stdout == ""


def test_a_long_home_has_a_socket_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / ("a" * 60) / ("b" * 60)
    with tempfile.TemporaryDirectory() as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        with daemon(home) as running:
            assert running.control.startswith(runtime)
            monkeypatch.delenv("XDG_RUNTIME_DIR")  # the home itself says where
            assert client.call("id", home=home)["address"] == running.address
            running.end()


def test_nothing_of_it_is_open_to_others(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with daemon(home, "--log-file", str(home / "log")):
        for place in (home, *home.rglob("*")):
            assert place.stat().st_mode & 0o077 == 0, place


def test_a_storage_node_has_no_person(tmp_path: Path) -> None:
    with daemon(tmp_path / "home", "--storage-only") as running:
        assert running.address == "-"
        assert client.call("status", home=running.home)["address"] == ""


def test_systemd_hears_when_it_is_ready_and_when_it_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        running = Daemon(tmp_path / "home")
        heard = [manager.recv(100) for _ in range(3)]
        assert sorted(heard)[:2] == [b"READY=1", b"WATCHDOG=1"]
        assert running.end()[0] == 0
        while (last := manager.recv(100)) == b"WATCHDOG=1":
            pass
        assert last == b"STOPPING=1"
