"""What operators see of real daemons: traffic by cause that adds up, the table, the doctor in a network."""

import time

import pytest

from tests.integration.fleet import WITHIN_S, Daemon, Fleet

pytestmark = pytest.mark.slow
WAYS = ("sent_bytes", "received_bytes")


def test_every_byte_has_one_cause(pair: tuple[Daemon, Daemon]) -> None:
    alice, bob = pair
    ids = [alice.call("send", to="bob", text="hello " * 200)["id"] for _ in range(20)]
    bob.has_all(*ids)
    alice.knows(*ids)
    for person in pair:
        stats = person.asks("net", "stats")
        causes = stats["causes"]
        for way in WAYS:
            known = sum(counts[way] for cause, counts in causes.items() if cause != "other")
            assert known <= stats[way] + 16_384, "no byte counts twice, but for a request that is not on its way yet"
            assert known >= stats[way] / 2, f"most have a cause: {causes}"
        assert causes["user"][WAYS[person is bob]] > 20 * 1_200
        assert causes["handshake"]["sent_bytes"] > 0
        assert causes["lookup"]["sent_bytes"] > 0
        assert stats["sent_packets"] > 20
        assert stats["links"] == 1
        assert stats["connections"] >= 1
    assert "user" in alice.says("net", "stats")


def test_the_table_and_the_figures(pair: tuple[Daemon, Daemon]) -> None:
    alice, _ = pair
    rows = alice.rows("dht", "table")
    assert len(rows) == alice.call("status")["dht"]["nodes"]
    assert [row["shared_bits"] for row in rows] == sorted(row["shared_bits"] for row in rows)
    assert all({"node_id", "endpoint", "rtt_ms", "last_seen_s"} <= set(row) for row in rows)
    stats = alice.asks("dht", "stats")
    assert stats["lookups"]["count"] > 0
    deadline = time.monotonic() + WITHIN_S
    while not stats["puts"]["count"] and time.monotonic() < deadline:  # a put counts when it is done
        time.sleep(0.05)
        stats = alice.asks("dht", "stats")
    assert stats["puts"]["count"] > 0
    assert stats["puts"]["p50_ms"] is not None
    assert sum(kind["records"] for kind in stats["records_by_kind"].values()) == stats["records"]


def test_the_doctor_finds_nothing_in_a_good_network(pair: tuple[Daemon, Daemon]) -> None:
    alice, _ = pair
    found = {row["check"]: row for row in alice.rows("doctor")}
    assert {row["state"] for row in found.values()} == {"ok"}, found
    assert alice.endpoint in found["port"]["message"]


def test_the_doctor_finds_what_a_stopped_daemon_left(fleet: Fleet) -> None:
    (person,) = fleet.people("carol")
    person.kill()
    found = {row["check"]: row["state"] for row in person.rows("doctor")}
    assert (found["user.db"], found["dht.db"], found["daemon"]) == ("ok", "ok", "ok")
    (person.home / "dht.db").write_bytes(b"not a database " * 500)
    (person.home / "dht.db-wal").unlink(missing_ok=True)
    code, said = person.fails_to_start()
    assert code == 13
    assert "p2pctl doctor --set-aside dht.db" in said
    done = person.p2pctl("doctor")
    assert done.code == 1
    assert "--set-aside dht.db" in done.out
    assert "dht.db.damaged-1" in person.says("doctor", "--set-aside", "dht.db")
    assert person.start().address.startswith("p2p:")
    assert person.p2pctl("doctor").code == 0
