"""People on a real network, by what they type and see."""

import json
import os
import pty
import subprocess
from unicodedata import category

import pytest

from p2pd.crypto.keys import SigningKey
from p2pd.types import IdentityKey
from p2pd.wire.address import encode_address
from tests.cli.test_invites import read
from tests.integration.fleet import WITHIN_S, Daemon, Fleet, environment, program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
Pair = tuple[Daemon, Daemon]
TEXT_BYTES = 256 * 1024
HOSTILE = (
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \u202eback\u202c \u2066x\u2069 \u200bzero \x00\x7f\r\n\tend\u2028\x85"
)


# --- how people meet ---


def link_of(person: Daemon) -> str:
    """Their contact link, once it names nodes."""
    for _ in range(200):  # each command takes its own while
        link = str(person.asks("id", "--link")["link"])
        if "/" in link:
            return link
    raise AssertionError(f"no node hints in {link}")


def test_a_newcomer_with_nothing_but_a_link_joins_and_writes(fleet: Fleet) -> None:
    (alice,) = fleet.people("alice")
    (zoe,) = fleet.people("zoe", alone=True)
    sent = zoe.asks("send", link_of(alice), "hello from nowhere")
    assert sent["to"] == alice.address
    alice.sees("request", lambda data: data["address"] == zoe.address)
    (request,) = alice.rows("request", "list")
    assert request.keys() >= {"id", "address", "name", "text", "received_at"}
    assert (request["address"], request["text"]) == (zoe.address, "hello from nowhere")
    alice.says("request", "accept", request["id"][:8], "--as", "zoe")
    zoe.knows(sent["id"])
    (message,) = alice.rows("history", "zoe")
    assert (message["id"], message["text"], message["state"]) == (sent["id"], "hello from nowhere", "received")
    assert alice.rows("request", "list") == []
    assert alice.asks("send", "zoe", "welcome", "--wait", "delivered")["state"] == "delivered"
    assert zoe.texts_from(alice.address) == ["welcome"]


def test_an_invite_lets_a_newcomer_in_without_asking_and_is_used_up(fleet: Fleet) -> None:
    (alice,) = fleet.people("alice")
    link_of(alice)
    made = alice.asks("invite", "--once", "--ttl", "2d", "--as", "zoe")
    assert made.keys() >= {"id", "once", "as", "made_at", "expires_at", "let_in", "link"}
    assert made["link"].startswith(f"{alice.address}/")
    zoe, carol = fleet.people("zoe", "carol", alone=True)
    sent = zoe.asks("send", made["link"], "hello by your invite")
    alice.sees("invite", lambda data: (data["state"], data.get("address")) == ("used", zoe.address))
    zoe.knows(sent["id"])
    assert alice.rows("request", "list") == []
    assert [(entry["name"], entry["address"]) for entry in alice.rows("contact", "list")] == [("zoe", zoe.address)]
    assert [message["text"] for message in alice.rows("history", "zoe")] == ["hello by your invite"]
    assert alice.rows("invite", "list") == []
    assert carol.asks("contact", "add", made["link"])["state"] == "pending"
    other = alice.asks("invite")
    assert [entry["id"] for entry in alice.rows("invite", "list") if not entry["late"]] == [other["id"]]
    alice.says("invite", "revoke", other["id"])
    alice.sees("invite", lambda data: data["state"] == "revoked")
    assert [entry["address"] for entry in alice.rows("contact", "list")] == [zoe.address]


def test_an_invite_is_a_picture_too_and_bad_ones_are_errors(fleet: Fleet) -> None:
    alice, bob = fleet.people("alice", "bob")
    *drawn, link = alice.says("invite", "--qr").splitlines()
    assert read(drawn) == link.upper()
    bad = link[:-1] + ("y" if link[-1] != "y" else "b")
    for words, code in (
        (("contact", "add", bad), 2),
        (("contact", "add", link[:-9]), 2),
        (("invite", "--ttl", "61d"), 2),
        (("invite", "--ttl", "soon"), 2),
        (("invite", "revoke", "77"), 4),
    ):
        assert bob.p2pctl(*words).code == code, words
    assert bob.asks("contact", "add", link.upper(), "--as", "alice")["name"] == "alice"
    bob.sees("contact", lambda data: data["state"] == "accepted")
    assert alice.p2pctl("contact", "add", link).code == 2


def test_who_has_added_each_other_is_not_asked(fleet: Fleet) -> None:
    alice, bob = fleet.people("alice", "bob")
    added = alice.asks("contact", "add", bob.address, "--as", "bob", "--message", "it is Alice")
    assert (added["name"], added["state"]) == ("bob", "pending")
    bob.says("contact", "add", alice.address, "--as", "alice")
    for person, name, other in ((alice, "bob", bob), (bob, "alice", alice)):
        person.sees("contact", lambda data: data["state"] == "accepted")
        (contact,) = person.rows("contact", "list")
        assert contact.keys() >= {"name", "address", "state", "verified", "online"}
        assert (contact["name"], contact["address"], contact["state"]) == (name, other.address, "accepted")
        assert person.rows("request", "list") == []


def test_who_is_rejected_hears_nothing_and_cannot_write(fleet: Fleet) -> None:
    alice, mallory = fleet.people("alice", "mallory")
    mallory.says("profile", "set", "--name", "Not Mallory")
    sent = mallory.asks("send", alice.address, "let me in")
    alice.sees("request")
    (request,) = alice.rows("request", "list")
    assert request["name"] == "Not Mallory"
    alice.says("request", "reject", mallory.address[:12])
    assert alice.rows("request", "list") == []
    late = mallory.asks("send", alice.address, "and this?")
    assert mallory.asks("contact", "show", alice.address)["state"] == "pending"
    reasons = mallory.asks("why", late["id"])
    assert reasons["state"] == "queued"
    assert any("accept" in step["what"] for step in reasons["steps"])
    assert mallory.asks("why", sent["id"])["state"] in ("queued", "stored")
    alice.is_refused(4, "request", "accept", mallory.address[:12])
    assert alice.rows("events", "--type", "message") == []


def test_whom_one_has_blocked_does_not_get_through_until_unblocked(fleet: Fleet) -> None:
    alice, bob = fleet.friends()
    bob.says("contact", "block", "alice")
    assert bob.asks("contact", "show", "alice")["state"] == "blocked"
    assert "unblock" in bob.is_refused(5, "send", "alice", "hello?")
    dark = alice.p2pctl("--json", "send", "bob", "into the dark", "--wait", "delivered", "--timeout", "3")
    assert dark.code == 6
    assert bob.texts_from("alice") == []
    assert bob.rows("events", "--type", "message") == []
    bob.says("contact", "unblock", "alice")
    after = bob.asks("send", "alice", "back again", "--wait", "delivered", "--timeout", str(WITHIN_S))
    assert after["state"] == "delivered"
    alice.knows(alice.asks("send", "bob", "at last")["id"])
    assert bob.texts_from("alice")[-1] == "at last"
    # What was written meanwhile is not lost in silence: it is there, or its sender can see that it is not.
    assert dark.object["state"] != "delivered"
    state = alice.asks("why", dark.object["id"])["state"]
    assert (state == "delivered") == ("into the dark" in bob.texts_from("alice"))


def test_a_name_is_a_claim_and_a_petname_ones_own(fleet: Fleet) -> None:
    alice, bob = fleet.friends()
    alice.says("profile", "set", "--name", "Alice Liddell")
    alice.says("send", "bob", "new name", "--wait", "delivered")
    shown = bob.asks("contact", "show", "alice")
    assert (shown["name"], shown["claimed_name"]) == ("alice", "Alice Liddell")
    assert alice.asks("id")["name"] == "Alice Liddell"
    bob.says("contact", "rename", "@ALICE", "ally")
    assert [contact["name"] for contact in bob.rows("contact", "list")] == ["ally"]
    assert "alice" in bob.is_refused(4, "send", "alice", "hello")
    assert bob.asks("send", "ally", "hello", "--wait", "delivered")["to"] == alice.address
    assert alice.is_refused(2, "profile", "set", "--name", "\x1b[31mred")
    bob.says("contact", "remove", "ally")
    assert bob.rows("contact", "list") == []
    assert [message["text"] for message in bob.rows("history", alice.address)] == ["new name", "hello"]


# --- talking ---


def test_a_message_is_the_same_on_both_ends(pair: Pair) -> None:
    alice, bob = pair
    asked = alice.asks("send", "bob", "are", "you", "there?", "--wait", "delivered")
    assert asked.keys() >= {"id", "to", "state", "sent_at"}
    assert asked["state"] == "delivered"
    answered = bob.asks("send", "@alice", "--reply", asked["id"][:10], "--", "-yes-", "--wait")
    alice.has(answered["id"])
    bob.knows(answered["id"])
    ours, theirs = (person.rows("history", name, "--limit", "2") for person, name in ((alice, "bob"), (bob, "alice")))
    assert [message["text"] for message in ours] == ["are you there?", "-yes- --wait"]
    assert [message["id"] for message in ours] == [message["id"] for message in theirs] == [asked["id"], answered["id"]]
    assert [message["direction"] for message in ours] == ["out", "in"]
    assert [message["state"] for message in ours] == ["delivered", "received"]
    assert [message["from"] for message in theirs] == [alice.address, bob.address]
    assert ours[1]["reply"] == asked["id"]
    assert ours[0].keys() >= {"id", "direction", "from", "text", "sent_at", "received_at", "state", "via"}
    assert theirs[0]["via"] in ("direct", "mailbox")


def test_reading_is_told_to_the_sender(pair: Pair) -> None:
    alice, bob = pair
    id = alice.says("send", "bob", "read me", "--id-only").strip()
    bob.has(id)
    bob.says("read", id[:8])
    alice.knows(id, state="read")
    assert alice.asks("why", id)["state"] == "read"


def test_why_tells_every_step(pair: Pair) -> None:
    alice, bob = pair
    sent = alice.asks("send", "bob", "explain yourself", "--wait", "delivered")
    reasons = alice.asks("why", sent["id"][:8])
    assert (reasons["id"], reasons["state"]) == (sent["id"], "delivered")
    assert (reasons["steps"][0]["what"], reasons["steps"][-1]["what"]) == ("queued", "delivered")
    assert all(step["at"].endswith("Z") for step in reasons["steps"])
    assert bob.asks("why", sent["id"])["state"] == "received"
    assert "delivered" in alice.says("why", sent["id"][:8])


def test_a_consumer_goes_on_where_it_left_off(pair: Pair) -> None:
    alice, bob = pair
    first = bob.rows("events")[0]
    assert bob.rows("events", "--consumer", "bot")[0] == first
    ids = [alice.asks("send", "bob", f"event {number}", "--wait", "delivered")["id"] for number in range(3)]
    messages = bob.rows("events", "--consumer", "bot", "--type", "message")[-3:]
    assert [event["data"]["id"] for event in messages] == ids
    assert messages[0].keys() >= {"cursor", "type", "at", "data"}
    assert messages[0]["data"].keys() >= {"id", "from", "conversation", "text", "position"}
    cursors = [event["cursor"] for event in messages]
    assert cursors == sorted(set(cursors))
    bob.says("ack", "bot", str(cursors[0]))
    assert [event["data"]["id"] for event in bob.rows("events", "--consumer", "bot", "--type", "message")] == ids[1:]
    since = bob.rows("events", "--since", str(cursors[1]), "--type", "message")
    assert [event["data"]["id"] for event in since] == ids[2:]
    assert bob.rows("events", "--since", "now") == []
    bob.is_refused(2, "ack", "bot", str(cursors[-1] + 1_000_000))
    bob.is_refused(2, "events", "--since", "yesterday")
    receipts = alice.rows("events", "--type", "receipt")
    assert {event["data"]["id"] for event in receipts if event["data"]["state"] == "delivered"} >= set(ids)


def test_wait_ends_with_the_message_that_fits(pair: Pair) -> None:
    alice, bob = pair
    cursor = bob.call("events", since="now")["cursor"]
    for text in ("no", "yes, of course"):
        alice.says("send", "bob", text, "--wait", "delivered")
    found = bob.asks("wait", "--from", "alice", "--match", "^yes", "--since", str(cursor))
    assert found["text"] == "yes, of course"
    assert bob.says("wait", "--from", "@alice", "--since", str(cursor)) == "no\n"
    bob.is_refused(6, "wait", "--from", "alice", "--timeout", "0.1")
    bob.is_refused(2, "wait", "--from", "alice", "--match", "(")
    words = [*program("p2pctl", "p2pctl.main"), "--home", str(bob.home), "wait", "--from", "alice", "--match", "late"]
    with subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True) as waiting:
        for number in range(100):  # it is not known when it has begun to wait
            if waiting.poll() is not None:
                break
            alice.says("send", "bob", f"late {number}", "--wait", "delivered")
        out, _ = waiting.communicate(timeout=WITHIN_S)
    assert out.startswith("late ")
    assert waiting.returncode == 0


# --- what is refused, and how ---


def test_who_is_meant_must_be_clear(pair: Pair) -> None:
    alice, bob = pair
    letters = "ybndrfg8ejkmcpqxot1uwisza345h769"
    for place in (4, 20, len(bob.address) - 1):
        other = letters[(letters.index(bob.address[place]) + 1) % 32]
        mistyped = f"{bob.address[:place]}{other}{bob.address[place + 1 :]}"
        alice.is_refused(2, "send", mistyped, "hello")
        alice.is_refused(2, "contact", "add", mistyped)
    assert "nobody" in alice.is_refused(4, "send", "nobody", "hello")
    assert "bob" in alice.is_refused(4, "history", "bobb")
    alice.is_refused(4, "why", "yyyyyyyy")
    alice.is_refused(2, "sned", "bob", "hello")
    alice.is_refused(2, "send", "bob", "hello", "--wait", "sometime")
    assert alice.p2pctl("send", bob.address[:14], "by a prefix").code == 0
    error = json.loads(alice.p2pctl("--json", "send", "nobody", "hello").err)["error"]
    assert error["code"] == "not_found"
    assert error.keys() >= {"code", "message", "hint"}


def strangers() -> tuple[str, str]:
    """Addresses of two who begin alike."""
    known: dict[str, str] = {}
    for number in range(100):
        address = encode_address(IdentityKey(SigningKey(number.to_bytes(32, "big")).public))
        if address[:6] in known:
            return known[address[:6]], address
        known[address[:6]] = address
    raise AssertionError("no two of 100 begin alike")


def test_without_a_network_names_are_clear_and_messages_wait(fleet: Fleet) -> None:
    (alice,) = fleet.people("alice", alone=True)
    for number, address in enumerate(strangers()):
        assert alice.asks("contact", "add", address, "--as", f"friend{number}")["state"] == "pending"
    assert "friend0, friend1" in alice.is_refused(4, "send", strangers()[0][:6], "who?")
    alice.is_refused(1, "contact", "rename", "friend0", "friend1")
    alice.is_refused(1, "contact", "add", strangers()[0])
    alice.is_refused(2, "contact", "add", alice.address)
    assert alice.asks("send", "friend0", "no network at all")["state"] == "queued"
    timed = alice.p2pctl("send", "friend0", "again", "--wait", "stored", "--timeout", "0.2")
    assert timed.code == 6
    assert "why" in timed.err
    alice.is_refused(7, "dht", "get", "y" * 52)
    alice.kill()
    alice.is_refused(3, "send", "friend0", "hello")


def test_a_text_has_1_byte_to_256_kib(pair: Pair) -> None:
    alice, bob = pair
    alice.is_refused(2, "send", "bob", "")
    alice.is_refused(2, "send", "bob", "-", stdin=b"\n")
    largest = ("ß" * (TEXT_BYTES // 2)).encode()
    assert "file" in alice.is_refused(2, "send", "bob", "-", stdin=largest + b"x")
    alice.is_refused(2, "send", "bob", "-", stdin=b"\xff\xfe")
    sent = alice.asks("send", "bob", "-", "--wait", "delivered", "--timeout", str(WITHIN_S), stdin=largest + b"\n")
    assert sent["state"] == "delivered"
    assert bob.has(sent["id"])["text"] == largest.decode()
    assert bob.rows("history", "alice", "--limit", "1")[0]["text"] == largest.decode()


@pytest.mark.parametrize("text", [HOSTILE, "Grüße, 世界 👩‍👩‍👧 नमस्ते", " \n\n", "\ufeff\ufffe\U0010ffff"], ids=ascii)
def test_any_text_arrives_exactly_and_does_no_harm(pair: Pair, text: str) -> None:
    alice, bob = pair
    cursor = bob.call("events", since="now")["cursor"]
    sent = alice.asks("send", "bob", "-", "--wait", "delivered", stdin=f"{text}\n".encode())
    for person, name in ((alice, "bob"), (bob, "alice")):
        assert person.rows("history", name, "--limit", "1")[0]["text"] == text
        shown = on_a_terminal(person, "history", name, "--limit", "1")
        assert_harmless(shown)
    assert bob.asks("wait", "--from", "alice", "--since", str(cursor))["text"] == text
    raw = bob.p2pctl("--json", "events", "--since", str(cursor), "--type", "message").out
    assert raw.isascii()
    assert all(letter.isprintable() for letter in raw.removesuffix("\n"))
    for command in (("events", "--since", str(cursor)), ("wait", "--from", "alice", "--since", str(cursor))):
        shown = on_a_terminal(bob, *command)
        assert_harmless(shown)
    assert sent["state"] == "delivered"


def assert_harmless(shown: str) -> None:
    """No character that a terminal obeys or that hides; but lines may end, and emoji be joined."""
    bad = [
        letter for letter in shown if category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") and letter not in "\n\t\u200d"
    ]
    assert not bad, ascii(shown)


def on_a_terminal(person: Daemon, *words: str) -> str:
    """What a command shows where its output is a terminal."""
    ours, theirs = pty.openpty()
    try:
        command = [*program("p2pctl", "p2pctl.main"), "--home", str(person.home), *words]
        with subprocess.Popen(command, env=environment(), stdout=theirs, stderr=theirs) as running:
            os.close(theirs)
            shown = b"".join(iter(lambda: _read(ours), b""))
        assert running.returncode == 0
    finally:
        os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # its last writer has gone
        return b""


def test_a_name_that_harms_is_shown_harmless_in_the_error(pair: Pair) -> None:
    alice, _ = pair
    alice.is_refused(4, "send", "\x1b]0;title\x07\u202e", "hello")
    alice.is_refused(2, "contact", "add", "p2p:\x1b[2J")
