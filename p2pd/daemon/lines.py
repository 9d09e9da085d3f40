"""What a process of p2pd's own, which p2pctl has started, says and hears: JSON, an object a line.

The last line is `{"ends": CODE}` with the exit code; an error of its own is a line `{"error": …}` before it.
Secrets come on its standard input, one object, since a command line and an environment can be read by others.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

from p2pd import limits
from p2pd.daemon.logs import harmless
from p2pd.errors import P2pdError, UsageError

_HEARD_BYTES = 16 * limits.KIB


def say(line: dict[str, Any]) -> None:
    """One line, at once."""
    print(json.dumps(line), flush=True)


def tell(work: Callable[[], int]) -> int:
    """Does the work and says how it ended; the exit code, which is that of the error where there is one."""
    try:
        code = work()
    except P2pdError as error:
        say({"error": {"code": error.code, "message": harmless(error.message), "hint": harmless(error.hint)}})
        code = error.exit_code
    say({"ends": code})
    return code


def hear() -> dict[str, bytes]:
    """The secrets that standard input holds, by name; those that are null are left out.

    Raises:
        UsageError: it holds something else.
    """
    try:
        said = json.loads(sys.stdin.buffer.read(_HEARD_BYTES) or b"{}")
        return {name: text.encode() for name, text in said.items() if text is not None}
    except (ValueError, AttributeError):
        raise UsageError("standard input holds no secrets", hint="p2pctl gives them") from None
