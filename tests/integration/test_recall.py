"""`p2pctl recall` between real daemons: before its reader comes back, and after it was delivered."""

import time

import pytest

from tests.integration.fleet import WITHIN_S, Fleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_what_is_recalled_in_time_is_never_shown_and_what_is_not_is_deleted(fleet: Fleet) -> None:
    alice, bob = fleet.friends()
    seen = alice.asks("send", "bob", "seen already", "--wait", "delivered")
    bob.kill()
    slip = alice.asks("send", "bob", "a slip")
    stays = alice.asks("send", "bob", "stays")
    alice.knows(slip["id"], stays["id"], state="stored")
    recalled = alice.asks("recall", slip["id"])
    assert (recalled["was"], recalled["state"], recalled["recall"]["outcome"]) == ("stored", "recalling", "asked")
    assert "may have seen it" in alice.says("recall", seen["id"])
    deadline = time.monotonic() + WITHIN_S
    while alice.asks("why", slip["id"])["recall"]["have"] < 8 and time.monotonic() < deadline:
        pass  # each question is a process of its own
    since = alice.call("events", since="now")["cursor"]
    alice.kill()
    alice.start()
    bob.start()
    bob.has(stays["id"])
    alice.knows(slip["id"], state="recalled")
    bob.sees("recalled", lambda data: data["id"] == seen["id"])
    alice.sees("receipt", lambda data: (data["id"], data["state"]) == (seen["id"], "delivered"), since=since)
    rows = {name: one.rows("history", name) for one, name in ((alice, "bob"), (bob, "alice"))}
    for name in rows:
        assert [(row["id"], row["text"]) for row in rows[name]] == [
            (seen["id"], ""),
            (slip["id"], ""),
            (stays["id"], "stays"),
        ]
    assert [row["recalled"] for row in rows["bob"]] == ["shown", "unseen", None]
    assert [event["data"]["text"] for event in bob.rows("events", "--type", "message")] == ["", "stays"]
    reasons = alice.asks("why", slip["id"])
    assert reasons["recall"]["have"] == reasons["recall"]["want"] >= 8
    alice.is_refused(4, "recall", "yyyyyyyyyyyyyyyyyyyyyyyyyy")
    bob.is_refused(5, "recall", stays["id"])
