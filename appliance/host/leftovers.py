"""Tasks and threads that outlive the run that made them: found by whose code they run, ended, and named."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from appliance.core.tasks import held

#: A page may be waiting for an answer of the plugin just now: such a task ends by itself.
GRACE_S: Final = 1.0


def belongs(module: str, name: str) -> bool:
    """Whether the code of the module `name` is the plugin's, whose module or package is `module`."""
    return bool(module) and (name == module or name.startswith(f"{module}."))


def first_of(frame: FrameType | None, owner: Callable[[str], str]) -> str:
    """The innermost plugin in a stack, or ""; `owner` knows the plugin of a module's name."""
    while frame is not None:
        if plugin := owner(str(frame.f_globals.get("__name__", ""))):
            return plugin
        frame = frame.f_back
    return ""


async def end_tasks(module: str) -> list[str]:
    """End the tasks that still run a plugin's code now that it has stopped; where each of them was.

    What `appliance.core.tasks.spawn` started ends in its own time. Seen is what began in the plugin's own code: a task of a library's coroutine carries nobody's name.
    """
    left = {
        task
        for task in asyncio.all_tasks()
        if task is not asyncio.current_task() and not held(task) and belongs(module, _begun_in(task))
    }
    if not left:
        return []
    _, left = await asyncio.wait(left, timeout=GRACE_S)
    found = sorted(_name(task) for task in left)
    for task in left:
        task.cancel()
    return found


def threads_of(module: str) -> list[str]:
    """Threads that run a function of a plugin, which has stopped, by their names."""
    return sorted(
        thread.name
        for thread in threading.enumerate()
        if belongs(module, str(getattr(getattr(thread, "_target", None), "__module__", "")))
    )


def _begun_in(task: asyncio.Task[Any]) -> str:
    frame = getattr(task.get_coro(), "cr_frame", None)
    return str(frame.f_globals.get("__name__", "")) if frame is not None else ""


def _name(task: asyncio.Task[Any]) -> str:
    return str(getattr(task.get_coro(), "__qualname__", task.get_name()))
