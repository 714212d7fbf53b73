"""The only way to start a task: it has a name, and somebody holds it until it ends."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

#: Plugin whose task is running; inherited by every task that one spawns, read by the log formatter and the lag monitor.
current_plugin: contextvars.ContextVar[str] = contextvars.ContextVar("current_plugin", default="host")

_running: set[asyncio.Task[Any]] = set()


def held(task: asyncio.Task[Any]) -> bool:
    """Whether it was started here: somebody knows of it, and waits for its end."""
    return task in _running


def spawn(
    coro: Coroutine[Any, Any, T], *, name: str, context: contextvars.Context | None = None
) -> asyncio.Task[T]:
    """Start `coro` as a named task. The event loop holds tasks only weakly, so a reference is kept until it is done."""
    task = asyncio.get_running_loop().create_task(coro, name=name, context=context)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task
