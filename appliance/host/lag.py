"""Notices when the event loop stands still, and names who holds it: one blocking call delays every plugin."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

from appliance.core.clock import Clock
from appliance.host.leftovers import first_of

log = logging.getLogger("timeball.host")


@dataclass(frozen=True, slots=True)
class LoopLag:
    """How late the event loop is.

    Attributes:
        last_s: lateness of the last beat.
        worst_s: worst lateness since the start.
        stalls: times the loop stood still longer than the limit.
        last_culprit: task and line that held it last.
    """

    last_s: float = 0.0
    worst_s: float = 0.0
    stalls: int = 0
    last_culprit: str = ""


class LagMonitor:
    """Beats inside the loop, and a thread that watches the beats.

    Attributes:
        lag: the latest reading.
    """

    def __init__(self, clock: Clock, *, beat_s: float = 0.5, limit_s: float = 0.25,
                 owner: Callable[[str], str] = lambda _: "",
                 blame: Callable[[str, float, str], None] = lambda *_: None) -> None:  # fmt: skip
        """A monitor that does not watch yet.

        Args:
            clock: the real one.
            beat_s: seconds between beats.
            limit_s: lateness that counts as a stall.
            owner: the plugin of a module's name, or "".
            blame: told after a stall: the plugin whose code held the loop, for how many seconds, and where.
        """
        self._owner = owner
        self._blame = blame
        self._seen: tuple[int, str, str] = (0, "", "")
        self.lag = LoopLag()
        self._clock = clock
        self._beat_s = beat_s
        self._limit_s = limit_s
        self._due_ns = 0
        self._stopping = threading.Event()

    async def run(self) -> None:
        """Beat until cancelled."""
        loop = asyncio.get_running_loop()
        self._due_ns = self._clock.monotonic_ns() + int(self._beat_s * 1e9)
        thread = threading.Thread(
            target=self._watch, args=(loop, threading.get_ident()), name="timeball-lag", daemon=True
        )
        thread.start()
        try:
            while True:
                await asyncio.sleep(self._beat_s)
                late_s = max(0.0, (self._clock.monotonic_ns() - self._due_ns) / 1e9)
                due_ns, plugin, where = self._seen
                if plugin and due_ns == self._due_ns:
                    self._blame(plugin, late_s, where)
                self._due_ns = self._clock.monotonic_ns() + int(self._beat_s * 1e9)
                self.lag = LoopLag(
                    late_s, max(late_s, self.lag.worst_s), self.lag.stalls, self.lag.last_culprit
                )
        finally:
            self._stopping.set()

    def overdue_s(self) -> float:
        """How long the loop has been standing still, right now; callable from any thread."""
        return max(0.0, (self._clock.monotonic_ns() - self._due_ns) / 1e9)

    def _watch(self, loop: asyncio.AbstractEventLoop, loop_thread: int) -> None:
        told = 0
        while not self._stopping.wait(self._beat_s / 2):
            due_ns = self._due_ns
            if self.overdue_s() < self._limit_s or due_ns == told:
                continue
            told = due_ns
            plugin, culprit = self._culprit(loop, loop_thread)
            if due_ns != self._due_ns:
                continue  # it moved on while we looked: the line we saw is somebody else's
            self.lag = LoopLag(
                self.lag.last_s, max(self.overdue_s(), self.lag.worst_s), self.lag.stalls + 1, culprit
            )
            self._seen = due_ns, plugin, culprit
            held = f", held by the plugin {plugin}" if plugin else ""
            log.warning("the event loop stands still%s: %s", held, culprit)

    def _culprit(self, loop: asyncio.AbstractEventLoop, loop_thread: int) -> tuple[str, str]:
        """The plugin whose code it is, or "", and task and line in words."""
        task = asyncio.current_task(loop)
        frame = sys._current_frames().get(loop_thread)  # noqa: SLF001 - documented for exactly this
        where = (
            f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}" if frame else "unknown"
        )
        return first_of(frame, self._owner), f"{task.get_name() if task else 'a callback'} at {where}"
