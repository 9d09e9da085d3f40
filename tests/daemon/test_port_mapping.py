"""Which ports a daemon has mapped, by the settings and by where it listens; and one that maps, from start to stop."""

import asyncio
import os
from functools import partial
from pathlib import Path

import pytest

from p2pd import limits
from p2pd.client import connect
from p2pd.daemon import assembly
from p2pd.daemon import port_mapping as of_daemon
from p2pd.daemon.port_mapping import mapper_for
from p2pd.net.port_mapping.pcp import Pcp
from p2pd.settings import Settings, load_settings
from p2pd.storage.home import open_home
from p2pd.types import Endpoint
from tests.net.pair import SeededRandom, signing_key
from tests.net.port_mapping.gateways import WAY, gateway, pcp

ALL, ALL_V4, LOOPBACK, LAN = "::", "0.0.0.0", "127.0.0.1", "192.168.1.23"  # noqa: S104  nothing is bound


@pytest.mark.parametrize(
    ("settings", "hosts", "families"),
    [
        (Settings(), [ALL], ["IPv4", "IPv6"]),
        (Settings(private=True), [ALL], ["IPv4", "IPv6"]),
        (Settings(), [ALL_V4], ["IPv4"]),
        (Settings(), [LOOPBACK, LAN], ["IPv4"]),
        (Settings(), ["2001:db8::1"], ["IPv6"]),
        (Settings(), [LOOPBACK, "::1", "127.5.3.1"], []),
        (Settings(private=True), [LOOPBACK], []),
        (Settings(port_mapping=False), [ALL], []),
    ],
)
def test_what_is_mapped(settings: Settings, hosts: list[str], families: list[str]) -> None:
    listen = [Endpoint(host, 4040) for host in hosts]
    mapper = mapper_for(settings, listen, signing_key(1), SeededRandom(1), lambda mapped: None)
    assert [status.family for status in mapper.status()] == families


@pytest.mark.slow
async def test_a_daemon_maps_its_port_says_so_and_takes_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    open_home(home)
    async with gateway(pcp(external="198.51.100.7")) as router:
        # the one gateway that this test may ask stands on loopback; the daemon would ask none for a loopback address
        monkeypatch.setattr(of_daemon, "find_way", lambda v6, bound: None if v6 else WAY)
        monkeypatch.setattr(of_daemon, "_is_open", lambda endpoint, v6: not v6)
        monkeypatch.setattr(of_daemon, "Pcp", partial(Pcp, port=router.port))
        loaded = load_settings(home, {"private": True, "lan": False, "listen": ("127.0.0.1:0",)})
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as parts:
            served = parts.create_task(assembly.serve(home, loaded, lambda line: ready.set()))
            await ready.wait()
            async with connect(home) as client:
                async with asyncio.timeout(limits.MINUTE_S):
                    while not (await client.status())["port_mapping"][0]["endpoint"]:  # noqa: ASYNC110  nothing tells
                        await asyncio.sleep(0.01)
                for told in (await client.status(), await client.doctor(), await client.net.stats()):
                    (four,) = told["port_mapping"]
                    assert four["method"] == "PCP"
                    assert four["endpoint"].startswith("198.51.100.7:")
                await client.stop()
            await served
    assert [data[4:8] for data in router.asked][-1] == bytes(4)
    assert os.listdir(home / "run") == []
