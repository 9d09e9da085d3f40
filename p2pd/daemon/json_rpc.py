"""JSON-RPC 2.0's messages: what a line calls, and what is answered; knows no method and no connection.

Source: the specification of JSON-RPC 2.0, sections 4 to 6.
Rule: what is no call raises `ProtocolError`, with the call's id where it has one that an answer can carry.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

from p2pd import limits
from p2pd.daemon.method import Answer
from p2pd.errors import P2pdError, UsageError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
UNKNOWN_METHOD = -32601
INVALID_PARAMETERS = -32602
INTERNAL_ERROR = -32603
REFUSED = -32000
"""Any `P2pdError` of ours; `data.code` says which."""


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


def decoded(line: bytes) -> Any:
    """What a line says, a call or a batch of them; ProtocolError where it is no JSON."""
    try:
        return _decode(line.decode())
    except (ValueError, RecursionError):
        raise ProtocolError(PARSE_ERROR, "the line is not JSON in UTF-8", hint="one JSON object a line") from None


def request_of(message: Any) -> Request:
    """The call that a message is; ProtocolError, with the call's id where it has one, for anything else."""
    if not isinstance(message, dict):
        raise ProtocolError(INVALID_REQUEST, "a call is a JSON object", hint="send one object a line")
    id = message.get("id")
    if not _is_id(id):
        raise ProtocolError(INVALID_REQUEST, f"id must be a text of {limits.CONTROL_ID_CHARS} at most, or a number")
    method = message.get("method")
    if message.get("jsonrpc") != "2.0":
        raise ProtocolError(INVALID_REQUEST, 'a call says "jsonrpc": "2.0"', id=id)
    if not isinstance(method, str) or not method:
        raise ProtocolError(INVALID_REQUEST, "method must be a text", id=id, hint="rpc.discover lists them all")
    return Request(method, message.get("params", {}), id, "id" in message)


def _is_id(id: object) -> bool:
    """Whether an answer can carry it: short enough, and no number that only Python writes as JSON (1e999)."""
    if isinstance(id, bool) or not isinstance(id, str | int | float | None):
        return False
    return len(id) <= limits.CONTROL_ID_CHARS if isinstance(id, str) else id is None or abs(id) < math.inf


def _no_constant(name: str) -> None:
    raise ValueError(name)


_decode = json.JSONDecoder(parse_constant=_no_constant).decode


def answer_to(request: Request, outcome: Answer) -> Answer | None:
    """The answer with this `result` or `error`; None for a notification."""
    return {"jsonrpc": "2.0", "id": request.id} | outcome if request.has_id else None


def error_of(error: P2pdError) -> Answer:
    """The `error` of an answer."""
    number = error.number if isinstance(error, ProtocolError) else REFUSED
    if error.code == P2pdError.code:
        number = INTERNAL_ERROR
    data = {"code": error.code, "hint": error.hint, "exit_code": error.exit_code}
    return {"error": {"code": number, "message": error.message, "data": data}}


def error_message(id: Any, error: P2pdError) -> Answer:
    """The answer to a call that was none, or could not be carried out."""
    return {"jsonrpc": "2.0", "id": id} | error_of(error)
