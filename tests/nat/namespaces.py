"""Network namespaces of one run: made, wired, entered, and removed whatever happens.

Knows nothing of NAT and p2pd.
Rules: a name begins with the number of the process that made it, so that runs do not meet, and what a dead run has
left is known and removed; interfaces are made inside namespaces, so that nothing is ever seen outside them; a
namespace is removed with all processes in it.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TypeVar

PREFIX = "p2nat"
FOLDER = Path("/run/netns")
COMMAND_S = 20.0
"""One command of ip's or nft's; they take a few milliseconds."""
_CLONE_NEWNET = 0x40000000
_PROBE_RULES = "table ip probe {\nchain out { type nat hook postrouting priority srcnat; masquerade; }\n}"
_libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


class LabError(Exception):
    """A command of the lab's own failed: the lab is broken, and judges nobody."""


def missing() -> str:
    """What this machine lacks for the lab, in one line; "" where nothing is missing."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    for program, package in (("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(program) is None:
            return f"the program {program} is missing (Debian's package {package})"
    try:
        with Namespaces("try") as namespaces:
            namespaces.make("try").nft(_PROBE_RULES)
    except LabError as error:
        return f"network namespaces with nftables cannot be made here: {error}"
    return ""


def missing_ipv6() -> str:
    """The same for what IPv6 needs beside it."""
    try:
        with Namespaces("try", ipv6=True) as namespaces:
            made = namespaces.make("try")
            made.ip("link add eth0 type bridge", "link set eth0 up", "address add 3ffe::1/64 dev eth0 nodad")
            made.set(ipv6__conf__all__forwarding=1)
            made.nft("table ip6 probe {\nchain through { type filter hook forward priority filter; policy drop; }\n}")
    except (LabError, OSError) as error:
        return f"namespaces with IPv6 cannot be made here: {error}"
    return ""


def missing_tun() -> str:
    """The same for what lines with delay and loss need beside it."""
    return "" if Path("/dev/net/tun").exists() else "/dev/net/tun is missing"


def run(*words: str, given: str = "") -> str:
    """What a command prints that must succeed."""
    try:
        done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except subprocess.TimeoutExpired:
        raise LabError(f"{' '.join(words)} takes longer than {COMMAND_S:.0f} s") from None
    if done.returncode:
        raise LabError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}\n{given}".strip())
    return done.stdout


class Namespace:
    """One machine: interfaces, routes and rules of its own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def ip(self, *commands: str) -> None:
        """Commands of ip's, one after the other; the first that fails is an error."""
        run("ip", "-netns", self.name, "-batch", "-", given="\n".join(commands))

    def nft(self, rules: str) -> None:
        """Adds rules."""
        run(*self.executing("nft", "-f", "-"), given=rules)

    def set(self, **values: int) -> None:
        """Settings of the kernel's network, `ipv4__ip_forward` for net.ipv4.ip_forward."""

        def write() -> None:
            for name, value in values.items():
                Path("/proc/sys/net", *name.split("__")).write_text(str(value))

        self.inside(write)

    def executing(self, *words: str) -> list[str]:
        """The words that run a command in here."""
        return ["ip", "netns", "exec", self.name, *words]

    def inside(self, call: Callable[[], T]) -> T:
        """What a function returns that runs in here; a socket that it makes stays in here."""
        result: list[T] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                with (FOLDER / self.name).open("rb") as file:
                    if _libc.setns(file.fileno(), _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")
                result.append(call())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=enter)  # only this thread goes there, and it ends there
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return result[0]

    def processes(self) -> list[int]:
        """Who runs in here."""
        return [int(word) for word in run("ip", "netns", "pids", self.name).split()]


class Namespaces:
    """All namespaces of a run; leaving the block removes them."""

    def __init__(self, purpose: str = "", *, ipv6: bool = False) -> None:
        self._start = f"{PREFIX}{os.getpid()}-{purpose}"
        self._ipv6 = ipv6
        self._made: dict[str, Namespace] = {}
        self._count = 0
        self._closed = False
        self._lock = threading.Lock()

    def __enter__(self) -> "Namespaces":
        remove_leftovers()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with uninterrupted(), self._lock:
            self._closed = True  # other threads may still be at work
            self.remove(list(self._made.values()))

    def make(self, name: str) -> Namespace:
        """A namespace with nothing in it but loopback; without IPv6, unless all of them have it."""
        with self._lock:
            if self._closed:
                raise LabError("the lab is being removed")
            self._count += 1
            made = Namespace(f"{self._start}{self._count}-{name}")
            self._made[made.name] = made  # before it is there: an interruption leaves nothing
            run("ip", "netns", "add", made.name)
        if self._ipv6:
            made.set(ipv6__conf__default__accept_dad=0)  # addresses count at once: nobody else is there
        else:
            made.set(ipv6__conf__all__disable_ipv6=1, ipv6__conf__default__disable_ipv6=1)
        made.ip("link set lo up")
        return made

    def remove(self, namespaces: Sequence[Namespace]) -> None:
        """Ends what runs in there, and removes them with their interfaces."""
        for namespace in namespaces:
            _remove(namespace.name)
            self._made.pop(namespace.name, None)


def wire(one: Namespace, one_end: str, other: Namespace, other_end: str) -> None:
    """A cable between two machines; both ends are up."""
    run("ip", "link", "add", one_end, "netns", one.name, "type", "veth", "peer", "name", other_end, "netns", other.name)
    one.ip(f"link set {one_end} up")
    other.ip(f"link set {other_end} up")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Whoever presses Ctrl-C again, or twice, does not keep things from being removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def remove_leftovers() -> None:
    """Removes the namespaces of runs whose process is gone."""
    for path in FOLDER.glob(f"{PREFIX}*") if FOLDER.is_dir() else ():
        owner = path.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            _remove(path.name)


def _remove(name: str) -> None:
    if not (FOLDER / name).exists():
        return
    try:
        for process in Namespace(name).processes():
            os.kill(process, signal.SIGKILL)
    except (LabError, ProcessLookupError):
        pass  # what is gone is gone
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, timeout=COMMAND_S, check=False)
