"""The control client against a served home: calls, errors, following across restarts; and what it imports."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from p2pd import client
from p2pd.client import LostError, NoAnswerError, NotRunningError, connect
from p2pd.errors import NotFoundError, RefusedError, TimeUpError, UsageError
from p2pd.net.calls import EndingError
from p2pd.places import control_path
from p2pd.types import IdentityKey
from p2pd.wire.address import encode_address
from tests.daemon.conftest import Node, serving, somebody_waits

ROOT = Path(__file__).resolve().parent.parent
BOB = encode_address(IdentityKey(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")))


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A served home."""
    async with serving(tmp_path / "home") as running:
        yield running


async def test_methods_are_called_by_their_names(node: Node) -> None:
    async with connect(node.home) as connected:
        added = await connected.contact.add(address=BOB, **{"as": "bob"})
        assert (added["name"], added["address"], added["state"]) == ("bob", BOB, "pending")
        assert [entry["name"] for entry in (await connected.contact.list())["contacts"]] == ["bob"]
        assert (await connected.call("contact.show", name="bob"))["address"] == BOB


async def test_connecting_can_be_awaited(node: Node) -> None:
    connected = await connect(node.home)
    assert (await connected.id())["address"].startswith("p2p:")
    await connected.close()


async def test_calls_of_several_tasks_get_their_own_answers(node: Node) -> None:
    async with connect(node.home) as connected, asyncio.TaskGroup() as tasks:
        names = [tasks.create_task(connected.profile.set(name=f"name {number}")) for number in range(20)]
    assert [(await name)["name"] for name in names] == [f"name {number}" for number in range(20)]


@pytest.mark.parametrize(
    ("method", "parameters", "kind"),
    [
        ("contact.show", {"name": "nobody"}, NotFoundError),
        ("send", {"to": "bob", "text": ""}, UsageError),
        ("nothing", {}, UsageError),
        ("id", {"x": 1}, UsageError),
    ],
)
async def test_errors_are_what_they_were_in_the_daemon(
    node: Node, method: str, parameters: dict[str, Any], kind: type[Exception]
) -> None:
    async with connect(node.home) as connected:
        with pytest.raises(kind) as raised:
            await connected.call(method, **parameters)
    assert raised.type is kind


async def test_parameters_that_are_none_are_left_out(node: Node) -> None:
    async with connect(node.home) as connected:
        assert await connected.events(since=None, consumer=None)


async def test_a_cancelled_call_leaves_its_answer_to_nobody(node: Node) -> None:
    async with connect(node.home) as connected:
        await connected.contact.add(address=BOB, **{"as": "bob"})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await connected.wait(**{"from": "bob"}, timeout_s=60)
        assert (await connected.contact.show(name="bob"))["name"] == "bob"


async def test_names_that_python_reserves_end_in_an_underscore(node: Node) -> None:
    async with client.connect(node.home) as connected:
        assert (await connected.contact.add(address=BOB, as_="bob"))["name"] == "bob"
    assert (await asyncio.to_thread(client.call, "invite", home=node.home, as_="guest"))["as"] == "guest"


async def test_no_daemon_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match="no daemon"):
        await connect(tmp_path)
    with pytest.raises(NotRunningError, match="no daemon"):
        client.call("id", home=tmp_path)
    with pytest.raises(NotRunningError, match="no daemon"):
        next(client.follow(tmp_path))


async def test_a_call_without_asyncio(node: Node) -> None:
    answer = await asyncio.to_thread(client.call, "contact.add", home=node.home, address=BOB)
    assert answer["address"] == BOB
    with pytest.raises(NotFoundError):
        await asyncio.to_thread(client.call, "contact.show", home=node.home, name="nobody")
    with pytest.raises(TimeUpError):
        await asyncio.to_thread(
            client.call, "wait", home=node.home, answer_within_s=0.05, timeout_s=60, **{"from": BOB}
        )


async def test_pages_are_joined(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connect(node.home) as connected:
        await connected.contact.add(address=BOB, **{"as": "bob"})
        for number in range(12):
            await connected.send(to="bob", text=f"{number} " + "\x1b" * 100_000)
        history = (await connected.history(to="bob"))["messages"]
        events = await connected.events()
    assert [entry["text"].split()[0] for entry in history] == [str(number) for number in range(12)]
    assert "next" not in events
    cursors = [event["cursor"] for event in events["events"]]
    assert cursors == sorted(set(cursors))


async def test_following_goes_on_after_a_restart(tmp_path: Path) -> None:
    seen: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def follow(home: Path) -> None:
        async with connect(home) as connected, aclosing(connected.events.follow(since="now")) as events:
            async for event in events:
                await seen.put(event)

    async with serving(tmp_path / "home") as node:
        await _note(node, 1)
        following = asyncio.get_running_loop().create_task(follow(node.home))
        await somebody_waits(node)
        await _note(node, 2)
        assert (await seen.get())["data"] == {"number": 2}
    async with serving(tmp_path / "home") as node:
        await _note(node, 3)
        assert (await seen.get())["data"] == {"number": 3}
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following


async def _note(node: Node, number: int) -> None:
    """Writes an event, as the engine does."""

    def write(engine: Any, now: Any) -> None:
        engine._history.event("test", {"number": number}, now)

    await node.service.ask(write)


async def test_a_consumer_goes_on_after_what_it_has_done_with(node: Node) -> None:
    for number in (1, 2, 3):
        await _note(node, number)

    async def next_events(count: int) -> list[int]:
        numbers: list[int] = []
        async with connect(node.home) as connected, aclosing(connected.events.follow(consumer="bot")) as events:
            async for event in events:
                numbers.append(event["data"]["number"])
                if len(numbers) == count:
                    return numbers
        return numbers

    assert await next_events(2) == [1, 2]
    # 2 was handed out, and its reader did not come back to say that it is done
    assert await next_events(2) == [2, 3]


async def test_following_without_asyncio(node: Node) -> None:
    await _note(node, 1)
    events = client.follow(node.home, consumer="bot")
    assert (await asyncio.to_thread(next, events))["data"] == {"number": 1}
    await _note(node, 2)
    assert (await asyncio.to_thread(next, events))["data"] == {"number": 2}
    events.close()


@pytest.fixture
def dying(tmp_path: Path) -> Iterator[Path]:
    """A home whose daemon dies in the middle of every call."""
    path = control_path(tmp_path)
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def die() -> None:
            connected, _ = listening.accept()
            with connected:
                connected.recv(65_536)

        thread = threading.Thread(target=die)
        thread.start()
        yield tmp_path
        thread.join()


def test_a_daemon_that_dies_in_a_call_leaves_the_request_id(dying: Path) -> None:
    with pytest.raises(LostError) as raised:
        client.call("send", home=dying, to="bob", text="hello", request_id="r1")
    assert raised.value.request_id == "r1"
    assert "perhaps accepted" in raised.value.message
    assert "r1" in raised.value.hint
    assert raised.value.exit_code == 3


@pytest.mark.parametrize("within_s", [0, 1e-6, -1])
async def test_no_time_for_an_answer_is_no_end_of_the_daemon(node: Node, within_s: float) -> None:
    with pytest.raises(NoAnswerError, match="perhaps accepted") as raised:
        client.call("send", home=node.home, answer_within_s=within_s, to=BOB, text="hello", request_id="r1")
    assert raised.value.request_id == "r1"
    assert "r1" in raised.value.hint
    with pytest.raises(TimeUpError, match=r"in time$"):
        client.call("id", home=node.home, answer_within_s=within_s)


async def test_a_socket_of_another_users_is_not_talked_to(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    monkeypatch.setattr(client, "peer_uid", lambda connected: 54321)
    with pytest.raises(RefusedError, match="another user"):
        client.call("id", home=node.home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root looks after other users' daemons")
async def test_root_talks_to_the_daemon_whose_home_it_is(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(node.home, 54321, -1)
    monkeypatch.setattr(client, "peer_uid", lambda connected: 54321)
    line = await asyncio.to_thread(client.Connection, node.home)
    line.close()
    monkeypatch.setattr(client, "peer_uid", lambda connected: 54322)
    with pytest.raises(RefusedError, match="another user"):
        await asyncio.to_thread(client.Connection, node.home)


def test_it_imports_the_standard_library_alone_and_no_asyncio() -> None:
    script = "import sys; import p2pd.client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert not modules & {"asyncio", "platformdirs", "tomllib", "logging", "click"}
    tops = {name.partition(".")[0] for name in modules}
    assert tops - set(sys.stdlib_module_names) - {"__main__", "p2pd"} <= _site_modules()


def _site_modules() -> set[str]:
    """What the interpreter loads by itself, such as an editable installation's finder."""
    script = "import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_a_line_of_the_daemons_has_the_protocols_bound() -> None:
    from p2pd import client, limits

    assert client.LINE_BYTES == limits.CONTROL_LINE_BYTES


async def test_a_call_while_the_daemon_ends_finds_none_running(node: Node) -> None:
    async def ending(function: object) -> None:
        raise EndingError

    node.service.ask = ending
    with pytest.raises(NotRunningError) as caught:
        await asyncio.to_thread(client.call, "status", home=node.home)
    assert (caught.value.exit_code, "ending" in caught.value.message) == (3, True)
