"""The daemon's log: a line an entry, to standard error or a file of bounded size.

Knows no subsystem.  Rules: a line shows no character that a terminal obeys, whoever's it was (R43); an entry cannot
look like two; times are UTC.
"""

import logging
import os
import sys
import time
from pathlib import Path

from p2pd.errors import StorageError

LOG_BYTES = 10 * 1024 * 1024
"""A log file is put aside as `.1` when it is longer, and the one before it goes."""


def harmless(text: str) -> str:
    """The text with every character that is not printable, line ends too, written as an escape."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


class LineFormatter(logging.Formatter):
    """`2025-01-31T12:00:00.000Z info p2pd.net.driver: what happened`, a traceback indented below it."""

    def format(self, record: logging.LogRecord) -> str:
        """The entry, harmless."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = f"{moment}.{int(record.msecs):03}Z {record.levelname.lower()} {record.name}: {record.getMessage()}"
        trace = self.formatException(record.exc_info).splitlines() if record.exc_info else []
        return "\n    ".join(harmless(part) for part in (line, *trace))


class LogFile(logging.FileHandler):
    """A file that only its owner reads, put aside when it is too long, and begun anew where somebody took it away.

    What the disk refuses is not written; it stops nothing, and the next entry tries again.
    """

    def __init__(self, path: Path, *, size_bytes: int = LOG_BYTES) -> None:
        self._size_bytes = size_bytes
        super().__init__(path, encoding="utf-8", errors="backslashreplace")

    def emit(self, record: logging.LogRecord) -> None:
        """Write an entry; the file is changed before it where it has grown too long, or is not that of its name."""
        try:
            self._look_at_file()
            super().emit(record)
        except OSError:
            self.handleError(record)

    def _look_at_file(self) -> None:
        if self.stream is None:
            return
        ours = os.fstat(self.stream.fileno())
        try:
            is_there = os.path.samestat(ours, os.stat(self.baseFilename))
        except FileNotFoundError:
            is_there = False
        if not is_there or ours.st_size > self._size_bytes:
            if is_there:
                os.replace(self.baseFilename, self.baseFilename + ".1")
            stream, self.stream = self.stream, None
            stream.close()
            self.stream = self._open()


def start_logging(level: str, file: Path | None) -> None:
    """Sends the log of this process to the file, or to standard error; StorageError where the file cannot be opened."""
    handler: logging.Handler
    if file is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        try:
            handler = LogFile(file)
        except OSError as error:
            raise StorageError(f"the log {file} cannot be opened: {error.strerror}", hint="choose another") from None
    handler.setFormatter(LineFormatter())
    logging.raiseExceptions = False  # a full disk must not end up as tracebacks on standard error
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("p2pd").setLevel(level.upper())
    # aioquic and asyncio tell of what strangers do, a line each
    for noisy in ("quic", "asyncio", "kademlia", "rpcudp"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL if noisy == "quic" else logging.WARNING)
