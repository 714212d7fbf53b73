"""Nobody cancels what is not his: tasks know who made them, and refuse the `cancel()` of another plugin.

    for task in asyncio.all_tasks():
        task.cancel()

is how programs end that own their loop. Here the loop is everybody's, and these two lines would end the process.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Final

from appliance.core.tasks import current_plugin
from appliance.host.strangers import Strangers

#: Modules of ours that start tasks for whoever calls them.
_IN_THE_NAME_OF: Final = frozenset({"appliance.core.tasks", "appliance.host.contexts", __name__})
#: It cancels whatever there is, for whoever calls it.
_FOR_ITS_CALLER: Final = frozenset({"asyncio.runners", "functools"})
#: Calls what was put there for later: in whose name, its context says.
_LATER: Final = "asyncio.events"
_OURS: Final = ("appliance.", "appliance_")

Refused = Callable[[str, str, str], None]


class OwnedTask(asyncio.Task[Any]):
    """A task that only whoever made it, the appliance, or the machinery of asyncio can cancel.

    Attributes:
        owner: the plugin that made it, "" when it is the appliance's own.
    """

    owner: str = ""
    guard: Guard | None = None

    def cancel(self, msg: Any = None) -> bool:
        """As any task's; a stranger's call does nothing, and is told."""
        if self.guard is not None and not self.done() and not self.guard.may(self, sys._getframe(1)):  # noqa: SLF001 - who calls
            return False
        return super().cancel(msg)


class Guard:
    """Makes the tasks of a loop, and judges who may cancel them. Strangers are plugins that did not come with the appliance."""

    def __init__(self, strangers: Strangers, refused: Refused) -> None:
        """A guard of a loop that does not run yet.

        Args:
            strangers: who they are.
            refused: told the plugin, the task that it wanted to cancel, and where it did.
        """
        self._strangers = strangers
        self._refused = refused

    def factory(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
    ) -> OwnedTask:
        """For `loop.set_task_factory`."""
        task = OwnedTask(coro, loop=loop, **options)
        task.owner = self._maker(sys._getframe(1))  # noqa: SLF001 - who calls
        task.guard = self
        return task

    def may(self, task: OwnedTask, frame: FrameType | None) -> bool:
        """Whether the code of `frame` may cancel `task`."""
        while frame is not None and _name(frame) in _FOR_ITS_CALLER:
            frame = frame.f_back
        if frame is None:
            return True
        name = _name(frame)
        plugin = self._of_context() if name == _LATER else self._strangers.of(name)
        if not plugin or plugin == task.owner:
            return True
        where = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        self._refused(plugin, task.get_name(), where)
        return False

    def _maker(self, frame: FrameType | None) -> str:
        """The innermost of a plugin or the appliance in the stack; libraries work for their callers."""
        while frame is not None:
            name = _name(frame)
            if plugin := self._strangers.of(name):
                return plugin
            if name.startswith(_OURS) and name not in _IN_THE_NAME_OF:
                break
            frame = frame.f_back
        else:
            return self._of_context()
        # The loop itself runs in ours: nothing but libraries between it and here.
        return self._of_context() if name == "appliance.host.resuming" else ""

    def _of_context(self) -> str:
        said = current_plugin.get()
        return said if said in self._strangers else ""


def _name(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))
