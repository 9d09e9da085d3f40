"""p2pctl: reads the command line, runs one command, and ends with one of the exit codes of `failures`.

Rules: nothing is imported for a command that is not called; every error ends here, as one line.
"""

import os
import sys
from collections.abc import Mapping

import click

from p2pctl.caller import Caller
from p2pctl.commands import COMPLETE_VARIABLE, Group
from p2pctl.failures import INTERRUPTED, exit_code, of_click, report
from p2pctl.terminal import prepare
from p2pd.errors import P2pdError


def _life() -> Mapping[str, click.Command]:
    from p2pctl import life

    return life.COMMANDS


def _status() -> Mapping[str, click.Command]:
    from p2pctl import status

    return status.COMMANDS


def _lock() -> Mapping[str, click.Command]:
    from p2pctl import lock

    return lock.COMMANDS


def _doctor() -> Mapping[str, click.Command]:
    from p2pctl import doctor

    return doctor.COMMANDS


def _unit() -> Mapping[str, click.Command]:
    from p2pctl import unit

    return unit.COMMANDS


def _own() -> Mapping[str, click.Command]:
    from p2pctl import own

    return own.COMMANDS


def _talk() -> Mapping[str, click.Command]:
    from p2pctl import talk

    return talk.COMMANDS


def _chat() -> Mapping[str, click.Command]:
    from p2pctl import chat

    return chat.COMMANDS


def _people() -> Mapping[str, click.Command]:
    from p2pctl import people

    return people.COMMANDS


def _invites() -> Mapping[str, click.Command]:
    from p2pctl import invites

    return invites.COMMANDS


def _scripts() -> Mapping[str, click.Command]:
    from p2pctl import scripts

    return scripts.COMMANDS


def _backup() -> Mapping[str, click.Command]:
    from p2pctl import backup

    return backup.COMMANDS


def _network() -> Mapping[str, click.Command]:
    from p2pctl import network

    return network.COMMANDS


def _config() -> Mapping[str, click.Command]:
    from p2pctl import config

    return config.COMMANDS


SECTIONS = {
    "Life": [
        *((name, _life) for name in ("start", "stop", "restart", "logs")),
        ("status", _status),
        ("doctor", _doctor),
        *((name, _lock) for name in ("lock", "unlock", "passphrase")),
        ("unit", _unit),
    ],
    "Self": [("id", _own), ("profile", _own)],
    "Talk": [("send", _talk), ("chat", _chat), *((name, _talk) for name in ("history", "why", "recall", "read"))],
    "People": [("invite", _invites), ("contact", _people), ("request", _people)],
    "Scripts": [(name, _scripts) for name in ("events", "ack", "wait", "rpc", "completion")],
    "Network": [(name, _network) for name in ("peer", "path", "relay", "net", "dht")],
    "Backup": [("backup", _backup)],
    "Settings": [("config", _config)],
}


def _show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from p2pd import __version__

        click.echo(f"p2pctl {__version__}")
        context.exit()


@click.group(
    "p2pctl",
    cls=Group,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show it.")
def root() -> None:
    """Talk to people with no server anywhere: the command line of p2pd.

    Begin with `p2pctl start` and `p2pctl invite --once`.
    """


def main() -> None:
    """Runs the command line of this process, and ends the process."""
    prepare()
    code = run(sys.argv[1:])
    sys.stderr.flush()
    # At once: taking down the modules that click has loaded costs a seventh of a short call's whole time.
    os._exit(code)


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code; errors have been shown."""
    wanted = os.environ.get(COMPLETE_VARIABLE)
    if wanted:
        from click.shell_completion import shell_complete

        return shell_complete(root, {"obj": Caller()}, "p2pctl", COMPLETE_VARIABLE, wanted)
    caller = Caller()
    try:
        # Not `root.main`, which has ends of its own for what we report.
        with root.make_context("p2pctl", list(arguments), obj=caller) as context:
            root.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:  # --help and --version
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    except BrokenPipeError:
        return _reader_gone()
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except P2pdError as error:
        error.hint = caller.addressed(error.hint)
        return _failed(error, arguments)
    except click.ClickException as error:
        return _failed(of_click(error), arguments)
    except Exception as error:
        if os.environ.get("P2PCTL_DEBUG"):
            raise
        hint = "this is a bug: P2PCTL_DEBUG=1 shows where"
        return _failed(P2pdError(f"{type(error).__name__}: {error}", hint=hint), arguments)
    return 0


def _failed(error: P2pdError, arguments: list[str]) -> int:
    words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    report(error, as_object="--json" in words)
    return exit_code(error)


def _reader_gone() -> int:
    """Ends quietly where the reader of our output has (`p2pctl history bob | head`)."""
    # What is still in the buffer goes nowhere, and must not fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    main()
