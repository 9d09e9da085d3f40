"""What the network tells the engine, as values: queued, put into the log when one breaks a turn, and delivered."""

from dataclasses import dataclass
from typing import Protocol, assert_never

from p2pd.effects import Effect, LinkKind
from p2pd.types import Endpoint, NodeKey, Now


class Engine(Protocol):
    """One user's whole node, as the driver sees it; every input belongs to one turn."""

    def on_datagram(self, data: bytes, source: Endpoint, now: Now) -> None:
        """A datagram of the DHT's: first byte 0x14 to 0x3F."""
        ...

    def on_link_opened(
        self, link: int, node: NodeKey, endpoint: Endpoint, binding: bytes, outgoing: bool, now: Now
    ) -> None:
        """A link to a proven node is up; `binding` is the SHA-256 of dialler's and acceptor's certificate digests."""
        ...

    def on_relay_opened(self, link: int, node: NodeKey, endpoint: Endpoint, outgoing: bool, now: Now) -> None:
        """A link of the kind RELAY is up: we dialled a relay, or somebody comes to us as to one."""
        ...

    def on_link_failed(self, link: int, reason: str, now: Now) -> None:
        """A link we asked for did not come up."""
        ...

    def on_frame(self, link: int, frame: bytes, now: Now) -> None:
        """The next frame of a link, 1 to `limits.LINK_FRAME_BYTES`."""
        ...

    def on_link_closed(self, link: int, reason: str, now: Now) -> None:
        """A link that was up is down, and not by our `CloseLink`."""
        ...

    def on_link_taken(self, link: int, size_bytes: int, now: Now) -> None:
        """The peer has taken so much more of what we sent on a link, with `limits.LINK_PREFIX_BYTES` a frame.

        It comes in steps of at least `limits.LINK_TAKEN_STEP_BYTES`.
        """
        ...

    def on_request(self, exchange: int, node: NodeKey, endpoint: Endpoint, payload: bytes, now: Now) -> None:
        """A node, under its own or a throwaway key, asks; answer with `Respond` within `limits.EXCHANGE_S`."""
        ...

    def on_response(self, exchange: int, payload: bytes | None, now: Now) -> None:
        """The answer to our `Request`, or None where none came."""
        ...

    def on_stamp(self, job: int, nonce: bytes | None, now: Now) -> None:
        """The proof of work of our `SolveStamp`, or None where there was no room for the job."""
        ...

    def on_addresses(self, endpoints: tuple[Endpoint, ...], now: Now) -> None:
        """Where this machine is now, by itself: first of all, after every change, and when it wakes from a sleep."""
        ...

    def on_mapped(self, endpoint: Endpoint | None, method: str, now: Now) -> None:
        """A router lets everything for this endpoint through to us; None: no more."""
        ...

    def on_neighbour(self, endpoint: Endpoint, salt: bytes, tag: bytes, now: Now) -> None:
        """Somebody announces a node on the local network, at an address of one of our own networks."""
        ...

    def on_records_refused(self, now: Now) -> None:
        """The disk has refused other people's records since their last commit; outside of a turn, and wants nothing."""
        ...

    def on_timer(self, now: Now) -> None:
        """The time given by `next_deadline` has come, or passed."""
        ...

    def next_deadline(self) -> float | None:
        """When something is due next, on the steady clock, in seconds."""
        ...

    def take_effects(self) -> list[Effect]:
        """What the turn wants of the world, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Datagram:
    data: bytes
    source: Endpoint


@dataclass(frozen=True, slots=True)
class LinkOpened:
    link: int
    node: NodeKey
    endpoint: Endpoint
    binding: bytes
    outgoing: bool
    kind: LinkKind = LinkKind.PERSON


@dataclass(frozen=True, slots=True)
class LinkFailed:
    link: int
    reason: str


@dataclass(frozen=True, slots=True)
class Frame:
    link: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class LinkClosed:
    link: int
    reason: str


@dataclass(frozen=True, slots=True)
class LinkTaken:
    link: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RequestArrived:
    exchange: int
    node: NodeKey
    endpoint: Endpoint
    payload: bytes


@dataclass(frozen=True, slots=True)
class ResponseArrived:
    exchange: int
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class StampSolved:
    job: int
    nonce: bytes | None


@dataclass(frozen=True, slots=True)
class Addresses:
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Mapped:
    endpoint: Endpoint | None
    method: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    endpoint: Endpoint
    salt: bytes
    tag: bytes


Input = (
    Datagram
    | LinkOpened
    | LinkFailed
    | Frame
    | LinkClosed
    | LinkTaken
    | RequestArrived
    | ResponseArrived
    | StampSolved
    | Addresses
    | Mapped
    | Neighbour
)


def deliver(engine: Engine, value: Input, now: Now) -> None:
    """Give one input to the engine."""
    match value:
        case Datagram(data, source):
            engine.on_datagram(data, source, now)
        case Frame(link, frame):
            engine.on_frame(link, frame, now)
        case LinkOpened(link, node, endpoint, _, outgoing) if value.kind is LinkKind.RELAY:
            engine.on_relay_opened(link, node, endpoint, outgoing, now)
        case LinkOpened(link, node, endpoint, binding, outgoing):
            engine.on_link_opened(link, node, endpoint, binding, outgoing, now)
        case LinkFailed(link, reason):
            engine.on_link_failed(link, reason, now)
        case LinkClosed(link, reason):
            engine.on_link_closed(link, reason, now)
        case LinkTaken(link, size_bytes):
            engine.on_link_taken(link, size_bytes, now)
        case RequestArrived(exchange, node, endpoint, payload):
            engine.on_request(exchange, node, endpoint, payload, now)
        case ResponseArrived(exchange, payload):
            engine.on_response(exchange, payload, now)
        case StampSolved(job, nonce):
            engine.on_stamp(job, nonce, now)
        case Addresses(endpoints):
            engine.on_addresses(endpoints, now)
        case Mapped(mapped, method):
            engine.on_mapped(mapped, method, now)
        case Neighbour(endpoint, salt, tag):
            engine.on_neighbour(endpoint, salt, tag, now)
        case _:
            assert_never(value)


def summary(value: Input) -> str:
    """What the log may say of an input: its kind, sizes, and ids as 8 hex digits; never its bytes."""
    match value:
        case Datagram(data, _):
            return f"Datagram of {len(data)} bytes, kind {data[:1].hex()}"
        case Frame(link, frame):
            return f"Frame of {len(frame)} bytes on link {link}"
        case RequestArrived(exchange, node, _, payload):
            return f"Request {exchange} of {len(payload)} bytes by {node.hex()[:8]}"
        case ResponseArrived(exchange, payload):
            return f"Response {exchange} of {'no' if payload is None else len(payload)} bytes"
        case LinkOpened(link, node, _, _, _, kind):
            return f"LinkOpened {link} of kind {kind.name} with {node.hex()[:8]}"
        case LinkFailed(link, _) | LinkClosed(link, _) | LinkTaken(link, _):
            return f"{type(value).__name__} {link}"
        case StampSolved(job, _):
            return f"StampSolved {job}"
        case Addresses(endpoints):
            return f"Addresses, {len(endpoints)} of them"
        case Mapped(_, method):
            return f"Mapped by {method}"
        case Neighbour():
            return "Neighbour"
        case _:
            assert_never(value)
