"""On a real terminal: what arrives stands above the line that is being typed, which stays."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.cli.fake_daemon import FakeDaemon
from tests.cli.test_chat import AT, BOB, chatting
from tests.cli.typist import Typist

__all__ = ["chatting"]


@pytest.fixture
def typist(chatting: FakeDaemon) -> Iterator[Typist]:
    """Someone who talks with bob."""
    someone = Typist("chat", "bob")
    yield someone
    someone.is_sent_away()


@pytest.fixture
def incoming(chatting: FakeDaemon) -> Callable[[str], None]:
    """Lets a message of bob's arrive when called."""

    def arrive(text: str) -> None:
        data = {"id": "i" * 26, "from": BOB, "conversation": BOB, "text": text, "position": 1}
        chatting.push({"cursor": 8, "type": "message", "at": AT, "data": data})

    return arrive


@pytest.mark.slow
@pytest.mark.parametrize("typed", ["half a li", "x" * 100])
def test_what_arrives_leaves_the_typed_line_alone(
    typed: str, typist: Typist, chatting: FakeDaemon, incoming: Callable[[str], None]
) -> None:
    typist.sees("> ")
    typist.types(typed)
    typist.sees(typed[-5:])
    incoming("hello \x1b[2J")
    shown = typist.sees("hello ␛[2J")
    assert re.search(r"\r(\x1b\[1A)?\x1b\[J", shown)
    assert typist.sees(f"> {typed}")
    typist.types("ne\n")
    typist.sees("\n> ")
    typist.types("\x04")
    assert typist.leaves() == 0
    assert [parameters["text"] for method, parameters in chatting.calls if method == "send"] == [typed + "ne"]


@pytest.mark.slow
def test_ctrl_c_leaves_cleanly(typist: Typist) -> None:
    typist.sees("> ")
    typist.presses_ctrl_c()
    assert typist.leaves() == 0
    assert "Traceback" not in typist.seen
