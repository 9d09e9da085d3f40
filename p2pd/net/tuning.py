"""The numbers of QUIC that a private network or a hardening test sets otherwise; each defaults to `limits`."""

from dataclasses import dataclass

from p2pd import limits


@dataclass(frozen=True, slots=True)
class QuicTuning:
    """Times in seconds; counts of connections."""

    private: bool = False
    """A network of one's own: connections are counted per node key instead of per address."""
    unauthenticated: int = limits.CONNECTIONS_UNAUTHENTICATED
    authenticated: int = limits.CONNECTIONS_AUTHENTICATED
    outgoing: int = limits.CONNECTIONS_OUTGOING
    per_source: int = limits.CONNECTIONS_PER_SOURCE
    unread_bytes: int = limits.UNREAD_BYTES
    retry_half_open: int = limits.RETRY_HALF_OPEN
    retry_initials_per_s: float = limits.RETRY_INITIALS_PER_S
    authenticate_s: float = limits.AUTHENTICATE_S
    idle_s: float = limits.IDLE_S
    keepalive_s: float = limits.KEEPALIVE_S
    unanswered_s: float = limits.UNANSWERED_S
    dial_s: float = limits.DIAL_S
    dial_stagger_s: float = limits.DIAL_STAGGER_S
    exchange_s: float = limits.EXCHANGE_S
    pool_idle_s: float = limits.POOL_IDLE_S
