"""The event loop of the process, which goes on when a task of somebody's wants to end it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], told: Callable[[BaseException], None], factory: Any = None) -> T:
    """As `asyncio.run`, but only `main` ends it; `factory` makes the tasks, where not asyncio shall.

    `SystemExit` and `KeyboardInterrupt` of any task leave the loop, and so does `loop.stop()`: `told` hears of it, and the loop
    goes on with everything that was under way. The task that raised is done, with that as its exception. Interrupts by a person
    are signals, which `main` handles.
    """
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.set_task_factory(factory)
        task = loop.create_task(main, name="host:main")
        while True:
            try:
                return loop.run_until_complete(task)
            except BaseException as error:
                if task.done():
                    raise
                told(error)
