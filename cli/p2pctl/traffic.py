"""`net stats`: what the daemon's traffic is for, as a table."""

from collections.abc import Iterator
from typing import Any

from p2pctl.caller import Caller
from p2pctl.status import mapping_words
from p2pctl.terminal import duration, paint, pairs, size, table

WAYS = ("sent_bytes", "received_bytes")
MEANING = {
    "join": "finding nodes, being found and reached",
    "lookup": "keeping the table right",
    "check": "whether known nodes are there",
    "get": "reading mail, presence, profiles",
    "put": "storing them",
    "listen": "hearing at once of what comes",
    "sweep": "mailboxes looked through in turn",
    "refresh": "keeping others' records where they belong",
    "answer": "what other nodes asked",
    "rejected": "what was not right",
    "handshake": "new connections",
    "user": "messages over direct links",
    "relay": "links by relays, and others' that we carry",
    "keep_alive": "direct links while nothing is said",
    "other": "ways through routers, and what is being read",
}
"""By cause; docs/operations.md says more."""


class Traffic:
    """The daemon's answers, one after another; from the second on, per second is what it was since the one before."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._last: dict[str, Any] | None = None

    def take(self) -> dict[str, Any]:
        """The next answer."""
        answer: dict[str, Any] = self._caller.glance("net.stats")
        last, self._last = self._last, answer
        if last is None or last["uptime_s"] >= answer["uptime_s"]:  # the first, or the daemon was restarted
            return answer
        elapsed_s = answer["uptime_s"] - last["uptime_s"]
        causes = {}
        for cause, counts in answer["causes"].items():
            before = last["causes"].get(cause, {})
            rates = {f"{way}_per_s": round((counts[way] - before.get(way, 0)) / elapsed_s, 1) for way in WAYS}
            causes[cause] = counts | rates
        return answer | {"causes": causes}


def picture(answer: dict[str, Any]) -> list[str]:
    """For a person."""
    general = {
        "up": duration(answer["uptime_s"]),
        "packets": f"{answer['sent_packets']:,} sent, {answer['received_packets']:,} received",
        "connections": f"{answer['connections']}, of them links to people {answer['links']}",
        "port mapping": mapping_words(answer.get("port_mapping")),
    }
    titles = ("cause", "sent", "received", "sent/s", "received/s", "what for")
    lines = [*pairs(general), "", *table(titles, _rows(answer))]
    rejected = [(reason, count) for reason, count in answer["rejected"].items() if count]
    if rejected:
        lines += ["", paint("refused or dropped, by reason", "dim"), *table(("reason", "times"), rejected)[1:]]
    return lines


def _rows(answer: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    causes = {
        cause: counts for cause, counts in answer["causes"].items() if counts["sent_bytes"] + counts["received_bytes"]
    }
    for cause, counts in causes.items():
        yield (cause, *_sizes(counts), MEANING.get(cause, " "))
    keys = (*WAYS, *(f"{way}_per_s" for way in WAYS))
    yield ("all", *_sizes({key: sum(counts[key] for counts in causes.values()) for key in keys}), " ")


def _sizes(counts: dict[str, Any]) -> tuple[str, ...]:
    return tuple(size(counts[key]) for key in (*WAYS, *(f"{way}_per_s" for way in WAYS)))
