"""The units for systemd: what they say, how exposed they leave the service, and that the daemon lives with it."""

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon.process import START_S, command, daemon, environment

UNITS = Path(__file__).resolve().parents[2] / "p2pd" / "daemon" / "units"
KINDS = ("user", "system")
EXPOSURE = 25
"""`systemd-analyze security`: 2.5 of 10, or better."""
MDWE = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.prctl(65, 1, 0, 0, 0)  # PR_SET_MDWE, Linux 6.3: what MemoryDenyWriteExecute= asks for
libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
os.execv(sys.argv[1], sys.argv[1:])
"""
HARDENING = {
    "CapabilityBoundingSet": "",
    "DynamicUser": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "NoNewPrivileges": "yes",
    "PrivateDevices": "yes",
    "PrivateTmp": "yes",
    "PrivateUsers": "yes",
    "ProcSubset": "pid",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHome": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectProc": "invisible",
    "ProtectSystem": "strict",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallArchitectures": "native",
    "UMask": "0077",
}


def directives(kind: str) -> dict[str, list[str]]:
    """Every value of every key of a unit."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / f"{kind}.service").read_text().splitlines():
        if match := re.fullmatch(r"(\w+)=(.*)", line):
            found.setdefault(match[1], []).append(match[2])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_service_says_how_it_is_started_watched_and_ended(kind: str) -> None:
    unit = directives(kind)
    assert unit["Type"] == ["notify"]
    assert unit["Restart"] == ["on-failure"]
    assert unit["RestartPreventExitStatus"] == ["2 10 11 12 13 14 15"]
    assert int(unit["WatchdogSec"][0]) >= 30
    assert unit["ExecStart"][0].startswith("@P2PD@")
    assert "WantedBy" in unit


def test_a_volunteer_has_no_person_and_a_home_that_is_no_link() -> None:
    unit = directives("system")
    assert unit["ExecStart"] == ["@P2PD@ --storage-only --home %S/private/p2pd"]
    assert (unit["StateDirectory"], unit["StateDirectoryMode"]) == (["p2pd"], ["0700"])
    assert {key: unit[key][-1] for key in HARDENING} == HARDENING
    assert unit["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert set(unit["RestrictAddressFamilies"][0].split()) == {"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="the directives are compared above")
def test_systemd_finds_it_well_protected(tmp_path: Path) -> None:
    file = tmp_path / "p2pd.service"
    file.write_text((UNITS / "system.service").read_text().replace("@P2PD@", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "nrecognized option" in done.stderr:
        pytest.skip("this systemd is older than 250; the directives are compared above")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


@pytest.mark.slow
def test_the_daemon_tells_systemd_that_it_is_ready_alive_and_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(START_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        with daemon(tmp_path / "home") as running:
            said = [manager.recv(100).decode() for _ in range(4)]
            assert {"READY=1", "WATCHDOG=1"} == set(said)
            assert said.count("READY=1") == 1
            assert said.count("WATCHDOG=1") == 3
            assert running.end()[0] == 0
        last = ""
        while last != "STOPPING=1":
            last = manager.recv(100).decode()


@pytest.mark.slow
def test_a_daemon_that_hangs_feeds_no_watchdog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(START_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        with daemon(tmp_path / "home") as running:
            while manager.recv(100) != b"WATCHDOG=1":
                pass
            running.process.send_signal(signal.SIGSTOP)
            _await_stop(running.process.pid)
            manager.setblocking(False)
            while select.select([manager], [], [], 0)[0]:
                manager.recv(100)
            assert not select.select([manager], [], [], 0.5)[0], "ten times the interval, and not a word"
            running.process.send_signal(signal.SIGCONT)


def _await_stop(pid: int) -> None:
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        os.sched_yield()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="systemd runs on Linux only")
def test_the_daemon_lives_without_memory_that_is_written_and_run(tmp_path: Path) -> None:
    words = [sys.executable, "-c", MDWE, *command(tmp_path / "home", "--storage-only")]
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        ready = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        log = process.stderr.read().decode()
    assert ready.startswith(b"ready - udp "), log
    assert (process.returncode, "Traceback" in log) == (0, False), log
