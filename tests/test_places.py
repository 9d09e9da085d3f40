"""Where a home and its control socket are looked for."""

import os
from pathlib import Path

import pytest

from p2pd.places import control_path, find_control, resolve_home


def test_home_is_the_one_given_then_the_environments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("P2PD_HOME", "/from/environment")
    assert resolve_home("here") == tmp_path / "here"
    assert resolve_home() == Path("/from/environment")
    monkeypatch.delenv("P2PD_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert resolve_home() == Path("/data/p2pd")


def test_a_long_home_has_its_socket_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    short, long = Path("/a"), Path("/" + "a" * 120)
    assert control_path(short) == Path("/a/run/control.sock")
    moved = control_path(long)
    assert not moved.is_relative_to(long)
    assert len(os.fsencode(moved)) < 108
    assert moved != control_path(Path("/" + "b" * 120))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/" + "c" * 120)
    assert len(os.fsencode(control_path(long))) < 108


def test_the_homes_file_says_where_the_socket_is(tmp_path: Path) -> None:
    assert find_control(tmp_path) == control_path(tmp_path)
    (tmp_path / "control").write_text("/elsewhere/control.sock\n")
    assert find_control(tmp_path) == Path("/elsewhere/control.sock")
