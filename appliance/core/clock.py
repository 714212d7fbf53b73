"""The only place that reads the machine's clocks. Everybody else is handed a `Clock`."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Protocol


class Clock(Protocol):
    """Time as an argument, so that tests can turn it."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back; the epoch means nothing."""
        ...

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC, as the system clock has it (not corrected, may step)."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Wait for `delay_s` seconds of monotonic time."""
        ...


class SystemClock:
    """The machine's own clocks."""

    monotonic_ns = staticmethod(time.monotonic_ns)
    wall_ns = staticmethod(time.time_ns)  # noqa: TID251 - this is the one place

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


class FakeClock:
    """A clock that moves only when told to: `await clock.advance(5)` wakes the sleepers in order.

    Attributes:
        wall_offset_ns: wall minus monotonic; change it to simulate a step of the system clock.
    """

    def __init__(self, wall_ns: int = 1_800_000_000_000_000_000) -> None:
        self._mono_ns = 1_000_000_000
        self.wall_offset_ns = wall_ns - self._mono_ns
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def monotonic_ns(self) -> int:
        return self._mono_ns

    def wall_ns(self) -> int:
        return self._mono_ns + self.wall_offset_ns

    async def sleep(self, delay_s: float) -> None:
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._mono_ns + int(delay_s * 1e9), next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move on by `seconds`, letting each sleeper run at its own moment."""
        target = self._mono_ns + int(seconds * 1e9)
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, woken = heapq.heappop(self._sleepers)
            self._mono_ns = max(self._mono_ns, due)
            if not woken.done():
                woken.set_result(None)
            await self._settle()
        self._mono_ns = target
        await self._settle()

    @staticmethod
    async def _settle() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
