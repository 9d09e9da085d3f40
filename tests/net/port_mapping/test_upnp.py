"""UPnP, by the real miniupnpc in its process, with routers good and bad on loopback."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.net.port_mapping.method import DeclinedError, UnansweredError
from p2pd.net.port_mapping.ssdp import description_url, searches
from p2pd.net.port_mapping.upnp import Upnp, read_printed
from p2pd.types import Endpoint
from tests.net.pair import SeededRandom
from tests.net.port_mapping.gateways import ANYWHERE, WAY, Gateway, gateway, silent
from tests.net.port_mapping.routers import Router, found, router, telling

pytestmark = pytest.mark.slow
URL = f"http://{WAY.gateway}:5000/root.xml"


@pytest.fixture
def igd() -> Iterator[Router]:
    with router() as made:
        yield made


@pytest.fixture
async def search(igd: Router) -> AsyncIterator[Gateway]:
    async with gateway(telling(igd.url)) as made:
        yield made


def upnp(search: Gateway) -> Upnp:
    return Upnp(SeededRandom(1), Endpoint(WAY.gateway, search.port))


@pytest.mark.parametrize("version", [1, 2])
async def test_a_port_is_mapped_renewed_and_taken_back(igd: Router, search: Gateway, version: int) -> None:
    igd.version = version
    by = upnp(search)
    for _ in range(2):
        lease = await by.open(WAY, 4040, ANYWHERE)
        assert (lease.external, lease.lifetime_s) == (Endpoint("198.51.100.7", 4040), limits.MAPPING_LIFE_S)
    await by.close(WAY, 4040, lease.external)
    first, _, last = igd.asked
    assert (first["InternalClient"], first["InternalPort"], first["ExternalPort"]) == (WAY.own, "4040", "4040")
    assert (first["Protocol"], first["LeaseDuration"]) == ("UDP", "3600")
    assert (last["action"], last["ExternalPort"]) == ("DeletePortMapping", "4040")
    assert len(search.asked) == len(searches()), "it is looked for once"


async def test_a_port_that_another_machine_has_is_exchanged(igd: Router, search: Gateway) -> None:
    igd.faults = [718]
    lease = await upnp(search).open(WAY, 4040, ANYWHERE)
    assert lease.external.port >= 49_152
    assert igd.asked[1]["ExternalPort"] == str(lease.external.port)


async def test_a_router_that_knows_no_end_maps_without_one(igd: Router, search: Gateway) -> None:
    igd.faults = [725]
    assert (await upnp(search).open(WAY, 4040, ANYWHERE)).lifetime_s is None
    assert igd.asked[1]["LeaseDuration"] == "0"


async def test_a_router_that_gives_every_port_away_is_not_asked_without_end(igd: Router, search: Gateway) -> None:
    igd.faults = [718] * 99
    with pytest.raises(DeclinedError, match="Conflict"):
        await upnp(search).open(WAY, 4040, ANYWHERE)
    assert len(igd.asked) == 1 + limits.UPNP_PORTS


async def test_a_refusal_is_told_and_the_router_looked_for_anew(igd: Router, search: Gateway) -> None:
    igd.faults = [606]
    by = upnp(search)
    with pytest.raises(DeclinedError):
        await by.open(WAY, 4040, ANYWHERE)
    await by.open(WAY, 4040, ANYWHERE)
    assert len(search.asked) == 2 * len(searches())


@pytest.mark.parametrize("external", ["", "nonsense", "::1", "1.2.3.4.5", "9" * 100])
async def test_what_is_no_address_is_refused(igd: Router, search: Gateway, external: str) -> None:
    igd.external = external
    with pytest.raises(PeerError):
        await upnp(search).open(WAY, 4040, ANYWHERE)


async def test_a_control_url_elsewhere_is_not_followed(igd: Router, search: Gateway) -> None:
    with router("127.5.3.52") as elsewhere:
        igd.control = elsewhere.url
        with pytest.raises(DeclinedError, match="elsewhere"):
            await upnp(search).open(WAY, 4040, ANYWHERE)
        assert elsewhere.asked == []


@pytest.mark.parametrize(
    "description", [b"<", b"\xff" * 99, b"<a>" * 50_000, b"<controlURL>" + b"x" * 50_000], ids=range(4)
)
async def test_a_broken_description_is_no_router(igd: Router, search: Gateway, description: bytes) -> None:
    igd.description = description
    with pytest.raises(PeerError):
        await upnp(search).open(WAY, 4040, ANYWHERE)


async def test_a_router_that_hangs_is_left(igd: Router, search: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "UPNP_S", 0.3)
    igd.hang.clear()
    with pytest.raises(UnansweredError, match="too long"):
        await upnp(search).open(WAY, 4040, ANYWHERE)


async def test_only_the_gateway_is_heard(igd: Router) -> None:
    async with gateway(telling(igd.url), "127.5.3.52") as stranger:
        by = Upnp(SeededRandom(1), Endpoint("127.5.3.52", stranger.port))
        with pytest.raises(UnansweredError):
            await by.open(WAY, 4040, ANYWHERE)
    assert igd.asked == []


async def test_silence_is_no_router() -> None:
    async with gateway(silent) as search:
        with pytest.raises(UnansweredError):
            await upnp(search).open(WAY, 4040, ANYWHERE)
    assert all(question.startswith(b"M-SEARCH * HTTP/1.1\r\n") for question in search.asked)


def test_a_description_is_read_at_the_gateway_only() -> None:
    assert description_url(found(URL), WAY.gateway) == URL
    for url in (
        "http://192.0.2.1:5000/",
        f"https://{WAY.gateway}/",
        f"http://{WAY.gateway}@192.0.2.1/",
        f"http://user@{WAY.gateway}/",
        f"http://{WAY.gateway}:99999/",
        f"http://{WAY.gateway}/a b",
        f"http://{WAY.gateway}/" + "x" * limits.UPNP_URL_BYTES,
        "file:///etc/passwd",
        "http://[",
        "",
    ):
        with pytest.raises(PeerError):
            description_url(found(url), WAY.gateway)
    with pytest.raises(PeerError):
        description_url(found(URL, "urn:schemas-upnp-org:device:MediaServer:1"), WAY.gateway)


PARTS = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n", b"Location: ", b"http://"]
)
SCRAPS = st.lists(PARTS | st.binary(max_size=20), max_size=8).map(b"".join)


@given(SCRAPS | st.binary(max_size=20).map(lambda tail: found(f"http://{WAY.gateway}/").replace(b"/\r", tail + b"\r")))
def test_hostile_answers_raise_only_peer_errors(data: bytes) -> None:
    with suppress(PeerError):
        description_url(data, WAY.gateway)


SOME: Callable[[bytes], bytes] = lambda data: b'{"external":"' + data + b'"}'  # noqa: E731  one line says it


@given(st.binary(max_size=99) | st.binary(max_size=50).map(SOME))
def test_what_the_process_prints_raises_only_peer_errors(data: bytes) -> None:
    with suppress(PeerError):
        read_printed(data)
