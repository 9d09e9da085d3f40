"""Where the simulator looks into the shipped code: a few functions are wrapped while a run lasts.

Knows no promise and no scenario: whoever watches is told what went through.
Rules: nothing is changed, delayed or drawn; two runs one after the other do not see each other; `mutants` may replace
the same functions before, and are watched then.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from typing import Any, Protocol

from p2pd.crypto import ratchet
from p2pd.dht.counters import Cause, Counters
from p2pd.dht.getting import Found
from p2pd.dht.lookup import Lookup
from p2pd.dht.node import Dht
from p2pd.dht.searching import Errand, Search, Searches
from p2pd.dht.storing import PutProgress
from p2pd.peer.relaying import Guest, Relaying
from p2pd.storage.records import SqliteRecordStore
from p2pd.store import HeldRecord
from p2pd.types import NodeKey, Now


class Watcher(Protocol):
    """Who is told."""

    def on_message_key(self, key: bytes, sealed: bytes) -> None:
        """A message key was made to seal something; `sealed` is a digest of what, and of what is bound to it."""
        ...

    def on_hold(self, records: SqliteRecordStore, record: HeldRecord) -> None:
        """A record is about to be kept."""
        ...

    def on_release(self, records: SqliteRecordStore, key: bytes, item: bytes) -> None:
        """A record is about to be dropped, not because it has expired."""
        ...

    def on_search_end(self, own: NodeKey, target: bytes, lookup: Lookup, began: Now, now: Now) -> None:
        """A look-up has asked everybody whom it wanted to, or is at the end of its time or its questions."""
        ...

    def on_found(self, own: NodeKey, found: Found) -> None:
        """A get is over."""
        ...

    def on_put(self, own: NodeKey, progress: PutProgress, elapsed_ms: float) -> None:
        """A put is over."""
        ...

    def on_carried(self, relay: object, link: int, size_bytes: int) -> None:
        """A relay passed on so much of what came over one of its links."""
        ...

    def on_sent(self, cause: Cause, size_bytes: int) -> None:
        """The DHT sent bytes for a cause."""
        ...


@contextmanager
def probes(watcher: Watcher) -> Iterator[None]:
    """While this lasts the watcher is told."""
    with ExitStack() as stack:
        for owner, name, wrap in (
            (ratchet, "_cipher", _cipher),
            (SqliteRecordStore, "hold", _hold),
            (SqliteRecordStore, "release", _release),
            (Searches, "start", _start),
            (Dht, "get", _get),
            (Dht, "put", _put),
            (Counters, "sent", _sent),
            (Relaying, "_pass", _pass),
        ):
            stack.enter_context(replaced(owner, name, wrap(getattr(owner, name), watcher)))
        yield


@contextmanager
def replaced(owner: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Another function in the place of one, for a while."""
    before = owner.__dict__[name]
    setattr(owner, name, function)
    try:
        yield
    finally:
        setattr(owner, name, before)


class _WatchedCipher:
    """A message key's cipher that tells what it seals."""

    def __init__(self, cipher: Any, key: bytes, watcher: Watcher) -> None:
        self._cipher, self._key, self._watcher = cipher, key, watcher
        self.decrypt = cipher.decrypt

    def encrypt(self, nonce: bytes, data: bytes, associated: bytes) -> Any:
        self._watcher.on_message_key(self._key, blake2b(data + associated, digest_size=16).digest())
        return self._cipher.encrypt(nonce, data, associated)


def _cipher(original: Callable[..., Any], watcher: Watcher) -> Callable[..., Any]:
    def cipher(message_key: bytes) -> tuple[Any, bytes]:
        made, nonce = original(message_key)
        return _WatchedCipher(made, message_key, watcher), nonce

    return cipher


def _hold(original: Callable[..., Any], watcher: Watcher) -> Callable[..., Any]:
    def hold(records: SqliteRecordStore, record: HeldRecord) -> None:
        watcher.on_hold(records, record)
        original(records, record)

    return hold


def _release(original: Callable[..., Any], watcher: Watcher) -> Callable[..., Any]:
    def release(records: SqliteRecordStore, key: bytes, item: bytes) -> None:
        watcher.on_release(records, key, item)
        original(records, key, item)

    return release


def _start(original: Callable[..., Any], watcher: Watcher) -> Callable[..., Any]:
    def start(searches: Searches, target: bytes, errand: Errand, now: Now, **options: Any) -> Search | None:
        watched = _WatchedErrand(errand, searches._own, target, now, watcher)
        search: Search | None = original(searches, target, watched, now, **options)
        watched.search = search
        return search

    return start


class _WatchedErrand:
    """An errand whose end is told."""

    def __init__(self, errand: Errand, own: NodeKey, target: bytes, began: Now, watcher: Watcher) -> None:
        self._errand, self._own, self._target, self._began, self._watcher = errand, own, target, began, watcher
        self.search: Search | None = None
        self.question = errand.question
        self.on_answer = errand.on_answer

    def on_end(self, now: Now) -> None:
        if self.search is not None and not self.search._is_resting:  # who rests has found what it looked for
            self._watcher.on_search_end(self._own, self._target, self.search.lookup, self._began, now)
        self._errand.on_end(now)


def _get(original: Callable[..., Any], watcher: Watcher) -> Callable[..., Any]:
    def get(dht: Dht, family: Any, address: Any, then: Callable[[Found, Now], None], now: Now, **options: Any) -> None:
        def told(found: Found, later: Now) -> None:
            watcher.on_found(dht.key, found)
            then(found, later)

        original(dht, family, address, told, now, **options)

    return get


def _put(original: Callable[..., Any], watcher: Watcher) -> Callable[..., Any]:
    def put(dht: Dht, records: Any, progress: Callable[[PutProgress, Now], None], now: Now, **options: Any) -> None:
        def told(report: PutProgress, later: Now) -> None:
            if report.done:
                watcher.on_put(dht.key, report, (later.steady - now.steady) * 1000)
            progress(report, later)

        original(dht, records, told, now, **options)

    return put


def _pass(original: Callable[..., Any], watcher: Watcher) -> Callable[..., Any]:
    def pass_on(relaying: Relaying, guest: Guest, through: Any, now: Now) -> None:
        before = relaying._bytes
        original(relaying, guest, through, now)
        if relaying._bytes > before:
            watcher.on_carried(relaying, guest.link, relaying._bytes - before)

    return pass_on


def _sent(original: Callable[..., Any], watcher: Watcher) -> Callable[..., Any]:
    def sent(counters: Counters, cause: Cause, size_bytes: int) -> None:
        watcher.on_sent(cause, size_bytes)
        original(counters, cause, size_bytes)

    return sent
