"""The figures; each module measures one side of the daemon, `ALL` names them in the order of a whole run."""

from collections.abc import Callable

from bench.figures import away, commands, finding, linking, resting, talking
from bench.setting import Bench

Measure = Callable[[Bench], None]

ALL: dict[str, Measure] = {
    "floors": commands.floors,
    "status": commands.status,
    "text": talking.text,
    "throughput": talking.throughput,
    "crowded": talking.crowded,
    "bulk": linking.bulk,
    "held": linking.held,
    "befriended": linking.befriended,
    "stored": away.stored,
    "cold": away.cold,
    "newcomer": away.newcomer,
    "get": finding.get,
    "killed": finding.killed,
    "silenced": finding.silenced,
    "simulated": resting.simulated,
    "friends": resting.friends,
    "idle": resting.idle,
}
"""By the name that `python -m bench NAME` takes; the first line of a docstring is its help."""
