"""What a machine knows of its own addresses."""

from p2pd.daemon.listening import loopback_of, own_endpoints
from p2pd.types import Endpoint


def test_a_bound_address_is_what_it_is():
    bound = [Endpoint("127.0.0.1", 4001), Endpoint("::1", 4002)]
    assert own_endpoints(bound) == tuple(bound)
    assert loopback_of(bound) == ()


def test_a_wildcard_stands_for_real_addresses_on_its_port():
    own = own_endpoints([Endpoint("::", 4001)])
    assert all(endpoint.port == 4001 and endpoint.host not in ("::", "0.0.0.0") for endpoint in own)  # noqa: S104
    assert loopback_of([Endpoint("::", 4001)]) == (Endpoint("127.0.0.1", 4001), Endpoint("::1", 4001))
