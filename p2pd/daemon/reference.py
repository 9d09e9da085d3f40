"""`docs/api.md`, made from the method table: `python -m p2pd.daemon.reference > docs/api.md`."""

from p2pd import limits
from p2pd.daemon.method import Method, Parameter
from p2pd.daemon.methods import METHODS

_HEAD = f"""# The control API

This page is made from the method table by `python -m p2pd.daemon.reference`; a test says whether it is current.

JSON-RPC 2.0 in UTF-8 on a Unix socket, one message a line, at most {limits.CONTROL_LINE_BYTES // limits.MIB} MiB.
The socket is `run/control.sock` in the home, or where the home's file `control` says.
Only the user whose daemon it is, and root, may connect; at most {limits.CONTROL_CLIENTS} at a time.
Parameters go by name; one that is unknown is an error that names the known ones.
A batch has at most {limits.CONTROL_CALLS} calls, which are carried out one after the other.
One of them may go on after its answer.
Calls of one connection run side by side, so answers may come in any order.
After its sending side is closed, a client has {limits.CONTROL_STALL_S:g} s for the answers that are due.
A line that stops for {limits.CONTROL_STALL_S:g} s, or an answer that is not taken for so long, ends the connection.

    $ echo '{{"jsonrpc": "2.0", "id": 1, "method": "id"}}' | nc -U ~/.local/share/p2pd/run/control.sock

An error carries `data` with `code` (a stable name), `hint` and `exit_code` (what p2pctl ends with).
A list that is longer than a line comes with `next`: repeat the call with these parameters added.
Times are RFC 3339 in UTC with milliseconds.
What came from a peer is exact, and may hold characters that a terminal obeys.

`p2pd.client` is the Python client: `call(...)` without asyncio, `connect()` with it, every method under its own name.
Python reserves some names; there they end in `_`: `await client.contact.add(address=link, as_="bob")`.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(entry) for entry in METHODS.values())])


def _section(entry: Method) -> str:
    lines = [f"## {entry.name}", "", entry.help, ""]
    if entry.parameters:
        lines += ["| parameter | type | unless given | |", "|---|---|---|---|"]
        lines += [_row(each) for each in entry.parameters.values()]
        lines.append("")
    lines += ["| answer | |", "|---|---|"]
    lines += [f"| `{key}` | {_cell(words)} |" for key, words in entry.result.items()]
    return "\n".join([*lines, ""])


def _row(entry: Parameter) -> str:
    unless_given = "must be given" if entry.required else str(entry.default).lower()
    return f"| `{entry.name}` | {_cell(entry.type_words)} | {unless_given} | {_cell(entry.help)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
