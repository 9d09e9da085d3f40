"""The control socket: JSON-RPC 2.0 on a Unix socket, a message a line, for this user's programs only.

Knows no method; the messages are `json_rpc`'s.  Whoever can open the socket may still send anything: a line that is too
long, half a line and then nothing, no JSON, answers that nobody takes.  Each of these ends in an error or a closed
connection, and none in memory or time without bound.
Rules: calls of one client run side by side and their answers may come in any order; a client that has ended its
sending side has `limits.CONTROL_STALL_S` for the answers that are due; one that is gone follows nothing any more.
"""

import asyncio
import logging
import os
import select
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from p2pd import limits
from p2pd.client import peer_uid
from p2pd.daemon.json_rpc import (
    INVALID_PARAMETERS,
    INVALID_REQUEST,
    UNKNOWN_METHOD,
    ProtocolError,
    Request,
    answer_to,
    decoded,
    error_message,
    error_of,
    request_of,
)
from p2pd.daemon.method import Afterwards, Answer, Method
from p2pd.daemon.pages import encoded
from p2pd.daemon.service import Service
from p2pd.errors import FailedError, LockedError, P2pdError, RefusedError, UsageError

FollowUp = Callable[[], Awaitable[None]]
"""What goes on once a call was answered."""
_READ_BYTES = 64 * limits.KIB
_ACCEPT_AGAIN_S = 0.1
_logger = logging.getLogger(__name__)


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
        connected.send(encoded(error_message(None, error)) + b"\n")


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
                    await self._write(error_message(None, error))
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
        if waiting and not waiting.isspace():  # the last one needs no end
            yield bytes(waiting)

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
            message = decoded(line)
            if isinstance(message, list):
                await self._carry_out_all(message)
            else:
                await self._carry_out(message)
        except ProtocolError as error:
            await self._write(error_message(None, error))
        finally:
            self._room.release()

    async def _carry_out(self, message: Any) -> None:
        answer, follow_up = await self._outcome(message)
        if answer is not None:
            await self._write(answer)
        if follow_up is not None:
            await self._go_on(follow_up)

    async def _carry_out_all(self, batch: list[Any]) -> None:
        """One call after the other, so that a batch takes no more room than a call; the answers are one line.

        One of them may go on after its answer: a batch counts as one call among those under way.
        """
        if not 0 < len(batch) <= limits.CONTROL_CALLS:
            raise ProtocolError(INVALID_REQUEST, f"a batch has 1 to {limits.CONTROL_CALLS} calls")
        answers: list[Answer] = []
        follow_ups: list[FollowUp] = []  # one at most
        room = limits.CONTROL_BATCH_BYTES
        for message in batch:
            answer, follow_up = await self._outcome(message, may_go_on=not follow_ups)
            if answer is not None:
                size = len(encoded(answer))
                answers.append(answer if size <= room else error_message(answer["id"], _too_long()))
                room -= size if size <= room else 0
            if follow_up is not None:
                follow_ups.append(follow_up)
        if answers:
            await self._write(answers)
        for follow_up in follow_ups:
            await self._go_on(follow_up)

    async def _outcome(self, message: Any, *, may_go_on: bool = True) -> tuple[Answer | None, FollowUp | None]:
        """What a call is answered, None for a notification, and what follows that."""
        try:
            request = request_of(message)
        except ProtocolError as error:
            return error_message(error.id, error), None
        follow_up = None
        try:
            method = self._method(request)
            arguments = _arguments(method, request)
            if method.afterwards is not None and not may_go_on:
                raise FailedError("one call of a batch may go on after its answer", hint="send this one by itself")
            result = await method.function(self._service, **arguments)
            outcome = {"result": result}
            if method.afterwards is not None:
                follow_up = partial(self._follow_up, request, method.afterwards, arguments, result)
        except Exception as error:
            outcome = _failure(request, error)
        return answer_to(request, outcome), follow_up

    async def _follow_up(self, request: Request, afterwards: Afterwards, arguments: Answer, result: Answer) -> None:
        try:
            await afterwards(self._service, arguments, result, self._pusher(request))
        except Exception as error:
            reply = answer_to(request, _failure(request, error))
            if reply is not None:
                await self._write(reply)

    async def _go_on(self, follow_up: FollowUp) -> None:
        """What follows an answer, for as long as there is someone to follow it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type: we run in one
        self._followers.add(task)
        try:
            await follow_up()
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

    async def _write(self, message: Answer | list[Answer]) -> None:
        """Sends a line; a client that does not take it in time is closed."""
        line = encoded(message) + b"\n"
        if len(line) > limits.CONTROL_LINE_BYTES:
            id = message.get("id") if isinstance(message, dict) else None
            line = encoded(error_message(id, _too_long())) + b"\n"
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


def _arguments(method: Method, request: Request) -> dict[str, Any]:
    try:
        return method.arguments(request.parameters)
    except UsageError as error:
        raise ProtocolError(INVALID_PARAMETERS, error.message, hint=error.hint) from None


def _failure(request: Request, error: Exception) -> dict[str, Any]:
    """What a call that raised is answered."""
    if isinstance(error, P2pdError):
        return error_of(error)
    # nothing of the call goes into the log but its name
    _logger.error("the method %s broke", request.method[:40], exc_info=error)
    return error_of(P2pdError("the daemon met a bug", hint="its log says more"))


def _too_long() -> P2pdError:
    return FailedError("the answer is longer than a line")
