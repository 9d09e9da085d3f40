"""What ends a daemon besides being asked to."""

import os
from pathlib import Path

import pytest

from p2pd.daemon import assembly
from p2pd.daemon.main import exit_code
from p2pd.engine import Engine
from p2pd.net.calls import InternalError
from p2pd.settings import load_settings
from p2pd.storage.home import open_home
from p2pd.types import Now


class BrokenEngine(Engine):
    """One that meets a bug in every turn."""

    def on_timer(self, now: Now) -> None:
        """Breaks."""
        raise ZeroDivisionError


async def test_an_engine_that_keeps_breaking_ends_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "Engine", BrokenEngine)
    home = tmp_path / "home"
    open_home(home)
    loaded = load_settings(home, {"private": True, "listen": ("127.0.0.1:0",)})
    with pytest.raises(InternalError, match="turns broke") as raised:
        await assembly.serve(home, loaded, lambda line: None)
    assert exit_code(raised.value) == 70
    assert os.listdir(home / "run") == []
