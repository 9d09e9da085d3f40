"""A daemon's control socket with answers that a test sets: JSON-RPC 2.0, a message a line.

It stands at the edge of the command line.  Rule: a method that no test has set an answer for is an error, as in p2pd.
"""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


class Gone(Exception):
    """Raised by an answer: the daemon dies during the call."""


GONE: dict[str, Any] = {}
"""Among the events: the daemon dies here, the first time that it comes to it."""


class Refusal(Exception):
    """Raised by an answer: the error that the caller gets."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.error = {"code": -32000, "message": message, "data": {"code": code, "hint": hint}}


Answer = Callable[[dict[str, Any]], Any]


class FakeDaemon:
    """Serves the control socket of one home until closed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.answers: dict[str, Answer] = {}
        self.events: list[dict[str, Any]] = []
        """What `events.follow` pushes before it falls silent."""
        self.cursor = 7
        """The newest event's, when a call asks for what follows `now`."""
        self.calls: list[tuple[str, dict[str, Any]]] = []
        (home / "run").mkdir(parents=True, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(home / "run" / "control.sock"))
        self._socket.listen()
        self._connected: list[socket.socket] = []
        self._turn = threading.Lock()
        self._following: list[tuple[socket.socket, Any]] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def set(self, method: str, answer: Any) -> None:
        """Lets a method answer so: a value, or a function of its parameters."""
        self.answers[method] = answer if callable(answer) else lambda _: answer

    def push(self, event: dict[str, Any]) -> None:
        """Gives an event to all who follow, now or later."""
        with self._turn:
            self.events.append(event)
            for connected, id in self._following:
                _notify(connected, id, event)

    def close(self) -> None:
        """Ends, and waits for its threads."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connected in self._connected:
            _end(connected)
        for thread in self._threads:
            thread.join(timeout=10)
        (self.home / "run" / "control.sock").unlink()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._socket.accept()
            except OSError:
                return
            self._connected.append(connected)
            thread = threading.Thread(target=self._serve, args=(connected,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connected: socket.socket) -> None:
        with connected, connected.makefile("rb") as lines, suppress(Gone, OSError):
            for line in lines:
                message = json.loads(line)
                self.calls.append((message["method"], message["params"]))
                self._say(connected, message["id"], self._outcome(message["method"], message["params"]))
                if message["method"] == "events.follow":
                    self._push(connected, message)

    def _outcome(self, method: str, parameters: dict[str, Any]) -> Mapping[str, Any]:
        answer = self.answers.get(method)
        if answer is None:
            return {
                "error": {"code": -32601, "message": f"no method {method!r}", "data": {"code": "usage", "hint": ""}}
            }
        try:
            return {"result": answer(parameters)}
        except Refusal as refusal:
            return {"error": refusal.error}

    def _push(self, connected: socket.socket, message: dict[str, Any]) -> None:
        since = message["params"].get("since", 0)
        since = self.cursor if since == "now" else since
        with self._turn:
            for event in list(self.events):
                if event is GONE:
                    self.events.remove(GONE)
                    raise Gone
                if event["cursor"] > since:
                    _notify(connected, message["id"], event)
            self._following.append((connected, message["id"]))

    def _say(self, connected: socket.socket, id: Any, outcome: Mapping[str, Any]) -> None:
        connected.sendall(json.dumps({"jsonrpc": "2.0", "id": id, **outcome}).encode() + b"\n")


def _notify(connected: socket.socket, id: Any, event: dict[str, Any]) -> None:
    line = {"jsonrpc": "2.0", "method": "event", "params": {"request": id, "event": event}}
    connected.sendall(json.dumps(line).encode() + b"\n")


def _end(connected: socket.socket) -> None:
    with suppress(OSError):  # it had ended by itself
        connected.shutdown(socket.SHUT_RDWR)
