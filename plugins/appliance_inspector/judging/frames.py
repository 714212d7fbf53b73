# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
"""Frames between the inspector and its child: a length, then JSON or packed packets; sizes are bounded on both sides."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

#: A frame of packets to the child: 2,000 packets of 2 KiB.
MOST_IN_BYTES = 8 << 20
#: A frame from the child: alerts in words.
MOST_OUT_BYTES = 1 << 20

LENGTH = struct.Struct("!IB")
#: To the child: rules, packets to judge, a piece of a capture file (an empty one ends it).
RULES, PACKETS, FILE = 1, 2, 3

_HEAD = struct.Struct("!BBHHIqHI16s16s16s")


class Packet(NamedTuple):
    """A packet as it is judged.

    Attributes:
        dns: 1 when it is from the name service, 0 when it is from the time service.
        content: its first bytes.
        size: its length on the wire.
        source: 4 or 16 bytes.
        port: port it came from.
        own: address it was sent to.
        own_port: port it was sent to.
        rx_ns: ns since 1970.
        reason: why it was treated as it was.
        every: how many packets it stands for.
    """

    dns: int
    content: bytes
    size: int
    source: bytes
    port: int
    own: bytes
    own_port: int
    rx_ns: int
    reason: str
    every: int


def pack(packets: Iterable[Packet]) -> bytes:
    """Packets one after the other."""
    parts = []
    for p in packets:
        parts.append(
            _HEAD.pack(
                len(p.source), p.dns, p.port, p.own_port, p.size, p.rx_ns, len(p.content), p.every,
                p.source.ljust(16, b"\0"), p.own.ljust(16, b"\0"), p.reason.encode()[:16].ljust(16, b"\0"),
            )
        )  # fmt: skip
        parts.append(p.content)
    return b"".join(parts)


def unpack(body: bytes) -> list[Packet]:
    """The packets in a frame.

    Raises:
        ValueError, struct.error: it is no such frame.
    """
    packets, at = [], 0
    while at < len(body):
        octets, dns, port, own_port, size, rx_ns, length, every, source, own, reason = _HEAD.unpack_from(
            body, at
        )
        at += _HEAD.size
        content = body[at : at + length]
        if octets not in (4, 16) or len(content) != length:
            raise ValueError("a frame of packets ends in the middle of one")
        at += length
        packets.append(
            Packet(
                dns, content, size, source[:octets], port, own[:octets], own_port, rx_ns,
                reason.rstrip(b"\0").decode("ascii", "replace"), every,
            )
        )  # fmt: skip
    return packets


def read_frame(read: Callable[[int], bytes], most: int) -> tuple[int, bytes] | None:
    """One frame from a blocking stream: its kind and its body; None at its end.

    Raises:
        ValueError: it is longer than `most`, or cut off.
    """
    head = _exactly(read, LENGTH.size)
    if not head:
        return None
    length, kind = LENGTH.unpack(head)
    if length > most:
        raise ValueError(f"a frame of {length} bytes, more than {most}")
    body = _exactly(read, length)
    if len(body) != length:
        raise ValueError("a frame was cut off")
    return kind, body


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    parts, left = [], size
    while left:
        part = read(min(left, 1 << 16))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
