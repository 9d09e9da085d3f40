"""Where the node listens: what the settings say, on the ports that it had before.

Rule: a port given as 0 is one that the home remembers; where that one is taken now, any other is, and is remembered.
"""

import logging

import msgspec

from p2pd.errors import DamagedError
from p2pd.net.network import Network
from p2pd.net.udp import AddressError
from p2pd.settings import Loaded
from p2pd.storage.user import SqliteUserStore
from p2pd.types import Endpoint
from p2pd.wire.address import parse_endpoint

_PORTS = "listen_ports"
_WITHOUT_V6 = Endpoint("0.0.0.0", 0)  # noqa: S104  a node is there to be reached
_logger = logging.getLogger(__name__)


async def listen_on(network: Network, loaded: Loaded, store: SqliteUserStore) -> list[Endpoint]:
    """The endpoints bound.

    Raises:
        UsageError: a setting is no address.
        AddressError: an address or a port that was asked for cannot be had.
    """
    wanted = [parse_endpoint(text) for text in loaded.settings.listen]
    ports = remembered_ports(store)
    bound: list[Endpoint] = []
    for endpoint in wanted:
        try:
            bound.append(await _listen(network, endpoint, ports.get(str(endpoint), 0)))
        except AddressError:
            if loaded.sources["listen"] != "default":
                raise
            bound.append(await _listen(network, _WITHOUT_V6, ports.get(str(endpoint), 0)))
    fresh = {str(asked): got.port for asked, got in zip(wanted, bound, strict=True) if not asked.port}
    if fresh != ports:
        with store.transaction():
            store.set_value(_PORTS, msgspec.json.encode(fresh))
    return bound


async def _listen(network: Network, endpoint: Endpoint, remembered: int) -> Endpoint:
    if endpoint.port == 0 and remembered:
        try:
            (bound,) = (await network.open([Endpoint(endpoint.host, remembered)]))[-1:]
            return bound
        except AddressError:
            _logger.info("port %d is taken now; another one is used", remembered)
    (bound,) = (await network.open([endpoint]))[-1:]
    return bound


def remembered_ports(store: SqliteUserStore) -> dict[str, int]:
    """The port that each address with port 0 was given last; DamagedError where that cannot be read."""
    try:
        return msgspec.json.decode(store.value(_PORTS) or b"{}", type=dict[str, int])
    except msgspec.DecodeError as error:
        raise DamagedError("the remembered ports are damaged", hint="restore a backup of the home") from error
