"""Machines on one local network without any other node, in network namespaces; needs root.

The machines and the switch between them are namespaces; nothing of them is seen outside.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from p2pd import limits
from tests.daemon.process import START_S, environment

pytestmark = pytest.mark.nat
ALICE, BOB = "10.77.1.1", "10.77.1.2"
WORDS_S = 60.0
"""A command may take long on a busy machine; what is judged is judged by the daemons' own times."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


class Cabin:
    """A switch with machines on it, each with an IPv4 address and no way out."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._switch = self._namespace("switch")
        ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", self._switch, "link", "set", "bridge", "up")
        self.machines: dict[str, str] = {}

    def machine(self, host: str) -> str:
        """A namespace with this address on the switch."""
        name = self._namespace(f"m{len(self.machines)}")
        port = f"port{len(self.machines)}"
        ip("link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", port, "netns", self._switch)
        ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
        ip("-n", name, "addr", "add", f"{host}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        self.machines[host] = name
        return name

    def _namespace(self, kind: str) -> str:
        name = f"p2lan{os.getpid()}{kind}"
        ip("netns", "add", name)
        self._stack.callback(subprocess.run, ["ip", "netns", "del", name], check=False, capture_output=True)
        ip("-n", name, "link", "set", "lo", "up")
        return name


class Daemon:
    """One daemon in a namespace; its flags are those of the public network unless more are given."""

    def __init__(self, namespace: str, home: Path, *flags: str) -> None:
        self.namespace, self.home, self.flags = namespace, home, flags
        self.start()

    def start(self) -> None:
        words = [sys.executable, "-m", "p2pd.daemon.main", "--home", str(self.home), "--no-port-mapping", *self.flags]
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, *words],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        self.ready_at = time.time()
        assert ready, "it did not start"
        self.address = ready.split()[1]

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=START_S)

    def says(self, *words: str) -> list[dict[str, Any]]:
        """What a command prints."""
        command = [sys.executable, "-m", "p2pctl.main", "--home", str(self.home), "--json", *words]
        done = subprocess.run(
            command,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=WORDS_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    def until(self, holds: Callable[[], Any], limit_s: float = 60.0) -> Any:
        end = time.monotonic() + limit_s
        while not (found := holds()):
            assert time.monotonic() < end, f"never: {self.says('status')}"
            time.sleep(0.1)
        return found

    def message(self, of: str, text: str) -> dict[str, Any] | None:
        return next((each for each in self.says("history", of) if each["text"] == text), None)


@contextmanager
def running(namespace: str, home: Path, *flags: str) -> Iterator[Daemon]:
    """A daemon that is ready; it is killed at the latest when the block ends."""
    daemon = Daemon(namespace, home, *flags)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.communicate()


@pytest.fixture
def cabin() -> Iterator[Cabin]:
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and the program ip")
    with ExitStack() as stack:
        try:
            made = Cabin(stack)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr}")
        yield made


def acquainted(alice: Daemon, bob: Daemon) -> None:
    """Each adds the other, and both have a link."""
    for one, other, name in ((alice, bob, "bob"), (bob, alice, "alice")):
        one.says("contact", "add", other.address, "--as", name)
    for one in (alice, bob):
        one.until(lambda one=one: all(each["online"] for each in one.says("contact", "list")))  # type: ignore[misc]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["open", "private"])
def test_two_machines_alone_find_each_other_and_talk(cabin: Cabin, tmp_path: Path, kind: str) -> None:
    flags = ["--private"] if kind == "private" else []
    with (
        running(cabin.machine(ALICE), tmp_path / "alice", *flags) as alice,
        running(cabin.machine(BOB), tmp_path / "bob", *flags) as bob,
    ):
        acquainted(alice, bob)
        for one, other in ((alice, "bob"), (bob, "alice")):
            one.says("send", other, f"to {other}", "--wait", "delivered")
            assert one.says("path", other)[0]["via"] == "lan"
            assert one.message(other, f"to {other}")["via"] == "lan"  # type: ignore[index]
        assert bob.message("alice", "to bob")["via"] == "lan"  # type: ignore[index]
        lan = alice.says("status")[0]["lan"]
        assert (lan["on"], lan["neighbours"], lan["island"]) == (True, 1, kind == "open")


@pytest.mark.timeout(300)
def test_who_comes_up_has_what_waited_within_two_seconds(cabin: Cabin, tmp_path: Path) -> None:
    with running(cabin.machine(ALICE), tmp_path / "alice") as alice:
        with running(cabin.machine(BOB), tmp_path / "bob") as bob:
            acquainted(alice, bob)
            bob.stop()
        (tmp_path / "bob" / "dht.db").unlink()  # nothing is known of any node: there is the local network alone
        alice.says("send", "bob", "while you were away")
        with running(cabin.machine("10.77.1.3"), tmp_path / "bob") as bob:  # and at another address
            message = bob.until(lambda: bob.message("alice", "while you were away"))
            received_at = datetime.fromisoformat(message["received_at"]).timestamp()
            print(f"{received_at - bob.ready_at:.3f} s after ready, via {message['via']}")
            assert received_at - bob.ready_at <= 2.0


@pytest.mark.timeout(300)
def test_with_no_lan_nobody_finds_anybody(cabin: Cabin, tmp_path: Path) -> None:
    flags = ["--private", "--no-lan"]
    with (
        running(cabin.machine(ALICE), tmp_path / "alice", *flags) as alice,
        running(cabin.machine(BOB), tmp_path / "bob", *flags) as bob,
    ):
        alice.says("contact", "add", bob.address, "--as", "bob")
        time.sleep(5)  # longer by far than it takes where the local network is used
        for one in (alice, bob):
            status = one.says("status")[0]
            assert status["dht"]["nodes"] == 0
            assert status["lan"] == {"on": False, "networks": [], "neighbours": 0, "island": False}


WATCH = """
import asyncio, time
from p2pd.net.addresses import AddressWatch
from p2pd.types import Endpoint

async def main():
    watch = AddressWatch([Endpoint("::", 4001)])
    print(*(e.host for e in watch.endpoints), flush=True)
    await watch.run(lambda endpoints: print(*(e.host for e in endpoints), flush=True))

asyncio.run(main())
"""


@pytest.mark.timeout(120)
def test_a_new_address_is_seen_without_polling(cabin: Cabin) -> None:
    namespace = cabin.machine(ALICE)
    watching = subprocess.Popen(
        ["ip", "netns", "exec", namespace, sys.executable, "-c", WATCH],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    try:
        assert watching.stdout.readline().split() == [ALICE]
        time.sleep(0.5)  # it may not listen yet
        for words, seen in [
            (("addr", "add", "10.78.1.1/24"), [ALICE, "10.78.1.1"]),
            (("addr", "del", f"{ALICE}/24"), ["10.78.1.1"]),
        ]:
            began = time.monotonic()
            ip("-n", namespace, *words, "dev", "eth0")
            assert watching.stdout.readline().split() == seen
            took_s = time.monotonic() - began
            print(f"{took_s:.2f} s")
            assert took_s < limits.ADDRESSES_SETTLE_MAX_S + 1.0
    finally:
        watching.kill()
        watching.communicate()
