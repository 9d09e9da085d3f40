"""For scripts and bots: `events`, `ack`, `wait`, `rpc`, `completion`.

Rule: following goes on where it stood when the daemon is restarted; nothing is skipped and nothing comes twice.
"""

import json
import re
import sys
from typing import Any

import click

from p2pctl.caller import Caller
from p2pctl.commands import COMPLETE_VARIABLE, command, person_option
from p2pctl.harmless import harmless, harmless_line
from p2pctl.terminal import clock, message_lines, paint, show, show_json
from p2pd.errors import UsageError

JSON_BYTES = 2 * 1024 * 1024
"""The longest line of the control socket."""
SHELLS = ("bash", "zsh", "fish")


@command(
    "events",
    examples=[
        "p2pctl events",
        "p2pctl events --since now --follow --json",
        "p2pctl events --consumer bot --type message,receipt --follow --json",
    ],
)
@click.option("--since", metavar="CURSOR", help="Only what came after this cursor; `now` for nothing of the past.")
@click.option("--consumer", metavar="NAME", help="Go on after what NAME has acknowledged with `p2pctl ack`.")
@click.option("--type", "types", metavar="T,...", help="Only events of these types.")
@click.option("--follow", is_flag=True, help="Go on with what happens, also across restarts of the daemon.")
@click.pass_obj
def events(caller: Caller, since: str | None, consumer: str | None, types: str | None, follow: bool) -> None:
    """Print what has happened: messages, receipts, requests, and more; with --follow and --timeout, exit 6 after it."""
    wanted = {"since": _cursor(since), "consumer": consumer, "type": types}
    names = {} if caller.as_json else {entry["address"]: entry["name"] for entry in caller.contacts_known()}
    with caller.following(follow=follow):
        for event in caller.follow(on_away=_aside, **wanted) if follow else caller.rows("events", **wanted):
            if caller.as_json:
                show_json(event)
            else:
                show(_one_event(event, names))


@command("ack", examples=["p2pctl ack bot 1042"])
@click.argument("name")
@click.argument("cursor", type=click.IntRange(min=0))
@click.pass_obj
def ack(caller: Caller, name: str, cursor: int) -> None:
    """Note that consumer NAME has done with all events up to CURSOR."""
    answer = caller.call("ack", name=name, cursor=cursor)
    if caller.as_json:
        show_json(answer)
    else:
        show(f"{harmless_line(name)} goes on after {cursor}")


@command("wait", examples=["p2pctl wait --from bob", "p2pctl wait --from bob --match '^yes' --timeout 60 --json"])
@person_option("--from", "sender", "Whose message.")
@click.option("--match", metavar="RE", help="Only a text in which this regular expression is found.")
@click.option("--since", metavar="CURSOR", default="now", help="Also what has come after this cursor of `events`.")
@click.pass_obj
def wait(caller: Caller, sender: str, match: str | None, since: str) -> None:
    """Wait for the next message of a person, print it, and end; with --timeout, exit 6 where none has come."""
    wanted = _pattern(match)
    address = caller.call_before_wait("contact.show", name=sender)["address"]
    with caller.deadline(caller.timeout_s, f"nothing that fits has come from {sender}"):
        for event in caller.follow(since=_cursor(since), type="message", on_away=_aside):
            data = event["data"]
            is_theirs = data.get("from") == address and not data.get("recalled")
            if is_theirs and wanted.search(str(data.get("text", ""))):
                break
    if caller.as_json:
        show_json({**data, "cursor": event["cursor"]})
    else:
        show(harmless(str(data.get("text", ""))))


@command("rpc", examples=["p2pctl rpc rpc.discover", 'p2pctl rpc send \'{"to": "bob", "text": "hello"}\''])
@click.argument("method")
@click.argument("parameters", default="{}", metavar="[JSON|-]")
@click.pass_obj
def rpc(caller: Caller, method: str, parameters: str) -> None:
    """Call any method of the daemon's API, and print its answer as JSON."""
    show_json(caller.call(method, **_object(_stdin() if parameters == "-" else parameters)))


@command("completion", examples=["p2pctl completion bash", "p2pctl completion zsh", "p2pctl completion fish"])
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion for a shell, to be sourced.

    For bash: p2pctl completion bash > ~/.local/share/bash-completion/completions/p2pctl
    """
    from click.shell_completion import get_completion_class

    from p2pctl.main import root

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  click has all of SHELLS
    complete = kind(root, {}, "p2pctl", COMPLETE_VARIABLE)
    # Not `source()`: for bash it starts a shell to ask its version.
    show(complete.source_template % complete.source_vars())


def _cursor(text: str | None) -> int | str | None:
    if text is None or text == "now":
        return text
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"not a cursor: {text}", hint="it is a number that `p2pctl events` prints, or `now`")
    return int(text)


def _pattern(text: str | None) -> re.Pattern[str]:
    try:
        return re.compile(text or "")
    except re.error as error:
        raise UsageError(
            f"not a regular expression: {error}", hint="its rules are Python's: docs.python.org, re"
        ) from None


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"not JSON: {error}", hint="""as in: '{"to": "bob"}'""") from None
    if not isinstance(value, dict):
        raise UsageError("the parameters must be a JSON object", hint="""as in: '{"to": "bob"}'""")
    return value


def _stdin() -> str:
    data = sys.stdin.buffer.read(JSON_BYTES + 1)
    if len(data) > JSON_BYTES:
        raise UsageError(f"standard input has more than {JSON_BYTES} bytes", hint="the daemon takes no longer line")
    return data.decode(errors="surrogateescape")


def _one_event(event: dict[str, Any], names: dict[str, str]) -> str:
    start = f"{event.get('cursor'):>6}  {clock(event.get('at'))}  {harmless_line(str(event.get('type')))}  "
    data = event.get("data") or {}
    if event.get("type") == "message":
        sender = str(data.get("from"))
        name = harmless_line(names.get(sender, sender))
        text = message_lines(str(data.get("text", "")), indent=len(start) + 2)
        told = f"{name}: {paint('(recalled)', 'dim') if data.get('recalled') else text}"
    else:
        told = "  ".join(f"{harmless_line(str(key))}={harmless_line(str(value))}" for key, value in data.items())
    return f"{paint(start, 'dim')}{told}"


def _aside(text: str) -> None:
    """Tells the user what is no output."""
    print(text, file=sys.stderr, flush=True)


COMMANDS = {"events": events, "ack": ack, "wait": wait, "rpc": rpc, "completion": completion}
