"""What p2pd does for a command in a process of its own: what opens databases and keys, which p2pctl never does.

Knows no work.  Rule: secrets go through the process's standard input, never through its command line or environment.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from p2pctl.caller import Caller
from p2pd.errors import P2pdError


def asked(
    caller: Caller, module: str, words: Sequence[str], secrets: Mapping[str, str | None] | None = None
) -> Iterator[dict[str, Any]]:
    """What a module of p2pd's says of this command's home, line by line.

    Raises:
        P2pdError: it refuses, or ends without having done its work.
    """
    # -P: the folder that this is called in is not searched for modules.  S603: the words are the user's own.
    call = [sys.executable, "-P", "-m", module, "--home", str(caller.resolved_home()), *words]
    with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdin is not None  # noqa: S101  they are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            with process.stdin:
                process.stdin.write(json.dumps(secrets or {}))
        except BrokenPipeError:
            pass  # it has ended already, and its lines say why
        for text in process.stdout:
            line = json.loads(text)
            if "ends" in line:
                return
            if "error" in line:
                raise _error(line["error"])
            yield line
    raise P2pdError(f"{module} broke off with {process.returncode}", hint="what it said stands above")


def _error(told: dict[str, str]) -> P2pdError:
    error = P2pdError(told["message"], hint=told["hint"])
    error.code = told["code"]
    return error
