"""The address that a query was sent to, from which its reply must leave: packet information of both families."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import TypeAlias

Control: TypeAlias = tuple[int, int, bytes]

IP_PKTINFO = getattr(socket, "IP_PKTINFO", 8)
_PKTINFO4 = struct.Struct("@i4s4s")
_PKTINFO6 = struct.Struct("@16si")
ANCILLARY_BYTES = socket.CMSG_SPACE(_PKTINFO6.size)


def own_address(ancillary: Sequence[Control]) -> bytes:
    """The address that a query was sent to; empty when the kernel did not say."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
            return bytes(_PKTINFO4.unpack_from(data)[2])
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return bytes(_PKTINFO6.unpack_from(data)[0])
    return b""


def reply_source(ancillary: Sequence[Control]) -> list[Control]:
    """Ancillary data that sends a reply from the address that the query was sent to."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
            _index, local, _destination = _PKTINFO4.unpack_from(data)
            return [(level, kind, _PKTINFO4.pack(0, local, bytes(4)))]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            local, index = _PKTINFO6.unpack_from(data)
            # A route may leave through another interface than the query came in, except for link-local addresses.
            link_local = local[0] == 0xFE and local[1] & 0xC0 == 0x80
            return [(level, kind, _PKTINFO6.pack(local, index if link_local else 0))]
    return []
