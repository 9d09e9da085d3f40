"""Many calls under way at once through one control connection, as a busy bot has them.

`p2pd.client` waits for one answer after another; the socket itself does not ask for that (`docs/api.md`).
Knows the protocol and no method.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from p2pd.limits import CONTROL_LINE_BYTES
from p2pd.places import find_control

UNDER_WAY = 64
"""As many calls of one client as the daemon carries out at once."""


async def carry_out(home: Path, method: str, calls: Sequence[Mapping[str, Any]], under_way: int = UNDER_WAY) -> None:
    """Make all these calls of a method, so many at a time; AssertionError where one is refused."""
    reader, writer = await asyncio.open_unix_connection(str(find_control(home)), limit=CONTROL_LINE_BYTES)
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": dict(parameters)}).encode() + b"\n"
        for number, parameters in enumerate(calls)
    ]
    try:
        writer.write(b"".join(lines[:under_way]))
        for answered in range(len(lines)):
            answer = await reader.readline()
            assert b'"result"' in answer, answer[:400]
            writer.write(b"".join(lines[answered + under_way : answered + under_way + 1]))
    finally:
        writer.close()
        await writer.wait_closed()
