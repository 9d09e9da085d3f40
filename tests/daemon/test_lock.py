"""A home with a passphrase: how it starts, how it is locked, and what is left of it then."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pd import client
from p2pd.client import NotRunningError
from p2pd.daemon.main import _words_of
from p2pd.errors import FailedError, LockedError, P2pdError
from p2pd.storage.keys import change_passphrase, master_key, read_keys
from p2pd.storage.user import SqliteUserStore
from tests.daemon.process import START_S, Daemon, command, environment, run

pytestmark = pytest.mark.slow
PASSPHRASE = b"a horse in correct staples"
MARK = "the cellar door is open"


def fd_of(secret: bytes) -> int:
    """The reading end of a pipe that holds it."""
    reading, writing = os.pipe()
    os.write(writing, secret)
    os.close(writing)
    os.set_inheritable(reading, True)
    return reading


class Sealed(Daemon):
    """A daemon that is given a passphrase."""

    def __init__(self, home: Path, secret: bytes, *flags: str) -> None:
        reading = fd_of(secret)
        self.home = home
        self.process = subprocess.Popen(
            [*command(home, *flags), "--passphrase-fd", str(reading)],
            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=(reading,),
        )  # fmt: skip
        os.close(reading)
        assert self.process.stdout is not None
        self.ready = self.process.stdout.readline()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a passphrase from its first start, and a message in it."""
    home = tmp_path_factory.mktemp("sealed") / "home"
    running = Sealed(home, PASSPHRASE + b"\nand more")
    assert running.ready.startswith("ready p2p:"), running.end()
    running.end()
    return home


@pytest.fixture
def locked(home: Path) -> Iterator[Daemon]:
    """A daemon that was locked while it ran."""
    running = Sealed(home, PASSPHRASE)
    client.call("profile.set", home=home, name=MARK)
    assert client.call("lock", home=home) == {"locked": True}
    assert running.process.stdout is not None
    assert running.process.stdout.readline() == f"locked control {home}/run/control.sock\n"
    yield running
    if running.process.poll() is None:
        running.process.kill()
    if not running.process.stdout.closed:
        running.process.communicate()


@pytest.mark.parametrize(
    ("secret", "words"), [(None, "none was given"), (b"wrong\n", "not the passphrase"), (b"", "not the passphrase")]
)
def test_without_its_passphrase_a_start_ends_with_14_and_one_line(home: Path, secret: bytes | None, words: str) -> None:
    reading = fd_of(secret or b"")
    flags = [] if secret is None else ["--passphrase-fd", str(reading)]
    for background in ([], ["--detach"]):
        ended = subprocess.run(
            [*command(home), *flags, *background], env=environment(), pass_fds=(reading,), capture_output=True,
            text=True, check=False, timeout=START_S,
        )  # fmt: skip
        said = [line for line in ended.stderr.splitlines() if line.startswith("p2pd: ")]
        assert (ended.returncode, ended.stdout, len(said)) == (14, "", 1), ended.stderr
        assert words in said[0]
        if secret is not None:
            break  # its file is read
    os.close(reading)


def test_a_passphrase_that_nobody_wants_is_a_usage_error(tmp_path: Path) -> None:
    running = Daemon(tmp_path / "home")
    running.end()
    given = Sealed(tmp_path / "home", b"something")
    code, log = given.end()
    assert (code, given.ready) == (2, "")
    assert "has no passphrase" in log


def test_no_file_to_read_from_is_a_usage_error(tmp_path: Path) -> None:
    ended = run([*command(tmp_path / "home"), "--passphrase-fd", "77"])
    assert ended.returncode == 2
    assert "77" in ended.stderr
    assert not (tmp_path / "home").exists()


def test_the_passphrase_is_in_neither_command_line_nor_environment(home: Path) -> None:
    running = Sealed(home, PASSPHRASE)
    for name in ("cmdline", "environ"):
        assert PASSPHRASE not in Path(f"/proc/{running.process.pid}/{name}").read_bytes()
    running.end()


def test_a_locked_daemon_answers_nothing_but_unlock(locked: Daemon) -> None:
    answers = {"lock", "unlock", "stop", "rpc.discover"}
    methods = {entry["name"]: entry for entry in client.call("rpc.discover", home=locked.home)["methods"]}
    assert answers < methods.keys()
    for name in methods.keys() - answers:
        with pytest.raises(LockedError) as refused:
            client.call(name, home=locked.home)
        assert (refused.value.code, refused.value.exit_code) == ("locked", 9)
    assert client.call("lock", home=locked.home) == {"locked": True}
    assert locked.process.poll() is None


def test_nothing_that_was_known_is_left_in_memory(locked: Daemon) -> None:
    """Of the whole process: what it has mapped and can be read."""
    if os.geteuid():
        pytest.skip("only root may look into another process that forbids it")
    master = master_key(locked.home, PASSPHRASE)
    store = SqliteUserStore(str(locked.home / "user.db"), own_identity=None, master_key=master, read_only=True)
    secrets = [master, PASSPHRASE, MARK.encode(), *[store.value(name) or b"" for name in ("identity", "device")]]
    store.close()
    memory = memory_of(locked.process.pid)
    assert b"p2pctl unlock" in memory, "it looks where strings are"
    assert [secret for secret in secrets if secret in memory] == []
    client.call("unlock", home=locked.home, passphrase=PASSPHRASE.decode())
    again(locked.home)
    memory = memory_of(locked.process.pid)
    assert [secret for secret in secrets[:1] if secret not in memory] == [], "it would be found"


def memory_of(pid: int) -> bytes:
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            area, mode, *_ = line.split()
            if not mode.startswith("r") or line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            begin, end = (int(number, 16) for number in area.split("-"))
            memory.seek(begin)
            while begin < end and (read := memory.read(end - begin)):
                found.append(read)
                begin += len(read)
    return b"".join(found)


def again(home: Path) -> str:
    """Its address, once it has started."""
    while True:
        try:
            return str(client.call("id", home=home)["address"])
        except (NotRunningError, LockedError):
            continue


def test_unlocked_it_is_who_it_was(locked: Daemon) -> None:
    for wrong in ("wrong", PASSPHRASE.decode() + " "):
        with pytest.raises(LockedError, match="not the passphrase"):
            client.call("unlock", home=locked.home, passphrase=wrong)
    with pytest.raises(LockedError, match="none was given"):
        client.call("unlock", home=locked.home)
    assert client.call("unlock", home=locked.home, passphrase=PASSPHRASE.decode()) == {"unlocked": True}
    address = again(locked.home)
    assert client.call("id", home=locked.home)["name"] == MARK
    assert client.call("status", home=locked.home)["passphrase"] is True
    with pytest.raises(FailedError, match="not locked"):
        client.call("unlock", home=locked.home, passphrase="x")
    client.call("lock", home=locked.home)  # and once more
    while True:
        try:
            client.call("id", home=locked.home)
        except LockedError:
            break
        except P2pdError:
            continue
    code, log = locked.end()
    assert code == 0
    assert "Traceback" not in log, log
    assert address.startswith("p2p:")


def test_a_locked_daemon_stops_when_asked(locked: Daemon) -> None:
    answer = client.call("stop", home=locked.home)
    assert answer == {"stopping": True, "pid": locked.process.pid}
    assert locked.process.wait(START_S) == 0


def test_a_home_without_passphrase_cannot_be_locked(tmp_path: Path) -> None:
    running = Daemon(tmp_path / "home")
    with pytest.raises(FailedError, match="no passphrase"):
        client.call("lock", home=running.home)
    assert client.call("status", home=running.home)["passphrase"] is False
    running.end()


def test_one_whose_passphrase_was_removed_opens_without_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    running = Sealed(home, PASSPHRASE)
    client.call("lock", home=home)
    assert running.process.stdout is not None
    assert running.process.stdout.readline().startswith("locked control ")
    change_passphrase(home, PASSPHRASE, None)
    assert client.call("unlock", home=home) == {"unlocked": True}
    assert again(home).startswith("p2p:")
    assert running.end()[0] == 0


def test_it_may_start_locked(home: Path) -> None:
    running = Daemon.__new__(Daemon)
    running.home = home
    running.process = subprocess.Popen(
        command(home, "--await-unlock"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.process.stdout is not None
    assert running.process.stdout.readline().startswith("locked control ")
    client.call("unlock", home=home, passphrase=PASSPHRASE.decode())
    assert again(home).startswith("p2p:")
    assert running.end()[0] == 0


def test_the_words_of_a_daemon_that_comes_back(tmp_path: Path) -> None:
    flags = {"private": True, "lan": False, "listen": ("127.0.0.1:1", "127.0.0.1:2"), "log_level": "debug"}
    words = _words_of(tmp_path, flags | {"passphrase_fd": 3, "await_unlock": True}, detached=True)
    assert words == [
        "--home", str(tmp_path), "--await-unlock", "--detach", "--private", "--no-lan", "--listen", "127.0.0.1:1",
        "--listen", "127.0.0.1:2", "--log-level", "debug",
    ]  # fmt: skip


def test_a_running_daemon_gets_a_passphrase(tmp_path: Path) -> None:
    running = Daemon(tmp_path / "home")
    words = [sys.executable, "-m", "p2pd.daemon.change_passphrase", "--home", str(running.home), "--change"]
    done = subprocess.run(
        words, env=environment(), input='{"present": null, "wanted": "one"}', capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ['{"passphrase": true}', '{"ends": 0}']
    assert client.call("status", home=running.home)["passphrase"] is True
    running.end()
    assert type(read_keys(running.home)).__name__ == "Wrapped"
    assert len(master_key(running.home, b"one")) == 32
