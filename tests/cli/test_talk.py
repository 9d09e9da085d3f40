"""`send`, `history`, `why`: a text is carried exactly, and states are told truly."""

import json
import threading
import time
from typing import Any

import pytest

from p2pctl.talk import TEXT_BYTES
from tests.cli.conftest import Run
from tests.cli.fake_daemon import GONE, FakeDaemon, Gone

SENT = {
    "id": "ybndrfg8ejkmcpqxot1uwisza3",
    "to": "p2p:b",
    "name": "bob",
    "state": "queued",
    "sent_at": "2026-01-01T10:00:00.000Z",
}


@pytest.fixture
def accepting(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon that takes every message."""
    daemon.set("send", SENT)
    daemon.set("events", {"events": [], "cursor": 7})
    daemon.set("events.follow", {"since": 7})
    return daemon


def sent_texts(daemon: FakeDaemon) -> list[str]:
    return [parameters["text"] for method, parameters in daemon.calls if method == "send"]


def receipt(cursor: int, state: str, id: str = SENT["id"]) -> dict[str, Any]:
    return {"cursor": cursor, "type": "receipt", "at": SENT["sent_at"], "data": {"id": id, "state": state}}


@pytest.mark.parametrize(
    ("words", "stdin", "text"),
    [
        (("hello", "there"), b"", "hello there"),
        (("two  blanks",), b"", "two  blanks"),
        (("--", "-5", "--json"), b"", "-5 --json"),
        (("-",), b"piped\n", "piped"),
        (("-",), b"piped\n\n", "piped\n"),
        (("-",), b"no newline", "no newline"),
        (("-",), "Zo\u00eb \x1b[31m\r\n".encode(), "Zo\u00eb \x1b[31m\r"),
        (("-",), b"x" * TEXT_BYTES + b"\n", "x" * TEXT_BYTES),
        (("a", "-"), b"", "a -"),
    ],
)
def test_the_text_that_is_sent(
    words: tuple[str, ...], stdin: bytes, text: str, p2pctl: Run, accepting: FakeDaemon
) -> None:
    done = p2pctl("send", "bob", *words, stdin=stdin)
    assert (done.code, done.err) == (0, "")
    assert sent_texts(accepting) == [text]


@pytest.mark.parametrize(
    ("words", "stdin", "told"),
    [
        (("",), b"", "no text"),
        (("-",), b"", "no text"),
        (("-",), b"\n", "no text"),
        (("-",), b"\xff\xfe", "not UTF-8"),
        (("-",), b"x" * (TEXT_BYTES + 1), "files"),
        (("x" * (TEXT_BYTES + 1),), b"", "files"),
        (("\udcff",), b"", "not UTF-8"),
    ],
)
def test_what_cannot_be_sent(
    words: tuple[str, ...], stdin: bytes, told: str, p2pctl: Run, accepting: FakeDaemon
) -> None:
    done = p2pctl("send", "bob", *words, stdin=stdin)
    assert done.code == 2
    assert told in done.err
    assert sent_texts(accepting) == []


def test_what_send_prints(p2pctl: Run, accepting: FakeDaemon) -> None:
    assert p2pctl("send", "bob", "hi").out == "queued ybndrfg8 to bob\n"
    assert p2pctl("send", "bob", "hi", "--id-only").out == SENT["id"] + "\n"
    assert json.loads(p2pctl("send", "bob", "hi", "--json").out) == SENT


def test_every_send_has_a_request_id_of_its_own(p2pctl: Run, accepting: FakeDaemon) -> None:
    p2pctl("send", "bob", "one")
    p2pctl("send", "bob", "one")
    ids = [parameters["request_id"] for _, parameters in accepting.calls]
    assert len(set(ids)) == 2


def test_a_daemon_that_dies_during_send(p2pctl: Run, daemon: FakeDaemon) -> None:
    def die(_: object) -> None:
        raise Gone

    daemon.set("send", die)
    done = p2pctl("send", "bob", "hi", "--json")
    assert done.code == 3
    error = json.loads(done.err)["error"]
    assert "perhaps accepted" in error["message"]
    assert error["request_id"] == daemon.calls[0][1]["request_id"]
    assert error["request_id"] in p2pctl("send", "bob", "hi", "--request-id", error["request_id"]).err
    assert daemon.calls[1][1]["request_id"] == error["request_id"]


@pytest.mark.parametrize(("level", "reached"), [("stored", "stored"), ("stored", "delivered"), ("delivered", "read")])
def test_waiting_for_a_level(level: str, reached: str, p2pctl: Run, accepting: FakeDaemon) -> None:
    accepting.events = [receipt(3, "read"), receipt(8, "read", id="another"), receipt(9, reached)]
    done = p2pctl("send", "bob", "hi", "--wait", level, "--json")
    assert done.code == 0
    assert json.loads(done.out)["state"] == reached


def test_waiting_ends_when_time_is_up(p2pctl: Run, accepting: FakeDaemon) -> None:
    accepting.events = [receipt(9, "stored")]
    done = p2pctl("send", "bob", "hi", "--wait", "delivered", "--timeout", "0.2", "--id-only")
    assert (done.code, done.out) == (6, SENT["id"] + "\n")
    assert "p2pctl why ybndrfg8" in done.err


@pytest.mark.parametrize("seconds", ["0", "0.0001"])
def test_a_short_wait_does_not_end_the_call_itself(seconds: str, p2pctl: Run, accepting: FakeDaemon) -> None:
    def slow(_: object) -> Any:
        time.sleep(0.02)
        return SENT

    accepting.set("send", slow)
    done = p2pctl("send", "bob", "hi", "--wait", "delivered", "--timeout", seconds, "--id-only")
    assert (done.code, done.out) == (6, SENT["id"] + "\n")


def test_a_daemon_that_hangs_during_send(p2pctl: Run, daemon: FakeDaemon) -> None:
    hangs = threading.Event()
    daemon.set("send", lambda _: hangs.wait(20))
    done = p2pctl("send", "bob", "hi", "--timeout", "0.05", "--json")
    hangs.set()
    error = json.loads(done.err)["error"]
    assert (done.code, error["request_id"]) == (6, daemon.calls[0][1]["request_id"])
    assert "perhaps accepted" in error["message"]


def test_waiting_ends_when_there_is_no_hope(p2pctl: Run, accepting: FakeDaemon) -> None:
    accepting.events = [receipt(9, "expired")]
    done = p2pctl("send", "bob", "hi", "--wait", "delivered")
    assert done.code == 1
    assert "expired" in done.err


def test_a_daemon_that_is_restarted_while_one_waits(p2pctl: Run, accepting: FakeDaemon) -> None:
    calls = []

    def follow(parameters: dict[str, Any]) -> dict[str, int]:
        calls.append(parameters["since"])
        if len(calls) == 2:
            raise Gone
        return {"since": 7}

    accepting.set("events.follow", follow)
    accepting.events = [receipt(9, "stored"), GONE, receipt(10, "delivered")]
    done = p2pctl("send", "bob", "hi", "--wait", "delivered", "--timeout", "20", "--json")
    assert done.code == 0
    assert json.loads(done.out)["state"] == "delivered"
    assert calls == [7, 9, 9]


MESSAGES = [
    {
        "id": "a" * 26,
        "direction": "in",
        "from": "p2p:b",
        "from_name": "bob",
        "text": "hi\n10:00 you: no",
        "state": "read",
        "sent_at": "2026-01-01T10:00:00.000Z",
        "received_at": "2026-01-01T10:00:01.000Z",
    },
    {
        "id": "b" * 26,
        "direction": "out",
        "from": "p2p:me",
        "from_name": "me",
        "text": "\x1b[2J",
        "state": "stored",
        "sent_at": "2026-01-02T10:00:00.000Z",
        "received_at": None,
    },
]


def test_history_for_a_person(p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("history", {"messages": MESSAGES})
    lines = p2pctl("history", "bob").out.splitlines()
    assert [line for line in lines if line.startswith("--")] == [lines[0], lines[3]]
    assert "bob: hi" in lines[1]
    assert lines[2].startswith(" ")
    assert lines[4].endswith("you: ␛[2J  [stored]")


def test_history_for_a_script(p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("history", {"messages": MESSAGES})
    done = p2pctl("history", "bob", "--json", "--limit", "10000", "--since", "3d")
    assert [json.loads(line) for line in done.out.splitlines()] == MESSAGES
    assert daemon.calls == [("history", {"to": "bob", "limit": 10000, "since": "3d"})]


def test_history_is_bounded(p2pctl: Run) -> None:
    assert p2pctl("history", "bob", "--limit", "10001").code == 2


def test_why(p2pctl: Run, daemon: FakeDaemon) -> None:
    steps = [{"at": "2026-01-01T10:00:00.000Z", "what": "accepted"}, {"at": None, "what": "put \x1b", "nodes": 8}]
    receipts = {"have": 8, "want": 20, "expires_at": "2026-01-15T10:00:00.000Z"}
    answer = {"id": "a" * 26, "state": "stored", "steps": steps, "receipts": receipts}
    daemon.set("why", answer)
    out = p2pctl("why", "aaa").out
    assert "8 nodes hold it, 20 wanted, kept until 2026-01-15" in out
    assert "put ␛  nodes=8" in out
    assert json.loads(p2pctl("why", "aaa", "--json").out) == answer


def test_read(p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("read", {"id": "a" * 26, "state": "read"})
    assert p2pctl("read", "aaaa").out == "read aaaa\n"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            {"was": "queued", "state": "recalled", "recall": {"outcome": "unseen", "have": 0, "want": 0}},
            "recalled ybndrfg8",
        ),
        (
            {"was": "stored", "state": "recalling", "recall": {"outcome": "asked", "have": 6, "want": 8}},
            "recalling ybndrfg8: 6 of 8 copies removed",
        ),
        (
            {"was": "queued", "state": "recalling", "recall": {"outcome": "asked", "have": 0, "want": 0}},
            "recalling ybndrfg8: bob is asked",
        ),
        (
            {"was": "read", "state": "recalling", "recall": {"outcome": "asked", "have": 0, "want": 0}},
            "recalling ybndrfg8: bob may have seen it, and is asked to delete it",
        ),
    ],
)
def test_a_recall_says_how_far_it_is(answer: dict[str, Any], said: str, p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("recall", SENT | answer)
    done = p2pctl("recall", "ybndrfg8")
    assert (done.code, done.out) == (0, said + "\n")
    assert daemon.calls == [("recall", {"id": "ybndrfg8"})]
    assert json.loads(p2pctl("recall", "ybndrfg8", "--json").out) == SENT | answer


def test_what_was_recalled_is_marked_in_history_and_why_counts_holders(p2pctl: Run, daemon: FakeDaemon) -> None:
    message = {"id": SENT["id"], "direction": "out", "text": "", "sent_at": SENT["sent_at"], "state": "recalling"}
    daemon.set("history", {"messages": [message | {"recalled": "asked"}]})
    assert "you: (recalled)  [recalling]" in p2pctl("history", "bob").out
    recall = {"outcome": "asked", "have": 6, "want": 8}
    daemon.set("why", {"id": SENT["id"], "state": "recalling", "steps": [], "receipts": None, "recall": recall})
    assert "6 of 8 nodes have confirmed that their copies are gone" in p2pctl("why", "ybndrfg8").out
