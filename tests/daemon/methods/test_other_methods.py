"""Oneself, people, the network and the settings."""

import pytest

from p2pd.client import connect
from p2pd.errors import NoNetworkError, NotFoundError, UsageError
from p2pd.net.traffic import Cause
from p2pd.types import IdentityKey
from p2pd.wire.address import encode_address
from tests.daemon.conftest import Node

BOB = encode_address(IdentityKey(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")))


async def test_status_has_every_key_that_scripts_rely_on(node: Node) -> None:
    async with connect(node.home) as client:
        status = await client.status()
    keys = "address node_id version uptime_s listen dht links outbox rss_bytes bytes_in bytes_out"
    assert set(keys.split()) <= set(status)
    assert {"nodes", "records", "record_bytes"} <= set(status["dht"])
    assert status["rss_bytes"] > 1_000_000


async def test_the_link_is_given_when_asked_for(node: Node) -> None:
    async with connect(node.home) as client:
        own = await client.id()
        assert set(own) == {"address", "fingerprint", "name"}
        assert (await client.id(link=True))["link"].startswith(own["address"])


async def test_a_person_is_renamed_blocked_and_removed(node: Node) -> None:
    async with connect(node.home) as client:
        await client.contact.add(address=BOB, **{"as": "bob"})
        assert (await client.contact.rename(name="bob", to="robert"))["name"] == "robert"
        assert (await client.contact.block(name="robert"))["state"] == "blocked"
        assert (await client.contact.unblock(name="robert"))["state"] in ("accepted", "pending")
        assert await client.contact.remove(name="robert") == {"name": "robert", "address": BOB}
        assert (await client.contact.list())["contacts"] == []
        with pytest.raises(NotFoundError):
            await client.contact.show(name="robert")


async def test_nobody_asks(node: Node) -> None:
    async with connect(node.home) as client:
        assert (await client.request.list())["requests"] == []
        with pytest.raises(NotFoundError):
            await client.request.accept(id="yyyyyyyy")


async def test_settings_are_shown_and_written(node: Node) -> None:
    async with connect(node.home) as client:
        assert (await client.config.get(key="replicas"))["source"] == "default"
        changed = await client.config.set(key="replicas", value="7")
        assert changed["value"] == 7
        assert changed["path"] == str(node.home / "config.toml")
        assert (await client.config.set(key="listen", value=["127.0.0.1:1"]))["value"] == ["127.0.0.1:1"]
        listed = {entry["key"]: entry["value"] for entry in (await client.config.list())["settings"]}
        assert (listed["replicas"], listed["lan"]) == (7, True)
        assert (await client.config.path())["files"][0] == {"path": changed["path"], "exists": True}
        with pytest.raises(UsageError, match="did you mean replicas"):
            await client.config.set(key="replica", value=7)


@pytest.mark.parametrize(("ttl", "words"), [("0", "ttl"), ("16d", "ttl"), ("long", "ttl")])
async def test_a_record_lives_a_while_and_not_for_ever(node: Node, ttl: str, words: str) -> None:
    async with connect(node.home) as client:
        with pytest.raises(UsageError, match=words):
            await client.dht.put(value="x", ttl=ttl)


async def test_what_is_no_key_is_not_looked_up(node: Node) -> None:
    async with connect(node.home) as client:
        with pytest.raises(UsageError):
            await client.dht.get(key="nonsense")
        with pytest.raises(UsageError):
            await client.peer.add(node="nowhere")
        assert (await client.peer.add(node="127.0.0.1:9"))["asked"] == ["127.0.0.1:9"]
        assert (await client.peer.list())["peers"] == []
        assert (await client.dht.table())["buckets"] == []


async def test_traffic_is_told_by_cause_and_adds_up(node: Node) -> None:
    counts = {"bytes in": 500, "bytes out": 900, "packets in": 5, "packets out": 9, "no such connection": 3}
    node.service.counts = lambda: counts
    node.service.traffic.sent.update({Cause.USER: 100, "put": 790, "other": 10})
    node.service.traffic.received.update({Cause.HANDSHAKE: 60, Cause.REJECTED: 7, Cause.ANSWER: 3})
    async with connect(node.home) as client:
        await client.peer.add(node="127.0.0.1:9")  # a hello, which the network does not say to have left
        stats = await client.net.stats()
    assert stats["node"]["sent"]["join"] > 1_000
    assert stats["causes"]["join"]["sent_bytes"] == 0
    assert (stats["sent_bytes"], stats["received_bytes"]) == (900, 500)
    assert (stats["sent_packets"], stats["received_packets"]) == (9, 5)
    for way in ("sent_bytes", "received_bytes"):
        assert sum(cause[way] for cause in stats["causes"].values()) == stats[way]
    assert stats["causes"]["user"]["sent_bytes"] == 100
    assert stats["causes"]["rejected"]["received_bytes"] == 7
    assert (stats["causes"]["put"]["sent_bytes"], stats["causes"]["other"]["sent_bytes"]) == (790, 10)
    assert (stats["causes"]["answer"]["received_bytes"], stats["causes"]["other"]["received_bytes"]) == (3, 430)
    assert {"lookup", "get", "put", "refresh", "listen", "keep_alive", "handshake", "relay"} <= set(stats["causes"])
    assert all({"sent_bytes_per_s", "received_bytes_per_s"} <= set(cause) for cause in stats["causes"].values())
    assert stats["rejected"] == {"no such connection": 3}
    assert {"uptime_s", "connections", "links"} <= set(stats)


async def test_the_dht_tells_what_it_holds_and_how_it_goes(node: Node) -> None:
    async with connect(node.home) as client:
        with pytest.raises(NoNetworkError):
            await client.dht.get(key="y" * 52)
        stats = await client.dht.stats()
    assert stats["records_by_kind"].keys() == {"single", "set", "open_set", "tombstone"}
    assert stats["gets"] == {"count": 0, "failed": 0, "p50_ms": None, "p99_ms": None, "rounds": None}
    assert stats["refresh"] == {"rounds": 0, "records_sent": 0}
    assert (stats["crowded"], stats["record_bytes"]) == (0, 0)
    assert stats["quota_bytes"] > 0
    assert {"nodes", "network_size", "clock_offset_ms", "lookups", "puts", "serves", "endpoint"} <= set(stats)


async def test_the_doctor_is_told_what_the_daemon_goes_by(node: Node) -> None:
    async with connect(node.home) as client:
        facts = await client.doctor()
    assert (facts["network"], facts["private"], facts["role"]) == ("main", False, "auto")
    assert facts["first_nodes"] == []
    assert {"version", "pid", "uptime_s", "listen", "nodes", "serves", "endpoint", "clock_offset_ms"} <= set(facts)
