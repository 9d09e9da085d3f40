"""A conversation by piped lines: history first, every line sent, states and answers shown, a restart survived."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from p2pctl.chat import Conversation
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon, Gone, Refusal

BOB = "p2p:bob"
AT = "2026-01-01T10:00:00.000Z"
OLD = {"id": "o" * 26, "direction": "in", "from": BOB, "from_name": "bob", "text": "earlier", "state": "received",
       "sent_at": AT, "received_at": AT}  # fmt: skip


@pytest.fixture
def chatting(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon that knows bob and takes messages."""
    ids = iter("abcdef")
    daemon.set("contact.show", {"name": "bob", "address": BOB})
    daemon.set("contact.list", {"contacts": [{"name": "bob", "address": BOB}, {"name": "eve", "address": "p2p:eve"}]})
    daemon.set("events", {"events": [], "cursor": 7})
    daemon.set("events.follow", {"since": 7})
    daemon.set("history", lambda parameters: {"messages": [] if parameters["to"] == "p2p:eve" else [OLD]})
    daemon.set("read", {})
    daemon.set("why", lambda parameters: {"id": parameters["id"], "state": "stored", "steps": []})
    daemon.set("send", lambda _: {"id": next(ids) * 26, "to": BOB, "name": "bob", "state": "queued", "sent_at": AT})
    return daemon


def texts(daemon: FakeDaemon) -> list[str]:
    return [parameters["text"] for method, parameters in daemon.calls if method == "send"]


def test_history_comes_first_and_lines_are_sent(p2pctl: Run, chatting: FakeDaemon) -> None:
    done = p2pctl("chat", "bob", stdin=b"one\n\n  \n two \n//three\nlast")
    assert done.code == 0
    assert texts(chatting) == ["one", " two ", "/three", "last"]
    lines = done.out.splitlines()
    assert "bob: earlier" in lines[1]
    assert "you: one" in lines[2]
    assert ("read", {"id": OLD["id"]}) in chatting.calls


def test_quit_and_commands(p2pctl: Run, chatting: FakeDaemon) -> None:
    done = p2pctl("chat", "bob", stdin=b"hello\n/why\n/why zzz\n/help\n/nonsense\n/quit\nnever sent\n")
    assert texts(chatting) == ["hello"]
    assert [parameters for method, parameters in chatting.calls if method == "why"] == [{"id": "a" * 26}, {"id": "zzz"}]
    assert "/quit" in done.err
    assert "no such command: /nonsense" in done.err


def test_an_error_does_not_end_it(p2pctl: Run, chatting: FakeDaemon) -> None:
    def refuse(_: object) -> None:
        raise Refusal("quota", "the outbox is full\x1b", "wait")

    chatting.set("send", refuse)
    done = p2pctl("chat", "bob", stdin=b"one\ntwo\n")
    assert done.code == 0
    assert done.err.count("the outbox is full␛; wait") == 2


def test_a_line_survives_a_restart_and_is_sent_once(p2pctl: Run, chatting: FakeDaemon) -> None:
    accept = chatting.answers["send"]
    seen: list[str] = []

    def die_once(parameters: dict[str, Any]) -> Any:
        seen.append(parameters["request_id"])
        if len(seen) == 1:
            raise Gone
        return accept(parameters)

    chatting.set("send", die_once)
    p2pctl("chat", "bob", stdin=b"one\n")
    assert len(seen) == 2
    assert len(set(seen)) == 1


def test_without_a_name_the_latest_conversation_opens(p2pctl: Run, chatting: FakeDaemon) -> None:
    done = p2pctl("chat", stdin=b"hi\n")
    assert done.code == 0
    assert "earlier" in done.out.splitlines()[1]
    assert texts(chatting) == ["hi"]


def test_without_any_conversation(p2pctl: Run, chatting: FakeDaemon) -> None:
    chatting.set("history", {"messages": []})
    assert p2pctl("chat", stdin=b"").code == 1


def test_for_a_script(p2pctl: Run, chatting: FakeDaemon) -> None:
    done = p2pctl("chat", "bob", "--json", stdin=b"one\n")
    assert [json.loads(line)["text"] for line in done.out.splitlines()] == ["earlier", "one"]


def test_what_they_take_back_is_said() -> None:
    lines: list[str] = []
    conversation = Conversation(SimpleNamespace(as_json=False), SimpleNamespace(put=lines.append), "bob")  # type: ignore[arg-type]
    data = {"id": OLD["id"], "from": BOB, "conversation": BOB, "before": "shown", "position": 0}
    conversation._on_event({"type": "recalled", "at": AT, "data": data}, BOB)
    conversation._on_event({"type": "recalled", "at": AT, "data": data | {"conversation": "p2p:eve"}}, BOB)
    (line,) = lines
    assert line.endswith("bob: (recalled)")


def test_another_device_of_theirs_is_never_silent() -> None:
    lines: list[str] = []
    screen = SimpleNamespace(put=lines.append, is_interactive=True)
    conversation = Conversation(SimpleNamespace(as_json=False), screen, "bob")  # type: ignore[arg-type]
    for address in (BOB, "p2p:eve"):
        conversation._on_event({"type": "device", "at": AT, "data": {"name": "x", "address": address}}, BOB)
    (line,) = lines
    assert line.startswith("bob uses another device")
