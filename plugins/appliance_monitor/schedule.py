"""Who is due: a heap on monotonic time with jitter. It decides; it does not wait, probe or look at a clock."""

from __future__ import annotations

import heapq
import itertools
import random

#: Each wait is moved by up to this share, so that members that came together do not stay together.
JITTER = 0.05
#: New members start this far apart: ten thousand are spread over 200 s, fifty over one.
SPREAD_NS = 20_000_000


class Schedule:
    """Due times of members. O(log n) for each probe; a removed member leaves its entry to be skipped."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._heap: list[tuple[int, int, str]] = []
        self._due_ns: dict[str, int] = {}
        self._interval_s: dict[str, float] = {}
        self._order = itertools.count()
        self._next_start_ns = 0

    def __len__(self) -> int:
        return len(self._due_ns)

    def __contains__(self, member: object) -> bool:
        return member in self._due_ns

    def add(self, member: str, now_ns: int) -> None:
        """A new member: soon, but not all at once."""
        self._next_start_ns = max(now_ns, self._next_start_ns + SPREAD_NS)
        self._push(member, self._next_start_ns)

    def again(self, member: str, started_ns: int, interval_s: float, now_ns: int) -> None:
        """The next probe `interval_s` after the last one started, give or take; nothing for a removed member.

        The first wait that is longer than the one before ends anywhere between the two: members that settle together would
        stay together for hours.
        """
        if member in self._due_ns:
            shortest_s = interval_s * (1 - JITTER)
            before_s, self._interval_s[member] = self._interval_s.get(member, shortest_s), interval_s
            wait_s = self._rng.uniform(min(before_s, shortest_s), interval_s * (1 + JITTER))
            self._push(member, max(now_ns, started_ns + int(wait_s * 1e9)))

    def hasten(self, member: str, now_ns: int) -> None:
        """Probe it now, unless a probe of it is under way."""
        if self._due_ns.get(member, -1) != -1:
            self._push(member, now_ns)

    def no_later(self, member: str, now_ns: int, interval_s: float) -> None:
        """The interval is `interval_s` from now on: whoever is due later than that is spread over it instead."""
        if self._due_ns.get(member, -1) > now_ns + int(interval_s * (1 + JITTER) * 1e9):
            self._push(member, now_ns + int(interval_s * self._rng.random() * 1e9))

    def remove(self, member: str) -> None:
        self._due_ns.pop(member, None)
        self._interval_s.pop(member, None)

    def members(self) -> frozenset[str]:
        return frozenset(self._due_ns)

    def take(self, now_ns: int) -> str | None:
        """The next member that is due; it is not handed out again before `again` or `hasten`."""
        while self._heap and self._heap[0][0] <= now_ns:
            due_ns, _, member = heapq.heappop(self._heap)
            if self._due_ns.get(member) == due_ns:
                self._due_ns[member] = -1
                return member
        return None

    def wait_s(self, now_ns: int) -> float | None:
        """Seconds until somebody is due, None when nobody is waiting."""
        while self._heap and self._due_ns.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return max(0.0, (self._heap[0][0] - now_ns) / 1e9) if self._heap else None

    def _push(self, member: str, due_ns: int) -> None:
        self._due_ns[member] = due_ns
        heapq.heappush(self._heap, (due_ns, next(self._order), member))
