"""What the Linux kernel says of this machine's addresses, and when they change: rtnetlink (rtnetlink(7), RFC 3549).

Knows no endpoint.  Rules: only the kernel is heard (port id 0), and of what it says only what is needed is read; of a
notice that is whether something was taken away: who gets one asks for the whole list again.
"""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from p2pd import limits

GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE: what is told without being asked."""
_GETLINK, _NEWLINK, _GETADDR, _NEWADDR = 18, 16, 22, 20
_TAKEN_AWAY = (17, 21)
"""RTM_DELLINK, RTM_DELADDR."""
_ERROR, _DONE = 2, 3
_REQUEST_DUMP = 0x301
_LOCAL, _ADDRESS = 2, 1
_UP, _LOOPBACK, _POINT_TO_POINT, _RUNNING, _MULTICAST = 0x1, 0x8, 0x10, 0x40, 0x1000
_DAD_FAILED, _DEPRECATED, _TENTATIVE = 0x08, 0x20, 0x40
_HEAD = struct.Struct("=IHHII")
"""Length, type, flags, sequence, port id."""
_LINK = struct.Struct("=BxHiII")
"""Family, type, index, flags, change."""
_ADDR = struct.Struct("=BBBBI")
"""Family, prefix length, flags, scope, index."""
_ATTRIBUTE = struct.Struct("=HH")


@dataclass(frozen=True, slots=True)
class MachineAddress:
    """One address of this machine: `prefix` bits of it name its network."""

    host: str
    prefix: int
    interface: int
    is_lan: bool
    """On a network where one can speak to all: no loopback, no tunnel."""


def open_notices() -> socket.socket:
    """A non-blocking socket that can be read when links, addresses or routes change; OSError where there is none."""
    notices = _open(GROUPS)
    notices.setblocking(False)
    return notices


def drain(notices: socket.socket) -> bool:
    """Take all notices that wait; whether a link or an address was taken away, or may have been."""
    taken_away = False
    for _ in range(limits.NOTICES_PER_READ):
        try:
            notice = notices.recv(limits.NETLINK_BYTES)
        except BlockingIOError:
            break
        except OSError:  # ENOBUFS: there were more than it keeps; which is a notice too
            taken_away = True
            continue
        if len(notice) < _HEAD.size:
            break
        taken_away |= _HEAD.unpack_from(notice)[1] in _TAKEN_AWAY
    return taken_away


def read_addresses() -> list[MachineAddress]:
    """Every usable address of interfaces that are up; OSError where the kernel may not be asked."""
    with _open(0) as asked:
        asked.settimeout(limits.NETLINK_S)
        links = {index: flags for index, flags in map(_link, _dump(asked, _GETLINK, _NEWLINK)) if flags & _UP}
        found: list[MachineAddress] = []
        for body in _dump(asked, _GETADDR, _NEWADDR):
            address = _address(body, links)
            if address is not None and len(found) < limits.MACHINE_ADDRESSES:
                found.append(address)
        return found


def _open(groups: int) -> socket.socket:
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError("no netlink here")
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        opened.bind((0, groups))
    except OSError:
        opened.close()
        raise
    return opened


def _dump(asked: socket.socket, question: int, answer: int) -> Iterator[bytes]:
    """The bodies of all messages of the type `answer` that the question brings."""
    asked.sendto(_HEAD.pack(_HEAD.size + 4, question, _REQUEST_DUMP, question, 0) + bytes(4), (0, 0))
    for _ in range(limits.NETLINK_READS):
        data, (sender, _groups) = asked.recvfrom(limits.NETLINK_BYTES)
        if sender != 0:  # another process may send to us; only the kernel is asked
            continue
        at = 0
        while at + _HEAD.size <= len(data):
            length, kind, _flags, sequence, _port = _HEAD.unpack_from(data, at)
            if length < _HEAD.size or sequence != question or kind in (_DONE, _ERROR):
                return
            if kind == answer:
                yield data[at + _HEAD.size : at + length]
            at += length + 3 & ~3


def _link(body: bytes) -> tuple[int, int]:
    """Index and flags; an interface that does not run counts as down."""
    _family, _kind, index, flags, _change = _LINK.unpack_from(body)
    return index, flags if flags & _RUNNING else 0


def _address(body: bytes, links: dict[int, int]) -> MachineAddress | None:
    _family, prefix, flags, _scope, index = _ADDR.unpack_from(body)
    if index not in links or flags & (_DAD_FAILED | _DEPRECATED | _TENTATIVE):
        return None
    attributes = dict(_attributes(body[_ADDR.size :]))
    packed = attributes.get(_LOCAL) or attributes.get(_ADDRESS)  # of a tunnel, ADDRESS is the other end's
    if packed is None or len(packed) not in (4, 16):
        return None
    is_lan = links[index] & (_LOOPBACK | _POINT_TO_POINT | _MULTICAST) == _MULTICAST
    return MachineAddress(str(ip_address(packed)), prefix, index, is_lan)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += length + 3 & ~3
