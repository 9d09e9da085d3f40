"""`lock`, `unlock`, `passphrase` and `start` of a home with one: where the passphrase comes from, and where it goes."""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from p2pctl import life, lock, passphrase
from tests.cli.conftest import Run, file_with
from tests.cli.fake_daemon import FakeDaemon, Refusal

OWN = {"address": "p2p:me", "fingerprint": "f", "name": ""}


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the person at the terminal will type; the questions are not checked."""
    answers: list[str] = []
    monkeypatch.setattr(passphrase, "can_ask", lambda: True)
    monkeypatch.setattr(life, "can_ask", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda question: answers.pop(0))
    return answers


def refuse_locked(_: object) -> Any:
    """What a locked daemon answers to most."""
    raise Refusal("locked", "this daemon is locked", "run: p2pctl unlock")


@pytest.fixture
def locked(daemon: FakeDaemon) -> FakeDaemon:
    """A locked daemon that the passphrase opens."""

    def unlock(parameters: dict[str, Any]) -> Any:
        if not parameters.get("passphrase"):
            raise Refusal("locked", "this home has a passphrase, and none was given")
        return open_now(parameters)

    def open_now(_: object) -> Any:
        daemon.set("status", OWN)
        daemon.set("id", OWN)
        return {"unlocked": True}

    daemon.set("status", refuse_locked)
    daemon.set("unlock", unlock)
    return daemon


Asked = list[dict[str, Any] | None]


@pytest.fixture
def p2pd(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Asked]:
    """Lets p2pd's process answer whether the home has a passphrase; the list has what it was given."""
    given: Asked = []

    def set_to(has_one: bool) -> Asked:
        def asked(caller: object, module: str, words: list[str], secrets: Any = None) -> Iterator[dict[str, Any]]:
            given.append(secrets)
            yield {"passphrase": has_one}

        monkeypatch.setattr(lock, "asked", asked)
        return given

    return set_to


def test_lock_waits_until_it_is(p2pctl: Run, daemon: FakeDaemon) -> None:
    left = [OWN, OWN]

    def answer(_: object) -> Any:
        if left:
            return left.pop()
        raise Refusal("locked", "this daemon is locked")

    daemon.set("status", OWN)
    daemon.set("lock", {"locked": True})
    daemon.set("id", answer)
    done = p2pctl("lock")
    assert (done.code, done.out) == (0, "locked\n")
    assert left == []


def test_what_is_so_already_is_said_in_one_line_and_nobody_is_asked(
    p2pctl: Run, daemon: FakeDaemon, typed: list[str]
) -> None:
    daemon.set("status", OWN)
    for words in (("unlock",), ("unlock", "--passphrase-fd", file_with(b"secret"))):
        done = p2pctl(*words)
        assert (done.code, done.out, done.err) == (0, "already unlocked: p2p:me\n", "")
    assert json.loads(p2pctl("unlock", "--json").out) == {"locked": False, "address": "p2p:me"}
    daemon.set("status", {"address": ""})
    assert p2pctl("unlock").out == "already unlocked\n"
    daemon.set("status", refuse_locked)
    done = p2pctl("lock")
    assert (done.code, done.out, done.err) == (0, "already locked\n", "")
    assert json.loads(p2pctl("lock", "--json").out) == {"locked": True}
    assert {method for method, _ in daemon.calls} == {"status"}


def test_a_daemon_whose_home_has_no_passphrase_is_not_locked(p2pctl: Run, daemon: FakeDaemon) -> None:
    def refuse(_: object) -> Any:
        raise Refusal("failed", "this home has no passphrase", "set one")

    daemon.set("status", OWN)
    daemon.set("lock", refuse)
    done = p2pctl("lock")
    assert (done.code, done.out, done.err) == (1, "", "error: this home has no passphrase; set one\n")


def test_whatever_else_is_called_ends_with_9(p2pctl: Run, daemon: FakeDaemon) -> None:
    for method in ("status", "send", "contact.list"):
        daemon.set(method, refuse_locked)
    for words in (("status",), ("send", "bob", "hi"), ("contact", "list"), ("start",), ("restart",)):
        done = p2pctl(*words)
        assert (done.code, done.out) == (9, ""), words
        assert "p2pctl unlock" in done.err


def test_what_a_locked_daemon_logs_is_shown(p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("status", refuse_locked)
    (daemon.home / "p2pd.log").write_text("locked; waiting for p2pctl unlock\n")
    done = p2pctl("logs")
    assert (done.code, done.out) == (0, "locked; waiting for p2pctl unlock\n")


@pytest.mark.parametrize("by_file", [True, False])
def test_unlock_gives_the_passphrase_and_waits(
    by_file: bool, p2pctl: Run, locked: FakeDaemon, typed: list[str]
) -> None:
    typed.append("secret")
    done = p2pctl("unlock", *(["--passphrase-fd", file_with(b"secret\nmore")] if by_file else []))
    assert (done.code, done.out) == (0, "unlocked: p2p:me\n")
    assert ("unlock", {"passphrase": "secret"}) in locked.calls


def test_where_the_passphrase_was_removed_meanwhile_unlock_asks_nobody(p2pctl: Run, locked: FakeDaemon) -> None:
    wants = locked.answers["unlock"]
    locked.set("unlock", lambda _: wants({"passphrase": "any"}))
    done = p2pctl("unlock")
    assert (done.code, done.out) == (0, "unlocked: p2p:me\n")


def test_nobody_is_asked_where_no_daemon_runs(p2pctl: Run, typed: list[str]) -> None:
    typed.append("secret")
    done = p2pctl("unlock")
    assert (done.code, done.out) == (3, "")
    assert "p2pctl" in done.err
    assert typed == ["secret"]


def test_without_a_terminal_nobody_is_asked(p2pctl: Run, locked: FakeDaemon) -> None:
    done = p2pctl("unlock")
    assert (done.code, done.out) == (9, "")
    assert "--passphrase-fd" in done.err
    assert locked.calls == [("status", {}), ("unlock", {})]


@pytest.mark.parametrize("text", [b"\xff", b"x" * 1025])
def test_what_is_no_passphrase_is_not_sent(text: bytes, p2pctl: Run, locked: FakeDaemon) -> None:
    done = p2pctl("unlock", "--passphrase-fd", file_with(text))
    assert done.code == 2
    assert locked.calls == [("status", {}), ("unlock", {})]
    assert p2pctl("unlock", "--passphrase-fd", "999").code == 2


def test_a_passphrase_is_set_changed_and_removed(p2pctl: Run, typed: list[str], p2pd: Callable[[bool], Asked]) -> None:
    given = p2pd(False)
    typed += ["one", "two", "one", "one"]
    done = p2pctl("passphrase")
    assert (done.code, done.err) == (0, "they are not the same\n")
    assert given[-1] == {"present": None, "wanted": "one"}
    p2pd(True)
    typed += ["one", "two", "two"]
    assert json.loads(p2pctl("passphrase", "--json").out) == {"passphrase": True}
    assert given[-1] == {"present": "one", "wanted": "two"}
    words = ["--passphrase-fd", file_with(b"two"), "--new-passphrase-fd", file_with(b"three\n")]
    assert p2pctl("passphrase", *words).code == 0
    assert given[-1] == {"present": "two", "wanted": "three"}
    assert p2pctl("passphrase", "--remove", "--passphrase-fd", file_with(b"three")).code == 0
    assert given[-1] == {"present": "three", "wanted": None}


def test_what_cannot_be_is_a_usage_error(p2pctl: Run, typed: list[str], p2pd: Callable[[bool], Asked]) -> None:
    given = p2pd(False)
    assert p2pctl("passphrase", "--remove").code == 2
    assert p2pctl("passphrase", "--remove", "--new-passphrase-fd", "3").code == 2
    typed += ["one", "two"] * 3
    assert p2pctl("passphrase").code == 2
    assert all(secrets is None for secrets in given)


def test_the_open_file_of_a_start_is_not_that_of_the_next() -> None:
    words = ["--home", "/h", "--private", "--passphrase-fd", "3", "--passphrase-fd=4", "--home=/h", "--listen", "a:1"]
    assert life._lasting(words) == ("--private", "--listen", "a:1")


@pytest.mark.slow
def test_start_asks_where_the_home_has_one(p2pctl: Run, typed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the shipped p2pd, from a home's making to its locked return."""
    flags = ("--private", "--no-lan", "--no-port-mapping", "--listen", "127.0.0.1:0")
    words = ["--passphrase-fd", file_with(b"secret")]
    os.set_inheritable(int(words[1]), True)
    try:
        assert p2pctl("start", *flags, *words).code == 0
        os.close(int(words[1]))
        assert p2pctl("stop").code == 0
        typed.append("wrong")
        assert p2pctl("start", *flags).code == 9
        typed.append("secret")
        done = p2pctl("start", *flags, "--json")
        assert (done.code, json.loads(done.out)["passphrase"]) == (0, True)
        typed.append("secret")
        assert p2pctl("restart").code == 0
        assert p2pctl("lock").code == 0
        typed.append("secret")
        assert p2pctl("unlock").code == 0
        monkeypatch.setattr(passphrase, "can_ask", lambda: False)
        monkeypatch.setattr(life, "can_ask", lambda: False)
        done = p2pctl("restart")
        assert (done.code, "locked" in done.out) == (0, True)
    finally:
        assert p2pctl("stop").code == 0
    assert p2pctl("start", *flags).code == 9
