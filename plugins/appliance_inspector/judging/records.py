# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
"""Reads capture files piece by piece: classic ones (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng).

Whoever made the file is not trusted: every length is looked at before anything of that length is kept, a block that no packet
needs is skipped as it comes, and what makes no sense ends the reading with a sentence. Memory: one record.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

#: The longest packet that capture programs write (MAXIMUM_SNAPLEN of libpcap).
MOST_RECORD_BYTES = 262_144
MOST_INTERFACES = 1024
#: A block of an interface, with its options.
_MOST_DESCRIPTION_BYTES = 65_536

_SECTION, _INTERFACE, _SIMPLE, _PACKET = 0x0A0D0D0A, 1, 3, 6
#: First bytes of a classic file: byte order and ns of one tick.
_CLASSIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000), b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1), b"\xa1\xb2\x3c\x4d": (">", 1),
}  # fmt: skip
_LATEST_NS = 1 << 62


class Record(NamedTuple):
    """A packet as it was captured.

    Attributes:
        ns: when, since 1970.
        link: its link type.
        frame: its first bytes.
    """

    ns: int
    link: int
    frame: bytes


class Damaged(Exception):
    """The file makes no sense from here on; `str` says why."""


class CaptureReader:
    """Feed it pieces of a file, then `end` it."""

    def __init__(self) -> None:
        self._left = b""
        self._skip = 0
        self._order, self._tick_ns, self._link = "", 0, -1
        self._interfaces: list[tuple[int, int]] = []
        self._last_ns = 0

    def feed(self, piece: bytes) -> Iterator[Record]:
        """The packets that are complete now.

        Raises:
            Damaged: what comes next is no packet; those before it were given out.
        """
        data, at = self._left + piece, 0
        while True:
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip, at = self._skip - step, at + step
                if self._skip:
                    break
            found = self._next(data, at)
            if found is None:
                break
            size, record = found
            at += size
            if record is not None:
                yield record
        self._left = data[at:]

    def end(self) -> str:
        """What is lacking at the end of the file; "" when nothing is."""
        if not self._order:
            return "it is no capture file" if self._left else "it is empty"
        if self._left or self._skip:
            return "it ends in the middle of a packet"
        return ""

    def _next(self, data: bytes, at: int) -> tuple[int, Record | None] | None:
        """How long the next item at `at` is, with its packet if it is one; None until there is more of it."""
        left = len(data) - at
        if not self._order:
            if left < 4:
                return None
            magic = data[at : at + 4]
            if magic in _CLASSIC:
                return self._classic_head(data, at) if left >= 24 else None
            if magic != b"\x0a\x0d\x0d\x0a":
                raise Damaged("it is no capture file: expected pcap or pcapng")
        return self._classic(data, at) if self._tick_ns else self._block(data, at)

    def _classic_head(self, data: bytes, at: int) -> tuple[int, None]:
        self._order, self._tick_ns = _CLASSIC[data[at : at + 4]]
        (link,) = struct.unpack_from(self._order + "I", data, at + 20)
        self._link = link & 0xFFFF  # above it: length of a checksum
        return 24, None

    def _classic(self, data: bytes, at: int) -> tuple[int, Record] | None:
        if len(data) - at < 16:
            return None
        seconds, ticks, kept, _ = struct.unpack_from(self._order + "IIII", data, at)
        if kept > MOST_RECORD_BYTES:
            raise Damaged(f"a packet of {kept:,} bytes")
        if len(data) - at < 16 + kept:
            return None
        ns = seconds * 10**9 + ticks * self._tick_ns
        return 16 + kept, Record(ns, self._link, data[at + 16 : at + 16 + kept])

    def _block(self, data: bytes, at: int) -> tuple[int, Record | None] | None:
        if len(data) - at < 12:
            return None
        if data[at : at + 4] == b"\x0a\x0d\x0d\x0a":
            mark = data[at + 8 : at + 12]
            if mark not in (b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d"):
                raise Damaged("a section without its byte order")
            self._order = "<" if mark[0] == 0x4D else ">"
            self._interfaces = []
        kind, size = struct.unpack_from(self._order + "II", data, at)
        if size < 12 or size % 4:
            raise Damaged(f"a block of {size} bytes")
        wanted = {_INTERFACE: _MOST_DESCRIPTION_BYTES, _SIMPLE: MOST_RECORD_BYTES, _PACKET: MOST_RECORD_BYTES}
        most = wanted.get(kind, 0)
        if not most:
            self._skip = size
            return 0, None
        if size > most + 1024:
            raise Damaged(f"a block of {size:,} bytes")
        if len(data) - at < size:
            return None
        if struct.unpack_from(self._order + "I", data, at + size - 4)[0] != size:
            raise Damaged("a block whose two lengths differ")
        body = data[at + 8 : at + size - 4]
        if kind == _INTERFACE:
            self._interface(body)
            return size, None
        return size, self._enhanced(body) if kind == _PACKET else self._simple(body)

    def _interface(self, body: bytes) -> None:
        if len(body) < 8 or len(self._interfaces) >= MOST_INTERFACES:
            raise Damaged(f"an interface that is cut off, or more than {MOST_INTERFACES}")
        (link,) = struct.unpack_from(self._order + "H", body)
        per_s, at = 1_000_000, 8
        while at + 4 <= len(body):
            option, length = struct.unpack_from(self._order + "HH", body, at)
            if option == 0:
                break
            if option == 9 and length == 1 and at + 5 <= len(body):  # if_tsresol
                power = body[at + 4]
                per_s = 1 << min(power & 0x7F, 63) if power & 0x80 else 10 ** min(power, 18)
            at += 4 + (length + 3) // 4 * 4
        self._interfaces.append((link, per_s))

    def _enhanced(self, body: bytes) -> Record:
        if len(body) < 20:
            raise Damaged("a packet that is cut off")
        interface, high, low, kept, _ = struct.unpack_from(self._order + "IIIII", body)
        if interface >= len(self._interfaces) or kept > len(body) - 20:
            raise Damaged("a packet of an interface that is not there, or longer than its block")
        link, per_s = self._interfaces[interface]
        self._last_ns = min(_LATEST_NS, (high << 32 | low) * 10**9 // per_s)
        return Record(self._last_ns, link, body[20 : 20 + kept])

    def _simple(self, body: bytes) -> Record:
        if len(body) < 4 or not self._interfaces:
            raise Damaged("a packet without an interface")
        (size,) = struct.unpack_from(self._order + "I", body)
        return Record(self._last_ns, self._interfaces[0][0], body[4 : 4 + size])
