"""Saying things and reading them: `send`, `history`, `why`, `recall`, `read`.

Knows no delivery: it hands a text to the daemon and shows what the daemon says became of it.
Rules: a text is carried exactly, but for the one newline that ends standard input; every call of `send` has a
request id, so that repeating a call that died never sends twice.
"""

import sys
from collections.abc import Callable
from typing import Any

import click

from p2pctl.caller import Caller
from p2pctl.commands import command, person
from p2pctl.harmless import harmless_line
from p2pctl.terminal import clock, message_lines, paint, show, show_json
from p2pd.errors import FailedError, P2pdError, UsageError

TEXT_BYTES = 256 * 1024
"""The longest text; the daemon refuses a longer one too, but a mistaken pipe should not be read to its end first."""
WAIT_S = 30.0
HISTORY_MAX = 10_000
LEVELS = ("queued", "stored", "delivered", "read")
"""How far a message has come; every other state is an end."""
ID_LETTERS = 8
"""Letters of a message id that lists show: enough to be unique, few enough to type."""
STATE_COLOURS = {"queued": "yellow", "stored": "cyan", "delivered": "green", "read": "green"}
"""What has failed is red."""


@command(
    "send",
    examples=[
        "p2pctl send bob Hello, are you there?",
        "p2pctl send bob -- -5 degrees here",
        "git log -1 | p2pctl send bob -",
        "p2pctl send bob Lunch? --wait delivered --timeout 60",
    ],
)
@person("to", metavar="TO")
@click.argument("words", nargs=-1, required=True, metavar="TEXT...|-")
@click.option("--reply", metavar="ID", help="The message that this one answers.")
@click.option("--expire", metavar="TIME", help="Give up after this long: 1d, 12h, 30m; 30d at most.")
@click.option("--wait", "level", type=click.Choice(["stored", "delivered", "read"]), help="Wait until it is that far.")
@click.option("--id-only", is_flag=True, help="Print the message's id and nothing else.")
@click.option("--request-id", metavar="ID", help="Repeat an earlier call safely: the same id never sends twice.")
@click.pass_obj
def send(
    caller: Caller,
    to: str,
    words: tuple[str, ...],
    reply: str | None,
    expire: str | None,
    level: str | None,
    id_only: bool,
    request_id: str | None,
) -> None:
    """Send TEXT to TO: a name, an address, a link or an invite.

    Returns as soon as the message is safe on this disk. With `-` the text is read from standard input.
    """
    text = checked(_from_stdin() if words == ("-",) else " ".join(words))
    since = caller.present() if level else 0
    ask = caller.call_before_wait if level else caller.call
    sent = submit(ask, to, text, request_id or fresh_request_id(), reply=reply, expire=expire)
    error = _wait_for(caller, sent, level, since) if level else None
    if id_only:
        show(str(sent["id"]))
    elif caller.as_json:
        show_json(sent)
    else:
        show(f"{state_word(sent['state'])} {short(sent['id'])} to {harmless_line(str(sent.get('name') or to))}")
    if error:
        raise error


@command(
    "history", examples=["p2pctl history bob", "p2pctl history bob --limit 500 --json", "p2pctl history bob --since 1d"]
)
@person("to", metavar="TO")
@click.option("--since", metavar="TIME", help="Only what came after: 2025-01-31, 2025-01-31T12:00:00Z, 3d, 6h.")
@click.option("--limit", type=click.IntRange(1, HISTORY_MAX), help="The newest N; 50 unless given.")
@click.pass_obj
def history(caller: Caller, to: str, since: str | None, limit: int | None) -> None:
    """Show the conversation with TO, the oldest message first."""
    messages = caller.rows("history", to=to, since=since, limit=limit)
    if caller.as_json:
        for message in messages:
            show_json(message)
    else:
        for line in conversation(messages):
            show(line)


@command("why", examples=["p2pctl why ybndrfg8", "p2pctl why ybndrfg8 --json"])
@click.argument("id")
@click.pass_obj
def why(caller: Caller, id: str) -> None:
    """Show where a message is, what happened to it, and who holds copies until when."""
    answer = caller.call("why", id=id)
    if caller.as_json:
        show_json(answer)
        return
    show(f"{short(answer['id'])}  {state_word(answer['state'])}")
    for line in reasons(answer):
        show(line)


@command("recall", examples=["p2pctl recall ybndrfg8", "p2pctl recall ybndrfg8 --json"])
@click.argument("id")
@click.pass_obj
def recall(caller: Caller, id: str) -> None:
    """Take a message of yours back.

    What nobody has read yet is removed from the network and never shown; what has arrived is deleted there, and its
    reader may have seen it. `why` says how far it is, and whether it had been shown.
    """
    answer = caller.call("recall", id=id)
    if caller.as_json:
        show_json(answer)
    else:
        show(f"{state_word(answer['state'])} {short(answer['id'])}{_recall_so_far(answer)}")


def _recall_so_far(answer: dict[str, Any]) -> str:
    name = harmless_line(str(answer.get("name") or "its reader"))
    if answer["was"] in ("delivered", "read"):
        return f": {name} may have seen it, and is asked to delete it"
    recall = answer.get("recall") or {}
    if answer["state"] != "recalling":
        return ""
    return f": {recall['have']} of {recall['want']} copies removed" if recall.get("want") else f": {name} is asked"


@command("read", examples=["p2pctl read ybndrfg8"])
@click.argument("id")
@click.pass_obj
def read(caller: Caller, id: str) -> None:
    """Mark a received message, and those before it, as read; the sender is told."""
    answer = caller.call("read", id=id)
    if caller.as_json:
        show_json(answer)
    else:
        show(f"read {short(id)}")


def checked(text: str) -> str:
    """The text, if it can be sent.

    Raises:
        UsageError: it is empty, longer than `TEXT_BYTES`, or not text.
    """
    if not text:
        raise UsageError("there is no text to send", hint="give it after the name, or `-` and standard input")
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise UsageError("the text is not UTF-8", hint="convert it first, as with: iconv -t UTF-8") from None
    if length > TEXT_BYTES:
        raise _too_long(f"the text has {length} bytes")
    return text


def _too_long(what: str) -> UsageError:
    hint = "longer contents are files, which this version does not send yet: split the text"
    return UsageError(f"{what}, and a message holds at most {TEXT_BYTES} (256 KiB)", hint=hint)


def _from_stdin() -> str:
    # One byte more than fits, and the newline that is dropped.
    data = sys.stdin.buffer.read(TEXT_BYTES + 2).removesuffix(b"\n")
    if len(data) > TEXT_BYTES:
        raise _too_long(f"standard input has more than {TEXT_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        hint = "a message is text: convert it first, as with iconv or base64"
        raise UsageError(f"standard input is not UTF-8 at byte {error.start}", hint=hint) from None


def fresh_request_id() -> str:
    """A new name for one call of `send`."""
    import secrets

    return secrets.token_hex(16)


def submit(ask: Callable[..., Any], to: str, text: str, request_id: str, **more: Any) -> dict[str, Any]:
    """Hands a text to the daemon; what it says: `id`, `to`, `state`, `sent_at`.

    Raises:
        LostError, NoAnswerError: the daemon died, or hangs; the error says how to repeat safely.
        P2pdError: what else the daemon says.
    """
    answer: dict[str, Any] = ask("send", to=to, text=text, request_id=request_id, **more)
    return answer


def _wait_for(caller: Caller, sent: dict[str, Any], level: str, since: int) -> P2pdError | None:
    """Waits until the message is that far, and notes in `sent` how far it is; the error where it does not get there.

    The error is not raised yet, so that its id is printed all the same.
    """
    seconds = caller.within(WAIT_S)
    see = f"see: p2pctl why {short(sent['id'])}"
    try:
        with caller.deadline(
            seconds, f"not {level} after {seconds:g} s", f"the message is safe and goes on by itself; {see}"
        ):
            states = (event["data"] for event in caller.follow(since=since, type="receipt"))
            while sent["state"] in LEVELS and LEVELS.index(sent["state"]) < LEVELS.index(level):
                receipt = next(states)
                sent["state"] = receipt["state"] if receipt["id"] == sent["id"] else sent["state"]
    except P2pdError as error:
        return error
    return None if sent["state"] in LEVELS else FailedError(f"the message is {sent['state']}", hint=see)


def state_word(state: object) -> str:
    """A message's state in its colour."""
    word = harmless_line(str(state))
    return paint(word, STATE_COLOURS.get(word, "red"))


def short(id: object) -> str:
    """The beginning of a message id, as lists show it."""
    return harmless_line(str(id))[:ID_LETTERS]


def conversation(messages: list[dict[str, Any]]) -> list[str]:
    """The lines that show messages, under a heading for each day."""
    lines, day = [], ""
    for message in messages:
        moment = clock(message.get("received_at") or message.get("sent_at"))
        if moment[:10] != day:
            day = moment[:10]
            lines.append(paint(f"-- {day} --", "dim"))
        lines.append(one_message(message, moment[11:]))
    return lines


def one_message(message: dict[str, Any], time_of_day: str) -> str:
    """`12:00:01 ybndrfg8 bob: text`, further lines indented, with the state of what one has sent oneself."""
    outgoing = message.get("direction") == "out"
    name = "you" if outgoing else harmless_line(str(message.get("from_name") or message.get("from") or "?"))
    start = f"{time_of_day} {short(message.get('id'))} "
    text = message_lines(str(message.get("text", "")), indent=len(start) + 2)
    if message.get("recalled"):
        text = paint("(recalled)", "dim")
    state = f"  [{state_word(message.get('state'))}]" if outgoing else ""
    return f"{paint(start, 'dim')}{paint(name, 'blue' if outgoing else 'cyan')}: {text}{state}"


def reasons(answer: dict[str, Any]) -> list[str]:
    """The lines that show what `why` knows: copies, then every step with its time."""
    lines = []
    receipts = answer.get("receipts")
    if receipts:
        until = f", kept until {clock(receipts['expires_at'])}" if receipts.get("expires_at") else ""
        lines.append(f"  {receipts.get('have')} nodes hold it, {receipts.get('want')} wanted{until}")
    recall = answer.get("recall")
    if recall and recall.get("want"):
        lines.append(f"  {recall['have']} of {recall['want']} nodes have confirmed that their copies are gone")
    for step in answer.get("steps", []):
        details = {key: value for key, value in step.items() if key not in ("at", "what")}
        told = "  ".join(
            f"{key}={harmless_line(str(value))}" for key, value in details.items() if value not in (None, "")
        )
        lines.append(
            f"  {clock(step.get('at'))}  {harmless_line(str(step.get('what')))}  {paint(told, 'dim')}".rstrip()
        )
    return lines


COMMANDS = {"send": send, "history": history, "why": why, "recall": recall, "read": read}
