"""One bucket for each network that asks, an IPv4 /24 or an IPv6 /48: the structure of the native plane, cell by cell."""

from __future__ import annotations

from appliance.dataplane.ntp_limit import take
from appliance.wire.siphash import siphash

#: How many cells a service has: half a megabyte.
ROOM = 1 << 16
#: Cells that a network can be in.
WAYS = 8
#: Time in a cell counts 2^14 ns.
TICK_SHIFT = 14
_TIME = (1 << 48) - 1


class NetworkBuckets:
    """A fixed number of cells: 16 bits of the hash of a network, and when its bucket will be full again.

    A network is in one of the 8 cells of a line. Where there is no room it takes the cell whose bucket is the fullest, so
    that what is forgotten first is a network that hardly asks. Two networks that share line and 16 bits share a bucket.

    Args:
        room: number of cells, a multiple of 8.
        secret: 16 random bytes, so that nobody can choose what shares a bucket.
    """

    __slots__ = ("_lines", "_secret", "cells")

    def __init__(self, room: int, secret: bytes) -> None:
        self.cells = [0] * room
        self._lines = room // WAYS
        self._secret = secret

    def place(self, network: int) -> tuple[int, int]:
        """First cell of the line of a network, and the 16 bits that are its mark there."""
        hashed = siphash(self._secret, network.to_bytes(8, "little"), 1, 3)
        return (hashed * self._lines >> 64) * WAYS, hashed & 0xFFFF

    def take(self, place: tuple[int, int], now_ns: int, cost_ns: int, cap_ns: int) -> bool:
        """Take one reply's cost from the bucket of a network; whether that is allowed."""
        line, mark = place
        cells = self.cells
        at, full_at, least = line, 0, 1 << 64
        for index in range(line, line + WAYS):
            seen = cells[index]
            if seen >> 48 == mark:
                at, full_at = index, seen & _TIME
                break
            if seen & _TIME < least:
                at, least = index, seen & _TIME
        allowed, after = take(full_at, now_ns >> TICK_SHIFT, cost_ns >> TICK_SHIFT, cap_ns >> TICK_SHIFT)
        if allowed:
            cells[at] = mark << 48 | after & _TIME
        return allowed
