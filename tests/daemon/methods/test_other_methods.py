"""Oneself, people, the network and the settings."""

import pytest

from p2pd.client import connect
from p2pd.errors import NotFoundError, UsageError
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
        assert "nodes" in await client.dht.stats()
        assert set(await client.net.stats()) == {"socket", "node"}
