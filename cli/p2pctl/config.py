"""`config`: the options of one home; works without a daemon, which reads them at its next start."""

from pathlib import Path

import click

from p2pctl.caller import Caller
from p2pctl.commands import group
from p2pctl.harmless import harmless_line
from p2pctl.terminal import pairs, show, show_json, table


@group("config")
def config() -> None:
    """Show and change settings."""


@config.command("list", examples=["p2pctl config list", "p2pctl config list --json"])
@click.pass_obj
def list_settings(caller: Caller) -> None:
    """Show every setting, its value and where it was set."""
    from p2pd.settings import KEYS, load_settings

    loaded = load_settings(caller.resolved_home())
    rows = [(name, getattr(loaded.settings, name), loaded.sources[name], key.help) for name, key in KEYS.items()]
    if caller.as_json:
        for name, value, source, help_text in rows:
            show_json({"key": name, "value": value, "source": source, "help": help_text})
    else:
        show("\n".join(table(("key", "value", "from"), [row[:3] for row in rows])))


@config.command("get", examples=["p2pctl config get replicas"])
@click.argument("key")
@click.pass_obj
def get(caller: Caller, key: str) -> None:
    """Show one setting."""
    from p2pd.settings import known_key, load_settings

    known = known_key(key)
    loaded = load_settings(caller.resolved_home())
    value = getattr(loaded.settings, key)
    if caller.as_json:
        show_json({"key": key, "value": value, "source": loaded.sources[key], "help": known.help})
    else:
        show("\n".join(pairs({key: value, "from": loaded.sources[key], "is": known.help})))


@config.command(
    "set",
    examples=[
        "p2pctl config set replicas 12",
        "p2pctl config set listen 0.0.0.0:4040,[::]:4040",
        "p2pctl config set lan false",
    ],
)
@click.argument("key")
@click.argument("value")
@click.pass_obj
def set_value(caller: Caller, key: str, value: str) -> None:
    """Change one setting; lists are written with commas. The daemon takes it at its next start."""
    from p2pd.settings import parse_value, write_setting

    parsed = parse_value(key, value)
    home = caller.resolved_home()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = write_setting(home, key, parsed)
    if caller.as_json:
        show_json({"key": key, "value": parsed, "path": str(file)})
    else:
        then = caller.addressed("it holds from the daemon's next start: p2pctl restart")
        show(harmless_line(f"set in {file}; {then}"))


@config.command("path", examples=["p2pctl config path"])
@click.pass_obj
def path(caller: Caller) -> None:
    """Show the home and where settings are read from, the strongest first."""
    from p2pd.settings import config_files

    home = caller.resolved_home()
    files: list[Path] = list(config_files(home))
    if caller.as_json:
        show_json({"home": str(home), "files": [{"path": str(file), "exists": file.exists()} for file in files]})
    else:
        show("\n".join(pairs({"home": home})))
        for file in files:
            show(f"{'read' if file.exists() else 'absent':8}{harmless_line(str(file))}")


COMMANDS = {"config": config}
