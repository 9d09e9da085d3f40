"""A small internet of network namespaces, and machines that are plugged into it by one kind of access or another.

    internet ─┬─ a host                                public
              ├─ router ── host(s)                     behind one NAT, or a firewall
              ├─ carrier's router ── router ── host    behind two
              └─ line (a process) ── host              delay, loss, rate, MTU

Knows no p2pd.
Rules: addresses are of the ranges for documentation and benchmarks (RFC 5737, RFC 2544), in five /16 networks and
many /24, since public nodes count those; every home uses the same private network, as in life; what is private is not
routed on the internet.
"""

import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from subprocess import DEVNULL, PIPE, Popen
from threading import Lock
from types import TracebackType

from tests.nat.kinds import PUBLIC, Kind, Router, Rules
from tests.nat.line import Conditions, command
from tests.nat.namespaces import LabError, Namespace, Namespaces, uninterrupted, wire

NODE_ADDRESSES = (
    "203.0.113.10",
    "198.51.100.10",
    "192.0.2.10",
    "198.18.0.10",
    "198.19.0.10",
    "198.18.1.10",
    "198.19.1.10",
    "198.18.2.10",
)
"""Where public nodes are; all of them are addresses of one machine."""
NODE_PORT = 4040
_NETWORKS = 256
"""Networks that machines are plugged into: from 198.18.64.0/24 and 198.19.64.0/24 on, in turn."""
_HOME = "192.168.1"
_CARRIER = "100.64.0"
_TRANSIT = "10.255.0"


@dataclass(slots=True)
class Access:
    """Some hosts' way into the internet."""

    kind: Kind
    network: int
    hosts: Sequence[Namespace]
    outside: str
    """The address that others see."""
    inside: list[str] = field(default_factory=list)
    """The hosts' own addresses."""
    routers: list[Namespace] = field(default_factory=list)
    line: Popen[str] | None = None

    def lift(self) -> None:
        """The routers forget their rules."""
        for router in self.routers:
            router.nft("flush ruleset")


class Lab:
    """One internet; leaving the block removes it."""

    def __init__(self, *, ipv6: bool = False) -> None:
        self._lock = Lock()
        self._namespaces = Namespaces(ipv6=ipv6)
        self._free = deque(range(_NETWORKS))
        self._accesses: list[Access] = []

    def __enter__(self) -> "Lab":
        self._namespaces.__enter__()
        try:
            self._begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _begin(self) -> None:
        self.internet = self._namespaces.make("internet")
        self.internet.set(ipv4__ip_forward=1)
        self.nodes = self._namespaces.make("nodes")
        _connect(self.internet, "nodes", f"{_TRANSIT}.1/30", self.nodes, "eth0", f"{_TRANSIT}.2/30")
        self.nodes.ip(*(f"address add {address}/32 dev lo" for address in NODE_ADDRESSES))
        self.internet.ip(*(f"route add {address}/32 via {_TRANSIT}.2" for address in NODE_ADDRESSES))

    def close(self) -> None:
        """Remove everything, also what never came to be."""
        with uninterrupted():
            for access in self._accesses:
                _end_line(access)
            self._namespaces.__exit__(None, None, None)

    def host(self, name: str) -> Namespace:
        """A machine that is plugged into nothing yet."""
        return self._namespaces.make(name)

    def remove(self, *hosts: Namespace) -> None:
        """Machines with everything that runs on them."""
        self._namespaces.remove(hosts)

    def plug(self, kind: Kind, *hosts: Namespace) -> Access:
        """Gives machines, which have none, an access of that kind; a public one is for one machine."""
        access = self._new_access(kind, hosts)
        prefix, port = _prefix(access.network), f"a{access.network}"
        if not kind.routers:
            _connect(self.internet, port, f"{prefix}.1/24", hosts[0], "eth0", f"{access.outside}/24")
            access.inside = [access.outside]
            return access
        outside, width = (access.outside, 24) if kind.translates else (f"{prefix}.130", 25)
        gateway = f"{prefix}.1" if kind.translates else f"{prefix}.129"
        below = [_HOME, *[_CARRIER] * (len(kind.routers) - 1)] if kind.translates else [prefix]
        for rules, inner in reversed(list(zip(kind.routers, below, strict=True))):
            router = self._namespaces.make("router")
            if access.routers:
                _join(access.routers[-1], "below", router, "wan", f"{outside}/{width}", gateway)
            else:
                _connect(self.internet, port, f"{gateway}/{width}", router, "wan", f"{outside}/{width}")
            access.routers.append(router)
            _set_up(router, rules, Router(outside, f"{inner}.2"), f"{inner}.1/{width}")
            gateway, outside = f"{inner}.1", f"{inner}.2"
        if not kind.translates:
            self.internet.ip(f"route add {prefix}.0/25 via {prefix}.130")
        access.inside = [f"{below[0]}.{2 + count}" for count in range(len(hosts))]
        for count, (host, address) in enumerate(zip(hosts, access.inside, strict=True)):
            _join(access.routers[-1], f"port{count}", host, "eth0", f"{address}/{width}", gateway)
        return access

    def plug_line(self, conditions: Conditions, host: Namespace, seed: int = 0) -> Access:
        """A public access at the end of a line with such conditions."""
        access = self._new_access(PUBLIC, (host,))
        prefix, port = _prefix(access.network), f"a{access.network}"
        words = command(self.internet, port, host, "eth0", conditions, seed)
        access.line = Popen([sys.executable, *words], stdin=DEVNULL, stdout=PIPE, text=True)
        assert access.line.stdout is not None
        if access.line.stdout.readline().strip() != "ready":
            raise LabError("the line did not come up")
        self.internet.ip(f"address add {prefix}.1/24 dev {port}", f"link set {port} up")
        _settle(host, "eth0", f"{access.outside}/24", f"{prefix}.1")
        access.inside = [access.outside]
        return access

    def unplug(self, access: Access) -> None:
        """Takes an access away; its network is used again last."""
        _end_line(access)
        for host in access.hosts if access.line is None else ():  # a line's devices go with it
            host.ip("link delete eth0")
        if access.routers:
            self.internet.ip(f"link delete a{access.network}")
        self._namespaces.remove(access.routers)
        with self._lock:
            self._accesses.remove(access)
            self._free.append(access.network)

    def lan(self, *hosts: Namespace) -> None:
        """Machines on one network that leads nowhere."""
        switch = self._namespaces.make("switch")
        switch.ip("link add lan type bridge", "link set lan up")
        for count, host in enumerate(hosts):
            _join(switch, f"port{count}", host, "eth0", f"{_HOME}.{2 + count}/24", "")

    def _new_access(self, kind: Kind, hosts: Sequence[Namespace]) -> Access:
        with self._lock:
            network = self._free.popleft()
            access = Access(kind, network, hosts, f"{_prefix(network)}.2")
            self._accesses.append(access)
        return access


def _prefix(network: int) -> str:
    return f"198.{18 + network % 2}.{64 + network // 2}"


def _connect(upper: Namespace, port: str, gateway: str, lower: Namespace, end: str, address: str) -> None:
    """A cable with addresses; upwards by default."""
    wire(upper, port, lower, end)
    upper.ip(f"address add {gateway} dev {port}")
    _settle(lower, end, address, gateway.partition("/")[0])


def _join(switch: Namespace, port: str, lower: Namespace, end: str, address: str, gateway: str) -> None:
    """One more machine on a bridge."""
    wire(switch, port, lower, end)
    switch.ip(f"link set {port} master lan")
    _settle(lower, end, address, gateway)


def _settle(machine: Namespace, end: str, address: str, gateway: str) -> None:
    machine.ip(f"address add {address} dev {end}", f"link set {end} up")
    if gateway:
        machine.ip(f"route add default via {gateway}")


def _set_up(router: Namespace, rules: Rules, place: Router, inner: str) -> None:
    router.set(ipv4__ip_forward=1)
    router.ip("link add lan type bridge", "link set lan up", f"address add {inner} dev lan")
    router.nft(rules(place))


def _end_line(access: Access) -> None:
    if access.line is not None:
        access.line.kill()
        access.line.wait()
        assert access.line.stdout is not None
        access.line.stdout.close()
