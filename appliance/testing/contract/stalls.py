"""Notices when a plugin holds the event loop, on a loaded machine too: the time that it waited for a processor is not its fault."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.core.tasks import current_plugin

#: Nobody may hold the loop longer.
LIMIT_S = 0.05
_LOOK_S = 0.01


class Stalls:
    """Watches every step of the running loop.

    Attributes:
        places: how often a step of the plugin held the loop too long, by the line that it hung in.
    """

    def __init__(self, plugin_id: str, folder: Path, *, limit_s: float = LIMIT_S) -> None:
        self.places: Counter[str] = Counter()
        self._plugin_id = plugin_id
        self._folder = str(folder)
        self._limit_ns = int(limit_s * 1e9)
        self._loop_thread = threading.get_ident()
        self._step: tuple[int, Any] | None = None  # since when (ns), and the handle
        self._seen: tuple[int, str] = (0, "")  # the step that was looked into, and where it hung
        self._waited: deque[tuple[int, int]] = deque([(time.perf_counter_ns(), _waited_ns())], maxlen=2000)
        self._stopping = threading.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the steps of the loop that runs in this thread."""
        original = asyncio.events.Handle._run  # noqa: SLF001 - each step of the loop passes here, and nowhere else
        stalls = self

        def watched(handle: asyncio.Handle) -> None:
            if threading.get_ident() != stalls._loop_thread:
                original(handle)
                return
            began_ns = time.perf_counter_ns()
            stalls._step = (began_ns, handle)
            try:
                original(handle)
            finally:
                stalls._step = None
                if time.perf_counter_ns() - began_ns > stalls._limit_ns:
                    stalls._judge(began_ns, handle)

        thread = threading.Thread(target=self._watch, name="timeball-contract", daemon=True)
        thread.start()
        asyncio.events.Handle._run = watched  # type: ignore[method-assign, assignment]  # noqa: SLF001 - see above
        try:
            yield
        finally:
            asyncio.events.Handle._run = original  # type: ignore[method-assign]  # noqa: SLF001 - see above
            self._stopping.set()
            thread.join()

    def confirmed(self) -> list[str]:
        """Places that held the loop at least twice: once may be an import, or the machine."""
        return sorted(f"{place} ({count} times)" for place, count in self.places.items() if count > 1)

    def _judge(self, began_ns: int, handle: Any) -> None:
        context = getattr(handle, "_context", None)
        if context is None or context.get(current_plugin) != self._plugin_id:
            return
        now_ns, waited_ns = time.perf_counter_ns(), _waited_ns()
        waited_before = next((w for at, w in reversed(self._waited) if at <= began_ns), self._waited[0][1])
        if now_ns - began_ns - (waited_ns - waited_before) <= self._limit_ns:
            return  # the machine was busy, not the plugin
        step, where = self._seen
        if step == began_ns:
            self.places[where] += 1

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            self._waited.append((time.perf_counter_ns(), _waited_ns()))
            step = self._step
            if step is None or step[0] == self._seen[0]:
                continue
            if time.perf_counter_ns() - step[0] > self._limit_ns // 2:
                where = self._where()
                if self._step is step:
                    self._seen = (step[0], where)

    def _where(self) -> str:
        """The innermost line of the plugin's own code, else the innermost line at all."""
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - documented for exactly this
        innermost = frame
        while frame is not None and not frame.f_code.co_filename.startswith(self._folder):
            frame = frame.f_back
        frame = frame or innermost
        if frame is None:
            return "unknown"
        return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} in {frame.f_code.co_name}"


def _waited_ns() -> int:
    """How long all threads of this process together have waited for a processor (Linux; elsewhere none is told)."""
    waited = 0
    for stat in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            waited += int(stat.read_text(encoding="ascii").split()[1])
    return waited
