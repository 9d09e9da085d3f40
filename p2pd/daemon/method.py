"""A method of the control API: its name, its parameters, what it answers, and the function that does it.

Knows no transport and no single method.  A function's signature is its parameter table: annotations carry type and
help, defaults say what may be left out, and a name that Python reserves ends in `_` there (`as_` is `as`).
Rule: what does not fit the table is a `UsageError` that names what would.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from p2pd.errors import UsageError

Answer = dict[str, Any]
Function = Callable[..., Awaitable[Answer]]
Push = Callable[[Answer], Awaitable[None]]
"""Sends one event to the client that made the call."""
Afterwards = Callable[[Any, dict[str, Any], Answer, Push], Awaitable[None]]
"""With the service, the call's arguments, its answer, and the way to its client."""

Duration = Annotated[str | int, "duration"]
"""Seconds, or a text such as `7d`."""
Cursor = Annotated[str | int, "cursor"]
"""A place in the log, or `now`."""

_WORDS: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true or false",
    list[str]: "list of texts",
    str | int: "text or integer",
    object: "anything",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as the caller sees it."""

    name: str
    spelling: str
    """How the function's signature writes the name."""
    type: Any
    help: str
    default: Any
    required: bool

    @property
    def type_words(self) -> str:
        """The type for people and for `rpc.discover`."""
        if get_origin(self.type) is Literal:
            return " | ".join(get_args(self.type))
        return _WORDS[self.type]

    def checked(self, value: object) -> object:
        """The value, if it has the type; UsageError otherwise."""
        if not self._fits(value):
            raise UsageError(f"{self.name} must be {self.type_words}, not {str(value)[:40]!r}", hint=self.help)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not _is_unicode(text):
                raise UsageError(f"{self.name} holds half of a surrogate pair, which is no character", hint=self.help)
        return float(value) if self.type is float and isinstance(value, int) else value

    def _fits(self, value: object) -> bool:
        if self.type is object or self.type is type(value):
            return True
        if get_origin(self.type) is Literal:
            return value in get_args(self.type)
        if self.type == list[str]:
            return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
        if isinstance(value, bool):  # which is an integer to Python
            return False
        if self.type is float:
            return isinstance(value, int | float)
        return isinstance(value, self.type)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the method table."""

    name: str
    help: str
    function: Function
    parameters: Mapping[str, Parameter]
    result: Mapping[str, str]
    """The keys of the answer, and what each is."""
    needs_person: bool
    """Whether a node that only stores has no use for it."""
    while_locked: bool = False
    """Whether it answers also while the daemon is locked."""
    afterwards: Afterwards | None = None
    """What goes on once the answer has been sent."""

    def arguments(self, given: object) -> dict[str, Any]:
        """The function's keyword arguments for a caller's parameters; UsageError where they do not fit."""
        if given == []:  # some clients' way to say that there are none
            given = {}
        if not isinstance(given, dict):
            raise UsageError(f"the parameters of {self.name} must be an object", hint=self._known())
        for name in given:
            if name not in self.parameters:
                raise UsageError(f"{self.name} has no parameter {str(name)[:40]!r}", hint=self._known())
        for parameter in self.parameters.values():
            if parameter.required and parameter.name not in given:
                raise UsageError(f"{self.name} needs {parameter.name}: {parameter.help}", hint=self._known())
        return {self.parameters[name].spelling: self.parameters[name].checked(value) for name, value in given.items()}

    def _known(self) -> str:
        names = ", ".join(self.parameters)
        return f"its parameters: {names}" if names else "it takes no parameters"


def method(
    name: str,
    *,
    result: Mapping[str, str],
    needs_person: bool = True,
    while_locked: bool = False,
    afterwards: Afterwards | None = None,
) -> Callable[[Function], Method]:
    """Makes an async function of a service and keyword arguments a method; its docstring's first line is the help."""

    def of(function: Function) -> Method:
        help_line = (function.__doc__ or "").strip().partition("\n")[0]
        parameters = _parameters(function)
        return Method(name, help_line, function, parameters, result, needs_person, while_locked, afterwards)

    return of


def _parameters(function: Function) -> dict[str, Parameter]:
    hints = get_type_hints(function, include_extras=True)
    found = {}
    for name, parameter in list(inspect.signature(function).parameters.items())[1:]:
        kind, *extras = get_args(hints[name])  # Annotated[type, help]; a nested Annotated is flattened
        required = parameter.default is inspect.Parameter.empty
        default = None if required else parameter.default
        found[name.rstrip("_")] = Parameter(name.rstrip("_"), name, kind, extras[-1], default, required)
    return found
