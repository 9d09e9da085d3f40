"""The demo: a network of real daemons on this machine, two people, and a message that outlives its sender.

Uses the p2pd and p2pctl of the environment that runs it, as a person would.  Every step waits for what it needs to
see and for nothing else; what is not seen ends the demo with exit code 1 and what was seen instead.
DEMO_TEXT and DEMO_FILE, which `make demo TEXT=... FILE=...` sets, are what Alice writes while Bob is away.
"""

import hashlib
import os
import signal
import sys
import tempfile
from pathlib import Path

from people import DemoFailedError, Person, Stage

HELPERS = 10
TEXT_BYTES = 256 * 1024
DEFAULT_TEXT = "Bob, when you read this I may be gone.\nThe key is under the blue pot. \u2014 Alice \U0001f511"


def main() -> int:
    """Plays the demo; its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory(prefix="p2pd-demo-") as folder, Stage(Path(folder)) as stage:
        try:
            play(stage, texts_to_send())
        except DemoFailedError as failure:
            stage.show_failure(failure)
            return 1
        except KeyboardInterrupt:
            stage.say("interrupted")
            return 130
    return 0


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def texts_to_send() -> list[str]:
    """What Alice writes: the words and the file that were asked for, else a text of our own.

    Raises:
        DemoFailedError: it cannot be a message.
    """
    texts = []
    if text := os.environ.get("DEMO_TEXT"):
        texts.append(_checked(os.fsencode(text), "TEXT"))
    if name := os.environ.get("DEMO_FILE"):
        try:
            # `send -` drops one newline at the end, as shells do.
            texts.append(_checked(Path(name).expanduser().read_bytes().removesuffix(b"\n"), "FILE"))
        except OSError as error:
            raise DemoFailedError("reading FILE", f"{name}: {error.strerror}") from None
    return texts or [DEFAULT_TEXT]


def _checked(data: bytes, name: str) -> str:
    if not 0 < len(data) <= TEXT_BYTES:
        raise DemoFailedError(f"reading {name}", f"it has {len(data)} bytes; a message has 1 to {TEXT_BYTES}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DemoFailedError(f"reading {name}", f"it is not UTF-8 at byte {error.start}") from None


def play(stage: Stage, texts: list[str]) -> None:
    """The whole story."""
    alice, bob = stage.person("alice", "cyan"), stage.person("bob", "yellow")
    begin_network(stage)
    meet(stage, alice, bob)
    talk(stage, alice, bob)
    ids = write_to_the_absent(stage, alice, bob, texts)
    read_from_the_network(stage, alice, bob, ids, texts)
    learn_of_delivery(stage, alice, ids)
    stage.title("Done: the message outlived its sender, and nobody's server was asked.")


def begin_network(stage: Stage) -> None:
    """Nodes that know nobody and only store, each told of the first."""
    stage.title(f"1. A network: {HELPERS} nodes that only store; nobody on it knows Alice or Bob")
    nodes = [stage.person(f"node{number}", "dim") for number in range(1, HELPERS + 1)]
    stage.bootstrap = nodes[0].starts("--storage-only", shown=True)["udp"]
    for node in nodes[1:]:
        node.begins("--storage-only")
    for node in nodes[1:]:
        node.is_ready()
    stage.say(f"{HELPERS} nodes answer, the first at {stage.bootstrap}")


def meet(stage: Stage, alice: Person, bob: Person) -> None:
    """Each adds the other by link; nobody has to ask."""
    stage.title("2. Alice and Bob start, and add each other by link")
    for person in (alice, bob):
        person.starts(shown=True)
    # Node hints stand in a link once other nodes are known.
    links = {
        person: person.until(lambda person=person: _link_with_hints(person), "a link with hints")
        for person in (alice, bob)
    }
    bob.runs("contact", "add", links[alice], "--as", "alice")
    alice.runs("contact", "add", links[bob], "--as", "bob")
    for person in (alice, bob):
        person.sees("contact", lambda data: data.get("state") == "accepted")
    alice.runs("contact", "list")


def _link_with_hints(person: Person) -> str:
    link = str(person.asks("id", "--link")["link"])
    return link if "/" in link else ""


def talk(stage: Stage, alice: Person, bob: Person) -> None:
    """A few words over a direct link."""
    stage.title("3. They talk directly: no node in between, end to end encrypted")
    alice.runs("send", "bob", "Hello Bob!", "--wait", "delivered")
    bob.runs("send", "alice", "Hello Alice, good to see you.", "--wait", "delivered")
    bob.runs("history", "alice")
    alice.runs("path", "bob")


def write_to_the_absent(stage: Stage, alice: Person, bob: Person, texts: list[str]) -> list[str]:
    """Bob is killed, Alice writes, the network takes it, Alice is killed; the ids of what she wrote."""
    stage.title("4. Bob is gone: kill -9.  Alice writes all the same")
    bob.is_killed()
    ids = []
    for text in texts:
        sent = alice.runs("send", "bob", "-", "--wait", "stored", "--timeout", "120", stdin=f"{text}\n", as_json=True)
        ids.append(str(sent["id"]))
        if sent["state"] != "stored":
            raise DemoFailedError("Alice writes while Bob is away", f"the state is {sent['state']}, and not stored")
        alice.runs("why", ids[-1])
    stage.title("5. Alice is gone too: kill -9.  Only strangers' nodes hold what she wrote, sealed")
    alice.is_killed()
    return ids


def read_from_the_network(stage: Stage, alice: Person, bob: Person, ids: list[str], texts: list[str]) -> None:
    """Bob comes back while Alice is dead, and has her words, byte for byte."""
    stage.title("6. Bob comes back.  Alice is still gone")
    bob.starts(shown=True)
    for id in ids:
        bob.sees("message", lambda data, id=id: data.get("id") == id)
    if alice.is_running:
        raise DemoFailedError("Bob reads from the network", "Alice's daemon is running, so this shows nothing")
    bob.runs("history", "alice")
    received = {str(message["id"]): message for message in bob.asks_rows("history", "alice")}
    for id, text in zip(ids, texts, strict=True):
        message = received.get(id, {})
        if message.get("text") != text:
            raise DemoFailedError("Bob reads from the network", f"not what Alice wrote: {message}")
        if message.get("via") != "mailbox":
            raise DemoFailedError("Bob reads from the network", f"it came by {message.get('via')}, not by mailbox")
        digest = hashlib.sha256(text.encode()).hexdigest()
        stage.good(f"{len(text.encode())} bytes from the network, the same as Alice wrote: SHA-256 {digest[:16]}…")


def learn_of_delivery(stage: Stage, alice: Person, ids: list[str]) -> None:
    """Alice comes back and is told."""
    stage.title("7. Alice comes back, and learns that Bob has it")
    alice.starts(shown=True)
    for id in ids:
        alice.sees("receipt", lambda data, id=id: data.get("id") == id and data.get("state") in ("delivered", "read"))
        alice.runs("why", id)
    stage.good("delivered")


if __name__ == "__main__":
    sys.exit(main())
