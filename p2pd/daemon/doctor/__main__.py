"""`python -m p2pd.daemon.doctor --home DIR`: every check in its turn, one JSON object a line.

`{"begins": CHECK}` says what is being done, for who waits; what it ended with follows.  The exit code is 0 where there
is no problem and 1 otherwise; the rest is said as `lines` does.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import click

from p2pd.daemon.doctor import home as of_home
from p2pd.daemon.doctor import network as of_network
from p2pd.daemon.doctor.finding import Case, Check, Finding, State, problem
from p2pd.daemon.lines import say, tell
from p2pd.errors import DamagedError, FailedError, NotFoundError, P2pdError
from p2pd.places import resolve_home
from p2pd.storage.database import set_aside
from p2pd.storage.home import RECORDS_NAME, locked
from p2pd.storage.records import SqliteRecordStore

CHECKS: dict[str, Check] = {
    "daemon": of_home.check_daemon,
    "version": of_home.check_version,
    "settings": of_home.check_settings,
    "home": of_home.check_home,
    "disk": of_home.check_disk,
    "keys": of_home.check_keys,
    "user.db": of_home.check_user_database,
    "dht.db": of_home.check_record_database,
    "port": of_network.check_port,
    "first nodes": of_network.check_first_nodes,
    "clock": of_network.check_clock,
    "port mapping": of_network.check_port_mapping,
    "local network": of_network.check_local_network,
    "reachability": of_network.check_reachability,
    "ipv6": of_network.check_ipv6,
}
"""In the order in which each finds what it needs."""


def examine(case: Case, begins: Callable[[str], None]) -> Iterator[tuple[str, Finding]]:
    """Every check's finding; a check that fails itself is a problem, and the others go on."""
    for name, check in CHECKS.items():
        begins(name)
        try:
            finding = check(case)
        except (P2pdError, OSError) as error:
            finding = problem(f"it could not be looked at: {error}", "mend that first, and run p2pctl doctor again")
        except Exception as error:
            words = f"the check itself failed: {type(error).__name__}: {error}"
            finding = problem(words, "this is a bug of p2pd's; report it with this line")
        yield name, finding


def put_aside(place: Path, owner: int) -> Path:
    """Sets a `dht.db` that is damaged aside, so that the next start begins an empty one; its new path.

    Raises:
        HomeInUseError: a daemon has the home.
        FailedError: the file is not damaged.
    """
    file = place / RECORDS_NAME
    if not file.exists():
        raise NotFoundError(f"there is no {file}", hint="the next start makes it")
    with locked(place, owner):
        try:
            with closing(SqliteRecordStore(str(file), read_only=True)) as store:
                faults = store.faults()
        except DamagedError as error:
            faults = [error.message]
        if not faults:
            raise FailedError(f"{file} is whole, and stays where it is", hint="see: p2pctl doctor")
        return set_aside(file)


def _owner(place: Path) -> int:
    """Whose home it should be: ours, but root looks after everybody's."""
    user = os.geteuid()
    return place.lstat().st_uid if user == 0 and os.path.lexists(place) else user


def _run(home: str | None, aside: str | None) -> int:
    place = resolve_home(home)
    owner = _owner(place)
    if aside:
        say({"set_aside": aside, "path": str(put_aside(place, owner))})
        return 0
    worst = 0
    for name, finding in examine(Case(place, owner), lambda name: say({"begins": name})):
        say(finding.shown(name))
        worst = max(worst, finding.state is State.PROBLEM)
    return worst


@click.command("doctor")
@click.option("--home", metavar="DIR")
@click.option("--set-aside", "aside", type=click.Choice([RECORDS_NAME]))
def main(home: str | None, aside: str | None) -> None:
    """Looks at one home, its daemon and its network."""
    sys.exit(tell(lambda: _run(home, aside)))


if __name__ == "__main__":
    main()
