"""Where a home and its control socket lie: what a client has to know to find its daemon, and no more.

Rules: every short command imports this, so it imports little, and what is seldom needed where it is needed.
"""

import os
import sys
from pathlib import Path

APPLICATION = "p2pd"
_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
"""What `sockaddr_un` holds, without its closing zero (unix(7); macOS has 104 bytes)."""


def resolve_home(given: str | os.PathLike[str] | None = None) -> Path:
    """The absolute home: what was given, else `P2PD_HOME`, else the platform's data folder; it need not exist."""
    named = given or os.environ.get("P2PD_HOME")
    if named:
        return Path(os.path.abspath(Path(named).expanduser()))
    from platformdirs import user_data_path

    return user_data_path(APPLICATION)


def control_path(home: Path) -> Path:
    """Where the home's control socket lies, or would lie.

    A path too long for the system lies in the runtime folder instead, under a hash of the home; in `/tmp` where that
    is too long as well.
    """
    inside = home / "run" / "control.sock"
    if _is_socket_path(inside):
        return inside
    from hashlib import blake2b

    from platformdirs import user_runtime_path

    name = blake2b(os.fsencode(home), digest_size=16).hexdigest()
    outside = user_runtime_path(APPLICATION) / name / "control.sock"
    in_temporary = Path(f"/tmp/{APPLICATION}-{os.geteuid()}", name, "control.sock")  # noqa: S108  checked when it is made
    return outside if _is_socket_path(outside) else in_temporary


def _is_socket_path(path: Path) -> bool:
    return len(os.fsencode(path)) <= _SOCKET_PATH_BYTES


def find_control(home: Path) -> Path:
    """Where a client finds the socket: what the home's `control` file says, else `control_path`."""
    try:
        said = (home / "control").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        said = ""
    return Path(said) if said else control_path(home)
