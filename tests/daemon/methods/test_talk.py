"""`send`, `history`, `why`, `read`, `wait` over a node with nobody on the network."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from p2pd.client import Client, connect
from p2pd.errors import FailedError, NotFoundError, P2pdError, RefusedError, TimeUpError, UsageError
from p2pd.store import Direction, Message, MessageState
from p2pd.types import IdentityKey, MessageId, Now
from p2pd.wire.address import encode_address, encode_id
from tests.daemon.conftest import Node, somebody_waits

BOB = encode_address(IdentityKey(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")))


@pytest.fixture
async def client(node: Node) -> AsyncIterator[Client]:
    """A client of a node that has added bob."""
    async with connect(node.home) as connected:
        await connected.contact.add(address=BOB, **{"as": "bob"})
        yield connected


async def test_a_text_is_queued_and_in_the_history(client: Client) -> None:
    sent = await client.send(to="@bob", text="hello\x1b", request_id="r1")
    assert (sent["to"], sent["name"], sent["state"], sent["request_id"]) == (BOB, "bob", "queued", "r1")
    (entry,) = (await client.history(to="bob"))["messages"]
    own = (await client.id())["address"]
    assert entry == {
        "id": sent["id"],
        "direction": "out",
        "from": own,
        "from_name": "",
        "conversation": BOB,
        "text": "hello\x1b",
        "sent_at": sent["sent_at"],
        "received_at": None,
        "state": "queued",
        "via": None,
        "reply": None,
        "gap": False,
        "recalled": None,
    }


async def test_what_has_not_left_is_recalled_at_once_and_its_text_is_gone(client: Client) -> None:
    sent = await client.send(to="bob", text="a slip", request_id="r1")
    told = {"id": sent["id"], "to": BOB, "name": "bob", "state": "recalled"}
    recall = {"outcome": "unseen", "have": 0, "want": 0}
    assert await client.recall(id=sent["id"][:8]) == told | {"was": "queued", "recall": recall}
    assert await client.recall(id=sent["id"]) == told | {"was": "recalled", "recall": recall}
    (entry,) = (await client.history(to="bob"))["messages"]
    assert (entry["text"], entry["state"], entry["recalled"]) == ("", "recalled", "unseen")
    assert (await client.why(id=sent["id"]))["recall"] == recall
    receipts = (await client.events(type="receipt"))["events"]
    assert [event["data"]["state"] for event in receipts] == ["recalled"]
    with pytest.raises(NotFoundError):
        await client.recall(id="yyyyyyyyyyyyyyyyyyyyyyyyyy")


async def test_a_request_is_not_recalled_before_it_is_answered(client: Client) -> None:
    carol = encode_address(
        IdentityKey(bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"))
    )
    asked = await client.send(to=carol, text="may I?")
    with pytest.raises(RefusedError, match="before it is answered"):
        await client.recall(id=asked["id"])


async def test_the_same_request_never_sends_twice(client: Client) -> None:
    first = await client.send(to="bob", text="hello", request_id="r1")
    assert (await client.send(to="bob", text="hello", request_id="r1"))["id"] == first["id"]
    assert len((await client.history(to="bob"))["messages"]) == 1


async def test_a_request_id_of_another_text_is_refused(client: Client) -> None:
    first = await client.send(to="bob", text="hello", request_id="r1")
    with pytest.raises(FailedError, match="r1 was used for another text"):
        await client.send(to="bob", text="good bye", request_id="r1")
    await client.recall(id=first["id"])  # what it said is forgotten
    assert (await client.send(to="bob", text="hello", request_id="r1"))["id"] == first["id"]


async def test_waiting_in_vain_says_so_and_keeps_the_message(client: Client) -> None:
    with pytest.raises(TimeUpError, match="safe and queued, and not stored yet"):
        await client.send(to="bob", text="hello", wait="stored", timeout_s=0.05)
    assert len((await client.history(to="bob"))["messages"]) == 1


async def test_waiting_ends_when_the_level_is_reached(node: Node, client: Client) -> None:
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(client.send(to="bob", text="hello", wait="delivered", timeout_s=60))
        await somebody_waits(node)
        await node.service.ask(_deliver)
    assert sending.result()["state"] == "delivered"


def _deliver(engine: Any, now: Any) -> None:
    """Does what the engine does when bob's node has acknowledged the newest message."""
    from p2pd.store import MessageState

    (message,) = engine.history("bob")
    engine._history.change_state(message.contact, message.message, MessageState.DELIVERED, now)


@pytest.mark.slow
async def test_a_message_that_expired_is_not_waited_for(client: Client) -> None:
    with pytest.raises(P2pdError) as raised:
        await client.send(to="bob", text="hello", expire="1", wait="stored", timeout_s=60)
    assert raised.value.code == "failed"
    assert "expired" in raised.value.message


@pytest.mark.parametrize(
    "parameters",
    [
        {"text": ""},
        {"text": "x", "expire": "soon"},
        {"text": "x", "expire": "0s"},
        {"text": "x", "expire": "31d"},
        {"text": "x", "wait": "seen"},
        {"text": "x", "wait": "read", "timeout_s": -1},
        {"text": "x", "reply": "0"},
    ],
)
async def test_what_cannot_be_sent_is_refused(client: Client, parameters: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        await client.send(to="bob", **parameters)
    assert (await client.history(to="bob"))["messages"] == []


async def test_history_takes_the_newest_and_since(client: Client) -> None:
    for number in range(5):
        await client.send(to="bob", text=str(number))
    newest = (await client.history(to="bob", limit=2))["messages"]
    assert [entry["text"] for entry in newest] == ["3", "4"]
    rest = (await client.history(to="bob", after=newest[0]["id"]))["messages"]
    assert [entry["text"] for entry in rest] == ["4"]
    assert len((await client.history(to="bob", since="1h"))["messages"]) == 5
    assert (await client.history(to="bob", since="2999-01-01"))["messages"] == []
    for limit in (0, 10_001):
        with pytest.raises(UsageError):
            await client.history(to="bob", limit=limit)


async def test_why_takes_the_beginning_of_an_id(client: Client) -> None:
    sent = await client.send(to="bob", text="hello")
    answer = await client.why(id=sent["id"][:8])
    assert (answer["id"], answer["state"], answer["receipts"]) == (sent["id"], "queued", None)
    assert answer["steps"][0].items() >= {"at": sent["sent_at"], "what": "queued"}.items()
    with pytest.raises(NotFoundError):
        await client.why(id="yyyyyyyy")


async def test_waiting_no_time_finds_what_is_there(client: Client, node: Node) -> None:
    def come(engine: Any, now: Now) -> None:
        engine._store.save_message(
            Message(engine.resolve("bob"), MessageId(bytes(16)), Direction.IN, "hello", 1, 1, 1, MessageState.RECEIVED)
        )
        engine._history.event("message", {"id": encode_id(bytes(16))}, now)

    await node.service.ask(come)
    assert (await client.wait(from_="bob", since=0, timeout_s=0))["text"] == "hello"


async def test_waiting_for_a_message_ends_in_time(client: Client) -> None:
    with pytest.raises(TimeUpError, match="bob"):
        await client.wait(**{"from": "bob"}, timeout_s=0.05)
    with pytest.raises(NotFoundError):
        await client.wait(**{"from": "carol"}, timeout_s=60)
