"""The routing tables, as Linux prints them and otherwise."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd.net.port_mapping import gateway
from p2pd.net.port_mapping.gateway import find_way, parse_v4_routes, parse_v6_routes

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the table below is a little-endian machine's")
V4 = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
vpn0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0
bad0\t00000000\t0100000A\t0203\t0\t0\t1\t00000000\t0\t0\t0
"""
ZERO = "0" * 32
V6 = f"""{ZERO} 00 {ZERO} 00 fe800000000000000000000000000001 00000400 00000002 00000000 00000003     eth0
20010db8000000000000000000000000 40 {ZERO} 00 {ZERO} 00000100 00000002 00000000 00000001     eth0
{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo
"""


def test_default_routes_are_found_the_preferred_first() -> None:
    assert parse_v4_routes(V4) == [("10.0.0.1", "eth0"), ("192.168.1.1", "wlan0")]
    assert parse_v6_routes(V6) == [("fe80::1", "eth0")]


@given(st.text(max_size=300) | st.lists(st.sampled_from(V4.split() + V6.split() + ["\n"]), max_size=60).map(" ".join))
def test_tables_of_another_form_have_no_routes(table: str) -> None:
    for parse in (parse_v4_routes, parse_v6_routes):
        assert all(interface for _, interface in parse(table))


def test_without_a_table_there_is_no_way(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_V4_TABLE", tmp_path / "none")  # type: ignore[operator]
    assert find_way(v6=False, bound="0.0.0.0") is None  # noqa: S104  nothing is bound


def test_the_way_goes_from_the_bound_address(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "route"  # type: ignore[operator]
    table.write_text(V4.replace("0100000A", "0100007F"))
    monkeypatch.setattr(gateway, "_V4_TABLE", table)
    way = find_way(v6=False, bound="127.0.0.5")
    assert way is not None
    assert (way.own, way.gateway, way.interface) == ("127.0.0.5", "127.0.0.1", "eth0")
    way = find_way(v6=False, bound="::")
    assert way is not None
    assert way.own.startswith("127.")
