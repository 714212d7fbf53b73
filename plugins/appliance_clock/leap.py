"""The two seconds before and after a leap second, in which nobody should set a clock by ours."""

from __future__ import annotations

_DAY_NS = 86_400_000_000_000
WINDOW_NS = 2_000_000_000


class LeapWatch:
    """Remembers when the announced leap second happens: the announcement may be gone the moment after it.

    A leap second stands at the end of a UTC day, and it is announced on that day only. The window reaches from 2 s
    before that midnight to 2 s after it; the inserted second itself shows as a repeated 23:59:59 and so lies inside.
    """

    def __init__(self) -> None:
        self._midnight_ns: int | None = None

    def note(self, leap: int, wall_ns: int) -> None:
        """Take in the leap indicator of a moment (ns since 1970)."""
        if self._midnight_ns is not None and abs(wall_ns - self._midnight_ns) <= WINDOW_NS:
            return  # what is announced just now may still mean the one that is passing
        self._midnight_ns = (wall_ns // _DAY_NS + 1) * _DAY_NS if leap in (1, 2) else None

    def open(self, wall_ns: int) -> bool:
        """Whether this moment lies inside the window."""
        return self._midnight_ns is not None and abs(wall_ns - self._midnight_ns) <= WINDOW_NS

    def opens_in_ns(self, wall_ns: int) -> int | None:
        """Time until the window opens, or None when no leap second is announced."""
        if self._midnight_ns is None:
            return None
        return max(0, self._midnight_ns - WINDOW_NS - wall_ns)
