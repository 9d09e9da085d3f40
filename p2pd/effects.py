"""What the core asks of the world: one value per wish, put into one queue, performed after the turn has been committed.

It does not know who performs them: the driver in a daemon, the virtual world in the simulator.
Rules: an effect is a plain frozen value; it leaves only after the commit of the turn that made it; an answer, where
there is one, comes back as an input under the number the core chose (`link`, `exchange`, `job`).
Numbers the core chooses are positive; those of incoming links and requests are chosen by the world and negative.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from p2pd import limits
from p2pd.domains import Domain
from p2pd.types import Endpoint, NodeKey

OTHER = "other"
"""The cause of what was given none."""


@dataclass(frozen=True, slots=True)
class SendDatagram:
    """Send one datagram of the DHT's: first byte 0x14 to 0x3F, at most `limits.DATAGRAM_BYTES`.

    With `after_records` it waits until the records database has been committed durably: a receipt is a promise.
    """

    to: Endpoint
    data: bytes
    after_records: bool = False
    cause: str = OTHER
    """What it is for, as whoever sends it counts its bytes."""


class LinkKind(Enum):
    """What a link is for; the first byte of its stream."""

    PERSON = b"L"
    """Two persons' devices talk."""
    RELAY = b"V"
    """A node waits at a relay, or calls by one: frames go via the one who accepts."""


@dataclass(frozen=True, slots=True)
class OpenLink:
    """Dial a node, endpoints in order of hope; `on_link_opened` or `on_link_failed` answers.

    We appear there under the key of the 32-byte `signer_seed`, or, where that is empty, our own node key.
    """

    link: int
    node: NodeKey
    endpoints: tuple[Endpoint, ...]
    kind: LinkKind = LinkKind.PERSON
    signer_seed: bytes = b""


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Send one frame, at most `limits.LINK_FRAME_BYTES`, in order, on a link's one long-lived stream."""

    link: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class CloseLink:
    """Close a link, or give up dialling it; what was sent before is not waited for, and no input answers."""

    link: int
    reason: str


@dataclass(frozen=True, slots=True)
class CheckLink:
    """Ask whether a link still leads anywhere: without a sign of life `limits.CHECK_LINK_S` later it is closed."""

    link: int


@dataclass(frozen=True, slots=True)
class Request:
    """Ask a node for more than a datagram holds; `on_response` answers, with None where there was no whole answer.

    We appear there under the Ed25519 key of the 32-byte `signer_seed`: a throwaway key, or the node's own.
    The payload is at most `limits.REQUEST_BYTES`, the answer `limits.RESPONSE_BYTES`.
    """

    exchange: int
    node: NodeKey
    endpoint: Endpoint
    signer_seed: bytes
    payload: bytes
    cause: str = OTHER
    """What it is for, as for `SendDatagram`."""


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer an incoming request, at most `limits.RESPONSE_BYTES`; `after_records` as for `SendDatagram`."""

    exchange: int
    payload: bytes
    after_records: bool = False


@dataclass(frozen=True, slots=True)
class SolveStamp:
    """Find a proof of work of `bits` leading zero bits over the challenge, off the core; `on_stamp` answers."""

    job: int
    challenge: bytes
    bits: int
    domain: Domain = Domain.STAMP


@dataclass(frozen=True, slots=True)
class Notify:
    """Events up to and with `cursor` are committed: wake whoever follows them.

    Where the event is that a message of ours got further, its id and its state tell whoever waits for that.
    """

    cursor: int
    message: bytes = b""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the local networks that a node is here, under a new name, with these until the next: see `peer/neighbours`.

    Announcements of others come back as `on_neighbour`.
    """

    salt: bytes
    tag: bytes


Effect = (
    SendDatagram | OpenLink | SendFrame | CloseLink | CheckLink | Request | Respond | SolveStamp | Notify | Announce
)


class EffectQueue:
    """The effects of one turn, in order; every machine of a node appends to the same one."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []
        self.watch: Callable[[Effect], None] = lambda effect: None
        """Told of each one."""

    def __len__(self) -> int:
        return len(self._effects)

    def append(self, effect: Effect) -> None:
        """Add one; RuntimeError beyond `limits.EFFECTS` in a turn, which only a bug can reach."""
        if len(self._effects) >= limits.EFFECTS:
            raise RuntimeError(f"more than {limits.EFFECTS} effects in one turn")
        self._effects.append(effect)
        self.watch(effect)

    def take(self) -> list[Effect]:
        """All that was appended since the last call, oldest first."""
        taken, self._effects = self._effects, []
        return taken
