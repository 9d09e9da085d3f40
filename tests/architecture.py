"""The law of the layers, as a reader of source text: sources in, breaches out.

It knows names and imports only; it imports nothing of what it reads.
Rules: an import counts wherever it stands: in a function, in a branch, under TYPE_CHECKING.
Known weakness: it reads what is written.  An attribute reached through a longer detour than getattr
with a constant name is not seen.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

LAYERS: tuple[tuple[str, ...], ...] = (
    ("types", "domains", "errors", "limits", "places", "settings", "stand_ins"),
    ("wire", "crypto"),
    ("effects", "store"),
    ("dht",),
    ("peer",),
    ("chat",),
    ("application",),
    ("engine",),
    ("net", "storage"),
    ("sim",),
    ("daemon", "client", "__main__"),
    ("p2pctl",),
)
"""The lowest first; an import goes to the same layer or to one before it."""

RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

APART = tuple(frozenset(pair) for pair in ({"wire", "crypto"}, {"net", "storage"}, {"net", "sim"}))
"""They never import each other: the simulated world has the shipped stores, and no socket."""

PURE = frozenset(name for name in RANK if RANK[name] <= RANK["engine"]) - {"places", "settings"}
"""From the engine down: time, chance and the outside come in as arguments and go out as effects."""

# fmt: off
IMPURE = (
    # runs by itself
    "asyncio", "concurrent", "multiprocessing", "selectors", "signal", "subprocess", "threading", "_thread",
    # touches the network
    "http", "smtplib", "socket", "socketserver", "ssl", "urllib.request",
    # touches the disk
    "fcntl", "fileinput", "glob", "io.open", "mmap", "os", "shutil", "sqlite3", "tempfile",
    # has a clock or dice of its own, where the core is given now: Now and a RandomSource
    "random", "secrets", "time", "uuid",
    # serves the packages above
    "aiohttp", "aioice", "aioquic", "click", "miniupnpc", "platformdirs", "rich", "segno", "zeroconf",
    "p2pd.places", "p2pd.settings",
)
# fmt: on

DANGEROUS = ("dill", "marshal", "pickle", "shelve", "cloudpickle")

SOLE_IMPORTERS: dict[str, tuple[str, ...]] = {
    "kademlia": ("p2pd.dht.routing",),
    **dict.fromkeys(("rpcudp", "umsgpack"), ()),
    **dict.fromkeys(("nacl", "cryptography"), ("p2pd.crypto",)),
    **dict.fromkeys(("doubleratchet", "x3dh", "xeddsa"), ("p2pd.crypto.ratchet_libraries",)),
    "pydantic": (),
    **dict.fromkeys(("OpenSSL", "service_identity"), ()),
    "aioquic": ("p2pd.net",),
    "miniupnpc": ("p2pd.net.port_mapping.igd_process",),
    "zeroconf": ("p2pd.net.segment",),
    "ifaddr": ("p2pd.net.addresses",),
    "segno": ("p2pctl.qr",),
    "sqlite3": ("p2pd.storage",),
}
"""Library: the modules or packages that alone may import it."""

ONLY: dict[str, tuple[str, ...]] = {
    "p2pd.client": ("p2pd.errors", "p2pd.limits", "p2pd.places"),
    "p2pctl": ("p2pctl", "p2pd.client", "p2pd.errors", "p2pd.places", "p2pd.settings", "click", "rich", "segno"),
}
"""Module or package: what it may import besides the standard library and the version in `p2pd`."""

QUIC_PRIVATE = "p2pd.net.quic_private"
QUIC_PRIVATE_NAMES = re.compile(
    "_request_client_certificate|_peer_certificate|_write_connection_limits|_write_stream_limits"
    "|_local_max_data|_buffer_start|_buffer_stop|_initialize|_loss|_spaces"
)
"""aioquic's own names that we depend on; any release may take them away."""

CLOCKS = re.compile(r"(datetime\.)?(datetime\.(now|utcnow|today)|date\.today)")
CODE_FROM_TEXT = frozenset({"eval", "exec", "yaml.load", "yaml.unsafe_load"})
HIDDEN_IMPORT = frozenset({"__import__", "importlib.import_module", "import_module"})


class Rule(Enum):
    """One sentence of the law each."""

    PLACED = "every module belongs to a layer"
    DOWNWARD = "imports go downward"
    APART = "never each other"
    PURE = "pure from the engine down"
    SOLE = "sole importer"
    ONLY = "imports nothing else"
    PRIVATE = f"aioquic's private names only in {QUIC_PRIVATE}"
    DANGEROUS = "nothing that runs what it reads"
    HIDDEN = "every import can be read"


@dataclass(frozen=True, slots=True)
class Source:
    """A module's dotted name and text."""

    module: str
    text: str
    is_package: bool = False


@dataclass(frozen=True, slots=True)
class Breach:
    """Where which rule is broken, by what."""

    rule: Rule
    module: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.what} ({self.rule.value})"


def read_sources(root: Path) -> list[Source]:
    """All that ships, from the checkout at `root`."""
    sources = []
    for base, package in ((root, "p2pd"), (root / "cli", "p2pctl")):
        for path in sorted((base / package).rglob("*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if is_package else parts)
            sources.append(Source(module, path.read_text(encoding="utf-8"), is_package))
    return sources


def breaches(source: Source) -> list[Breach]:
    """Everything in one module that the law forbids, in the order of the text's tree."""
    tree = ast.parse(source.text)
    found = [] if layer_of(source.module) in {*RANK, ""} else [(Rule.PLACED, 1, "stands in no layer")]
    for line, target in imports(tree, source):
        found += [(rule, line, f"imports {target}") for rule in rules_broken(source.module, target)]
    found += calls_and_names(tree, source.module)
    return [Breach(rule, source.module, line, what) for rule, line, what in found]


def layer_of(module: str) -> str:
    """The layer's name of a module of ours; "" for the root package, which holds the version and nothing else."""
    package, _, rest = module.partition(".")
    return package if package == "p2pctl" else rest.partition(".")[0]


def within(module: str, *places: str) -> bool:
    """Whether the module is one of the places or lies in one."""
    return any(module == place or module.startswith(place + ".") for place in places)


def imports(tree: ast.Module, source: Source) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported; `from a import b` counts as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = source.module.split(".")
                kept = parts[: len(parts) - node.level + source.is_package]
                base = ".".join([*kept, *([base] if base else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def rules_broken(module: str, target: str) -> Iterator[Rule]:
    """The rules that `module` breaks by importing `target`."""
    layer = layer_of(module)
    if within(target, "p2pd", "p2pctl"):
        other = layer_of(target)
        if RANK.get(other, 0) > RANK.get(layer, 0):
            yield Rule.DOWNWARD
        if layer != other and any({layer, other} <= group for group in APART):
            yield Rule.APART
    if (layer in PURE or module == "p2pd") and within(target, *IMPURE):
        yield Rule.PURE
    if any(within(target, library) and not within(module, *homes) for library, homes in SOLE_IMPORTERS.items()):
        yield Rule.SOLE
    if any(within(module, place) and not may_import(target, allowed) for place, allowed in ONLY.items()):
        yield Rule.ONLY
    if within(target, *DANGEROUS):
        yield Rule.DANGEROUS


def may_import(target: str, allowed: tuple[str, ...]) -> bool:
    """Whether the target is the standard library's, ours by the list, or the version."""
    top = target.partition(".")[0]
    return top in sys.stdlib_module_names or within(target, *allowed) or target in {"p2pd", "p2pd.__version__"}


def calls_and_names(tree: ast.Module, module: str) -> Iterator[tuple[Rule, int, str]]:
    """What is broken other than by an import: calls of forbidden functions, private names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in CODE_FROM_TEXT:
                yield Rule.DANGEROUS, node.lineno, f"calls {called}"
            if called in HIDDEN_IMPORT:
                yield Rule.HIDDEN, node.lineno, f"calls {called}"
            if layer_of(module) in PURE and (called in {"open", "input"} or CLOCKS.fullmatch(called)):
                yield Rule.PURE, node.lineno, f"calls {called}"
        name = named_by(node)
        if within(module, "p2pd.net", "p2pd.daemon") and module != QUIC_PRIVATE and QUIC_PRIVATE_NAMES.fullmatch(name):
            yield Rule.PRIVATE, getattr(node, "lineno", 0), f"uses {name}"


def named_by(node: ast.AST) -> str:
    """The attribute that a node reaches for, be it by a dot or by a constant string; "" for other nodes."""
    match node:
        case ast.Attribute(attr=name) | ast.Constant(value=str(name)):
            return name
        case _:
            return ""
