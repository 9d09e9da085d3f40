"""How every command is made: the options all of them understand, examples in the help, people's names completed.

Knows no command.  Rules: `--home`, `--json` and `--timeout` mean the same before and after a command's name;
a command module is imported only when its command is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from p2pctl.caller import Caller
from p2pctl.harmless import harmless_line

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMPLETE_VARIABLE = "_P2PCTL_COMPLETE"
"""How a shell asks for completions; `p2pctl completion` prints what sets it."""
LONGEST_S = 1e9
"""Thirty years."""
Loader = Callable[[], Mapping[str, click.Command]]
"""Imports the module that has some commands."""


class _Seconds(click.FloatRange):
    """How long to wait; `inf`, and whatever the system's clocks cannot count, is as good as for ever."""

    def convert(self, value: Any, option: click.Parameter | None, context: click.Context | None) -> float:
        """The number, at most `LONGEST_S`."""
        seconds: float = super().convert(value, option, context)
        if isnan(seconds):
            self.fail(f"{value!r} is no number of seconds", option, context)
        return min(seconds, LONGEST_S)


def _shared() -> list[click.Parameter]:
    """The options that every command understands; what they are given is kept in the caller."""

    def keep(context: click.Context, option: click.Parameter, value: object) -> None:
        if value is not None and value is not False and option.name:
            setattr(context.ensure_object(Caller), option.name, value)

    def option(*names: str, **more: Any) -> click.Option:
        return click.Option(names, expose_value=False, callback=keep, **more)

    return [
        option("--home", type=click.Path(path_type=Path), metavar="DIR", help="The daemon's home."),
        option("--json", "as_json", is_flag=True, help="One JSON object a line."),
        option("--timeout", "timeout_s", type=_Seconds(min=0), metavar="S", help="Seconds to wait."),
    ]


class Command(click.Command):
    """A command with the shared options and examples in its help."""

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.examples = tuple(examples)
        self.params += _shared()

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, as they are to be typed."""
        super().format_epilog(context, formatter)
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {example}\n" for example in self.examples))


class Group(click.Group):
    """A group with the shared options, whose commands may lie in modules that are not imported yet."""

    command_class = Command

    def __init__(
        self, *arguments: Any, sections: Mapping[str, Sequence[tuple[str, Loader]]] | None = None, **more: Any
    ):
        super().__init__(*arguments, **more)
        self.params += _shared()
        self.sections = {title: dict(members) for title, members in (sections or {}).items()}
        self.loaders = {name: loader for members in self.sections.values() for name, loader in members.items()}

    def list_commands(self, context: click.Context) -> list[str]:
        """Their names, in the order in which the help shows them."""
        return [*self.loaders, *self.commands]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of that name, its module imported now; None where there is none."""
        loader = self.loaders.get(name)
        return loader()[name] if loader else super().get_command(context, name)

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments begin with; a wrong name is an error that names the nearest."""
        known = self.list_commands(context)
        if arguments[0] not in known and not arguments[0].startswith("-") and not context.resilient_parsing:
            raise click.exceptions.NoSuchCommand(arguments[0], possibilities=known, ctx=context)
        return super().resolve_command(context, arguments)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands under the titles of their sections."""
        if not self.sections:
            super().format_commands(context, formatter)
        for title, members in self.sections.items():
            found = [(name, self.get_command(context, name)) for name in members]
            with formatter.section(title):
                formatter.write_dl([(name, command.get_short_help_str(90)) for name, command in found if command])


def command(name: str, *, examples: Sequence[str], **more: Any) -> Callable[[Callable[..., Any]], Command]:
    """Makes a function a command; `examples` are whole command lines, which the tests parse."""
    return click.command(name, cls=Command, examples=examples, **more)


def group(name: str, **more: Any) -> Callable[[Callable[..., Any]], Group]:
    """Makes a function, whose docstring is the help, a group of commands."""
    return click.group(name, cls=Group, **more)


def _complete_people(context: click.Context, option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    caller = context.find_object(Caller) or Caller()
    return [
        CompletionItem(name, help=harmless_line(str(contact.get("state", ""))))
        for contact in caller.contacts_known()
        if (name := str(contact.get("name", ""))).startswith(incomplete) and is_shell_safe(name)
    ]


def is_shell_safe(name: str) -> bool:
    """Whether a name can stand in a command line, and on a terminal, as it is."""
    return bool(name) and all(letter.isalnum() or letter in "._-+@:" for letter in name) and harmless_line(name) == name


def person(name: str, **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An argument that takes a recipient, completed with the names in the contact list."""
    return click.argument(name, shell_complete=_complete_people, **more)


def person_option(flag: str, name: str, help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A required option that takes a person, completed as `person` is."""
    return click.option(flag, name, required=True, metavar="TO", help=help, shell_complete=_complete_people)
