"""`python -m p2pd.daemon.change_passphrase --home DIR`: whether the home has a passphrase; with `--change` another one.

Knows no way to ask a person.  It works with the daemon running or stopped, since only the key file changes.
With `--change` standard input holds `present` and `wanted`, either of them null for none (`lines`).
"""

import sys
from pathlib import Path

import click

from p2pd.daemon.lines import hear, say, tell
from p2pd.daemon.process import prepare_process
from p2pd.places import resolve_home
from p2pd.storage.home import open_home
from p2pd.storage.keys import Wrapped, change_passphrase, read_keys


def _run(home: Path, change: bool) -> int:
    if home.exists():
        open_home(home)
    if change:
        secrets = hear()
        change_passphrase(home, secrets.get("present"), secrets.get("wanted"))
    say({"passphrase": isinstance(read_keys(home), Wrapped)})
    return 0


@click.command("change_passphrase")
@click.option("--home", metavar="DIR")
@click.option("--change", is_flag=True)
def main(home: str | None, change: bool) -> None:
    """Looks at one home's key file, or changes it."""
    prepare_process()
    sys.exit(tell(lambda: _run(resolve_home(home), change)))


if __name__ == "__main__":
    main()
