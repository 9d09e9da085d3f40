"""A process full of nodes that store, so that a network of a hundred fits a small machine.

`python -m bench.crowd FOLDER NODES REPLICAS LINE [KEY@HOST:PORT...]` says `{"first": [...]}` once all have joined, and
then loses some of them when it is told to, a line of JSON each.  Its nodes are whole engines on sockets of their
own, which keep records in files and commit them before they give a receipt; they share one thread.
Knows nothing of what is measured: whatever is measured runs in another process.
"""

import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.line import LINES, Line, take
from p2pd.types import NodeHint
from p2pd.wire.address import format_hint, parse_node_hint
from tests.integration.fleet import environment
from tests.swarm import Swarm

JOINING = 10
"""Nodes that join at once."""
TABLE = 12
"""Nodes that each knows before the crowd counts as joined."""
WITHIN_S = 240.0


class Crowd:
    """One such process, seen from outside."""

    def __init__(self, nodes: int, replicas: int, line: Line, first: tuple[str, ...] = ()) -> None:
        self._folder = tempfile.mkdtemp(prefix="p2p-crowd-", dir="/tmp")
        words = [sys.executable, "-m", "bench.crowd", self._folder, str(nodes), str(replicas), line.name, *first]
        self._process = subprocess.Popen(words, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._process.pid

    @property
    def first(self) -> tuple[str, ...]:
        """Nodes to begin with, once they have joined."""
        return tuple(self._answer()["first"])

    def lose(self, share: float, *, how: str) -> int:
        """Kill or silence a share of the nodes; how many went."""
        return int(self._tell(do="lose", share=share, how=how)["lost"])

    def end(self) -> None:
        """End the process."""
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _tell(self, **what: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "a crowd has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


async def _live(nodes: int, replicas: int, first: tuple[NodeHint, ...], folder: Path) -> None:
    async with asyncio.TaskGroup() as tasks:
        swarm = Swarm(replicas, tasks, first, folder)
        for _ in range(min(nodes, 3)):
            await swarm.add(storage_only=True)
        while len(swarm.servers) < nodes:
            for _ in range(min(JOINING, nodes - len(swarm.servers))):
                await swarm.add(storage_only=True)
            await swarm.settled(swarm.servers[-JOINING:], min(TABLE, len(swarm.servers) - 1), WITHIN_S)
        _say(first=[format_hint(hint) for hint in swarm.hints])
        alive = list(swarm.servers)
        async for order in _orders():
            lost = random.Random(1).sample(alive, round(order["share"] * len(alive)))  # the same each time
            for node in lost:
                await (node.vanish() if order["how"] == "kill" else node.freeze())
            alive = [node for node in alive if node not in lost]
            _say(lost=len(lost))
        for node in alive:
            await node.stop()


async def _orders() -> Any:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


def _say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    """The process."""
    folder, nodes, replicas, line, *first = sys.argv[1:]
    take(LINES[line])
    hints = tuple(parse_node_hint(text) for text in first)
    asyncio.run(_live(int(nodes), int(replicas), hints, Path(folder)))


if __name__ == "__main__":
    main()
