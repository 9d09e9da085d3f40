"""Where the lab cannot be built, one line says why, and nothing fails."""

import os
from pathlib import Path

import pytest

from tests.nat.__main__ import main
from tests.nat.namespaces import missing


def test_without_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert missing() == "network namespaces need root"
    assert main([]) == 0
    assert capsys.readouterr().out == "make nat: skipped: network namespaces need root\n"


@pytest.mark.parametrize(("there", "lacks"), [((), "ip"), (("ip",), "nft")])
def test_without_a_program(there: tuple[str, ...], lacks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing().startswith(f"the program {lacks} is missing")


def test_where_namespaces_are_not_permitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ip", "nft"):
        (tmp_path / name).write_text("#!/bin/sh\necho not permitted >&2\nexit 1\n")
        (tmp_path / name).chmod(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "not permitted" in missing()


def test_what_cannot_be_asked() -> None:
    for words in (["nonsense"], ["--cell", "public"], ["--cell", "public,nonsense"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
