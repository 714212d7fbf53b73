"""State between plugins: a cell holds the latest immutable value and its age. Readers never block the writer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from appliance.core.clock import Clock

T = TypeVar("T")


class Cell(Generic[T]):
    """The last value of something, and when it was set.

    A slow reader sees fewer values, never an old one last. `set` may be called from the event loop only.
    """

    def __init__(self, initial: T, *, clock: Clock, name: str = "") -> None:
        self.name = name
        self._clock = clock
        self._value = initial
        self._set_ns: int | None = None
        self._version = 0
        self._changed = asyncio.Event()
        self._watchers: list[Callable[[T], None]] = []

    def get(self) -> T:
        """The latest value (or the initial one)."""
        return self._value

    def set(self, value: T) -> None:
        """Publish `value`; wakes everybody that waits in `changes`, calls every watcher at once."""
        self._value = value
        self._set_ns = self._clock.monotonic_ns()
        self._version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for watcher in tuple(self._watchers):
            watcher(value)

    def age_s(self) -> float:
        """Seconds since the last `set`; infinity when nobody has set it yet."""
        if self._set_ns is None:
            return float("inf")
        return (self._clock.monotonic_ns() - self._set_ns) / 1e9

    def watch(self, watcher: Callable[[T], None]) -> Callable[[], None]:
        """Call `watcher(value)` in `set`, synchronously (keep it short). Returns the undo."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    async def changes(self) -> AsyncIterator[T]:
        """Yield the current value if one was ever set, then each later one; values in between are skipped."""
        seen = 0
        while True:
            while self._version == seen:
                await self._changed.wait()
            seen = self._version
            yield self._value
