"""`events` and `ack`."""

from typing import Any

import pytest

from p2pd.client import connect
from p2pd.errors import UsageError
from tests.daemon.conftest import Node


async def _note(node: Node, *numbers: int, type: str = "test") -> None:
    def write(engine: Any, now: Any) -> None:
        for number in numbers:
            engine._history.event(type, {"number": number}, now)

    await node.service.ask(write)


async def test_events_are_read_from_a_cursor(node: Node) -> None:
    await _note(node, 1, 2, 3)
    async with connect(node.home) as client:
        everything = (await client.events())["events"]
        assert [event["data"]["number"] for event in everything] == [1, 2, 3]
        assert set(everything[0]) == {"cursor", "type", "at", "data"}
        rest = await client.events(since=everything[1]["cursor"])
        assert [event["data"]["number"] for event in rest["events"]] == [3]
        assert rest["cursor"] == everything[2]["cursor"]
        assert (await client.events(since="now"))["events"] == []
        assert [event["cursor"] for event in (await client.events(since="0", limit=1))["events"]] == [1]


async def test_events_are_chosen_by_type(node: Node) -> None:
    await _note(node, 1)
    await _note(node, 2, type="other")
    async with connect(node.home) as client:
        chosen = (await client.events(type="none, other"))["events"]
    assert [event["data"]["number"] for event in chosen] == [2]


async def test_a_consumer_goes_on_after_what_it_acknowledged(node: Node) -> None:
    await _note(node, 1, 2, 3)
    async with connect(node.home) as client:
        first = (await client.events(consumer="bot"))["events"]
        await client.ack(name="bot", cursor=first[1]["cursor"])
        assert [event["data"]["number"] for event in (await client.events(consumer="bot"))["events"]] == [3]
        assert len((await client.events(consumer="bot", since=0))["events"]) == 3


@pytest.mark.parametrize("method", ["events", "events.follow"])
async def test_a_new_consumer_that_begins_now_misses_nothing_from_then_on(node: Node, method: str) -> None:
    await _note(node, 1)
    async with connect(node.home) as client:
        await client.call(method, consumer="bot", since="now")
    await _note(node, 2)
    async with connect(node.home) as client:
        assert [event["data"]["number"] for event in (await client.events(consumer="bot"))["events"]] == [2]


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("events", {"since": "soon"}),
        ("events", {"since": -1}),
        ("events", {"consumer": "x" * 65}),
        ("events", {"limit": 0}),
        ("ack", {"name": "", "cursor": 0}),
        ("ack", {"name": "bot", "cursor": 10**6}),
        ("ack", {"name": "bot", "cursor": 2**70}),
    ],
)
async def test_what_is_no_place_in_the_log_is_refused(node: Node, method: str, parameters: dict[str, Any]) -> None:
    async with connect(node.home) as client:
        with pytest.raises(UsageError):
            await client.call(method, **parameters)
