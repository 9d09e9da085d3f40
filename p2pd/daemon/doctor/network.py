"""The checks that ask other nodes: the port, the first nodes, the clock, and where peers see this machine.

Rules: they ask from the daemon's own port where it does not run; what a welcome says is not proven, so that it never
makes more than a warning where few say it.
"""

import asyncio
import errno
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from ipaddress import ip_address
from statistics import median
from typing import Any

from p2pd import limits
from p2pd.daemon.doctor.finding import Case, Finding, ok, problem, warning
from p2pd.daemon.doctor.greeting import Asked, Greeter
from p2pd.errors import P2pdError
from p2pd.net.addresses import endpoints_of, machine_addresses
from p2pd.net.lan import lan_addresses
from p2pd.net.udp import AddressError
from p2pd.types import Endpoint
from p2pd.wire.address import parse_endpoint

_ANYWHERE = (Endpoint("::", 0), Endpoint("0.0.0.0", 0))  # noqa: S104  any port, to ask from
_JOIN = "add someone by their link, or: p2pctl config set bootstrap HOST:PORT"
_ANOTHER_KEY = (
    "wait a minute and run this again; then compare p2pctl config get bootstrap with what `p2pctl status` prints "
    "there: a node that was installed anew has another key"
)
_OPEN = (
    "forward its UDP port at the router to this machine, and: p2pctl config set listen [::]:PORT; docs/operations.md"
)


def check_port(case: Case) -> Finding:
    """Whether the daemon's port is free for it, or its own already; then asks all nodes from it."""
    return asyncio.run(_port_and_greetings(case))


async def _port_and_greetings(case: Case) -> Finding:
    with closing(Greeter(case.settings.network)) as greeter:
        finding = await (_asked_from_elsewhere(greeter, case) if case.running else _bound(greeter, case))
        known = [node for node in case.known_nodes if node not in case.first_nodes]
        case.greetings = await greeter.greet(case.first_nodes, known)
    return finding


async def _asked_from_elsewhere(greeter: Greeter, case: Case) -> Finding:
    await _listen_anywhere(greeter)
    assert case.running is not None  # noqa: S101  its caller has looked
    return ok("the daemon listens on " + ", ".join(case.running["listen"]))


async def _bound(greeter: Greeter, case: Case) -> Finding:
    bound: list[Endpoint] = []
    try:
        for text in case.settings.listen:
            wanted = parse_endpoint(text)
            bound.append(await greeter.listen(Endpoint(wanted.host, wanted.port or case.ports.get(text, 0))))
    except AddressError as error:
        await _listen_anywhere(greeter)
        if not wanted.port and isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE:
            return warning(f"{error.message}: another program has the port that was used last", _RULES_BY_PORT)
        return problem(error.message, f"{error.hint}: p2pctl config set listen HOST:PORT")
    except P2pdError as error:
        await _listen_anywhere(greeter)
        return problem(error.message, error.hint or "correct it: p2pctl config set listen HOST:PORT")
    known = [str(endpoint) for endpoint, text in zip(bound, case.settings.listen, strict=True) if _is_set(text, case)]
    return ok("free: " + ", ".join(known) if known else "any free one will do")


def _is_set(listen: str, case: Case) -> bool:
    return parse_endpoint(listen).port != 0 or listen in case.ports


_RULES_BY_PORT = "the daemon takes another; a firewall's rule that names the old one must be changed"


async def _listen_anywhere(greeter: Greeter) -> None:
    for endpoint in _ANYWHERE:
        try:
            await greeter.listen(endpoint)
        except AddressError:
            continue
        return


def check_first_nodes(case: Case) -> Finding:
    """Whether there is a way into the network."""
    if case.greetings is None:
        return warning("not asked", "do first what is said of the port")
    first, known = case.greetings.first, case.greetings.known
    details = [asked.words for asked in (*first, *known)]
    answered = _answered(first)
    nodes = case.running["nodes"] if case.running else 0
    if not first and not known:
        return ok(f"none; {nodes} nodes are known") if nodes else warning("no node is known", _JOIN)
    if not answered and not _answered(known):
        hint = "check this machine's network, and that its firewall lets UDP out and the answers in"
        if nodes:
            return warning(f"none of {len(details)} answers, and yet {nodes} nodes are known", hint, *details)
        return problem(f"none of {len(details)} answers", f"{hint}; nodes of another --network never answer", *details)
    words = f"{answered} of {len(first)} first nodes and {_answered(known)} of {len(known)} known from before answer"
    if first and not answered:
        return warning(words, "correct the list: p2pctl config get bootstrap", *details)
    if case.running and not nodes:  # what answers a hello has proven no key yet
        return warning(f"{words}, and the daemon has joined by none of them", _ANOTHER_KEY, *details)
    return ok(words, *details)


def _answered(nodes: Iterable[Asked]) -> int:
    return sum(bool(asked.answers) for asked in nodes)


def check_clock(case: Case) -> Finding:
    """Whether this machine's clock agrees with the others'."""
    offsets = [answer.offset_ms for answer in case.greetings.answers] if case.greetings else []
    corrected = case.running["clock_offset_ms"] if case.running else 0
    if not offsets and not corrected:
        return ok("not compared: no node answered")
    offset_ms = corrected or median(offsets)
    words = f"{abs(offset_ms) / 1000:.1f} s {'behind' if offset_ms > 0 else 'ahead of'} "
    words += f"{len(offsets)} node{'s' * (len(offsets) > 1)}" if offsets else "most nodes"
    if abs(offset_ms) < limits.CLOCK_WRONG_MS:
        return ok(words)
    hint = "set it, and have it kept right: timedatectl set-ntp true"
    if len(offsets) < limits.CLOCK_PEERS_MIN and not corrected:
        return warning(f"{words}; so few may be wrong themselves", hint)
    return problem(words, hint) if abs(offset_ms) >= limits.CLOCK_SKEW_S * 1000 else warning(words, hint)


def check_reachability(case: Case) -> Finding:
    """Where peers see this machine, against what it is: whether strangers can reach the daemon."""
    own = endpoints_of(_listening(case), machine_addresses())
    facts = [f"own: {', '.join(map(str, own)) or 'no address'}"]
    if case.running and case.running["serves"]:
        if case.running["private"]:
            return ok("it serves its private network", *facts)
        if case.running["role"] == "auto":
            return ok("public: others have reached this node, and it serves them", *facts)
    reach = case.running.get("reach", {}) if case.running else {}
    if reach.get("nat") == "no-quic":
        return warning("nodes answer, but no link with any comes about: QUIC is blocked here", _BLOCKED, *facts)
    seen = _seen(case)
    if not seen:
        return warning("unknown: no node has said where it sees us", "see what is said of first nodes", *facts)
    facts.append(f"seen: {', '.join(map(str, seen))}")
    hosts = {endpoint.host for endpoint in own}
    if any(endpoint in own or ip_address(endpoint.host).is_loopback for endpoint in seen) or (
        case.running and seen[0].host in hosts
    ):
        if not case.running or case.running["role"] != "auto":
            return ok("no address translation in between", *facts)
        hint = "if it stays so for an hour, a firewall keeps others out: let UDP in to the node's port"
        return warning("no address translation in between, and yet nobody has reached this node so far", hint, *facts)
    ports, hosts = {endpoint.port for endpoint in seen}, {endpoint.host for endpoint in seen}
    if reach.get("nat") == "symmetric" or (len(ports) > 1 and len(hosts) == 1):
        return warning(_SYMMETRIC, _OPEN, *facts)
    return warning("behind a router (NAT) that lets only answers in: others call by relays", _OPEN, *facts)


_SYMMETRIC = (
    "behind a router that uses another port for each peer (symmetric NAT): others call by relays, and a direct way is "
    "made only to those whose router keeps its port"
)
_BLOCKED = "ask who runs this network to let QUIC (UDP) through; messages go by the network's mailboxes meanwhile"


def check_ipv6(case: Case) -> Finding:
    """Whether this machine has IPv6 and the daemon uses it: by it there is no router's translation in between."""
    machine = [ip_address(address.host) for address in machine_addresses()]
    own = [address for address in machine if address.version == 6 and not address.is_loopback]
    listening = [ip_address(endpoint.host) for endpoint in _listening(case)]
    if case.settings.private or (listening and all(address.is_loopback for address in listening)):
        return ok("not needed where only this machine, or a network of one's own, is to be reached")
    if all(address.is_loopback for address in machine):
        return warning("this machine is in no network", "connect it: `ip address` shows what it has")
    if not any(address.is_global for address in own):
        has = "addresses of the local network only" if own else "none"
        if case.running and case.running["serves"]:
            return ok(f"{has}; others reach this node without")
        return warning(f"{has}: others reach this machine by IPv4 alone", _NO_IPV6)
    if listening and all(address.version == 4 for address in listening):
        return warning("this machine has it, but the daemon listens on IPv4 only", _LISTEN_IPV6)
    silent = _silent_by_ipv6(case)
    if silent:
        return warning(f"this machine has it, and yet none of {silent} nodes answers by it: it is broken", _BROKEN_IPV6)
    if all(address.version == 6 or address.is_loopback for address in machine):
        return ok("this machine has it, and no IPv4: who has IPv4 only is reached by relays")
    return ok("this machine has it")


def _silent_by_ipv6(case: Case) -> int:
    """How many nodes were asked by IPv6, where none of these has answered, and others have."""
    if case.greetings is None:
        return 0
    nodes = [*case.greetings.first, *case.greetings.known]
    asked = [node for node in nodes if node.endpoints and all(endpoint.is_v6 for endpoint in node.endpoints)]
    return 0 if _answered(asked) or not _answered(nodes) else len(asked)


_BROKEN_IPV6 = (
    "what stands between drops it: ask the provider, or switch IPv6 off; links go by IPv4, a moment later than need be"
)
_NO_IPV6 = (
    "switch IPv6 on at the router, or ask the provider for it: it has no address translation; it works without too"
)
_LISTEN_IPV6 = "p2pctl config set listen [::]:PORT, which takes both; then: p2pctl restart"


def check_port_mapping(case: Case) -> Finding:
    """Whether the router lets others reach the daemon, as the daemon says; it alone asks the router."""
    if not case.running:
        return ok("looked at while the daemon runs")
    if not case.running.get("port_mapping_is_on"):
        return ok("off, as the settings say")
    families = case.running["port_mapping"]
    if not families:
        return ok("not needed: only this machine can reach the daemon")
    details = [_mapping_words(family) for family in families]
    missing = [family["failure"] for family in families if family["family"] == "IPv4" and not family["endpoint"]]
    if not missing or case.running["serves"] or not all(family["is_needed"] for family in families):
        return ok("; ".join(details))
    if not missing[0]:
        return ok("the router has not answered so far; look again in some seconds")
    return warning("; ".join(details), _DOUBLE_NAT if "double NAT" in missing[0] else _NO_MAPPING, *details)


_NO_MAPPING = f"switch on UPnP, NAT-PMP or PCP in the router's settings, or {_OPEN}; without it mail still works"
_DOUBLE_NAT = (
    "another router, or the provider, stands in between: put the inner router into bridge mode, or ask the provider "
    "for a public address; without it mail still works"
)


def _mapping_words(family: Mapping[str, Any]) -> str:
    if not family["endpoint"]:
        return f"{family['family']}: {family['failure'] or 'no answer so far'}"
    minutes = (family["lifetime_left_s"] or 0) // limits.MINUTE_S
    return f"{family['family']}: {family['endpoint']} by {family['method']} of {family['gateway']}, {minutes} min left"


def check_local_network(case: Case) -> Finding:
    """Whether the daemon finds people on the local network."""
    if not case.running:
        return ok("looked at while the daemon runs")
    if not case.running["lan_is_on"]:
        return ok("off, as the settings say")
    lan = case.running["lan"]
    if not lan["on"]:
        return ok("not used: only this machine can reach the daemon")
    if not lan["networks"]:
        if not lan_addresses(_listening(case), machine_addresses()):
            return ok("this machine is in no IPv4 network with others")
        return warning("no local network could be joined", "see p2pctl logs; another program may keep UDP port 5353")
    words = f"{lan['neighbours']} other nodes announced at {', '.join(lan['networks'])}"
    return ok(f"{words}; no node elsewhere is known" if lan["island"] else words)


def _listening(case: Case) -> list[Endpoint]:
    if case.running:
        return [parse_endpoint(text) for text in case.running["listen"]]
    return case.greetings.bound if case.greetings else []


def _seen(case: Case) -> list[Endpoint]:
    """Where peers see the daemon's port, the one that most see first."""
    if case.running:
        return [parse_endpoint(case.running["endpoint"])] if case.running["endpoint"] else []
    answers = case.greetings.answers if case.greetings else []
    return [endpoint for endpoint, _ in Counter(answer.observed for answer in answers).most_common()]
