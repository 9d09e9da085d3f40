"""First nodes as users write them."""

import pytest

from p2pd.daemon.nodes import resolve_node, split_node
from p2pd.errors import NoNetworkError, UsageError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("192.0.2.1:4040", ("", "192.0.2.1", 4040)),
        (" node.example:1 ", ("", "node.example", 1)),
        ("[2001:db8::1]:65535", ("", "2001:db8::1", 65535)),
        ("key@node.example:4040", ("key", "node.example", 4040)),
    ],
)
def test_a_node_is_a_place_and_perhaps_a_key(text: str, parts: tuple[str, str, int]) -> None:
    assert split_node(text) == parts


@pytest.mark.parametrize(
    "text", ["", "node", "node:", ":1", "node:0", "node:65536", "node:1x", "a b:1", "node:٣", "@:1"]
)
def test_what_is_no_node_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        split_node(text)


@pytest.mark.parametrize("text", ["192.0.2.1:4040", "[2001:db8::1]:4040", "key@192.0.2.1:1"])
async def test_an_address_asks_no_name_server(text: str) -> None:
    assert await resolve_node(text) == [text]


async def test_a_name_becomes_addresses() -> None:
    assert "key@127.0.0.1:4040" in await resolve_node("key@localhost:4040")


async def test_a_name_that_cannot_be_is_said_to_have_no_address() -> None:
    with pytest.raises(NoNetworkError, match=r"a\.\.b"):
        await resolve_node("a..b:1")
