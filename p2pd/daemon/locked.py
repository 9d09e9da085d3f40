"""A locked home: its passphrase is waited for, and nothing else is there.

Knows no method and no socket.
Rules: one guess at a time, in a thread, since each takes a while by intent.  A daemon that is told to lock itself does
not look for what it has to forget: it becomes a new process (`main`), which has only this.
"""

import asyncio
from pathlib import Path

from p2pd.storage.keys import Wrapped, master_key, read_keys


class Locked:
    """Where `unlock` brings the passphrase, and the start waits for it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._guessing = asyncio.Lock()
        self._key: bytes | None = None
        self._over = asyncio.Event()

    async def open(self, passphrase: bytes) -> None:
        """Tries a passphrase; LockedError where it is wrong, or empty and one is wanted; otherwise as `master_key`.

        It may have been removed while the daemon is locked: then none is wanted, and any will do.
        """
        async with self._guessing:
            wanted = isinstance(read_keys(self._home), Wrapped)
            self._key = await asyncio.to_thread(master_key, self._home, (passphrase or None) if wanted else None)

    def leave(self) -> None:
        """The start goes on, where a passphrase was right."""
        if self._key is not None:
            self._over.set()

    async def key(self) -> bytes:
        """The master key, as soon as a right passphrase has come."""
        await self._over.wait()
        if self._key is None:
            raise RuntimeError("left without a key")
        return self._key
