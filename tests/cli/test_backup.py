"""`backup`: what is asked, what is shown, and the whole way with the shipped p2pd."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Run, file_with

pytestmark = pytest.mark.slow
FLAGS = ("--private", "--no-lan", "--no-port-mapping", "--listen", "127.0.0.1:0")


def by_file(text: bytes = b"secret") -> tuple[str, str]:
    return "--passphrase-fd", file_with(text)


def test_a_home_is_kept_looked_at_and_brought_back(p2pctl: Run, home: Path, tmp_path: Path) -> None:
    own, file = str(home / "own"), str(tmp_path / "file")
    started = p2pctl("--home", own, "start", *FLAGS, "--json")
    address = json.loads(started.out)["address"]
    try:
        done = p2pctl("--home", own, "backup", "create", file, *by_file())
        assert (done.code, done.out.split(":")[0]) == (0, file), done.err
        assert "0 contacts, 0 messages, 0 waiting" in done.out
        assert "without the passphrase" in done.err
        assert os.stat(file).st_mode & 0o777 == 0o600
        assert p2pctl("--home", own, "backup", "create", file, *by_file()).code == 1
        assert p2pctl("--home", own, "backup", "restore", file, *by_file()).code == 1
    finally:
        p2pctl("--home", own, "stop")
    done = p2pctl("backup", "verify", file, *by_file(), "--json")
    found = json.loads(done.out)
    assert (done.code, found["address"]) == (0, address)
    assert found.keys() == {
        "address", "made_at", "version", "contacts", "messages", "waiting", "nodes", "file", "size_bytes"
    }  # fmt: skip
    assert p2pctl("backup", "verify", file, *by_file()).out.splitlines()[-1] == "whole"
    done = p2pctl("--home", str(home / "again"), "backup", "restore", file, *by_file())
    assert (done.code, done.out.splitlines()[0].split(":")[:2]) == (0, ["restored p2p", address.removeprefix("p2p:")])
    started = p2pctl("--home", str(home / "again"), "start", *FLAGS, "--json")
    p2pctl("--home", str(home / "again"), "stop")
    assert json.loads(started.out)["address"] == address


def test_errors_have_their_exit_codes(p2pctl: Run, home: Path, tmp_path: Path) -> None:
    file = str(tmp_path / "file")
    assert p2pctl("backup", "create", file).code == 9, "nobody can be asked"
    assert p2pctl("--home", str(home / "none"), "backup", "create", file, *by_file()).code == 4
    assert p2pctl("backup", "verify", file, *by_file()).code == 4
    Path(file).write_bytes(b"something else")
    done = p2pctl("backup", "verify", file, *by_file())
    assert (done.code, done.out) == (1, "")
    assert "no backup" in done.err
