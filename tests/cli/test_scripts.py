"""`events`, `ack`, `wait`, `rpc`: what scripts and bots stand on."""

import json
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.fake_daemon import GONE, FakeDaemon

BOB = "p2p:bob"


def message(cursor: int, text: str, sender: str = BOB) -> dict[str, Any]:
    data = {"id": f"{cursor:026}", "from": sender, "conversation": sender, "text": text, "position": cursor}
    return {"cursor": cursor, "type": "message", "at": "2026-01-01T10:00:00.000Z", "data": data}


@pytest.fixture
def logging_daemon(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon whose log stands at 7, and that knows bob."""
    daemon.set("events", {"events": [], "cursor": 7})
    daemon.set("events.follow", {"since": 7})
    daemon.set("contact.show", {"name": "bob", "address": BOB})
    daemon.set("contact.list", {"contacts": [{"name": "bob", "address": BOB}]})
    return daemon


def test_events_are_printed_and_it_ends(p2pctl: Run, logging_daemon: FakeDaemon) -> None:
    entries = [
        message(1, "hi\x1b[2J"),
        {"cursor": 2, "type": "receipt", "at": None, "data": {"id": "x", "state": "read"}},
    ]
    logging_daemon.set("events", {"events": entries, "cursor": 2})
    done = p2pctl("events", "--json", "--since", "0", "--consumer", "bot", "--type", "message,receipt")
    assert [json.loads(line) for line in done.out.splitlines()] == entries
    assert logging_daemon.calls == [("events", {"since": 0, "consumer": "bot", "type": "message,receipt"})]
    shown = p2pctl("events").out.splitlines()
    assert shown[0].endswith("message  bob: hi␛[2J")
    assert shown[1].endswith("receipt  id=x  state=read")


def test_events_are_followed_for_so_long(p2pctl: Run, logging_daemon: FakeDaemon) -> None:
    logging_daemon.events = [message(8, "hi"), GONE, message(9, "again")]
    done = p2pctl("events", "--follow", "--since", "now", "--json", "--timeout", "2")
    assert (done.code, [json.loads(line)["cursor"] for line in done.out.splitlines()]) == (6, [8, 9])
    assert "2 s of --timeout" in done.err


def test_a_cursor_is_a_number(p2pctl: Run, logging_daemon: FakeDaemon) -> None:
    assert p2pctl("events", "--since", "yesterday").code == 2


@pytest.mark.parametrize("words", [(), ("--match", "^yes")])
def test_wait_prints_the_next_message_of_a_person(
    words: tuple[str, ...], p2pctl: Run, logging_daemon: FakeDaemon
) -> None:
    logging_daemon.events = [message(3, "yes, of the past"), message(8, "yes", "p2p:eve"), message(9, "yes, I do")]
    done = p2pctl("wait", "--from", "bob", *words, "--timeout", "20")
    assert (done.code, done.out) == (0, "yes, I do\n")


def test_wait_passes_over_what_does_not_match(p2pctl: Run, logging_daemon: FakeDaemon) -> None:
    logging_daemon.events = [message(8, "no"), GONE, message(9, "well, yes")]
    done = p2pctl("wait", "--from", "bob", "--match", "yes$", "--json", "--timeout", "20")
    assert json.loads(done.out) == message(9, "well, yes")["data"] | {"cursor": 9}


def test_what_was_recalled_is_no_message_any_more(p2pctl: Run, logging_daemon: FakeDaemon) -> None:
    gone = message(8, "")
    gone["data"] |= {"recalled": True}
    logging_daemon.events = [gone, message(9, "yes")]
    assert p2pctl("wait", "--from", "bob", "--timeout", "20").out == "yes\n"
    logging_daemon.set("events", {"events": [gone], "cursor": 8})
    assert p2pctl("events").out.endswith("message  bob: (recalled)\n")


def test_wait_gives_up_in_time(p2pctl: Run, logging_daemon: FakeDaemon) -> None:
    assert p2pctl("wait", "--from", "bob", "--timeout", "0.1").code == 6
    assert p2pctl("wait", "--from", "bob", "--timeout", "0").code == 6


def test_wait_refuses_a_broken_expression(p2pctl: Run, logging_daemon: FakeDaemon) -> None:
    assert p2pctl("wait", "--from", "bob", "--match", "(").code == 2


def test_ack(p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("ack", {"name": "bot", "cursor": 9})
    assert p2pctl("ack", "bot", "9").out == "bot goes on after 9\n"
    assert daemon.calls == [("ack", {"name": "bot", "cursor": 9})]


@pytest.mark.parametrize(("words", "stdin"), [(('{"to": "bob"}',), b""), (("-",), b'{"to": "bob"}\n')])
def test_rpc(words: tuple[str, ...], stdin: bytes, p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("path", {"via": "direct\x7f"})
    done = p2pctl("rpc", "path", *words, stdin=stdin)
    assert done.out == '{"via": "direct\\u007f"}\n'
    assert daemon.calls == [("path", {"to": "bob"})]


@pytest.mark.parametrize("parameters", ["[]", "{", "\udcff"])
def test_rpc_takes_objects_only(parameters: str, p2pctl: Run, daemon: FakeDaemon) -> None:
    assert p2pctl("rpc", "path", parameters).code == 2


def test_rpc_of_an_unknown_method(p2pctl: Run, daemon: FakeDaemon) -> None:
    assert p2pctl("rpc", "nothing").code == 2
