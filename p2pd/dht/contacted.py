"""Whom this node has sent anything to lately: routers still let those in, which says nothing about strangers.

Knows no protocol.
Rules: it sees every effect of the node, so that no way out is forgotten: datagrams, knocks, requests, and the links
that are dialled; an open link sends all the time.  Hosts count, not endpoints: many routers let in whatever comes from
an address that was written to (RFC 4787, address-dependent filtering).
"""

from p2pd import limits
from p2pd.dht.bounded import Recent
from p2pd.effects import CloseLink, Effect, OpenLink, Request, SendDatagram
from p2pd.types import Endpoint


class Contacted:
    """The memory of one node; who gives it time sets `now_s`, steady seconds."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._written: Recent[str, float] = Recent(limits.CONTACTED)
        self._linked: Recent[int, tuple[str, ...]] = Recent(limits.CONTACTED)

    def on_effect(self, effect: Effect) -> None:
        """Something is about to leave."""
        match effect:
            case SendDatagram(to, _):
                self._written.put(to.host, self.now_s)
            case Request(endpoint=endpoint):
                self._written.put(endpoint.host, self.now_s)
            case OpenLink(link=link, endpoints=endpoints):
                self._linked.put(link, tuple(endpoint.host for endpoint in endpoints))
            case CloseLink(link, _):
                self.on_unlinked(link)
            case _:
                pass

    def on_linked(self, link: int, endpoint: Endpoint) -> None:
        """A link is up, by whomever it was dialled."""
        self._linked.put(link, (endpoint.host,))

    def on_unlinked(self, link: int) -> None:
        """A link is down, or has never been up."""
        for host in self._linked.pop(link) or ():
            self._written.put(host, self.now_s)

    def has(self, endpoint: Endpoint) -> bool:
        """Whether a router may let its packets in because of us."""
        at_s = self._written.find(endpoint.host)
        if at_s is not None and self.now_s - at_s < limits.CONTACTED_S:
            return True
        return any(endpoint.host in hosts for hosts in self._linked.values())
