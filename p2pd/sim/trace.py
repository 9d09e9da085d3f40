"""What happened, as lines of text in a running hash: two runs of one seed must give the same.

It knows no bytes: lines hold times, hosts, kinds, sizes, node ids and addresses, and never ciphertext or what comes
from it, since the libraries of the ratchet draw chance of their own.
"""

from hashlib import blake2b
from typing import TextIO

_LINES = 256


class Trace:
    """A running hash of all happenings; with a sink, their text as well."""

    def __init__(self, sink: TextIO | None = None) -> None:
        self.count = 0
        self._hash = blake2b(digest_size=32)
        self._lines: list[str] = []
        self._sink = sink

    def note(self, time_s: float, host: str, kind: str, *facts: object) -> None:
        """Something happened at a host."""
        self.count += 1
        self._lines.append(f"{time_s:.6f} {host} {kind} {' '.join(map(str, facts))}\n")
        if len(self._lines) >= _LINES:
            self._flush()

    def digest(self) -> str:
        """64 hexadecimal digits that stand for all so far."""
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        text = "".join(self._lines)
        self._lines.clear()
        self._hash.update(text.encode())
        if self._sink is not None:
            self._sink.write(text)
