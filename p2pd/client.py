"""The control socket's client, on the standard library alone: for scripts, bots and the command line.

    call("send", to="bob", text="hello")                    one call, without asyncio

    async with connect() as client:                         a bot
        async for event in client.events.follow(consumer="bot", type="message"):
            await client.send(to=event["data"]["from"], text="thank you")

Knows the protocol (JSON-RPC 2.0, a message a line) and no method: names are sent as they are written, so every method
of `docs/api.md` is there.  Errors arrive as the `P2pdError` that the daemon raised.
A parameter's name that Python reserves is written with a `_` at its end: `as_`, `from_`.
Rules: an answer that is too long for a line comes in pages, which are joined; asyncio and the limits are imported by
those who use them, so that the command line starts fast.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from p2pd.errors import P2pdError, RefusedError, TimeUpError
from p2pd.places import find_control, resolve_home

LINE_BYTES = 2 * 1024 * 1024
"""`limits.CONTROL_LINE_BYTES`, which a short command does not import; a test holds them equal."""

if TYPE_CHECKING:
    import asyncio

Answer = Any
"""What JSON can hold."""
Home = str | os.PathLike[str] | None
CONNECT_S = 5.0
"""A daemon accepts in this time, or counts as not running."""
RETURN_S = 30.0
"""How long `send` and `events.follow` wait for a daemon that was there and is gone."""
_RETRY_S = 0.2
_AT_ONCE_S = 0.001
_NO_ANSWER = "give it longer with --timeout, or see: p2pctl doctor"


class NotRunningError(P2pdError):
    """No daemon answers for this home."""

    code = "not_running"
    exit_code = 3


class LostError(NotRunningError):
    """The daemon ended during the call, which it perhaps did; `request_id` makes repeating a `send` safe."""

    code = "lost"

    def __init__(self, message: str, *, hint: str = "", request_id: str = "") -> None:
        super().__init__(message, hint=hint)
        self.request_id = request_id


class NoAnswerError(TimeUpError):
    """The daemon did not answer in time, and perhaps does it yet; `request_id` makes repeating a `send` safe."""

    def __init__(self, message: str, *, hint: str = "", request_id: str = "") -> None:
        super().__init__(message, hint=hint)
        self.request_id = request_id


# --- without asyncio -------------------------------------------------------------------------------------------------


def call(method: str, *, home: Home = None, answer_within_s: float | None = None, **parameters: Answer) -> Answer:
    """The result of one call.

    Raises:
        NotRunningError: no daemon answers; start one.
        TimeUpError: it did not answer within `answer_within_s`.
        P2pdError: what the daemon says of the call.
    """
    with Connection(home, answer_within_s=answer_within_s) as connection:
        return connection.call(method, **parameters)


def follow(home: Home = None, *, return_s: float = RETURN_S, **parameters: Answer) -> Iterator[dict[str, Answer]]:
    """Events without end, as `events.follow` gives them, across restarts of the daemon.

    With `consumer=NAME` each is acknowledged when the next is asked for.
    """
    position = Position(parameters)
    patience = _Patience(return_s)
    while True:
        try:
            with Connection(home) as connection, Connection(home) as acknowledging:
                patience.restart()
                for event in connection.stream("events.follow", position):
                    yield event
                    for method, words in position.passed(event):
                        acknowledging.call(method, **words)
        except NotRunningError as error:
            time.sleep(patience.pause(error))


class Connection:
    """One connection to the daemon, for one call after another; NotRunningError where there is none."""

    def __init__(self, home: Home = None, *, answer_within_s: float | None = None) -> None:
        self._socket = _connected(resolve_home(home))
        try:
            # 0 would mean not to wait for what has been said already, either
            self._socket.settimeout(None if answer_within_s is None else max(answer_within_s, _AT_ONCE_S))
            self._lines = self._socket.makefile("rb")
        except BaseException:  # a caller's alarm may ring at any moment
            self._socket.close()
            raise
        self._number = 0

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, and with it whatever it follows."""
        self._lines.close()
        self._socket.close()

    def call(self, method: str, **parameters: Answer) -> Answer:
        """The method's whole result; errors as for `call`."""
        result = self._ask(method, parameters)
        while isinstance(result, dict) and "next" in result:
            result = _joined(result, self._ask(method, parameters | result["next"]))
        return result

    def stream(self, method: str, position: Position) -> Iterator[dict[str, Answer]]:
        """The events that a method such as `events.follow` pushes, without end; LostError where the daemon ends."""
        self._send(method, position.parameters())
        while True:
            event = position.event_in(self._receive({}))
            if event is not None:
                yield event

    def _ask(self, method: str, parameters: dict[str, Answer]) -> Answer:
        number = self._send(method, parameters)
        while True:
            message = self._receive(parameters)
            if message.get("id") in (number, None) and "method" not in message:
                return _result_of(message)

    def _send(self, method: str, parameters: dict[str, Answer]) -> int:
        self._number += 1
        with contextlib.suppress(OSError):  # what the daemon said before it closed, it may be why, is read next
            self._socket.sendall(_request(self._number, method, parameters))
        return self._number

    def _receive(self, parameters: dict[str, Answer]) -> dict[str, Answer]:
        try:
            line = self._lines.readline(LINE_BYTES + 1)  # root may talk to another user's daemon
        except TimeoutError:
            request_id, perhaps, safe = _perhaps(parameters)
            message = f"the daemon has not answered in time{perhaps and f': {perhaps}'}"
            raise NoAnswerError(message, hint=_NO_ANSWER + safe, request_id=request_id) from None
        except OSError:
            line = b""
        return _message(line, parameters)


# --- with asyncio ----------------------------------------------------------------------------------------------------


def connect(home: Home = None) -> _Connecting:
    """A `Client` of the home's daemon: `async with connect() as client`, or `client = await connect()`.

    Raises:
        NotRunningError: no daemon answers; start one.
    """
    return _Connecting(home)


class Client:
    """The daemon's methods under their own names: `await client.contact.add(address=..., as_="bob")`."""

    def __init__(self, home: Home = None) -> None:
        self._home = home
        self._line: _AsyncLine | None = None
        self.events = Events(self)

    async def call(self, method: str, **parameters: Answer) -> Answer:
        """The method's whole result; errors as for the function `call`.

        A `send` whose connection breaks is repeated under the same `request_id` once the daemon is back.
        """
        if method == "send":
            parameters.setdefault("request_id", os.urandom(16).hex())
        patience = _Patience(RETURN_S if method == "send" else 0, was_there=self._line is not None)
        while True:
            try:
                return await self._call_once(method, parameters)
            except NotRunningError as error:
                await _sleep(patience.pause(error))

    async def _call_once(self, method: str, parameters: dict[str, Answer]) -> Answer:
        line = await self._connected()
        result = await line.ask(method, parameters)
        while isinstance(result, dict) and "next" in result:
            result = _joined(result, await line.ask(method, parameters | result["next"]))
        return result

    async def _connected(self) -> _AsyncLine:
        if self._line is None or self._line.is_over:
            await self.close()
            self._line = await _AsyncLine.open(self._home)
        return self._line

    async def close(self) -> None:
        """End the connection."""
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    async def __aenter__(self) -> Client:
        await self._connected()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __getattr__(self, name: str) -> Method:
        if name.startswith("_"):
            raise AttributeError(name)
        return Method(self, name)


class Method:
    """A method's name on its way to a call: `client.contact`, `client.contact.add`."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    def __getattr__(self, name: str) -> Method:
        if name.startswith("_"):
            raise AttributeError(name)
        return Method(self._client, f"{self._name}.{name}")

    async def __call__(self, **parameters: Answer) -> Answer:
        return await self._client.call(self._name, **parameters)


class Events(Method):
    """`client.events(...)` reads the log, `client.events.follow(...)` goes on reading."""

    def __init__(self, client: Client) -> None:
        super().__init__(client, "events")

    async def follow(self, *, return_s: float = RETURN_S, **parameters: Answer) -> AsyncIterator[dict[str, Answer]]:
        """As the function `follow`: without end, across restarts; a consumer's events are acknowledged one by one."""
        position = Position(parameters)
        patience = _Patience(return_s)
        while True:
            line = None
            try:
                line = await _AsyncLine.open(self._client._home)
                patience.restart()
                async for event in line.stream("events.follow", position):
                    yield event
                    for method, words in position.passed(event):
                        await self._client.call(method, **words)
            except NotRunningError as error:
                await _sleep(patience.pause(error))
            finally:
                if line is not None:
                    await line.close()


class _Connecting:
    """What `connect` gives: to be awaited, or entered."""

    def __init__(self, home: Home) -> None:
        self._client = Client(home)

    def __await__(self) -> Generator[Any, None, Client]:
        return self._client.__aenter__().__await__()

    async def __aenter__(self) -> Client:
        return await self._client.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()


class _AsyncLine:
    """One connection: calls take turns on it, so that no task of ours has to sort answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import asyncio

        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._number = 0
        self.is_over = False

    @classmethod
    async def open(cls, home: Home) -> _AsyncLine:
        import asyncio

        from p2pd.limits import CONTROL_LINE_BYTES

        connected = _connected(resolve_home(home))
        connected.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=connected, limit=CONTROL_LINE_BYTES))

    async def ask(self, method: str, parameters: dict[str, Answer]) -> Answer:
        async with self._turn:
            number = await self._send(method, parameters)
            while True:
                message = await self._receive(parameters)
                if message.get("id") in (number, None) and "method" not in message:
                    return _result_of(message)

    async def stream(self, method: str, position: Position) -> AsyncIterator[dict[str, Answer]]:
        await self._send(method, position.parameters())
        while True:
            event = position.event_in(await self._receive({}))
            if event is not None:
                yield event

    async def _send(self, method: str, parameters: dict[str, Answer]) -> int:
        self._number += 1
        with contextlib.suppress(OSError):  # as in `Connection`
            self._writer.write(_request(self._number, method, parameters))
            await self._writer.drain()
        return self._number

    async def _receive(self, parameters: dict[str, Answer]) -> dict[str, Answer]:
        try:
            line = await self._reader.readline()
        except (OSError, ValueError):
            line = b""
        except BaseException:  # cancelled between question and answer: the next would read this one's
            self.is_over = True
            raise
        self.is_over = not line.endswith(b"\n")
        return _message(line, parameters)

    async def close(self) -> None:
        self.is_over = True
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def _sleep(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)


# --- the protocol ----------------------------------------------------------------------------------------------------


def peer_uid(connected: socket.socket) -> int | None:
    """The user at the other end of a Unix socket (SO_PEERCRED, unix(7)); None where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)


def _connected(home: Path) -> socket.socket:
    """A blocking socket to the home's daemon, which must be ours or root's: a squatter could answer in its place."""
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.settimeout(CONNECT_S)
    try:
        connected.connect(os.fspath(find_control(home)))
        owner = peer_uid(connected)
    except OSError as error:
        connected.close()
        if isinstance(error, PermissionError):
            raise RefusedError(f"{home} is not yours", hint="run this as the user whose daemon it is") from None
        raise NotRunningError(f"no daemon is running for {home}", hint="start it with: p2pctl start") from None
    except BaseException:  # a caller's alarm
        connected.close()
        raise
    if owner not in (None, 0, os.geteuid()) and not _is_of_home(owner, home):
        connected.close()
        raise RefusedError(f"the daemon of {home} runs as another user", hint="run this as that user")
    return connected


def _is_of_home(owner: int | None, home: Path) -> bool:
    """Whether we are root, who looks after other users' daemons, and this one runs as the user whose home it is."""
    return os.geteuid() == 0 and owner == home.stat().st_uid


def _request(number: int, method: str, parameters: dict[str, Answer]) -> bytes:
    given = {name.removesuffix("_"): value for name, value in parameters.items() if value is not None}
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": given}
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _message(line: bytes, parameters: dict[str, Answer]) -> dict[str, Answer]:
    """The message in a line; LostError where the connection ended instead."""
    if not line.endswith(b"\n"):
        request_id, perhaps, safe = _perhaps(parameters)
        message = f"the daemon ended during the call: {perhaps or 'it was perhaps done'}"
        raise LostError(message, hint=f"see: p2pctl status{safe}", request_id=request_id)
    answer: dict[str, Answer] = json.loads(line)
    return answer


def _perhaps(parameters: dict[str, Answer]) -> tuple[str, str, str]:
    """Of a call with a `request_id` that got no answer: the id, what may have come of it, and how to repeat it."""
    request_id = str(parameters.get("request_id", ""))
    if not request_id:
        return "", "", ""
    safe = f"; repeating it with --request-id {request_id} never sends twice"
    return request_id, "the message was perhaps accepted", safe


def _result_of(message: dict[str, Answer]) -> Answer:
    """The result in an answer, or its error raised as what it was in the daemon."""
    if "error" not in message:
        return message["result"]
    error = message["error"]
    data = error.get("data") or {}
    known = _errors_by_code().get(data.get("code", ""), P2pdError)
    raised = known.__new__(known)
    P2pdError.__init__(raised, str(error.get("message", "")), hint=str(data.get("hint", "")))
    raised.code = data.get("code", "internal")
    raise raised


def _errors_by_code() -> dict[str, type[P2pdError]]:
    # In the daemon's own process others have their codes too.
    found: dict[str, type[P2pdError]] = {kind.code: kind for kind in (NotRunningError, LostError)}
    waiting: list[type[P2pdError]] = [P2pdError]
    while waiting:
        kind = waiting.pop()
        found.setdefault(kind.code, kind)
        waiting += kind.__subclasses__()
    return found


def _joined(first: dict[str, Answer], second: dict[str, Answer]) -> dict[str, Answer]:
    """Two pages as one: lists one after the other, everything else the later page's."""
    return {key: first[key] + value if isinstance(value, list) else value for key, value in second.items()}


class Position:
    """Where a follower stands in the log, so that it goes on there after a restart."""

    def __init__(self, parameters: dict[str, Answer]) -> None:
        self._parameters = dict(parameters)
        self._consumer = parameters.get("consumer")

    def parameters(self) -> dict[str, Answer]:
        """Of the call that goes on from here."""
        return self._parameters

    def event_in(self, message: dict[str, Answer]) -> dict[str, Answer] | None:
        """The event of a notification; None for the call's answer, which says where `now` or a consumer was."""
        if "method" in message:
            event: dict[str, Answer] = message["params"]["event"]
            return event
        self._parameters["since"] = _result_of(message)["since"]
        return None

    def passed(self, event: dict[str, Answer]) -> Iterator[tuple[str, dict[str, Answer]]]:
        """Notes an event that its reader has done with; the calls that tell the daemon so."""
        self._parameters["since"] = event["cursor"]
        if self._consumer:
            yield "ack", {"name": self._consumer, "cursor": event["cursor"]}


class _Patience:
    """How long to go on trying to reach a daemon that was there and is away."""

    def __init__(self, total_s: float, *, was_there: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._total_s = total_s
        self._was_there = was_there
        self._clock = clock
        self._since: float | None = None

    def restart(self) -> None:
        """It is there."""
        self._was_there, self._since = True, None

    def pause(self, error: NotRunningError) -> float:
        """Seconds to wait before the next try; raises the error where it was never there, or is away for too long."""
        now = self._clock()
        self._since = now if self._since is None else self._since
        if not (self._was_there or isinstance(error, LostError)) or now - self._since >= self._total_s:
            raise error
        self._was_there = True
        return _RETRY_S
