"""`invite`, and QR codes: what is asked of the daemon, what is shown, and that a camera could read it."""

import os
import pty
import re
import sys
from typing import Any

import pytest
import zxingcpp

from p2pctl import qr
from p2pctl.qr import qr_lines
from p2pd.types import Endpoint, IdentityKey, NodeHint, NodeKey
from p2pd.wire.address import Link, parse_link
from p2pd.wire.invite import Invitation
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon, Refusal
from tests.wire.formats import TEXTS

LINK: str = TEXTS["invite_once"]
LONG_LINK: str = TEXTS["invite"]
MADE: dict[str, Any] = {
    "id": "3",
    "once": True,
    "as": "bob",
    "made_at": "2026-01-01T10:00:00.000Z",
    "expires_at": "2026-01-08T10:00:00.000Z",
    "let_in": [],
}
POINTS = 3
DARK = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}


def read(lines: list[str]) -> str:
    """What a camera reads off the lines, each module a square of white or black points."""
    modules = [[DARK[letter][half] for letter in line] for line in lines for half in (0, 1)]
    rows = [b"".join((b"\0" if dark else b"\xff") * POINTS for dark in row) for row in modules]
    picture = b"".join(row * POINTS for row in rows)
    found = zxingcpp.read_barcodes(memoryview(picture).cast("B", (len(rows) * POINTS, len(rows[0]))))
    return found[0].text if found else ""


@pytest.mark.parametrize("text", [LINK, LONG_LINK, TEXTS["address"], "nu5d 8bx8 abcd efgh"])
def test_what_is_drawn_is_the_code_of_the_text(text: str) -> None:
    assert read(qr_lines(text)) == text.upper()


def test_the_longest_invite_fits_a_terminal() -> None:
    hint = NodeHint(Endpoint("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 65_535), NodeKey(b"\xff" * 32))
    link = Link(IdentityKey(TEXTS["identity"]), (hint,) * 3, Invitation(**TEXTS["invitation"])).encode()
    lines = qr_lines(link)
    assert (len(link), len(lines[0]) <= 80, len(lines) <= 40) == (403, True, True)
    assert parse_link(read(lines)) == parse_link(link)


def test_invite_prints_the_link_and_nothing_else(p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("invite", {**MADE, "link": LONG_LINK})
    done = p2pctl("invite", "--once", "--ttl", "2d", "--as", "bob")
    assert (done.code, done.out, done.err) == (0, f"{LONG_LINK}\n", "")
    assert daemon.calls == [("invite", {"once": True, "ttl": "2d", "as": "bob"})]
    assert p2pctl("invite").out == f"{LONG_LINK}\n"
    assert daemon.calls[-1] == ("invite", {})


def test_an_invite_without_nodes_is_said_to_lead_to_none(p2pctl: Run, daemon: FakeDaemon) -> None:
    address, _, secret = LONG_LINK.split("/")
    link = f"{address}//{secret}"
    daemon.set("invite", {**MADE, "link": link})
    done = p2pctl("invite")
    assert (done.code, done.out) == (0, f"{link}\n")
    assert "names no node to join by" in done.err
    assert done.err.count("\n") == 1
    assert p2pctl("invite", "--json").err == ""


def test_invite_as_json_is_one_object_even_with_qr(p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("invite", {**MADE, "link": LINK})
    assert p2pctl("invite", "--qr", "--json").out.count("\n") == 1


@pytest.mark.parametrize("words", [("invite", "--qr"), ("id", "--link", "--qr")])
def test_qr_is_drawn_before_the_link(words: tuple[str, ...], p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("invite", {**MADE, "link": LINK})
    daemon.set("id", {"address": TEXTS["address"], "fingerprint": "f", "name": "", "link": LINK})
    lines = p2pctl(*words).out.splitlines()
    assert lines.pop() == LINK
    assert read(lines) == LINK.upper()


def test_id_draws_the_address_alone_too(p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("id", {"address": TEXTS["address"], "fingerprint": "f", "name": ""})
    lines = [line for line in p2pctl("id", "--qr").out.splitlines() if set(line) <= DARK.keys()]
    assert read(lines) == TEXTS["address"].upper()


def test_verify_draws_the_code(p2pctl: Run, daemon: FakeDaemon) -> None:
    code = "nu5d 8bx8 abcd efgh nu5d 8bx8 abcd efgh"
    daemon.set("contact.verify", {"name": "bob", "code": code, "verified": False})
    lines = p2pctl("contact", "verify", "bob", "--qr").out.splitlines()
    assert lines.pop() == code
    assert read(lines) == code.upper()


def test_invites_are_listed_and_revoked(p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("invite.list", {"invites": [MADE, {**MADE, "id": "4", "once": False, "as": "", "let_in": ["p2p:a"]}]})
    lines = p2pctl("invite", "list").out.splitlines()
    assert [line.split()[:2] for line in lines] == [["id", "for"], ["3", "one"], ["4", "several"]]
    assert [row.rstrip().endswith(end) for row, end in zip(lines[1:], ("bob", "-"), strict=True)] == [True, True]
    assert len(p2pctl("invite", "list", "--json").out.splitlines()) == 2
    daemon.set("invite.list", {"invites": [{**MADE, "late": ["p2p:late"]}]})
    assert p2pctl("invite", "list").out.splitlines()[-1] == "p2p:late came by 3 when it was used: p2pctl contact add"
    daemon.set("invite.list", {"invites": []})
    assert "p2pctl invite --once" in p2pctl("invite", "list").out
    daemon.set("invite.revoke", MADE)
    assert p2pctl("invite", "revoke", "3").out == "revoked 3\n"
    assert daemon.calls[-1] == ("invite.revoke", {"id": "3"})


def test_refusals_have_their_exit_codes(p2pctl: Run, daemon: FakeDaemon) -> None:
    def refuse(code: str) -> None:
        def answer(parameters: dict[str, Any]) -> None:
            raise Refusal(code, "no")

        daemon.set("invite", answer)
        daemon.set("invite.revoke", answer)

    for code, exit_code in (("usage", 2), ("quota", 8), ("not_found", 4)):
        refuse(code)
        assert p2pctl("invite").code == exit_code
        assert p2pctl("invite", "revoke", "9").code == exit_code


def test_an_unknown_word_after_invite_is_an_error(p2pctl: Run, daemon: FakeDaemon) -> None:
    assert p2pctl("invite", "bob").code == 2
    assert daemon.calls == []


def test_a_narrow_terminal_says_so(p2pctl: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.set("invite", {**MADE, "link": LINK})
    monkeypatch.setattr(qr.shutil, "get_terminal_size", lambda: os.terminal_size((40, 24)))
    ours, theirs = pty.openpty()
    try:
        with os.fdopen(theirs, "w") as terminal:
            monkeypatch.setattr(sys, "stdout", terminal)
            done = p2pctl("invite", "--qr")
    finally:
        os.close(ours)
    assert done.code == 1
    assert "40" in done.err


@pytest.mark.parametrize("plain", [False, True])
def test_on_a_terminal_the_colours_are_set(
    plain: bool, p2pctl: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.set("invite", {**MADE, "link": LINK})
    monkeypatch.setattr(qr, "has_colour", lambda stream: not plain)
    lines = p2pctl("invite", "--qr").out.splitlines()[:-1]
    assert all(line.startswith("\x1b[97;40m") and line.endswith("\x1b[0m") for line in lines) is not plain
    assert read([re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]) == LINK.upper()


def test_an_encoding_without_blocks_is_an_error(
    p2pctl: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.set("invite", {**MADE, "link": LINK})
    monkeypatch.setattr("p2pctl.qr.sys", type("Sys", (), {"stdout": Ascii()}))
    done = p2pctl("invite", "--qr")
    assert (done.code, "UTF-8" in done.err) == (1, True)


class Ascii:
    encoding = "ascii"

    def isatty(self) -> bool:
        return False


def test_an_invite_need_not_stand_in_a_command_line(p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("contact.add", {"name": "bob", "state": "pending"})
    invite = f"{TEXTS['address']}/yyy/nyb"
    assert p2pctl("contact", "add", "-", "--as", "bob", stdin=f"{invite}\n".encode()).code == 0
    assert daemon.calls == [("contact.add", {"address": invite, "as": "bob"})]
    for nothing in (b"", b" \n", b"x" * 5000):
        assert p2pctl("contact", "add", "-", stdin=nothing).code == 2
