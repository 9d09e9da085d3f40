"""The tree follows the law of the layers, and the reader that says so sees every kind of breach."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture import LAYERS, Rule, Source, breaches, read_sources

ROOT = Path(__file__).resolve().parent.parent
SOURCES = read_sources(ROOT)

BITES = [
    # a module, its text, and the rule that it breaks
    (Rule.PLACED, "p2pd.helpers", ""),
    (Rule.PLACED, "p2pd.services.chat", ""),
    (Rule.DOWNWARD, "p2pd.dht.node", "from p2pd.chat.outbox import Outbox"),
    (Rule.DOWNWARD, "p2pd.dht.node", "from p2pd import peer"),
    (Rule.DOWNWARD, "p2pd.dht.node", "from ..peer import links"),
    (Rule.DOWNWARD, "p2pd.chat.inbox", "import p2pd.engine as engine"),
    (Rule.DOWNWARD, "p2pd.wire.frames", "def late():\n    import p2pd.effects"),
    (Rule.DOWNWARD, "p2pd.errors", "if TYPE_CHECKING:\n    from p2pd.wire import record"),
    (Rule.DOWNWARD, "p2pd.engine", "from p2pd.sim.world import World"),
    (Rule.DOWNWARD, "p2pd.net.driver", "from p2pd.daemon import control"),
    (Rule.DOWNWARD, "p2pd.daemon.main", "from p2pctl.main import main"),
    (Rule.DOWNWARD, "p2pd", "from p2pd.client import Client"),
    (Rule.APART, "p2pd.wire.record", "from p2pd.crypto import seal"),
    (Rule.APART, "p2pd.crypto.seal", "from p2pd.wire.record import Record"),
    (Rule.APART, "p2pd.sim.world", "from p2pd.net.socket import Endpoint"),
    (Rule.APART, "p2pd.net.driver", "import p2pd.storage.database"),
    (Rule.DOWNWARD, "p2pd.storage.database", "from p2pd import sim"),
    *((Rule.PURE, f"p2pd.{layer}", "import asyncio") for layers in LAYERS[1:7] for layer in layers),
    *((Rule.PURE, "p2pd.chat.outbox", f"import {name}") for name in ("socket", "time", "os", "random", "secrets")),
    (Rule.PURE, "p2pd.chat.outbox", "from os.path import join"),
    (Rule.PURE, "p2pd.chat.outbox", "from urllib.request import urlopen"),
    (Rule.PURE, "p2pd.chat.outbox", "def read():\n    return open('x').read()"),
    (Rule.PURE, "p2pd.chat.outbox", "from datetime import datetime\nat = datetime.now()"),
    (Rule.PURE, "p2pd.chat.outbox", "import datetime\ntoday = datetime.date.today()"),
    (Rule.PURE, "p2pd.crypto.seal", "from os import urandom"),
    (Rule.PURE, "p2pd.crypto.seal", "from secrets import token_bytes"),
    (Rule.PURE, "p2pd.types", "import time"),
    (Rule.PURE, "p2pd.peer.links", "from p2pd.settings import Settings"),
    (Rule.PURE, "p2pd.limits", "from p2pd import settings"),
    (Rule.PURE, "p2pd.peer.links", "import sqlite3"),
    (Rule.PURE, "p2pd.peer.links", "from aioquic.quic.connection import QuicConnection"),
    (Rule.SOLE, "p2pd.dht.lookup", "from kademlia.node import Node"),
    (Rule.SOLE, "p2pd.dht.routing", "import rpcudp.protocol"),
    (Rule.SOLE, "p2pd.net.certificate", "from cryptography import x509"),
    *(
        (Rule.SOLE, "p2pd.chat.session", f"import {name}")
        for name in ("nacl.signing", "cryptography", "doubleratchet", "x3dh", "xeddsa")
    ),
    (Rule.SOLE, "p2pd.crypto.ratchet", "import doubleratchet"),
    (Rule.SOLE, "p2pd.crypto.ratchet_libraries", "import pydantic"),
    (Rule.SOLE, "p2pd.daemon.doctor", "import aioquic"),
    (Rule.SOLE, "p2pd.net.port_mapping.upnp", "import miniupnpc"),
    (Rule.SOLE, "p2pd.daemon.doctor", "def look():\n    import sqlite3"),
    (Rule.ONLY, "p2pd.client", "import msgspec"),
    (Rule.ONLY, "p2pd.client", "from p2pd.types import Now"),
    (Rule.ONLY, "p2pctl.send", "from p2pd.daemon import control"),
    (Rule.ONLY, "p2pctl.send", "def late():\n    import aiohttp"),
    (Rule.ONLY, "p2pctl.main", "from p2pd.limits import TEXT_BYTES"),
    (Rule.PRIVATE, "p2pd.net.links", "certificate = connection.tls._peer_certificate"),
    (Rule.PRIVATE, "p2pd.net.links", "class Flow(QuicConnection):\n    def spare(self): return self._local_max_data"),
    (Rule.PRIVATE, "p2pd.daemon.status", "getattr(connection, '_loss')"),
    (Rule.DANGEROUS, "p2pd.storage.state", "import pickle"),
    (Rule.DANGEROUS, "p2pd.wire.record", "from marshal import loads"),
    (Rule.DANGEROUS, "p2pctl.main", "value = eval(text)"),
    (Rule.DANGEROUS, "p2pd.daemon.main", "def run(text):\n    exec(text)"),
    (Rule.DANGEROUS, "p2pd.daemon.main", "config = yaml.load(text)"),
    (Rule.HIDDEN, "p2pd.chat.outbox", "clock = __import__('time')"),
    (Rule.HIDDEN, "p2pd.chat.outbox", "import importlib\nclock = importlib.import_module('time')"),
]

ALLOWED = [
    ("p2pd.wire.record", "import msgspec\nfrom p2pd.types import RecordKey\nfrom . import codec"),
    ("p2pd.wire", "from .record import Record"),
    ("p2pd.crypto.ratchet", "import nacl.bindings\nfrom cryptography.hazmat import primitives"),
    ("p2pd.crypto.ratchet_libraries", "import doubleratchet, x3dh\nfrom p2pd.stand_ins import standing_in"),
    ("p2pd.crypto.certificate", "from datetime import UTC, datetime\nend = datetime(2100, 1, 1, tzinfo=UTC)"),
    ("p2pd.dht.routing", "from kademlia.routing import RoutingTable"),
    ("p2pd.dht.node", "from p2pd.effects import SendDatagram\nfrom p2pd.wire import rpc\nfrom p2pd.crypto import seal"),
    ("p2pd.engine", "from p2pd import chat, dht, peer\nfrom p2pd.limits import LINKS"),
    ("p2pd.settings", "import os, tomllib\nimport platformdirs\nfrom p2pd.errors import UsageError"),
    ("p2pd.net.quic_private", "import aioquic.tls\ncertificate = connection.tls._peer_certificate"),
    ("p2pd.net.driver", "import asyncio, os, socket, time\nfrom p2pd.engine import Engine\nfrom p2pd import settings"),
    ("p2pd.storage.database", "import sqlite3\nfrom p2pd.store import Store\nhandle = open('x')"),
    ("p2pd.sim.world", "from random import Random\nfrom p2pd.engine import Engine\nself._loss = 0.1"),
    ("p2pd.daemon.main", "from p2pd.net import driver\nfrom p2pd.storage import database\nfrom p2pd import client"),
    ("p2pd.client", "import asyncio, json\nfrom p2pd.errors import P2pdError\nfrom p2pd import places, __version__"),
    (
        "p2pctl.main",
        "import click\nfrom rich.table import Table\nfrom p2pd.client import Client\nfrom p2pctl import send",
    ),
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.module)
def test_tree_follows_the_law(source: Source) -> None:
    assert [str(breach) for breach in breaches(source)] == []


def test_both_packages_are_read() -> None:
    modules = {source.module for source in SOURCES}
    assert {"p2pd", "p2pd.errors", "p2pd.wire", "p2pctl"} <= modules


@pytest.mark.parametrize(("rule", "module", "text"), BITES)
def test_breach_is_seen(rule: Rule, module: str, text: str) -> None:
    assert rule in {breach.rule for breach in breaches(Source(module, text))}


@pytest.mark.parametrize(("module", "text"), ALLOWED)
def test_what_is_allowed_passes(module: str, text: str) -> None:
    source = Source(module, text, is_package=module == "p2pd.wire")
    assert [str(breach) for breach in breaches(source)] == []


def test_every_rule_is_bitten() -> None:
    assert {rule for rule, _, _ in BITES} == set(Rule)


def test_breach_names_place_and_rule() -> None:
    (breach,) = breaches(Source("p2pd.engine", "\n\nimport time"))
    assert str(breach) == "p2pd.engine:3: imports time (pure from the engine down)"


HEAVY = ("nacl", "aioquic", "kademlia", "cryptography", "msgspec", "aiohttp", "doubleratchet", "x3dh", "pydantic")
UNUSED = ("pydantic", "pydantic_core", "annotated_types", "OpenSSL", "service_identity", "attr", "certifi", "rpcudp")
"""Brought by libraries of ours; nothing that we call reaches into them."""
SLOW = ("asyncio", "rich", "platformdirs", "tomllib", "importlib.metadata", "p2pd.settings", "p2pd.limits")
"""What a short command has no need of; each would cost it a tenth of its time or more."""


def loaded_after(statement: str) -> set[str]:
    """Names of all modules that a fresh interpreter holds after the statement, and their packages' names."""
    script = f"import sys\nsys.path[:0] = sys.argv[1:]\n{statement}\nprint(*sys.modules)"
    command = [sys.executable, "-c", script, str(ROOT), str(ROOT / "cli")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return {part for name in done.stdout.split() for part in (name, name.partition(".")[0])}


def test_command_line_loads_nothing_heavy() -> None:
    assert loaded_after("import p2pctl.main").isdisjoint(HEAVY)


def test_a_short_command_loads_nothing_slow(tmp_path: Path) -> None:
    command = f"from p2pctl.main import run\nrun(['--home', {str(tmp_path)!r}, 'status'])"
    loaded = loaded_after(command)
    assert {"p2pctl.status", "p2pd.client"} <= loaded
    assert loaded.isdisjoint((*HEAVY, *SLOW))


def test_the_daemon_loads_nothing_that_it_never_uses() -> None:
    loaded = loaded_after("import p2pd.daemon.main, p2pd.daemon.assembly")
    assert {"aioquic.tls", "doubleratchet", "x3dh", "kademlia"} <= loaded
    assert loaded.isdisjoint(UNUSED)
    assert loaded.isdisjoint(("zeroconf", "ifaddr"))  # imported once it is ready, and where there is a local network


def test_heavy_imports_would_be_seen() -> None:
    assert {"msgspec", "nacl"} <= loaded_after("import msgspec, nacl.signing")
