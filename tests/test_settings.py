"""What a user may set: where it is read from, what is refused, and how it is written."""

import os
import stat
import tomllib
from pathlib import Path

import pytest

from p2pd import settings
from p2pd.errors import FailedError, UsageError
from p2pd.settings import (
    KEYS,
    Settings,
    Value,
    load_settings,
    parse_value,
    read_bootstrap,
    write_setting,
)


@pytest.fixture(autouse=True)
def platform_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration folder of the platform's, and one of the system's, that are not this machine's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(settings, "SYSTEM_FOLDER", tmp_path / "etc")
    monkeypatch.delenv("P2PD_HOME", raising=False)
    for folder in ("config/p2pd", "etc", "home"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def test_nothing_set_gives_the_defaults(tmp_path: Path) -> None:
    loaded = load_settings(tmp_path / "home")
    assert loaded.settings == Settings()
    assert set(loaded.sources.values()) == {"default"}


def test_the_stronger_place_wins(tmp_path: Path) -> None:
    (tmp_path / "etc/config.toml").write_text('network = "a"\nreplicas = 1\nlan = false\nlog_level = "debug"')
    (tmp_path / "config/p2pd/config.toml").write_text('network = "b"\nreplicas = 2\nlan = true')
    (tmp_path / "home/config.toml").write_text('network = "c"\nreplicas = 3')
    loaded = load_settings(tmp_path / "home", {"network": "d"})
    chosen = loaded.settings
    assert (chosen.network, chosen.replicas, chosen.lan, chosen.log_level) == ("d", 3, True, "debug")
    assert loaded.sources["network"] == "flag"
    assert loaded.sources["replicas"] == str(tmp_path / "home/config.toml")
    assert loaded.sources["log_level"] == str(tmp_path / "etc/config.toml")


def test_an_unknown_key_names_file_and_nearest(tmp_path: Path) -> None:
    file = tmp_path / "home/config.toml"
    file.write_text("replica = 3")
    with pytest.raises(UsageError) as raised:
        load_settings(tmp_path / "home")
    assert str(file) in raised.value.message
    assert "did you mean replicas?" in raised.value.message
    assert all(name in raised.value.hint for name in KEYS)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('replicas = "3"', "a whole number"),
        ("replicas = true", "a whole number"),
        ("replicas = 0", "1 to 60"),
        ("replicas = 61", "1 to 60"),
        ("passphrase_fd = 7", "on the command line only"),
        ('listen = ["0"]', "not HOST:PORT"),
        ('bootstrap = ["example.org:99999"]', "not HOST:PORT"),
        ("lan = 1", "true or false"),
        ('listen = "127.0.0.1:1"', "a list of texts"),
        ("listen = [1]", "a list of texts"),
        ('log_level = "loud"', "debug or info or warning or error"),
        ("network = 2025-01-31", "text"),
        ("[network]", "text"),
        ('network = "a\\u001bb"', "printed"),
        ("network = ", "not valid TOML"),
    ],
)
def test_a_wrong_value_names_file_and_key(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "home/config.toml").write_text(line)
    with pytest.raises(UsageError) as raised:
        load_settings(tmp_path / "home")
    assert words in raised.value.message


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home/config.toml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="cannot be read"):
        load_settings(tmp_path / "home")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("lan", "no", False),
        ("lan", "On", True),
        ("replicas", " 12 ", 12),
        ("storage_bytes", "1048576", 1_048_576),
        ("listen", "127.0.0.1:1, [::1]:2", ("127.0.0.1:1", "[::1]:2")),
        ("listen", "", ()),
        ("network", "home", "home"),
    ],
)
def test_what_a_user_types_becomes_the_keys_type(name: str, text: str, value: Value) -> None:
    assert parse_value(name, text) == value


@pytest.mark.parametrize(
    ("name", "text"), [("replicas", "many"), ("lan", "maybe"), ("replicas", "٣"), ("nothing", "1")]
)
def test_what_a_user_types_wrong_is_refused(name: str, text: str) -> None:
    with pytest.raises(UsageError):
        parse_value(name, text)


def test_a_written_key_keeps_what_the_user_wrote(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "config.toml").write_text('# mine\nlisten = [\n  "127.0.0.1:1",  # first\n]\n\n# copies\nreplicas = 3\n')
    write_setting(home, "listen", ("127.0.0.1:2",))
    write_setting(home, "network", 'a "quoted" \\ näme 😀')
    text = (home / "config.toml").read_text()
    assert text.startswith('# mine\nlisten = ["127.0.0.1:2"]\n\n# copies\nreplicas = 3\n')
    assert tomllib.loads(text) == {"listen": ["127.0.0.1:2"], "replicas": 3, "network": 'a "quoted" \\ näme 😀'}
    assert load_settings(home).settings.network == 'a "quoted" \\ näme 😀'


@pytest.mark.parametrize("name", [key.name for key in KEYS.values() if key.in_files])
def test_every_default_can_be_written_and_read(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    write_setting(home, name, KEYS[name].default)
    loaded = load_settings(home)
    assert loaded.settings == Settings()
    assert loaded.sources[name] == str(home / "config.toml")


def test_the_written_file_is_private_and_leaves_no_draft(tmp_path: Path) -> None:
    home = tmp_path / "home"
    write_setting(home, "replicas", 3)
    assert stat.S_IMODE((home / "config.toml").stat().st_mode) == 0o600
    assert os.listdir(home) == ["config.toml"]


def test_a_layout_that_cannot_be_edited_safely_is_left_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    before = 'bootstrap_file = """\nreplicas = 1\n"""'
    (home / "config.toml").write_text(before)
    with pytest.raises(FailedError, match="without losing"):
        write_setting(home, "replicas", 3)
    assert (home / "config.toml").read_text() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_sets_its_owner_can_read(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    os.chown(home, 12345, 12345)
    file = write_setting(home, "replicas", 3)
    assert (file.stat().st_uid, file.stat().st_gid, file.stat().st_mode & 0o777) == (12345, 12345, 0o600)


def test_a_bootstrap_file_replaces_the_list_that_ships(tmp_path: Path) -> None:
    file = tmp_path / "nodes.txt"
    file.write_text("# mine\n192.0.2.1:1  # near\n\nkey@192.0.2.2:2\n")
    chosen = Settings(bootstrap=("192.0.2.3:3",), bootstrap_file=str(file))
    assert read_bootstrap(chosen) == ("192.0.2.3:3", "192.0.2.1:1", "key@192.0.2.2:2")
    shipped = Path(settings.__file__).with_name("bootstrap_nodes.txt").read_text()
    listed = tuple(line.split("#")[0].strip() for line in shipped.splitlines() if line.split("#")[0].strip())
    assert read_bootstrap(Settings()) == listed


def test_a_missing_bootstrap_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        read_bootstrap(Settings(bootstrap_file=str(tmp_path / "nowhere")))
