"""A program of the user's own that breaks the control API's rules: each call is an error, and the next is answered."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.types import IdentityKey
from p2pd.wire.address import encode_address
from tests.integration.fleet import WITHIN_S, Daemon, Fleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
HALF = "\ud800"
OTHERS = (
    HALF,
    f"bob{HALF}",
    7,
    -1,
    2**70,
    1e300,
    True,
    None,
    [],
    [HALF],
    {},
    {HALF: HALF},
    "",
    "\0",
    "x" * 70_000,
    "p2p:",
    "0",
)
"""What a parameter may be given instead of what it wants."""
GOOD = {"to": "bob", "text": "hello", "name": "bob", "from": "bob", "address": "bob", "timeout_s": 0, "limit": 1}


class Line:
    """A connection that says what a test wants."""

    def __init__(self, person: Daemon) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WITHIN_S)
        self.socket.connect(str(person.home / "run/control.sock"))
        self.lines = self.socket.makefile("rb")

    def ask(self, method: object, parameters: object) -> dict[str, Any]:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        self.socket.sendall(json.dumps(call).encode() + b"\n")
        return self.hear()

    def hear(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.lines.readline())
        return answer

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


@pytest.fixture(scope="module")
def loner(network: Fleet) -> Iterator[Daemon]:
    """Someone with a contact and no network."""
    (person,) = network.people("loner", alone=True)
    person.call("contact.add", address=encode_address(IdentityKey(SigningKey(bytes(32)).public)), **{"as": "bob"})
    yield person
    person.is_well()
    person.kill()
    person.start()  # what it was told to set is no reason not to start
    person.is_well()
    person.kill()


@pytest.fixture
def line(loner: Daemon) -> Iterator[Line]:
    connected = Line(loner)
    yield connected
    connected.close()
    loner.is_well()


def calls(loner: Daemon) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """Every parameter of every method with every wrong value, the others right: method, parameter, all, type."""
    for method in loner.call("rpc.discover")["methods"]:
        if method["name"] == "stop":
            continue
        for parameter in method["parameters"]:
            rest = {one["name"]: GOOD.get(one["name"], "x") for one in method["parameters"] if one["required"]}
            if "timeout_s" in {one["name"] for one in method["parameters"]}:
                rest["timeout_s"] = 0
            for value in OTHERS:
                yield method["name"], parameter["name"], rest | {parameter["name"]: value}, parameter["type"]


def test_every_parameter_of_every_method_with_what_it_does_not_want(loner: Daemon, line: Line) -> None:
    errors = 0
    for method, parameter, parameters, _ in calls(loner):
        answer = line.ask(method, parameters)
        if method == "events.follow" and "result" in answer:
            line.close()
            line = Line(loner)
            continue
        assert ("error" in answer) != ("result" in answer)
        if "error" in answer:
            errors += 1
            assert answer["error"]["data"]["code"] != "internal", (method, parameters)
        if HALF in str(parameters[parameter]) and isinstance(parameters[parameter], str):
            assert answer["error"]["data"]["code"] == "usage", (method, parameter)
    print(f"{errors} calls refused")
    assert errors > 500
    line.close()


@pytest.mark.parametrize("method", ["sned", "", HALF, "rpc.discover\0", "x" * 10_000, None, 7, ["send"], {}])
def test_methods_that_are_none(line: Line, method: object) -> None:
    assert "error" in line.ask(method, {})
    assert "result" in line.ask("id", {})


@pytest.mark.parametrize("parameters", [[], "x", 7, None, {"to": "bob", "txet": "hello"}, {HALF: 1}, {"": {}}])
def test_parameters_that_are_none(line: Line, parameters: object) -> None:
    answer = line.ask("send", parameters)
    assert answer["error"]["data"]["code"] == "usage"
    assert "text" in answer["error"]["data"]["hint"]


def test_garbage_and_half_a_line(line: Line) -> None:
    for data in (
        b"\xff\xfe",
        b"{}",
        b"[]",
        b'"\\ud800"',
        b"{" * 50_000,
        b'{"jsonrpc":"2.0","id":"\\ud800","method":"id"}',
    ):
        line.socket.sendall(data + b"\n")
        answer = line.hear()
        assert "error" in answer or answer["id"] == HALF
    line.socket.sendall(b'{"jsonrpc":')


def test_a_line_of_4_mib_ends_its_connection_only(loner: Daemon, line: Line) -> None:
    flood = Line(loner)
    with pytest.raises(OSError, match=r"reset|pipe"):  # noqa: PT012 - whether at sending or at reading is the kernel's
        flood.socket.sendall(b"x" * (2 * limits.CONTROL_LINE_BYTES))
        while flood.socket.recv(65_536):
            pass
        raise BrokenPipeError("pipe")
    flood.close()
    assert "result" in line.ask("id", {})


def test_33_clients_at_once(loner: Daemon) -> None:
    lines = [Line(loner) for _ in range(limits.CONTROL_CLIENTS + 1)]
    assert "clients" in lines[-1].hear()["error"]["message"]
    assert "result" in lines[0].ask("id", {})
    for each in lines:
        each.close()
