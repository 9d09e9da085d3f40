"""The control socket against programs that break its rules."""

import asyncio
import json
import os
import socket
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from p2pd import limits
from p2pd.daemon import json_rpc
from p2pd.settings import Settings
from tests.daemon.conftest import Line, Node, serving


async def test_a_call_is_answered_under_its_id(line: Line) -> None:
    await line.say(b'{"jsonrpc":"2.0","id":"seven","method":"id"}\r\n\n')
    answer = await line.hear()
    assert answer is not None
    assert answer["id"] == "seven"
    assert answer["result"]["address"].startswith("p2p:")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"{", json_rpc.PARSE_ERROR),
        (b"\xff", json_rpc.PARSE_ERROR),
        (b'{"id": NaN}', json_rpc.PARSE_ERROR),
        (b"[" * 100_000, json_rpc.PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":' + b"9" * 5_000 + b',"method":"id"}', json_rpc.PARSE_ERROR),
        (b"[]", json_rpc.INVALID_REQUEST),
        (b"[" + b",".join([b"1"] * (limits.CONTROL_CALLS + 1)) + b"]", json_rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1e999,"method":"id"}', json_rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":"' + b"i" * 257 + b'","method":"id"}', json_rpc.INVALID_REQUEST),
        (b"7", json_rpc.INVALID_REQUEST),
        (b"null", json_rpc.INVALID_REQUEST),
        (b'{"id":1,"method":"id"}', json_rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1}', json_rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', json_rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":[1],"method":"id"}', json_rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":true,"method":"id"}', json_rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"ids"}', json_rpc.UNKNOWN_METHOD),
        (b'{"jsonrpc":"2.0","id":1,"method":"id","params":[1]}', json_rpc.INVALID_PARAMETERS),
        (b'{"jsonrpc":"2.0","id":1,"method":"id","params":{"x":1}}', json_rpc.INVALID_PARAMETERS),
        (b'{"jsonrpc":"2.0","id":1,"method":"id","params":{"link":1}}', json_rpc.INVALID_PARAMETERS),
        (b'{"jsonrpc":"2.0","id":1,"method":"why","params":{}}', json_rpc.INVALID_PARAMETERS),
        (b'{"jsonrpc":"2.0","id":1,"method":"why","params":{"id":"\\ud800"}}', json_rpc.INVALID_PARAMETERS),
        (b'{"jsonrpc":"2.0","id":1,"method":"why","params":{"id":"0"}}', json_rpc.REFUSED),
    ],
)
async def test_what_is_no_call_is_an_error_and_the_next_call_is_answered(line: Line, text: bytes, number: int) -> None:
    await line.say(text + b"\n")
    answer = await line.hear()
    assert answer is not None
    assert answer["error"]["code"] == number
    assert answer["error"]["data"]["code"] in ("usage", "not_found")
    assert "result" in await line.ask("id")


async def test_an_unknown_parameter_names_the_known_ones(line: Line) -> None:
    error = (await line.ask("dht.put", value="x", tll="1h"))["error"]
    assert "tll" in error["message"]
    assert "value, ttl" in error["data"]["hint"]


async def test_an_unknown_method_names_the_nearest(line: Line) -> None:
    error = (await line.ask("contact.lst"))["error"]
    assert error["data"]["hint"] == "did you mean contact.list?"


async def test_no_parameters_may_be_an_empty_array(line: Line) -> None:
    await line.say(b'{"jsonrpc":"2.0","id":1,"method":"profile.show","params":[]}\n')
    answer = await line.hear()
    assert answer is not None
    assert "result" in answer


async def test_a_batch_is_answered_in_one_line(line: Line) -> None:
    ask, tell = b'{"jsonrpc":"2.0","id":%d,"method":"%s"}', b'{"jsonrpc":"2.0","method":"profile.set","params":%s}'
    calls = [ask % (1, b"id"), tell % b'{"name":"Ann"}', ask % (2, b"ids"), b"7", ask % (3, b"profile.show")]
    await line.say(b"[" + b",".join(calls) + b"]\n")
    answers: Any = await line.hear()
    assert [answer["id"] for answer in answers] == [1, 2, None, 3]
    assert [answer["error"]["code"] for answer in answers if "error" in answer] == [
        json_rpc.UNKNOWN_METHOD,
        json_rpc.INVALID_REQUEST,
    ]
    assert answers[3]["result"]["name"] == "Ann"


async def test_a_batch_of_notifications_gets_no_answer(line: Line) -> None:
    await line.say(b'[{"jsonrpc":"2.0","method":"id"}]\n')
    assert (await line.ask("id"))["id"] == 1


async def test_an_answer_that_a_batch_has_no_room_for_is_an_error(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONTROL_BATCH_BYTES", 1_000)
    await line.say(
        b'[{"jsonrpc":"2.0","id":1,"method":"rpc.discover"},{"jsonrpc":"2.0","id":2,"method":"profile.show"}]\n'
    )
    answers: Any = await line.hear()
    assert "longer" in answers[0]["error"]["message"]
    assert "result" in answers[1]


async def test_what_a_batch_follows_comes_after_its_answers(line: Line) -> None:
    await line.say(
        b'[{"jsonrpc":"2.0","id":"f","method":"events.follow"},{"jsonrpc":"2.0","id":1,"method":"invite"}]\n'
    )
    answers: Any = await line.hear()
    assert [answer["id"] for answer in answers] == ["f", 1]
    event = await line.hear()
    assert event is not None
    assert (event["params"]["request"], event["params"]["event"]["type"]) == ("f", "invite")


async def test_one_call_of_a_batch_may_follow(line: Line) -> None:
    follow = b'{"jsonrpc":"2.0","id":%d,"method":"events.follow"}'
    await line.say(b"[" + follow % 1 + b"," + follow % 2 + b"]\n")
    answers: Any = await line.hear()
    assert "result" in answers[0]
    assert "by itself" in answers[1]["error"]["data"]["hint"]


@pytest.mark.parametrize(("text", "answered"), [(b'{"jsonrpc":"2.0","id":1,"method":"id"}', 1), (b'{"jsonrpc"', None)])
async def test_the_last_line_needs_no_end(line: Line, text: bytes, answered: int | None) -> None:
    await line.say(text)
    line.end_sending()
    answer = await line.hear()
    assert answer is not None
    assert answer["id"] == answered
    assert await line.hear() is None


async def test_a_notification_gets_no_answer(line: Line) -> None:
    await line.say(b'{"jsonrpc":"2.0","method":"profile.set","params":{"name":"Ann"}}\n')
    answer = await line.ask("profile.show")
    assert (answer["id"], answer["result"]["name"]) == (1, "Ann")


async def test_a_line_that_is_too_long_ends_the_connection(line: Line) -> None:
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(line.say(b"x" * (limits.CONTROL_LINE_BYTES + 200_000)))
        answer = await line.hear()
        sending.cancel()
    assert answer is not None
    assert "longer" in answer["error"]["message"]
    assert await _ends(line)


async def _ends(line: Line) -> bool:
    try:
        return await line.hear() is None
    except ConnectionError:
        return True


async def test_the_longest_line_is_taken(line: Line) -> None:
    start = b'{"jsonrpc":"2.0","id":1,"method":"id","params":{}'
    await line.say(start + b" " * (limits.CONTROL_LINE_BYTES - len(start) - 1) + b"}\n")
    answer = await line.hear()
    assert answer is not None
    assert "result" in answer


async def test_half_a_line_and_then_nothing_ends_the_connection(
    node: Node, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONTROL_STALL_S", 0.05)
    await line.say(b'{"jsonrpc"')
    answer = await line.hear()
    assert answer is not None
    assert "no end of the line" in answer["error"]["message"]
    assert await line.hear() is None


async def test_answers_that_nobody_takes_end_the_connection(
    node: Node, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CONTROL_STALL_S", 0.05)
    with pytest.raises(ConnectionError):
        await line.say(b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}\n' * 100_000)
    other = Line(node.path)
    assert "result" in await other.ask("id")
    other.close()


async def test_calls_of_one_client_do_not_wait_for_each_other(line: Line) -> None:
    address = (await line.ask("id"))["result"]["address"]
    await line.ask("contact.add", address=_another(address), **{"as": "bob"})
    await line.say(b'{"jsonrpc":"2.0","id":"slow","method":"wait","params":{"from":"bob","timeout_s":60}}\n')
    assert (await line.ask("id"))["id"] == 1


def _another(address: str) -> str:
    from p2pd.types import IdentityKey
    from p2pd.wire.address import encode_address, parse_link

    own = parse_link(address).identity
    return encode_address(IdentityKey(bytes([own[0] ^ 1]) + own[1:]))


async def test_what_is_due_is_answered_after_the_sending_side_was_closed(line: Line) -> None:
    await line.say(b'{"jsonrpc":"2.0","id":1,"method":"id"}\n')
    line.end_sending()
    answer = await line.hear()
    assert answer is not None
    assert answer["result"]["address"]
    assert await line.hear() is None


async def test_one_client_too_many_is_told_so(node: Node) -> None:
    lines = [Line(node.path) for _ in range(limits.CONTROL_CLIENTS)]
    for each in lines:
        assert "result" in await each.ask("id")
    refused = Line(node.path)
    answer = await refused.hear()
    assert answer is not None
    assert "32 clients" in answer["error"]["message"]
    assert await refused.hear() is None
    for each in (*lines, refused):
        each.close()


async def test_a_client_that_goes_makes_room(node: Node) -> None:
    for _ in range(2 * limits.CONTROL_CLIENTS):
        each = Line(node.path)
        assert "result" in await each.ask("id")
        each.end_sending()
        assert await each.hear() is None
        each.close()


async def test_a_follower_that_goes_makes_room_at_once(node: Node) -> None:
    for _ in range(2 * limits.CONTROL_CLIENTS):
        each = Line(node.path)
        assert "result" in await each.ask("events.follow", since="now")
        each.close()


async def test_stop_is_answered_before_the_end(node: Node, line: Line) -> None:
    assert (await line.ask("stop"))["result"] == {"stopping": True, "pid": os.getpid()}
    await node.stopping.wait()


async def test_a_node_that_only_stores_has_no_person(tmp_path: Path) -> None:
    async with serving(tmp_path / "home", settings=Settings(storage_only=True)) as node:
        line = Line(node.path)
        error = (await line.ask("send", to="bob", text="hello"))["error"]
        assert error["data"]["code"] == "refused"
        assert "result" in await line.ask("events")
        line.close()


async def test_folder_and_socket_are_ours_alone(node: Node) -> None:
    assert stat.S_IMODE(node.path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(node.path.stat().st_mode) == 0o600


async def test_the_socket_of_a_dead_daemon_is_replaced(tmp_path: Path) -> None:
    run = tmp_path / "home/run"
    run.mkdir(parents=True)
    for folder in (tmp_path / "home", run):
        folder.chmod(0o700)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(os.fspath(run / "control.sock"))
    dead.close()
    async with serving(tmp_path / "home") as node:
        line = Line(node.path)
        assert "result" in await line.ask("id")
        line.close()
    assert not node.path.exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
async def test_another_user_is_refused_even_where_the_file_system_lets_them() -> None:
    # not pytest's own folder, whose parents nobody else may enter
    with tempfile.TemporaryDirectory() as name:
        async with serving(Path(name) / "home") as node:
            for place in (Path(name), node.home, node.path.parent, node.path):
                place.chmod(0o777)
            answer = await _heard_by_nobody(node.path)
    assert answer["error"]["data"]["code"] == "refused"
    assert "another user" in answer["error"]["message"]


async def _heard_by_nobody(path: Path) -> dict[str, Any]:
    """What the daemon says to a process of the user nobody."""
    code = (
        "import os, socket, sys\n"
        "os.setgid(65534), os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "sys.stdout.write(s.makefile().read())\n"
    )
    words = [sys.executable, "-c", code, os.fspath(path)]
    asked = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    said, _ = await asked.communicate()
    answer: dict[str, Any] = json.loads(said)
    return answer
