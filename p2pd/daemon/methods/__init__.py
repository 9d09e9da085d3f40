"""The method table of the control API: every method once, by name.

It feeds the API itself, `rpc.discover` and `docs/api.md`.
"""

from p2pd.daemon.method import Method
from p2pd.daemon.methods import invites, life, log, network, options, people, talk

METHODS: dict[str, Method] = {
    entry.name: entry
    for entry in (
        *life.METHODS,
        *talk.METHODS,
        *people.METHODS,
        *invites.METHODS,
        *log.METHODS,
        *network.METHODS,
        *options.METHODS,
    )
}


def discover() -> list[dict[str, object]]:
    """The table as `rpc.discover` answers it."""
    return [
        {
            "name": entry.name,
            "help": entry.help,
            "parameters": [
                {"name": each.name, "type": each.type_words, "required": each.required, "help": each.help}
                | ({} if each.required else {"default": each.default})
                for each in entry.parameters.values()
            ],
            "result": dict(entry.result),
        }
        for entry in METHODS.values()
    ]
