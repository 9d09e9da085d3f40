"""What stands open on the machine: modes of files, names that pass for others', hostile texts, and planted secrets.

The doors are those of `tests/storage/test_home.py`.  From `REAL_FROM` texts on, the secrets are planted in two real
daemons as well, which talk at their most talkative log level; their homes, logs and the process table are searched.
"""

import json
import logging
import stat
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from p2pctl import terminal
from p2pctl.harmless import harmless, harmless_line
from p2pd.chat.names import free_name, looks_alike
from p2pd.crypto.keys import SigningKey
from p2pd.crypto.prekeys import new_prekey
from p2pd.daemon.logs import LineFormatter
from p2pd.errors import ForeignHomeError
from p2pd.storage.home import open_home
from p2pd.storage.keys import master_key
from p2pd.storage.records import SqliteRecordStore
from p2pd.storage.user import SqliteUserStore
from p2pd.store import Contact, ContactState, Direction, Message, MessageState, OutboxItem, PairSecret, Session
from p2pd.types import IdentityKey, MessageId
from tests.chance import SeededRandom
from tests.integration.fleet import Daemon, Fleet, befriend
from tests.secrecy.line import Line, Measure
from tests.storage.test_home import DOORS

REAL_FROM = 5_000
NAME_PAIRS = 200
PLANTED = 50
LOOKALIKES = {
    "a": "\u0430", "c": "\u0441", "e": "\u0435", "i": "\u0456", "j": "\u0458", "o": "\u043e\u03bf0", "p": "\u0440",
    "s": "\u0455", "x": "\u0445", "y": "\u0443", "A": "\u0410\u0391", "B": "\u0412\u0392", "E": "\u0415\u0395",
    "H": "\u041d\u0397", "K": "\u041a\u039a", "M": "\u041c\u039c", "O": "\u041e\u039f0", "P": "\u0420\u03a1",
    "T": "\u0422\u03a4", "X": "\u0425\u03a7", "I": "l1\u0406", "l": "I1\u04cf", "h": "\u04bb", "v": "\u03bd",
}  # fmt: skip
"""From Unicode's table of confusable letters (UTS 39), written down apart from `p2pd.chat.names`."""
WHO = (
    "Alice",
    "bob",
    "Charlie",
    "Eve",
    "HELEN",
    "Ian",
    "Jo",
    "Max",
    "Olivia",
    "Peter",
    "Sophie",
    "Tom",
    "Xavier",
    "paul",
)
PIECES = (
    "\x1b[2J", "\x1b]0;t\x07", "\x1b]52;c;aGk=\x1b\\", "\x9b31m", "\x90q\x9c", "\r", "\b", "\x7f", "\0", "\u202e",
    "\u2066", "\u2069", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u2028", "\u2029", "\u180e", "\u3164", "\U000e0041",
    "\ufe01", "\ud800", "\x1bP1;2", "\x85", "\x0e", "\u061c", "\ufff9", "\ue000", "words", "\u05d0\u05d1", "\n", "\t",
)  # fmt: skip
HIDING = frozenset(("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))
IN_TEXTS = frozenset("\n\t\u200c\u200d")


def run(count: int, seed: int) -> Line:
    """`count` hostile texts, `NAME_PAIRS` names, `PLANTED` secrets, and every door."""
    chance = Random(seed)
    passed = taken = 0
    for name in _confusable(chance):
        passed += not looks_alike(*name) or free_name(name[1], IdentityKey(bytes(32)), [name[0]]) == name[1]
        taken += 1
    texts = sum(_control_bytes(_hostile(chance)) for _ in range(count))
    with tempfile.TemporaryDirectory() as folder:
        doors = sum(not _is_refused(Path(folder) / str(place), door) for place, door in enumerate(DOORS.values()))
        modes, found = _planted(Path(folder) / "home", chance)
    if count >= REAL_FROM:
        open_modes, shown = _with_daemons(chance)
        modes, found = modes + open_modes, found + shown
    return Line(
        "doors",
        count,
        [
            Measure("doors found open that were not refused", doors, most=0),
            Measure("files that others can read", modes, most=0),
            Measure("confusable names that nobody is told of", passed, most=0),
            Measure("confusable names", taken, least=NAME_PAIRS),
            Measure("control bytes out", texts, most=0),
            Measure("planted secrets found", len(found), most=0),
        ],
        found[:10],
    )


def _confusable(chance: Random) -> Iterator[tuple[str, str]]:
    """A name, and one that looks like it."""
    for _ in range(NAME_PAIRS):
        name = chance.choice(WHO)
        places = [place for place, letter in enumerate(name) if letter in LOOKALIKES]
        letters = list(name)
        for place in chance.sample(places, chance.randint(1, len(places))):
            letters[place] = chance.choice(LOOKALIKES[name[place]])
        yield name, "".join(letters)


def _hostile(chance: Random) -> str:
    return "".join(chance.choice(PIECES) if chance.random() < 0.8 else chr(chance.randrange(0x3000)) for _ in range(12))


def _control_bytes(text: str) -> int:
    """Characters that a terminal obeys, or that hide, in any of the ways that a peer's text is shown."""
    entry = logging.LogRecord("p2pd.x", logging.INFO, __file__, 1, "it said %s", (text,), None)
    as_json = terminal.as_json({"text": text})
    assert json.loads(as_json) == {"text": text}
    lines = [harmless_line(text), as_json, LineFormatter().format(entry), *terminal.table(("a", "b"), [(text, text)])]
    shown = [*(letter for line in lines for letter in line), *(each for each in harmless(text) if each not in IN_TEXTS)]
    return sum(unicodedata.category(letter) in HIDING for letter in shown)


def _is_refused(home: Path, door: Callable[[Path], object]) -> bool:
    home = home / "home"
    open_home(home)
    master_key(home)
    for name in ("user.db", "lock"):
        (home / name).touch(mode=0o600)
    door(home)
    try:
        open_home(home)
    except ForeignHomeError:
        return True
    return False


# --- planted secrets


def _planted(home: Path, chance: Random) -> tuple[int, list[str]]:
    """Files that others can read, and secrets found, in a home that was filled with `PLANTED` of them."""
    open_home(home)
    master = master_key(home)
    secrets = [f"planted {number} {chance.randbytes(12).hex()}".encode() for number in range(PLANTED)]
    store = SqliteUserStore(str(home / "user.db"), own_identity=IdentityKey(bytes(32)), master_key=master)
    records = SqliteRecordStore(str(home / "dht.db"))
    with store.transaction():
        _fill(store, secrets, chance)
    beside = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    store.close()
    records.close()
    files = beside | {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    found = [
        f"secret {secret!r} in {path.name}" for path, data in files.items() for secret in secrets if secret in data
    ]
    found += [
        f"the master key in {path.name}" for path, data in files.items() if master in data and path.name != "keys"
    ]
    return _open_to_others(home), found + _shown_keys(chance)


def _fill(store: SqliteUserStore, secrets: list[bytes], chance: Random) -> None:
    """Puts five secrets into each of ten contacts' rows."""
    for number in range(0, PLANTED, 5):
        name, text, secret, pair, ratchet = secrets[number : number + 5]
        contact = IdentityKey(chance.randbytes(32))
        store.save_contact(
            Contact(
                contact, name.decode(), ContactState.ACCEPTED, 1, claimed_name=name.decode(), secret=secret,
                pair_secrets=(PairSecret(0, pair, 1),), request_text=text.decode(),
            )
        )  # fmt: skip
        id = MessageId(chance.randbytes(16))
        store.save_message(
            Message(contact, id, Direction.OUT, text.decode(), 1, 1, 0, MessageState.QUEUED, request_id=name.decode())
        )
        store.save_outbox_item(OutboxItem(contact, 1, id, text, made_ms=1, clock=1, parents=()))
        store.save_session(Session(contact, chance.randbytes(16), True, 1, ratchet=ratchet, associated=secret))


def _shown_keys(chance: Random) -> list[str]:
    """Keys that show themselves where a value of ours is printed, as a log or a traceback would."""
    seed = chance.randbytes(32)
    key, pair = SigningKey(seed), new_prekey(1, 0, SeededRandom(chance.random()))
    shown = {"a signing key": (repr(key), [seed]), "a prekey": (repr(pair), [pair.x25519, pair.kem])}
    return [
        f"{name} shows its secret"
        for name, (text, secrets) in shown.items()
        if any(secret.hex() in text or repr(secret)[2:-1] in text for secret in secrets)
    ]


def _open_to_others(home: Path) -> int:
    return sum(bool(stat.S_IMODE(path.lstat().st_mode) & 0o077) for path in (home, *home.rglob("*")))


def _with_daemons(chance: Random) -> tuple[int, list[str]]:
    """The same of two daemons that have talked, and of what the system shows of them."""
    fleet = Fleet()
    try:
        fleet.servers(3)
        pair = [fleet.new(name, "--log-level", "debug").start() for name in ("alice", "bob")]
        befriend(pair[0], "alice", pair[1], "bob")
        secrets = [f"planted {chance.randbytes(12).hex()}" for _ in range(PLANTED)]
        sent = [pair[0].call("send", to="bob", text=secret)["id"] for secret in secrets]
        pair[0].knows(*sent)
        secrets += [person.address for person in pair]
        found = [
            f"{secret} {place}" for place, data in _everywhere(fleet) for secret in secrets if secret.encode() in data
        ]
        return sum(_open_to_others(person.home) for person in pair), found
    finally:
        fleet.end()


def _everywhere(fleet: Fleet) -> Iterator[tuple[str, bytes]]:
    people: list[Daemon] = fleet.daemons
    for daemon in people:
        yield f"in the log of {daemon.home.name}", daemon.log.encode()
        for path in daemon.home.rglob("*"):
            if path.is_file():
                yield f"in {path.name} of {daemon.home.name}", path.read_bytes()
        if daemon.process is not None:
            for name in ("cmdline", "environ"):
                yield f"in {name} of {daemon.home.name}", Path(f"/proc/{daemon.process.pid}/{name}").read_bytes()
