"""The doctor: every finding on a home that has it, with the daemon running and stopped; nothing is changed."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from p2pd import limits
from p2pd.daemon.doctor import __main__ as doctor
from p2pd.daemon.doctor import network as of_network
from p2pd.daemon.doctor.finding import Case, Finding, State
from p2pd.daemon.doctor.greeting import Answer, Asked, Greetings
from p2pd.daemon.doctor.home import check_disk, check_keys, check_settings
from p2pd.daemon.doctor.network import (
    check_clock,
    check_first_nodes,
    check_ipv6,
    check_local_network,
    check_port_mapping,
    check_reachability,
)
from p2pd.errors import FailedError, HomeInUseError, NotFoundError
from p2pd.net.netlink import MachineAddress
from p2pd.storage.home import locked
from p2pd.types import Endpoint
from tests.daemon.process import START_S, Daemon, command, daemon, environment, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a daemon that ran and was stopped; to be copied."""
    home = tmp_path_factory.mktemp("whole") / "home"
    with daemon(home) as running:
        assert running.end()[0] == 0
    return home


@pytest.fixture
def home(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    copy = tmp_path / "home"
    shutil.copytree(whole, copy)
    return copy


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Another node, which runs."""
    with daemon(tmp_path_factory.mktemp("node") / "home", "--storage-only") as running:
        yield running


def findings(home: Path) -> dict[str, Finding]:
    """What every check finds."""
    return dict(doctor.examine(Case(home, os.geteuid()), lambda name: None))


def problems(found: dict[str, Finding]) -> set[str]:
    assert all(finding.hint for finding in found.values() if finding.state is not State.OK)
    return {name for name, finding in found.items() if finding.state is State.PROBLEM}


def contents(home: Path) -> dict[str, bytes]:
    """Every file but SQLite's index of a log, which is made anew at every opening."""
    files = (path for path in home.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
    return {str(path): path.read_bytes() for path in files}


def spoil(file: Path) -> None:
    """Writes over all pages but the first."""
    data = bytearray(file.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    file.write_bytes(data)


def test_a_stopped_home_is_well_and_stays_as_it_is(home: Path) -> None:
    before = contents(home)
    found = findings(home)
    assert list(found) == list(doctor.CHECKS)
    assert problems(found) == set()
    assert found["user.db"].message.startswith("whole")
    assert contents(home) == before


def test_after_a_kill_it_reads_the_log_and_leaves_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with daemon(home) as running:
        running.end(signal.SIGKILL)
    before = contents(home)
    assert str(home / "user.db-wal") in before
    assert problems(findings(home)) == set()
    assert contents(home) == before


def test_a_running_daemon_says_how_it_is(tmp_path: Path, node: Daemon) -> None:
    with daemon(tmp_path / "home", "--bootstrap", node.endpoint, "--network", "main") as running:
        found = findings(tmp_path / "home")
        assert problems(found) == set()
        assert str(running.process.pid) in found["daemon"].message
        assert running.endpoint in found["port"].message
        assert found["first nodes"].details[0] == f"{node.endpoint} answers"


def test_a_home_that_is_not_there_is_no_problem(tmp_path: Path) -> None:
    found = findings(tmp_path / "none")
    assert problems(found) == set()
    assert found["home"].state is State.WARNING
    assert not (tmp_path / "none").exists()


def test_a_damaged_dht_db_is_set_aside_and_the_daemon_starts(home: Path) -> None:
    spoil(home / "dht.db")
    found = findings(home)
    assert problems(found) == {"dht.db"}
    assert "p2pctl doctor --set-aside dht.db" in found["dht.db"].hint
    aside = doctor.put_aside(home, os.geteuid())
    assert aside.name == "dht.db.damaged-1"
    assert not (home / "dht.db").exists()
    with daemon(home) as running:
        assert running.address.startswith("p2p:")


def test_what_the_daemon_says_of_a_damaged_dht_db_leads_here(home: Path) -> None:
    (home / "dht.db").write_bytes(b"no database at all" * 1_000)
    ended = run(command(home))
    assert ended.returncode == 13
    assert "p2pctl doctor --set-aside dht.db" in ended.stderr


def test_what_the_daemon_says_of_damaged_keys_leads_here(home: Path) -> None:
    (home / "keys").write_bytes(b"x" * 92)
    ended = run(command(home))
    assert ended.returncode == 13
    assert "p2pctl doctor" in ended.stderr.splitlines()[-1]


def test_a_whole_dht_db_is_not_set_aside(home: Path) -> None:
    before = contents(home)
    with pytest.raises(FailedError, match="whole"):
        doctor.put_aside(home, os.geteuid())
    assert {name: data for name, data in contents(home).items() if not name.endswith("lock")} == {
        name: data for name, data in before.items() if not name.endswith("lock")
    }
    (home / "dht.db").unlink()
    with pytest.raises(NotFoundError):
        doctor.put_aside(home, os.geteuid())


def test_a_home_in_use_is_not_touched(home: Path) -> None:
    spoil(home / "dht.db")
    with locked(home), pytest.raises(HomeInUseError):
        doctor.put_aside(home, os.geteuid())
    assert (home / "dht.db").exists()


@pytest.mark.parametrize("harm", [spoil, lambda file: file.write_bytes(b"nothing" * 999)], ids=["pages", "all"])
def test_a_damaged_user_db_wants_a_backup(home: Path, harm: Callable[[Path], None]) -> None:
    harm(home / "user.db")
    found = findings(home)
    assert problems(found) == {"user.db"}
    assert "backup" in found["user.db"].hint
    assert "set-aside" not in found["user.db"].hint


def test_rows_that_do_not_open_are_counted(home: Path) -> None:
    database = sqlite3.connect(home / "user.db")
    with database:
        database.execute("UPDATE single_values SET sealed = randomblob(60) WHERE name = ?", (b"name",))
        changed = database.execute(
            "UPDATE single_values SET sealed = randomblob(60) WHERE name != ?", (b"seal check, contacts hidden",)
        )
    database.close()
    found = findings(home)
    assert problems(found) == {"user.db"}
    assert f"{changed.rowcount} unreadable rows" in found["user.db"].message


@pytest.mark.parametrize("harm", [Path.unlink, lambda file: file.write_bytes(b"x" * 92)], ids=["missing", "damaged"])
def test_without_its_keys_a_home_wants_a_backup(home: Path, harm: Callable[[Path], None]) -> None:
    harm(home / "keys")
    found = findings(home)
    assert problems(found) == {"keys", "user.db"}
    assert "backup" in found["keys"].hint


def test_a_home_open_to_others_is_named_with_every_file(home: Path) -> None:
    home.joinpath("user.db").chmod(0o644)
    home.joinpath("keys").chmod(0o640)
    found = findings(home)
    assert problems(found) == {"home"}
    assert "chmod 600" in found["home"].hint
    assert any("user.db" in detail for detail in found["home"].details)
    assert found["user.db"].state is State.WARNING


def test_a_wrong_setting_is_named(home: Path) -> None:
    (home / "config.toml").write_text("replica = 3\n")
    found = findings(home)
    assert problems(found) == {"settings"}
    assert "did you mean replicas" in found["settings"].message


def test_a_port_that_is_taken_is_named(home: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        (home / "config.toml").write_text(f'listen = ["{place}"]\n')
        found = findings(home)
    assert problems(found) == {"port"}
    assert place in found["port"].message
    assert "ss -lunp" in found["port"].hint
    assert problems(findings(home)) == set()


@pytest.mark.parametrize("port", [0, 4_040])
def test_an_address_of_another_machine_is_not_said_to_be_taken(home: Path, port: int) -> None:
    (home / "config.toml").write_text(f'listen = ["192.0.2.77:{port}"]\n')
    found = findings(home)["port"]
    assert (found.state, "this machine" in found.hint, "program" in found.hint) == (State.PROBLEM, True, False)


def test_a_process_that_has_the_home_and_does_not_answer_is_named(home: Path) -> None:
    with locked(home):
        found = findings(home)
    assert problems(found) == {"daemon"}
    assert str(os.getpid()) in found["daemon"].message


def test_a_daemon_that_starts_meanwhile_makes_no_damage(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(home / "dht.db")

    def start(case: Case) -> Finding:
        found = check_keys(case)
        starting.enter_context(locked(home))
        return found

    with ExitStack() as starting:
        monkeypatch.setitem(doctor.CHECKS, "keys", start)
        found = findings(home)
    assert problems(found) == set()
    assert found["dht.db"].state is State.WARNING


def test_first_nodes_are_asked(home: Path, node: Daemon) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{silent.getsockname()[1]}"
        (home / "config.toml").write_text(f'listen = ["127.0.0.1:0"]\nbootstrap = ["{node.endpoint}", "{nobody}"]\n')
        found = findings(home)
        assert found["first nodes"].state is State.OK
        assert found["first nodes"].details == (f"{node.endpoint} answers", f"{nobody}: no answer")
        assert "1 node" in found["clock"].message
        assert found["reachability"].message == "no address translation in between"
        (home / "config.toml").write_text(f'listen = ["127.0.0.1:0"]\nbootstrap = ["{nobody}"]\n')
        found = findings(home)
    assert problems(found) == {"first nodes"}


def test_another_network_does_not_answer(home: Path, node: Daemon) -> None:
    (home / "config.toml").write_text(f'network = "other"\nbootstrap = ["{node.endpoint}"]\n')
    found = findings(home)
    assert problems(found) == {"first nodes"}
    assert "network" in found["first nodes"].hint


def greeted(*answers: Answer, bound: str = "192.0.2.9") -> Case:
    asked = [Asked("a.example:1", answers=[answer]) for answer in answers]
    return Case(Path("/nowhere"), 0, greetings=Greetings(asked, [], [Endpoint(bound, 4_040)]))


@pytest.mark.parametrize(
    ("offset_s", "nodes", "state"),
    [(1, 1, "ok"), (-59, 9, "ok"), (61, 9, "warning"), (-700, 9, "problem"), (700, 4, "warning")],
)
def test_a_wrong_clock(offset_s: int, nodes: int, state: str) -> None:
    answer = Answer(Endpoint("192.0.2.1", 1), offset_s * 1000, True)
    found = check_clock(greeted(*[answer] * nodes))
    assert found.state == state
    assert ("behind" if offset_s > 0 else "ahead of") in found.message


def seen_at(*endpoints: Endpoint) -> Case:
    return greeted(*(Answer(endpoint, 0, True) for endpoint in endpoints), bound="192.0.2.7")


def test_what_peers_see_tells_of_a_router() -> None:
    router = Endpoint("198.51.100.1", 4_040)
    assert check_reachability(seen_at(Endpoint("192.0.2.7", 4_040))).state is State.OK
    assert "NAT" in check_reachability(seen_at(router, router)).message
    assert "symmetric" in check_reachability(seen_at(router, Endpoint("198.51.100.1", 999))).message
    assert "unknown" in check_reachability(seen_at()).message


def test_a_running_node_that_nobody_reaches_is_told_of_its_firewall() -> None:
    case = greeted()
    case.running = {"listen": ["192.0.2.7:4040"], "serves": False, "endpoint": "192.0.2.7:4040", "nodes": 4}
    case.running |= {"private": False, "role": "auto"}
    assert "firewall" in check_reachability(case).hint
    case.running["endpoint"] = "198.51.100.1:4040"
    assert "NAT" in check_reachability(case).message
    case.running["serves"] = True
    assert check_reachability(case).message.startswith("public")
    case.running["role"] = "server"
    assert "NAT" in check_reachability(case).message, "what the settings say proves nothing"
    case.running["private"] = True
    assert check_reachability(case).state is State.OK


def running(**reach: Any) -> Case:
    """A daemon behind a router."""
    case = greeted()
    case.running = {"listen": ["192.0.2.7:4040"], "serves": False, "endpoint": "198.51.100.1:4040", "nodes": 4}
    case.running |= {"private": False, "role": "auto", "reach": {"nat": "restricted"} | reach}
    return case


def test_the_kind_of_router_is_the_daemons_word_while_it_runs() -> None:
    assert "lets only answers in" in check_reachability(running()).message
    symmetric = check_reachability(running(nat="symmetric"))
    assert "symmetric" in symmetric.message
    assert "forward its UDP port" in symmetric.hint


def test_a_network_that_lets_no_quic_through_is_named() -> None:
    found = check_reachability(running(nat="no-quic"))
    assert (found.state, "QUIC" in found.message, "UDP" in found.hint) == (State.WARNING, True, True)


LOCAL_6, GLOBAL_6, LOCAL_4 = Endpoint("fd00::2", 0), Endpoint("2a00::2", 0), Endpoint("192.0.2.7", 0)


@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize(
    ("own", "listen", "state", "words"),
    [
        ([LOCAL_4], "[::]:4040", State.WARNING, "none"),
        ([LOCAL_4, LOCAL_6], "[::]:4040", State.WARNING, "local network"),
        ([LOCAL_4, GLOBAL_6], "[::]:4040", State.OK, "has it"),
        ([LOCAL_4, GLOBAL_6], "0.0.0.0:4040", State.WARNING, "IPv4 only"),
        ([LOCAL_4], "127.0.0.1:4040", State.OK, "not needed"),
    ],
)
def test_ipv6_is_the_same_whether_the_daemon_runs_or_not(
    monkeypatch: pytest.MonkeyPatch, runs: bool, own: list[Endpoint], listen: str, state: State, words: str
) -> None:
    monkeypatch.setattr(of_network, "machine_addresses", lambda: own)
    case = running() if runs else greeted(bound=listen.rpartition(":")[0].strip("[]"))
    if case.running:
        case.running["listen"] = [listen]
    found = check_ipv6(case)
    assert (found.state, words in found.message) == (state, True)
    assert bool(found.hint) is (state is State.WARNING)
    if case.running and words in ("none", "local network"):
        case.running["serves"] = True
        assert check_ipv6(case).state is State.OK, "who is reached needs no more"


@pytest.mark.parametrize(
    ("answering", "state"), [("", State.OK), ("14", State.WARNING), ("6", State.OK), ("146", State.OK)]
)
def test_ipv6_that_leads_nowhere_is_named(monkeypatch: pytest.MonkeyPatch, answering: str, state: State) -> None:
    """Two nodes were asked by IPv4, one by IPv6; where none at all answers it is not IPv6 that is broken."""
    monkeypatch.setattr(of_network, "machine_addresses", lambda: [LOCAL_4, GLOBAL_6])
    case = greeted(bound="::")
    assert case.greetings is not None
    case.greetings.first.clear()
    for name, endpoint in (("1", Endpoint("1.1.1.1", 1)), ("4", Endpoint("4.4.4.4", 4)), ("6", Endpoint("2a00::6", 6))):
        answers = [Answer(endpoint, 0.0, True)] if name in answering else []
        case.greetings.first.append(Asked(name, (endpoint,), answers=answers))
    found = check_ipv6(case)
    assert (found.state, "broken" in found.message) == (state, state is State.WARNING)


def test_without_any_network_it_is_not_ipv6_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_network, "machine_addresses", lambda: [Endpoint("127.0.0.1", 0)])
    assert "in no network" in check_ipv6(greeted(bound="::")).message


def test_a_running_daemons_network_of_its_own_needs_no_ipv6(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_network, "machine_addresses", lambda: [LOCAL_4])
    case = running()
    case.home = tmp_path
    assert case.running is not None
    case.running |= {"network": "", "private": True, "storage_bytes": 1, "first_nodes": []}
    check_settings(case)
    assert check_ipv6(case).state is State.OK


def test_who_has_ipv6_only_is_told_what_that_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_network, "machine_addresses", lambda: [Endpoint("127.0.0.1", 0), GLOBAL_6])
    assert "no IPv4" in check_ipv6(greeted(bound="::")).message


def mapping(**changed: Any) -> Case:
    case = greeted()
    four = {"family": "IPv4", "method": "PCP", "gateway": "192.168.1.1", "endpoint": "1.2.3.4:4040", "failure": ""}
    four |= {"lifetime_left_s": 3_600, "is_needed": True}
    case.running = {"port_mapping_is_on": True, "port_mapping": [four | changed], "serves": False}
    return case


def test_what_the_router_gives_is_told() -> None:
    found = check_port_mapping(mapping())
    assert found.state is State.OK
    assert found.message == "IPv4: 1.2.3.4:4040 by PCP of 192.168.1.1, 60 min left"


@pytest.mark.parametrize(
    ("failure", "hint"),
    [("PCP: no answer; UPnP: no answer", "switch on"), ("the outside address is not public (double NAT)", "bridge")],
)
def test_a_router_that_gives_nothing_is_told_with_what_to_do(failure: str, hint: str) -> None:
    case = mapping(endpoint=None, failure=failure)
    found = check_port_mapping(case)
    assert found.state is State.WARNING
    assert failure in found.message
    assert hint in found.hint
    assert case.running is not None
    case.running["serves"] = True
    assert check_port_mapping(case).state is State.OK, "who is reached needs no mapping"


def test_where_no_mapping_is_wanted_none_is_missed() -> None:
    assert check_port_mapping(greeted()).state is State.OK
    case = mapping(endpoint=None, failure="this machine has a public address itself", is_needed=False)
    assert check_port_mapping(case).state is State.OK
    assert "not answered so far" in check_port_mapping(mapping(endpoint=None)).message
    case.running = {"port_mapping_is_on": True, "port_mapping": []}
    assert "not needed" in check_port_mapping(case).message
    case.running = {"port_mapping_is_on": False, "port_mapping": []}
    assert "off" in check_port_mapping(case).message


def test_nodes_in_the_table_make_silent_first_nodes_a_warning() -> None:
    case = Case(Path("/nowhere"), 0, greetings=Greetings([Asked("a.example:1")], [], []))
    assert check_first_nodes(case).state is State.PROBLEM
    case.running = {"nodes": 3}
    assert check_first_nodes(case).state is State.WARNING


def test_first_nodes_that_answer_and_let_nobody_join_are_a_warning() -> None:
    case = greeted(Answer(Endpoint("192.0.2.9", 1), 0, True))
    assert check_first_nodes(case).state is State.OK
    case.running = {"nodes": 0}
    assert check_first_nodes(case).state is State.WARNING
    assert "another key" in check_first_nodes(case).hint
    case.running = {"nodes": 1}
    assert check_first_nodes(case).state is State.OK


@pytest.mark.parametrize(
    ("free_bytes", "flags", "state", "words"),
    [
        (10 * 2**40, 0, "ok", "free"),
        (limits.QUOTA_BYTES, 0, "warning", "may take"),
        (limits.MIB, 0, "problem", "nearly full: 1.0 MB"),
        (0, 0, "problem", "is full"),
        (10 * 2**40, os.ST_RDONLY, "problem", "read-only"),
    ],
)
def test_the_disk(
    free_bytes: int, flags: int, state: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(tmp_path)
    fields = list(real[:10])
    fields[1], fields[4], fields[8] = 1, free_bytes, flags
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(fields))
    found = check_disk(Case(tmp_path, os.geteuid()))
    assert (found.state, words in found.message) == (state, True)


def test_a_check_that_fails_itself_is_a_problem_and_the_others_go_on(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(case: Case) -> Finding:
        raise ZeroDivisionError("oops")

    monkeypatch.setitem(doctor.CHECKS, "disk", fail)
    found = findings(home)
    assert problems(found) == {"disk"}
    assert "ZeroDivisionError" in found["disk"].message


def told(home: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and lines of the program."""
    call = [sys.executable, "-P", "-m", "p2pd.daemon.doctor", "--home", str(home), *words]
    done = subprocess.run(call, env=environment(), capture_output=True, text=True, timeout=START_S, check=False)
    assert done.stderr == ""
    *lines, end = [json.loads(line) for line in done.stdout.splitlines()]
    assert end == {"ends": done.returncode}
    return done.returncode, lines


def test_the_program_says_what_it_does_and_ends_with_its_code(home: Path) -> None:
    code, lines = told(home)
    assert code == 0
    assert [line["begins"] for line in lines[::2]] == list(doctor.CHECKS)
    assert [line["check"] for line in lines[1::2]] == list(doctor.CHECKS)
    code, lines = told(home, "--set-aside", "dht.db")
    assert (code, lines[0]["error"]["code"]) == (1, "failed")
    spoil(home / "dht.db")
    assert told(home)[0] == 1
    assert told(home, "--set-aside", "dht.db") == (
        0,
        [{"set_aside": "dht.db", "path": str(home / "dht.db.damaged-1")}],
    )


def test_the_local_network_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(**changed: object) -> Finding:
        lan = {"on": True, "networks": ["192.168.1.2"], "neighbours": 3, "island": False} | changed
        case = greeted()
        case.running = {"lan_is_on": True, "lan": lan, "listen": ["0.0.0.0:4001"]}
        return check_local_network(case)

    here = [MachineAddress("192.168.1.2", 24, 2, is_lan=True)]
    monkeypatch.setattr(of_network, "machine_addresses", lambda: here)
    assert found().message == "3 other nodes announced at 192.168.1.2"
    assert "no node elsewhere" in found(island=True).message
    assert "only this machine" in found(on=False).message
    assert found(networks=[]).state is State.WARNING
    here.clear()
    assert found(networks=[]).state is State.OK
    assert check_local_network(greeted()).state is State.OK
    case = greeted()
    case.running = {"lan_is_on": False}
    assert "off" in check_local_network(case).message
