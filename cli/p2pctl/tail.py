"""The end of a log file, and what is written to it from then on.

Knows neither the daemon nor what its lines say.  Rules: at most `TAIL_BYTES` are read of what was there before, and a
line longer than that is shown in pieces; a file that is put aside is read to its end before the new one of its name is;
one that was emptied is read from its beginning; one that is gone is waited for.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

GLANCE_S = 0.05
"""Between looks at the file."""
TAIL_BYTES = 1 << 20


class Tail:
    """One log file, opened; to be closed. OSError where it cannot be."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stream: BinaryIO = file.open("rb")
        self._rest = b""
        """The line whose end is not written yet."""

    def close(self) -> None:
        """Give the file back."""
        self._stream.close()

    def last(self, count: int) -> list[str]:
        """So many lines at its end, or all; where it has just been begun, those of the one put aside before them."""
        *lines, self._rest = _end_of(self._stream)
        if len(lines) < count:
            with suppress(OSError), Path(f"{self._file}.1").open("rb") as before:
                lines = _end_of(before)[:-1] + lines
        return [_decoded(line) for line in lines[max(0, len(lines) - count) :]]

    def unfinished(self) -> list[str]:
        """The line that is being written, if one is."""
        return [_decoded(self._rest)] if self._rest else []

    def growing(self) -> Iterator[str]:
        """Lines as they are written, without end."""
        while True:
            yield from self._fresh()
            if not self._is_another():
                time.sleep(GLANCE_S)
                continue
            yield from self._fresh()  # its last words, which came before it was put aside
            yield from self.unfinished()
            self._rest = b""
            with suppress(OSError):  # put aside again meanwhile
                following = self._file.open("rb")
                self._stream.close()
                self._stream = following

    def _fresh(self) -> Iterator[str]:
        while fresh := self._stream.read(TAIL_BYTES):
            *lines, self._rest = (self._rest + fresh).split(b"\n")
            yield from map(_decoded, lines)
            if len(self._rest) >= TAIL_BYTES:
                yield from self.unfinished()
                self._rest = b""

    def _is_another(self) -> bool:
        """Whether the name stands for another file by now; an emptied one is begun again."""
        try:
            now = self._file.stat()
        except OSError:
            return False
        ours = os.fstat(self._stream.fileno())
        if (now.st_dev, now.st_ino) != (ours.st_dev, ours.st_ino):
            return True
        if now.st_size < self._stream.tell():
            self._stream.seek(0)
        return False


def _end_of(stream: BinaryIO) -> list[bytes]:
    """Whole lines of at most `TAIL_BYTES`, and last what has no end yet."""
    size = os.fstat(stream.fileno()).st_size
    stream.seek(max(0, size - TAIL_BYTES))
    lines = stream.read().split(b"\n")
    return lines[1:] if size > TAIL_BYTES and len(lines) > 1 else lines


def _decoded(line: bytes) -> str:
    return line.decode(errors="replace")
