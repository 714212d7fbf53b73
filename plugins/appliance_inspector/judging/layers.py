# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
"""From a frame on a link to the UDP datagram in it, through tags and tunnels: VLAN (802.1Q, 802.1ad), IP in IP, GRE.

Pure; a frame has as many layers as it likes, and after `MOST_LAYERS` nobody looks any deeper.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

MOST_LAYERS = 16

#: Link types (tcpdump.org/linktypes.html) with the bytes before what they carry, and where in these its EtherType is.
_WITH_ETHERTYPE = {1: (14, 12), 113: (16, 14), 276: (20, 0)}  # Ethernet, Linux cooked, Linux cooked v2
_RAW = frozenset((12, 14, 101, 228, 229))
_NULL = frozenset((0, 108))

_IPV4, _IPV6, _BRIDGED, _PPP_IGNORED = 0x0800, 0x86DD, 0x6558, 0x880B
_TAGS = frozenset((0x8100, 0x88A8, 0x9100))
_IP_IN_IP, _UDP, _IPV6_IN_IP, _GRE = 4, 17, 41, 47
_ROUTING_AND_THE_LIKE = frozenset((0, 43, 60))
_FRAGMENT, _AUTHENTICATION = 44, 51


class Datagram(NamedTuple):
    """A UDP datagram.

    Attributes:
        source: 4 or 16 bytes.
        own: where it went, as long as `source`.
        content: as much of it as was captured.
        size: its length on the wire.
    """

    source: bytes
    port: int
    own: bytes
    own_port: int
    content: bytes
    size: int


def datagram(link: int, frame: bytes) -> Datagram | None:
    """The innermost UDP datagram of a frame; None when there is none that we could read."""
    try:
        kind, at = _link(link, frame)
        source = own = b""
        for _ in range(MOST_LAYERS):
            if kind in _TAGS:
                (kind,), at = struct.unpack_from("!H", frame, at + 2), at + 4
            elif kind == _BRIDGED:
                (kind,), at = struct.unpack_from("!H", frame, at + 12), at + 14
            elif kind in (_IPV4, _IPV6):
                protocol, at, source, own = (_ipv4 if kind == _IPV4 else _ipv6)(frame, at)
                if protocol == _UDP:
                    return _udp(frame, at, source, own)
                if protocol == _GRE:
                    kind, at = _gre(frame, at)
                else:
                    kind = {_IP_IN_IP: _IPV4, _IPV6_IN_IP: _IPV6}.get(protocol, -1)
            else:
                return None
    except (struct.error, IndexError, ValueError):  # cut off somewhere
        return None
    return None


def _link(link: int, frame: bytes) -> tuple[int, int]:
    """EtherType of what a link's frame carries, and where that begins; -1 for a link that we do not know."""
    if link in _WITH_ETHERTYPE:
        length, at = _WITH_ETHERTYPE[link]
        return struct.unpack_from("!H", frame, at)[0], length
    if link in _NULL:
        return _by_version(frame, 4)
    return _by_version(frame, 0) if link in _RAW else (-1, 0)


def _by_version(frame: bytes, at: int) -> tuple[int, int]:
    return {4: _IPV4, 6: _IPV6}.get(frame[at] >> 4, -1), at


def _ipv4(frame: bytes, at: int) -> tuple[int, int, bytes, bytes]:
    """Protocol, where its header begins, source, destination."""
    length = (frame[at] & 15) * 4
    (fragment,) = struct.unpack_from("!H", frame, at + 6)
    if frame[at] >> 4 != 4 or length < 20 or fragment & 0x1FFF:
        raise ValueError("no header, or not the first fragment")
    source, own = frame[at + 12 : at + 16], frame[at + 16 : at + 20]
    if len(own) != 4:
        raise ValueError("cut off")
    return frame[at + 9], at + length, source, own


def _ipv6(frame: bytes, at: int) -> tuple[int, int, bytes, bytes]:
    source, own = frame[at + 8 : at + 24], frame[at + 24 : at + 40]
    if frame[at] >> 4 != 6 or len(own) != 16:
        raise ValueError("no header")
    kind, at = frame[at + 6], at + 40
    for _ in range(MOST_LAYERS):
        if kind in _ROUTING_AND_THE_LIKE:
            kind, at = frame[at], at + 8 + 8 * frame[at + 1]
        elif kind == _AUTHENTICATION:
            kind, at = frame[at], at + 8 + 4 * frame[at + 1]
        elif kind == _FRAGMENT:
            if struct.unpack_from("!H", frame, at + 2)[0] & 0xFFF8:
                raise ValueError("not the first fragment")
            kind, at = frame[at], at + 8
        else:
            return kind, at, source, own
    raise ValueError("too many headers")


def _gre(frame: bytes, at: int) -> tuple[int, int]:
    """EtherType of what a GRE packet carries (RFC 2784, 2890), and where that begins."""
    flags, kind = struct.unpack_from("!HH", frame, at)
    if flags & 7 or kind == _PPP_IGNORED:  # version 1 is PPTP
        raise ValueError("not this GRE")
    return kind, at + 4 + 4 * ((flags >> 15) + (flags >> 13 & 1) + (flags >> 12 & 1))


def _udp(frame: bytes, at: int, source: bytes, own: bytes) -> Datagram:
    port, own_port, length, _ = struct.unpack_from("!HHHH", frame, at)
    if length < 8:
        raise ValueError("shorter than its header")
    return Datagram(source, port, own, own_port, frame[at + 8 : at + length], length - 8)
