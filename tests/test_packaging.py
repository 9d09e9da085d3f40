"""What is installed is what the checkout holds, and the lock files say exactly what to install."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path
from zipfile import ZipFile

import pytest

import p2pd

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; [^\\]+)? \\$")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """The wheel that `pip install .` would install."""
    pytest.importorskip("hatchling", reason="the build backend comes with requirements-dev.lock")
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=ROOT, check=True, capture_output=True, timeout=60)
    (path,) = folder.glob("p2pd-*.whl")
    return ZipFile(path)


@pytest.mark.slow
def test_wheel_holds_the_two_packages_only(wheel: ZipFile) -> None:
    assert {name.partition("/")[0] for name in wheel.namelist()} == {
        "p2pd",
        "p2pctl",
        f"p2pd-{p2pd.__version__}.dist-info",
    }


@pytest.mark.slow
def test_wheel_holds_every_source(wheel: ZipFile) -> None:
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "p2pd").rglob("*.py")}
    sources |= {str(path.relative_to(ROOT / "cli")) for path in (ROOT / "cli" / "p2pctl").rglob("*.py")}
    assert sources <= set(wheel.namelist())


@pytest.mark.slow
def test_wheel_holds_the_units(wheel: ZipFile) -> None:
    assert {f"p2pd/daemon/units/{kind}.service" for kind in ("user", "system")} <= set(wheel.namelist())


@pytest.mark.slow
def test_wheel_holds_bootstrap_nodes(wheel: ZipFile) -> None:
    assert wheel.read("p2pd/bootstrap_nodes.txt") == (ROOT / "bootstrap_nodes.txt").read_bytes()


def test_bootstrap_nodes_are_read_the_same_way_from_a_checkout() -> None:
    shipped = resources.files("p2pd").joinpath("bootstrap_nodes.txt")
    assert shipped.read_bytes() == (ROOT / "bootstrap_nodes.txt").read_bytes()


@pytest.mark.parametrize("command", sorted(PROJECT["scripts"]))
def test_command_exists(command: str) -> None:
    entry = metadata.EntryPoint(command, PROJECT["scripts"][command], "console_scripts")
    assert callable(entry.load())


def pins(lock: str) -> dict[str, str]:
    """Name and version of everything in a lock file."""
    lines = (ROOT / lock).read_text().splitlines()
    return {match[1]: match[2] for line in lines if (match := PINNED.match(line))}


def test_lock_holds_every_dependency() -> None:
    names = {re.split(r"[<>=]", wanted)[0] for wanted in PROJECT["dependencies"]}
    assert names <= pins("requirements.lock").keys()


def test_dev_lock_holds_the_lock_and_the_tools() -> None:
    names = {re.split(r"[<>=]", wanted)[0] for wanted in PROJECT["optional-dependencies"]["dev"]}
    dev = pins("requirements-dev.lock")
    assert names <= dev.keys()
    assert pins("requirements.lock").items() <= dev.items()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_lock_is_pins_and_hashes_only(lock: str) -> None:
    for line in (ROOT / lock).read_text().splitlines():
        assert PINNED.match(line) or re.match(r"    (--hash=sha256:[0-9a-f]{64}( \\)?|#.*)$", line), line


def make(*arguments: str, **environment: str) -> str:
    """What `make` prints, run in the checkout."""
    outer = {key: value for key, value in os.environ.items() if key not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}}
    command = ["make", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env={**outer, **environment}, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


def test_make_alone_lists_the_targets() -> None:
    listed = set(re.findall(r"^make ([a-z-]+)", make(), re.MULTILINE))
    targets = set(re.findall(r"^\.PHONY: ([a-z-]+)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert listed == targets - {"help"} | {"help"}


HOSTILE = """it's "two"\nlines; $HOME $(shell echo no) $$ `echo no` \\ # %s &"""


@pytest.mark.parametrize("through", ["arguments", "environment"])
def test_demo_gets_its_words_unchanged(through: str, tmp_path: Path) -> None:
    show = tmp_path / "show"
    show.write_text(f"#!{sys.executable}\nimport os\nprint(ascii([os.environ[k] for k in ('DEMO_TEXT', 'DEMO_FILE')]))")
    show.chmod(0o700)
    words = {"TEXT": HOSTILE, "FILE": "/a b/$c'd"}
    call = ["demo", f"PYTHON={show}", "--old-file=.venv/.complete"]
    if through == "arguments":
        printed = make(*call, *(f"{name}={value}" for name, value in words.items()))
    else:
        printed = make(*call, **words)
    assert printed.strip() == ascii(list(words.values()))
