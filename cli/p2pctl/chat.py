"""`chat`: a conversation, line by line.

Knows the daemon's events and the lines of `talk`; the input line belongs to `screen`.
Rules: what arrives never destroys the line being typed; a line that could not be handed over stays in the history of
the input, and is never sent twice.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from p2pctl.caller import REACH_AGAIN_S, Caller
from p2pctl.commands import command, person
from p2pctl.harmless import harmless_line
from p2pctl.screen import Screen
from p2pctl.talk import checked, conversation, fresh_request_id, one_message, reasons, short, state_word, submit
from p2pctl.terminal import clock, paint, table
from p2pd.errors import FailedError, P2pdError

HISTORY = 20
REPEAT_S = 30.0
"""How long a line is tried again while the daemon is being restarted."""
HELP = """what you type is sent with Enter
/why [ID]  where your last message, or the one with that id, is
/help      this
/quit      leave; Ctrl-D and Ctrl-C leave too
//text     sends /text"""


@command("chat", examples=["p2pctl chat bob", "p2pctl chat", "printf 'one\\ntwo\\n' | p2pctl chat bob"])
@person("to", metavar="[TO]", required=False)
@click.pass_obj
def chat(caller: Caller, to: str | None) -> None:
    """Talk with TO: what was said before, then every message as it comes; what you type is sent.

    Without TO it shows your conversations and opens the latest. Messages that it shows are marked as read.
    """
    screen = Screen()
    Conversation(caller, screen, to or _latest(caller, screen)).run()


class Conversation:
    """One conversation on one screen."""

    def __init__(self, caller: Caller, screen: Screen, to: str) -> None:
        self._caller = caller
        self._screen = screen
        self._to = to
        self._shown: set[str] = set()
        self._own: dict[str, str] = {}
        """The state last shown of each message sent from here, by id."""
        self._last_own = ""
        self._name = to

    def run(self) -> None:
        """Shows and sends until the input ends or the user leaves."""
        contact = self._caller.call("contact.show", name=self._to)
        self._name = str(contact["name"])
        since = self._caller.present()
        self._show_history()
        # A daemon thread: it waits for the next event, which may never come.
        threading.Thread(target=self._listen, args=(str(contact["address"]), since), daemon=True).start()
        with suppress(KeyboardInterrupt):
            for line in self._screen.lines():
                if not self._answer(line):
                    break
        self._screen.close()

    def _answer(self, line: str) -> bool:
        """Does what a line asks and shows what went wrong; False: leave."""
        try:
            return self._obey(line)
        except P2pdError as error:
            self._note(f"{error.message}; {error.hint}" if error.hint else error.message, "red")
        return True

    def _show_history(self) -> None:
        messages = self._caller.rows("history", to=self._to, limit=HISTORY)
        self._shown |= {str(message["id"]) for message in messages}
        self._own = {str(message["id"]): str(message["state"]) for message in messages if message["direction"] == "out"}
        self._last_own = next(reversed(self._own), "")
        for line in messages if self._caller.as_json else conversation(messages):
            self._screen.put(line)
        if not self._caller.as_json:
            self._note(f"you talk with {harmless_line(self._name)}; /help shows what else there is")
        self._mark_read([message for message in messages if message["direction"] == "in"][-1:])

    def _obey(self, line: str) -> bool:
        """Does what a line asks; False: leave."""
        word, _, rest = line.partition(" ")
        if line.startswith("//"):
            self._send(line[1:])
        elif word in ("/quit", "/q", "/exit"):
            return False
        elif word == "/help":
            self._note(HELP)
        elif word == "/why":
            self._why(rest.strip() or self._last_own)
        elif line.startswith("/"):
            self._note(
                f"no such command: {harmless_line(word)}; /help shows them, and //{harmless_line(word)[1:]} sends it"
            )
        elif line.strip():
            self._send(line)
        return True

    def _send(self, text: str) -> None:
        text = checked(text)
        sent = _through_restarts(self._caller, self._to, text, fresh_request_id(), self._note)
        id = self._last_own = str(sent["id"])
        self._shown.add(id)
        self._own.setdefault(id, str(sent["state"]))
        if self._caller.as_json:
            self._screen.put(sent | {"text": text})
        elif not self._screen.is_interactive:
            self._screen.put(one_message(sent | {"text": text, "direction": "out"}, clock(sent.get("sent_at"))[11:]))

    def _why(self, id: str) -> None:
        if not id:
            self._note("you have not sent anything here yet")
            return
        answer = self._caller.call("why", id=id)
        if self._caller.as_json:
            self._screen.put(answer)
        else:
            self._screen.put("\n".join([f"{short(answer['id'])}  {state_word(answer['state'])}", *reasons(answer)]))

    def _listen(self, address: str, since: int) -> None:
        try:
            for event in self._caller.follow(since=since, type="message,receipt,recalled,device", on_away=self._note):
                self._on_event(event, address)
        except P2pdError as error:
            self._note(f"no longer listening: {error.message}", "red")

    def _on_event(self, event: dict[str, Any], address: str) -> None:
        data = event["data"]
        id = str(data.get("id"))
        if event["type"] == "receipt":
            self._on_receipt(event, id, str(data.get("state")))
        elif event["type"] == "device":
            self._on_device(event, data.get("address") == address)
        elif event["type"] == "recalled" and data.get("conversation") == address:
            message = {"direction": "in", "from_name": self._name, "recalled": True} | data
            self._screen.put(event if self._caller.as_json else one_message(message, clock(event.get("at"))[11:]))
        elif data.get("conversation") == address and id not in self._shown:
            self._shown.add(id)
            message = {"direction": "in", "from_name": self._name} | data
            self._screen.put(event if self._caller.as_json else one_message(message, clock(event.get("at"))[11:]))
            self._mark_read([message])

    def _on_device(self, event: dict[str, Any], is_theirs: bool) -> None:
        if is_theirs and self._caller.as_json:
            self._screen.put(event)
        elif is_theirs:
            self._note(f"{self._name} uses another device: ask them by another way whether it is theirs", "red")

    def _on_receipt(self, event: dict[str, Any], id: str, state: str) -> None:
        if id not in self._own or self._own[id] == state:
            return
        self._own[id] = state
        if self._caller.as_json:
            self._screen.put(event)
        else:
            moment = clock(event.get("at"))[11:]
            self._screen.put(f"{paint(f'{moment} {short(id)}', 'dim')} {state_word(state)}")

    def _mark_read(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            if message.get("state", "received") == "received" and message["direction"] == "in":
                try:
                    self._caller.call("read", id=message["id"])
                except P2pdError as error:
                    self._note(f"not marked as read: {error.message}", "red")

    def _note(self, text: str, colour: str = "dim") -> None:
        """A line of our own, not of the conversation; on the other stream where scripts read this one."""
        if self._caller.as_json or not self._screen.is_interactive:
            self._screen.aside(text)
        else:
            self._screen.put("\n".join(paint(harmless_line(line), colour) for line in text.splitlines()))


def _through_restarts(
    caller: Caller, to: str, text: str, request_id: str, note: Callable[[str], None]
) -> dict[str, Any]:
    """Hands a text over, again and again under one request id while the daemon is away."""
    deadline = time.monotonic() + REPEAT_S
    told = False
    while True:
        try:
            return submit(caller.call, to, text, request_id)
        except P2pdError as error:
            if error.code not in ("lost", "not_running") or time.monotonic() > deadline:
                raise
        if not told:
            note("the daemon is away; this line is sent when it is back")
            told = True
        time.sleep(REACH_AGAIN_S)


def _latest(caller: Caller, screen: Screen) -> str:
    """Shows all conversations, the latest last; its name."""
    conversations = []
    for contact in caller.contacts_known():
        newest = caller.rows("history", to=contact["address"], limit=1)
        if newest:
            conversations.append((clock(newest[-1].get("sent_at")), contact["name"], newest[-1].get("text")))
    if not conversations:
        hint = "name someone: p2pctl chat NAME; `p2pctl contact list` shows whom you know"
        raise FailedError("there is no conversation yet", hint=hint)
    conversations.sort(key=lambda entry: entry[0])
    if not caller.as_json:
        screen.put("\n".join(table(("last message", "with", "text"), conversations)))
    return str(conversations[-1][1])


COMMANDS = {"chat": chat}
