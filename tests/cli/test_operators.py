"""What who looks after a node sees: `doctor`, `unit`, `logs` under systemd, `net stats`, `dht stats`, `dht table`."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from p2pctl import doctor, unit
from p2pctl.traffic import MEANING
from p2pd.dht.counters import Cause
from p2pd.net import traffic
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.test_main import STATUS

EVIL = "\x1b[2J"


def finding(state: str, **more: Any) -> dict[str, Any]:
    return {"check": "disk", "state": state, "message": f"it is {state}{EVIL}", "hint": "", "details": [], **more}


@pytest.fixture
def examination(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What p2pd's examination says, which a test fills."""
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(doctor, "_examination", lambda caller, words: iter(lines))
    return lines


def test_a_finding_says_what_to_do(p2pctl: Run, examination: list[dict[str, Any]]) -> None:
    examination += [{"begins": "disk"}, finding("ok", details=["not shown"])]
    examination += [finding("warning", hint="do this", details=["a detail"]), finding("warning")]
    done = p2pctl("doctor")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "ok       disk          it is ok␛[2J",
        "warning  disk          it is warning␛[2J",
        "                       a detail",
        "                       do: do this",
        "warning  disk          it is warning␛[2J",
        "2 warnings",
    ]


def test_what_to_do_is_said_for_the_home_that_was_named(
    p2pctl: Run, examination: list[dict[str, Any]], tmp_path: Path
) -> None:
    named = f"p2pctl --home '{tmp_path}/a b'"
    words = ("--home", f"{tmp_path}/a b")
    examination += [finding("warning", hint="p2pctl stop, p2pctl doctor --set-aside dht.db, p2pctl start")]
    do = f"{named} stop, {named} doctor --set-aside dht.db, {named} start"
    assert do in p2pctl(*words, "doctor").out
    assert json.loads(p2pctl("doctor", *words, "--json").out)["hint"] == do
    assert p2pctl("status", *words).err.endswith(f"start it with: {named} start\n")
    assert p2pctl("config", "set", "replicas", "12", *words).out.endswith(f": {named} restart\n")
    examination[0]["hint"] = "p2pctl stop"
    assert "do: p2pctl stop\n" in p2pctl("doctor").out


def test_a_problem_is_exit_1(p2pctl: Run, examination: list[dict[str, Any]]) -> None:
    examination += [finding("ok"), finding("problem", hint="do this")]
    done = p2pctl("doctor", "--json")
    assert (done.code, done.err) == (1, "")
    assert [json.loads(line) for line in done.out.splitlines()] == examination
    assert p2pctl("doctor").out.splitlines()[-1] == "1 problem"


@pytest.mark.slow
def test_the_examination_is_p2pds_own(p2pctl: Run, home: Path) -> None:
    done = p2pctl("doctor", "--json")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert (done.code, done.err) == (0, "")
    assert {"daemon", "version", "home", "user.db", "dht.db", "clock", "reachability"} <= {row["check"] for row in rows}
    assert all(set(row) == {"check", "state", "message", "hint", "details"} for row in rows)
    assert p2pctl("doctor").out.count("\n") > len(rows)
    done = p2pctl("doctor", "--set-aside", "dht.db")
    assert (done.code, done.out) == (4, "")
    assert "there is no" in done.err


@pytest.mark.slow
def test_an_examination_that_breaks_off_is_no_good_news(p2pctl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.sys, "executable", "/bin/false")
    done = p2pctl("doctor")
    assert (done.code, done.out) == (70, "")
    assert "broke off" in done.err


@pytest.mark.parametrize("kind", unit.KINDS)
def test_a_unit_is_printed_with_the_path_of_this_installation(
    kind: str, p2pctl: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "p2pd", lambda: ["/opt/a %b/p2pd"])
    done = p2pctl("unit", kind)
    assert (done.code, done.err) == (0, "")
    assert 'ExecStart="/opt/a %%b/p2pd"' in done.out
    assert unit.PROGRAM not in done.out


def test_a_system_unit_that_cannot_see_p2pd_is_warned_of(p2pctl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit, "p2pd", lambda: ["/home/alice/.local/bin/p2pd"])
    assert "/opt" in p2pctl("unit", "system").err
    assert p2pctl("unit", "user").err == ""


@pytest.mark.parametrize(
    ("cgroup", "found"),
    [
        ("0::/system.slice/p2pd.service", ("p2pd", "")),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/p2pd.service", ("p2pd", "--user")),
        ("0::/user.slice/user-1000.slice/user@1000.service", None),
        ("0::/user.slice/user-1000.slice/session-3.scope", None),
        ("0::/", None),
    ],
)
def test_whose_unit_a_process_is(cgroup: str, found: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self: cgroup)
    assert unit.unit_of(1) == found


def test_under_systemd_logs_and_restart_say_whose_they_are(
    p2pctl: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.set("status", STATUS | {"pid": os.getpid()})
    monkeypatch.setattr(unit, "unit_of", lambda pid: ("p2pd", "--user"))
    done = p2pctl("logs", "-f")
    assert done.code == 4
    assert "journalctl --user -u p2pd -n 50 -f" in done.err
    done = p2pctl("restart")
    assert done.code == 1
    assert "systemctl --user restart p2pd" in done.err


def test_root_stops_no_daemon_that_it_cannot_start_again(
    p2pctl: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.set("status", STATUS | {"pid": os.getpid()})
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    done = p2pctl("restart")
    assert (done.code, f"--reuid={owner}" in done.err) == (5, True)
    assert not [method for method, _ in daemon.calls if method == "stop"]


def test_a_log_file_is_shown_under_systemd_too(
    p2pctl: Run, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.set("status", STATUS | {"pid": os.getpid()})
    monkeypatch.setattr(unit, "unit_of", lambda pid: ("p2pd", ""))
    (daemon.home / "config.toml").write_text('log_file = "mine.log"\n')
    (daemon.home / "mine.log").write_text("one\ntwo\n")
    assert p2pctl("logs", "-n", "1").out == "two\n"


def traffic_answer(uptime_s: float, sent: int) -> dict[str, Any]:
    idle = {"sent_bytes": 0, "received_bytes": 0, "sent_bytes_per_s": 0.0, "received_bytes_per_s": 0.0}
    busy = {"sent_bytes": sent, "received_bytes": 10, "sent_bytes_per_s": sent / uptime_s, "received_bytes_per_s": 0.1}
    return {
        "uptime_s": uptime_s,
        "sent_bytes": sent,
        "received_bytes": 10,
        "sent_packets": 1_234,
        "received_packets": 7,
        "connections": 3,
        "links": 2,
        "causes": {"get": busy, "user": idle},
        "rejected": {"malformed": 12},
    }


def test_net_stats_is_a_table(p2pctl: Run, daemon: FakeDaemon) -> None:
    daemon.set("net.stats", traffic_answer(10.0, 5_000))
    lines = [line.split() for line in p2pctl("net", "stats").out.splitlines()]
    assert ["packets", "1,234", "sent,", "7", "received"] in lines
    assert ["get", "5.0", "kB", "10", "B", "500", "B", "0", "B", *MEANING["get"].split()] in lines
    assert ["all", "5.0", "kB", "10", "B", "500", "B", "0", "B"] in lines
    assert ["malformed", "12"] in lines
    assert not any(line[:1] == ["user"] for line in lines), "what was not used takes no line"
    assert json.loads(p2pctl("net", "stats", "--json").out) == traffic_answer(10.0, 5_000)


def test_watched_rates_are_of_the_last_moment(daemon: FakeDaemon) -> None:
    from p2pctl.caller import Caller
    from p2pctl.traffic import Traffic

    answers = iter([traffic_answer(10.0, 5_000), traffic_answer(12.0, 5_600), traffic_answer(1.0, 100)])
    daemon.set("net.stats", lambda _: next(answers))
    seen = Traffic(Caller(home=daemon.home))
    rates = [seen.take()["causes"]["get"]["sent_bytes_per_s"] for _ in range(3)]
    assert rates == [500.0, 300.0, 100.0]


def test_every_cause_is_explained() -> None:
    causes = {*Cause, *traffic.Cause, "other"}
    assert causes == MEANING.keys()
    page = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
    assert all(f"| `{cause}` |" in page for cause in causes)


def test_dht_table_names_a_bucket_once(p2pctl: Run, daemon: FakeDaemon) -> None:
    row = {"node_id": "n" * 52, "endpoint": f"192.0.2.1:1{EVIL}", "rtt_ms": 12.345, "last_seen_s": 65.0}
    rows = [{**row, "shared_bits": bits} for bits in (0, 0, 3)]
    daemon.set("dht.table", {"buckets": rows})
    lines = p2pctl("dht", "table").out.splitlines()
    assert [line[:6].strip() for line in lines[1:]] == ["0", "", "3", "3 node"]
    assert "12.3" in lines[1]
    assert "1m 5s" in lines[1]
    assert EVIL not in "".join(lines)
    assert [json.loads(line) for line in p2pctl("dht", "table", "--json").out.splitlines()] == rows
    daemon.set("dht.table", {"buckets": []})
    assert p2pctl("dht", "table").out == "the table is empty\n"


def test_dht_stats_is_for_a_person(p2pctl: Run, daemon: FakeDaemon) -> None:
    work = {"count": 4, "failed": 1, "p50_ms": 12.5, "p99_ms": None, "rounds": 1.5}
    held = {"records": 2, "bytes": 3_000}
    daemon.set(
        "dht.stats",
        {
            "nodes": 5,
            "network_size": 40,
            "serves": True,
            "endpoint": None,
            "round_trip_ms": 20.0,
            "clock_offset_ms": 0,
            "records": 2,
            "record_bytes": 50,
            "quota_bytes": 100,
            "listeners": 0,
            "refresh": {"rounds": 1, "records_sent": 7},
            "crowded": 2,
            "records_by_kind": {"single": held},
            "lookups": work,
            "gets": work,
            "puts": work,
        },
    )
    lines = [line.split() for line in p2pctl("dht", "stats").out.splitlines()]
    assert ["gets", "4", "1", "12.5", "-", "1.5"] in lines
    assert ["single", "2", "3.0", "kB"] in lines
    assert any("50 %" in " ".join(line) for line in lines)
    assert any(line[:2] == ["alarm", "2"] for line in lines)


def test_a_home_of_any_name_is_shown_harmlessly(p2pctl: Run, tmp_path: Path) -> None:
    home = str(tmp_path / "\x1b[2J\u202e")
    for words in (("path",), ("set", "replicas", "12"), ("get", "replicas"), ("list",)):
        done = p2pctl("--home", home, "config", *words)
        assert done.code == 0
        assert not {"\x1b", "\u202e"} & {*done.out, *done.err}
