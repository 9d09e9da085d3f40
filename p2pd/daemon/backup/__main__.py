"""`python -m p2pd.daemon.backup --home DIR create|verify|restore FILE`: the work of `p2pctl backup`.

Knows no way to ask a person: standard input holds `passphrase`; how it says what it did is `lines`.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from p2pd.daemon.backup import keeping
from p2pd.daemon.backup.archive import Manifest
from p2pd.daemon.lines import hear, say, tell
from p2pd.daemon.process import prepare_process
from p2pd.daemon.words import moment
from p2pd.errors import LockedError
from p2pd.places import resolve_home

WORK: dict[str, Callable[[Path, Path, bytes], Manifest]] = {
    "create": keeping.create,
    "verify": lambda home, file, passphrase: keeping.verify(file, passphrase),
    "restore": keeping.restore,
}


def _run(home: Path, work: str, file: Path) -> int:
    passphrase = hear().get("passphrase")
    if passphrase is None:
        raise LockedError("a backup wants a passphrase", hint="give it: --passphrase-fd 3 3< FILE")
    manifest = WORK[work](home, file, passphrase)
    say(_shown(manifest) | {"file": str(file), "size_bytes": file.stat().st_size})
    return 0


def _shown(manifest: Manifest) -> dict[str, Any]:
    return {
        "address": manifest.address,
        "made_at": moment(manifest.made_ms),
        "version": manifest.version,
        "contacts": manifest.contacts,
        "messages": manifest.messages,
        "waiting": manifest.waiting,
        "nodes": len(manifest.nodes),
    }


@click.command("backup")
@click.option("--home", metavar="DIR")
@click.argument("work", type=click.Choice(list(WORK)))
@click.argument("file")
def main(home: str | None, work: str, file: str) -> None:
    """Makes, reads or restores one backup."""
    prepare_process()
    sys.exit(tell(lambda: _run(resolve_home(home), work, Path(os.path.abspath(file)))))


if __name__ == "__main__":
    main()
