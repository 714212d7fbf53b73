"""What a process or an event loop holds: threads, files, sockets, child processes, tasks, timers, each in words."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from appliance.core.tasks import current_plugin

#: Threads of pools that wait for more work, and belong to the host or to asyncio.
_POOLS = ("timeball-work", "asyncio_", "store-", "timeball-lag", "timeball-contract")


def of_process(database: Path) -> Counter[str]:
    """Threads, descriptors and children of this process; but not those of the host's database."""
    found = Counter(f"thread {t.name}" for t in threading.enumerate() if not t.name.startswith(_POOLS))
    for entry in os.scandir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = str(Path(entry.path).readlink())
            if not target.startswith((str(database), "/proc/")):
                found[f"descriptor {target.partition(':')[0] if ':[' in target else target}"] += 1
    for entry in os.scandir("/proc/self/task"):
        with contextlib.suppress(OSError):
            found.update(f"process {pid}" for pid in Path(entry.path, "children").read_text().split())
    return found


async def growth(before: Counter[str], database: Path, *, patience_s: float = 3.0) -> list[str]:
    """What is there now and was not before, in words; what is just being closed gets its time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience_s
    while True:
        gc.collect()
        left = of_process(database) - before
        if not left or loop.time() > end:
            return [f"{name}" if count == 1 else f"{count} x {name}" for name, count in sorted(left.items())]
        await asyncio.sleep(0.05)


class Attribution:
    """Knows which tasks and timers of this loop a plugin made, by the context that they were made in."""

    def __init__(self, plugin_id: str) -> None:
        self._plugin_id = plugin_id
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch every task that is made in the running loop."""
        loop = asyncio.get_running_loop()
        before = loop.get_task_factory()

        def factory(
            loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
        ) -> asyncio.Task[Any]:
            context: contextvars.Context = options.get("context") or contextvars.copy_context()
            task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
            if context.get(current_plugin) == self._plugin_id:
                self._tasks.add(task)
            return task

        loop.set_task_factory(factory)  # type: ignore[arg-type]
        try:
            yield
        finally:
            loop.set_task_factory(before)

    async def left(self, *, patience_s: float = 3.0) -> list[str]:
        """Tasks and timers of the plugin that still wait, in words."""
        return await _until_none(self._left, patience_s)

    def _left(self) -> list[str]:
        loop = asyncio.get_running_loop()
        tasks = [f"task {task.get_name()}" for task in self._tasks if not task.done()]
        scheduled = getattr(loop, "_scheduled", ())
        timers = [
            f"timer {getattr(timer, '_callback', '')}"
            for timer in scheduled
            if not timer.cancelled() and timer._context.get(current_plugin) == self._plugin_id  # noqa: SLF001 - no other way
        ]
        return sorted(tasks + timers)


async def _until_none(look: Callable[[], list[str]], patience_s: float) -> list[str]:
    loop = asyncio.get_running_loop()
    end = loop.time() + patience_s
    while (left := look()) and loop.time() < end:  # noqa: ASYNC110 - nobody tells when a timer goes
        await asyncio.sleep(0.02)
    return left
