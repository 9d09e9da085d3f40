"""Two daemons and the bot of the documentation."""

import subprocess
import sys
from pathlib import Path

import pytest

from p2pd import client
from tests.daemon.process import daemon, environment

pytestmark = pytest.mark.slow


def test_the_bot_answers_each_message_once(tmp_path: Path) -> None:
    with (
        daemon(tmp_path / "a") as alice,
        daemon(tmp_path / "b", "--accept-requests", "--bootstrap", alice.endpoint) as bob,
    ):
        words = [sys.executable, str(Path(__file__).with_name("echo_bot.py"))]
        bot = subprocess.Popen(words, env=environment() | {"P2PD_HOME": str(bob.home)})
        try:
            client.call("send", home=alice.home, to=bob.address, text="hello", wait="delivered", timeout_s=60)
            heard = client.call("wait", home=alice.home, since=0, timeout_s=60, **{"from": bob.address})
            client.call("send", home=alice.home, to=bob.address, text="again\n\x1b", wait="delivered", timeout_s=60)
            again = client.call("wait", home=alice.home, since=heard["cursor"], timeout_s=60, **{"from": bob.address})
        finally:
            bot.kill()
            bot.wait()
        texts = [entry["text"] for entry in client.call("history", home=alice.home, to=bob.address)["messages"]]
    assert (heard["text"], again["text"]) == ("hello", "again\n\x1b")
    assert sorted(texts) == sorted(["hello", "again\n\x1b"] * 2)
