"""A home, a fake daemon in it, and the command line run within the test's process."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from p2pctl.main import run
from tests.cli.fake_daemon import FakeDaemon


@dataclass(frozen=True, slots=True)
class Done:
    """What one command line did."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


def file_with(text: bytes) -> str:
    """The number of an open file that holds it."""
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    return str(reading)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that every command line of the test uses."""
    monkeypatch.setenv("P2PD_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    return tmp_path


@pytest.fixture
def daemon(home: Path) -> Iterator[FakeDaemon]:
    """A daemon of that home."""
    fake = FakeDaemon(home)
    yield fake
    fake.close()


@pytest.fixture
def p2pctl(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command line; `stdin` is what is piped into it."""

    def call(*words: str, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = run(list(words))
        return Done(code, *capsys.readouterr())

    return call
