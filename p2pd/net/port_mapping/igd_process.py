"""A process of its own that speaks with one UPnP router, by miniupnpc: `python -I igd_process.py TASK`.

TASK is one JSON object: `url`, `gateway`, `own`, `port`, `external_ports`, `lifetime_s`; a lifetime of -1 takes the
mapping of the first external port back.  It prints one JSON object: `external`, `port`, `lifetime_s` (0: without end),
or `error`.

It is a script and imports nothing of p2pd's.  A C library reads here what a router says, in the time that the router
likes: so it gets a process without keys, which can be killed, and a bound on its memory.
"""

import contextlib
import json
import sys
from typing import Any
from urllib.parse import urlsplit

MEMORY_BYTES = 256 * 2**20
DESCRIPTION = "p2pd"
CONFLICT, PERMANENT_ONLY = "ConflictInMappingEntry", "OnlyPermanentLeasesSupported"
"""What miniupnpc says for UPnP's errors 718 and 725; everything it raises is a plain Exception with such a word."""


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Does the task."""
    import miniupnpc

    router = miniupnpc.UPnP()
    control = router.selectigd(task["url"])
    if urlsplit(control).hostname != task["gateway"]:
        return {"error": "its control URL leads elsewhere"}
    if task["lifetime_s"] < 0:
        router.deleteportmapping(task["external_ports"][0], "UDP")
        return {"external": "", "port": 0, "lifetime_s": 0}
    external = router.externalipaddress()
    port, lifetime_s = _map(router, task)
    return {"external": external, "port": port, "lifetime_s": lifetime_s}


def _map(router: Any, task: dict[str, Any]) -> tuple[int, int]:
    """The external port and lifetime granted."""
    ports, lifetime_s = list(task["external_ports"]), task["lifetime_s"]
    while True:
        try:
            router.addportmapping(ports[0], "UDP", task["own"], task["port"], DESCRIPTION, "", lifetime_s)
        except Exception as error:
            if PERMANENT_ONLY in str(error) and lifetime_s:
                lifetime_s = 0
            elif CONFLICT in str(error) and len(ports) > 1:
                ports.pop(0)
            else:
                raise
        else:
            return ports[0], lifetime_s


def _bound_memory() -> None:
    # a system without such bounds, or a service that may not set them, still has the time bound
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def main() -> None:
    """Runs the task of the command line."""
    _bound_memory()
    try:
        answer = run(json.loads(sys.argv[1]))
    except Exception as error:
        answer = {"error": str(error)[:200]}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
