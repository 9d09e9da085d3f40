"""One question to the gateway over UDP, asked a few times, and its answer.

Knows no protocol.  Rules: the socket is connected, so that only the gateway's own port is heard; what does not fit is
passed over, so that nobody can answer first with rubbish and be believed; all is bounded.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import TypeVar

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.net.port_mapping.method import DeclinedError, UnansweredError, Way

T = TypeVar("T")


async def ask(way: Way, port: int, question: bytes, read: Callable[[bytes], T]) -> T:
    """What `read` makes of the first answer that it takes; it raises PeerError for the others.

    Raises:
        DeclinedError: `read` raised it: the gateway has answered, and does not want.
        UnansweredError: nothing that fits came within `limits.GATEWAY_ASK_S`, or nobody listens there.
        OSError: the gateway cannot be reached at all.
    """
    rejected = ""
    with _connected(way, port) as line:
        for wait_s in limits.GATEWAY_ASK_S:
            try:
                await asyncio.get_running_loop().sock_sendall(line, question)
                async with asyncio.timeout(wait_s):
                    for _ in range(limits.GATEWAY_ANSWERS):
                        data = await asyncio.get_running_loop().sock_recv(line, limits.GATEWAY_PACKET_BYTES + 1)
                        try:
                            return read(data)
                        except DeclinedError:
                            raise
                        except PeerError as error:
                            rejected = error.reason
            except TimeoutError:
                continue
            except ConnectionRefusedError:
                raise UnansweredError("nothing listens") from None
    raise UnansweredError(f"no answer that fits ({rejected})" if rejected else "no answer")


def _connected(way: Way, port: int) -> socket.socket:
    line = socket.socket(socket.AF_INET6 if way.is_v6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        line.setblocking(False)
        line.bind((way.own, 0))
        if way.is_v6:
            line.connect((way.gateway, port, 0, socket.if_nametoindex(way.interface) if way.interface else 0))
        else:
            line.connect((way.gateway, port))
    except OSError:
        line.close()
        raise
    return line
