"""Lists cut into pages that fit a line of the protocol; knows nothing of what they hold.

A page that is not the last answers `next`: the parameters that give the following one.
"""

import json
from collections.abc import Iterable
from typing import Any

from p2pd import limits

_json = json.JSONEncoder(separators=(",", ":")).encode


def encoded(value: Any) -> bytes:
    """One line's JSON, without its end.  ASCII: no reader can take a character of a peer's for the end of a line."""
    return _json(value).encode("ascii")


def first_page(rows: Iterable[dict[str, Any]], *, size_bytes: int = limits.CONTROL_PAGE_BYTES) -> list[dict[str, Any]]:
    """The first rows, as many as fit into `size_bytes`, and one at least where there is one."""
    page: list[dict[str, Any]] = []
    used = 0
    for row in rows:
        used += len(encoded(row)) + 1
        if page and used > size_bytes:
            break
        page.append(row)
    return page
