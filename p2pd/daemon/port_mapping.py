"""Which of the daemon's ports its router is to let through, and by which ways it is asked."""

from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address

from p2pd.crypto.keys import SigningKey
from p2pd.net.inputs import Mapped
from p2pd.net.port_mapping.gateway import find_way
from p2pd.net.port_mapping.mapper import Keeper, Mapper
from p2pd.net.port_mapping.method import Method
from p2pd.net.port_mapping.nat_pmp import NatPmp
from p2pd.net.port_mapping.pcp import Pcp
from p2pd.net.port_mapping.upnp import Upnp
from p2pd.settings import Settings
from p2pd.types import Endpoint, RandomSource


def mapper_for(
    settings: Settings,
    listen: Sequence[Endpoint],
    node: SigningKey,
    random: RandomSource,
    tell: Callable[[Mapped], None],
) -> Mapper:
    """One that maps nothing where the settings say so, or where only this machine can reach the node.

    IPv6 has no addresses to translate: PCP alone opens the firewall, for the address that the node knows of anyway, so
    that the engine is told nothing.
    """
    if not settings.port_mapping:
        return Mapper(())
    pcp = Pcp(node.seed)
    ways: tuple[tuple[str, Sequence[Method], Callable[[Mapped], None]], ...] = (
        ("IPv4", (pcp, NatPmp(), Upnp(random)), tell),
        ("IPv6", (pcp,), lambda mapped: None),
    )
    keepers = []
    for family, methods, told in ways:
        is_v6 = family == "IPv6"
        bound = next((endpoint for endpoint in listen if _is_open(endpoint, v6=is_v6)), None)
        if bound is not None:
            keepers.append(
                Keeper(
                    family=family,
                    port=bound.port,
                    methods=methods,
                    find_way=partial(find_way, v6=is_v6, bound=bound.host),
                    private=settings.private,
                    tell=told,
                )
            )
    return Mapper(keepers)


def _is_open(endpoint: Endpoint, *, v6: bool) -> bool:
    """Whether a router could send datagrams of the family there; `::` takes both."""
    address = ip_address(endpoint.host)
    return not address.is_loopback and (endpoint.host == "::" or (address.version == 6) == v6)
