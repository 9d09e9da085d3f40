"""The control socket: JSON-RPC 2.0 on a Unix socket, a message a line, for this user's programs only.

Knows the protocol and no method.  Whoever can open the socket may still send anything: a line that is too long, half a
line and then nothing, no JSON, answers that nobody takes.  Each of these ends in an error or a closed connection, and
none in memory or time without bound.
Rules: calls of one client run side by side and their answers may come in any order; a client that has ended its
sending side has `limits.CONTROL_STALL_S` for the answers that are due; one that is gone follows nothing any more.
"""

import asyncio
import json
import logging
import os
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from p2pd import limits
from p2pd.client import peer_uid
from p2pd.daemon.method import Answer, Method
from p2pd.daemon.pages import encoded
from p2pd.daemon.service import Service
from p2pd.errors import FailedError, LockedError, P2pdError, RefusedError, UsageError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
UNKNOWN_METHOD = -32601
INVALID_PARAMETERS = -32602
INTERNAL_ERROR = -32603
REFUSED = -32000
"""Any `P2pdError` of ours; `data.code` says which."""
_READ_BYTES = 64 * limits.KIB
_ACCEPT_AGAIN_S = 0.1
_logger = logging.getLogger(__name__)


class ProtocolError(UsageError):
    """A line that is no call."""

    def __init__(self, number: int, message: str, *, id: Any = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.number = number
        self.id = id


@dataclass(frozen=True, slots=True)
class Request:
    """One call; without `has_id` it is a notification and gets no answer."""

    method: str
    parameters: Any
    id: Any = None
    has_id: bool = False


class ControlServer:
    """Serves the method table to clients of one listening socket, until it is cancelled."""

    def __init__(self, service: Service, methods: Mapping[str, Method], *, allowed_uid: int | None = None) -> None:
        self._service = service
        self._methods = methods
        self._allowed_uid = os.geteuid() if allowed_uid is None else allowed_uid
        self._clients = 0

    async def run(self, listening: socket.socket) -> None:
        """Accept clients without end; when cancelled, all of them are closed."""
        async with asyncio.TaskGroup() as clients, _readable(listening) as readable:
            while True:
                await readable.wait()
                readable.clear()
                try:
                    connected, _ = listening.accept()
                except BlockingIOError:
                    continue  # who wanted to connect has gone again
                except OSError as error:  # out of file descriptors: clients that go give them back
                    _logger.warning("cannot accept a control client: %s", error.strerror)
                    await asyncio.sleep(_ACCEPT_AGAIN_S)
                    continue
                connected.setblocking(False)
                refusal = self._refusal(connected)
                if refusal is None:
                    self._clients += 1
                    clients.create_task(self._serve(connected))
                else:
                    _refuse(connected, refusal)

    def _refusal(self, connected: socket.socket) -> P2pdError | None:
        if peer_uid(connected) not in (None, 0, self._allowed_uid):
            return RefusedError("this daemon belongs to another user", hint="start one of your own: p2pctl start")
        if self._clients >= limits.CONTROL_CLIENTS:
            return FailedError(f"{limits.CONTROL_CLIENTS} clients are connected", hint="close one of them")
        return None

    async def _serve(self, connected: socket.socket) -> None:
        try:
            await _Client(connected, self._service, self._methods).serve()
        except Exception:  # a bug with one client must not close the others
            _logger.exception("a control client broke")
        finally:
            self._clients -= 1
            connected.close()


@asynccontextmanager
async def _readable(listening: socket.socket) -> AsyncIterator[asyncio.Event]:
    """Set whenever somebody waits to be accepted; `sock_accept` drops a client whose moment is that of a cancel."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(listening, readable.set)
    try:
        yield readable
    finally:
        loop.remove_reader(listening)


def _refuse(connected: socket.socket, error: P2pdError) -> None:
    with connected, suppress(OSError):  # its buffer is empty, so the line fits
        connected.send(encoded(_error_message(None, error)) + b"\n")


class _Client:
    """One connection."""

    def __init__(self, connected: socket.socket, service: Service, methods: Mapping[str, Method]) -> None:
        self._socket = connected
        self._service = service
        self._methods = methods
        self._loop = asyncio.get_running_loop()
        self._writing = asyncio.Lock()
        self._room = asyncio.Semaphore(limits.CONTROL_CALLS)
        self._followers: set[asyncio.Task[Any]] = set()

    async def serve(self) -> None:
        """Answer calls until the client goes, or breaks the protocol's bounds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as end, asyncio.TaskGroup() as calls:
                try:
                    async for line in self._lines():
                        await self._room.acquire()
                        calls.create_task(self._call(line))
                except ProtocolError as error:
                    await self._write(_error_message(None, error))
                if _is_gone(self._socket):
                    for follower in self._followers:
                        follower.cancel()
                end.reschedule(self._loop.time() + limits.CONTROL_STALL_S)

    async def _lines(self) -> AsyncIterator[bytes]:
        """Lines without their ends, blank ones passed over; ProtocolError where one is too long or stalls."""
        waiting = bytearray()
        while data := await self._read(within_s=limits.CONTROL_STALL_S if waiting else None):
            waiting += data
            *lines, rest = waiting.split(b"\n")
            waiting = rest
            if any(len(line) > limits.CONTROL_LINE_BYTES for line in (*lines, rest)):
                raise ProtocolError(INVALID_REQUEST, f"a line is longer than {limits.CONTROL_LINE_BYTES} bytes")
            for line in lines:
                if not line.isspace() and line:
                    yield bytes(line)

    async def _read(self, *, within_s: float | None) -> bytes:
        try:
            async with asyncio.timeout(within_s):
                return await self._loop.sock_recv(self._socket, _READ_BYTES)
        except TimeoutError:
            raise ProtocolError(INVALID_REQUEST, f"no end of the line within {within_s:g} s") from None
        except OSError:  # it went without taking its answers
            return b""

    async def _call(self, line: bytes) -> None:
        try:
            request = parsed_request(line)
        except ProtocolError as error:
            await self._write(_error_message(error.id, error))
        else:
            await self._carry_out(request)
        finally:
            self._room.release()

    async def _carry_out(self, request: Request) -> None:
        try:
            method = self._method(request)
            arguments = _arguments(method, request)
            result = await method.function(self._service, **arguments)
            await self._answer(request, {"result": result})
            if method.afterwards is not None:
                await self._go_on(method.afterwards(self._service, arguments, result, self._pusher(request)))
        except P2pdError as error:
            await self._answer(request, _error(error))
        except Exception:
            # nothing of the call goes into the log but its name
            _logger.exception("the method %s broke", request.method[:40])
            await self._answer(request, _error(P2pdError("the daemon met a bug", hint="its log says more")))

    async def _go_on(self, afterwards: Awaitable[None]) -> None:
        """What follows an answer, for as long as there is someone to follow it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type: we run in one
        self._followers.add(task)
        try:
            await afterwards
        finally:
            self._followers.discard(task)

    def _method(self, request: Request) -> Method:
        method = self._methods.get(request.method)
        if method is None:
            raise ProtocolError(UNKNOWN_METHOD, f"no method {request.method[:40]!r}", hint=self._near(request.method))
        if self._service.locked is not None and not method.while_locked:
            raise LockedError("this daemon is locked", hint="run: p2pctl unlock")
        if method.needs_person and self._service.settings.storage_only:
            raise RefusedError(
                f"this node only stores, so there is no {method.name}", hint="start it without --storage-only"
            )
        return method

    def _near(self, name: str) -> str:
        import difflib

        near = difflib.get_close_matches(name[:40], self._methods, n=1)
        return f"did you mean {near[0]}?" if near else "rpc.discover lists them all"

    def _pusher(self, request: Request) -> Any:
        async def push(event: Answer) -> None:
            await self._write({"jsonrpc": "2.0", "method": "event", "params": {"request": request.id, "event": event}})

        return push

    async def _answer(self, request: Request, outcome: dict[str, Any]) -> None:
        if request.has_id:
            await self._write({"jsonrpc": "2.0", "id": request.id} | outcome)

    async def _write(self, message: dict[str, Any]) -> None:
        """Sends a line; a client that does not take it in time is closed."""
        line = encoded(message) + b"\n"
        if len(line) > limits.CONTROL_LINE_BYTES:
            line = encoded(_error_message(message.get("id"), FailedError("the answer is longer than a line"))) + b"\n"
        if not self._writing.locked():
            line = line[self._sent_now(line) :]
        if not line:
            return
        try:
            async with self._writing, asyncio.timeout(limits.CONTROL_STALL_S):
                await self._loop.sock_sendall(self._socket, line)
        except (TimeoutError, OSError):
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # its reader sees the end

    def _sent_now(self, line: bytes) -> int:
        """How much of a line the client's buffer takes at once: nearly always all of it."""
        try:
            return self._socket.send(line)
        except OSError:  # no room, or nobody there: `sock_sendall` finds out which
            return 0


def _is_gone(connected: socket.socket) -> bool:
    """Whether the client has closed both directions, and so nobody reads any more."""
    waiting = select.poll()
    waiting.register(connected, 0)  # hang-ups are told unasked
    return any(found & select.POLLHUP for _, found in waiting.poll(0))


def parsed_request(line: bytes) -> Request:
    """The call in a line; ProtocolError, with the call's id where it has one, for anything else."""
    try:
        message = _decode(line.decode())
    except (ValueError, RecursionError):
        raise ProtocolError(PARSE_ERROR, "the line is not JSON in UTF-8", hint="one JSON object a line") from None
    if isinstance(message, list):
        raise ProtocolError(INVALID_REQUEST, "batches are not supported", hint="send one object a line")
    if not isinstance(message, dict):
        raise ProtocolError(INVALID_REQUEST, "a call is a JSON object", hint="send one object a line")
    id = message.get("id")
    if id is not None and type(id) not in (str, int, float):
        raise ProtocolError(INVALID_REQUEST, "id must be a text or a number")
    method = message.get("method")
    if message.get("jsonrpc") != "2.0":
        raise ProtocolError(INVALID_REQUEST, 'a call says "jsonrpc": "2.0"', id=id)
    if not isinstance(method, str) or not method:
        raise ProtocolError(INVALID_REQUEST, "method must be a text", id=id, hint="rpc.discover lists them all")
    return Request(method, message.get("params", {}), id, "id" in message)


def _no_constant(name: str) -> None:
    raise ValueError(name)


_decode = json.JSONDecoder(parse_constant=_no_constant).decode


def _arguments(method: Method, request: Request) -> dict[str, Any]:
    try:
        return method.arguments(request.parameters)
    except UsageError as error:
        raise ProtocolError(INVALID_PARAMETERS, error.message, hint=error.hint) from None


def _error(error: P2pdError) -> dict[str, Any]:
    number = error.number if isinstance(error, ProtocolError) else REFUSED
    if error.code == P2pdError.code:
        number = INTERNAL_ERROR
    data = {"code": error.code, "hint": error.hint, "exit_code": error.exit_code}
    return {"error": {"code": number, "message": error.message, "data": data}}


def _error_message(id: Any, error: P2pdError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id} | _error(error)
